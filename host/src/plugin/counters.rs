//! What became of a plugin's calls.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use super::error::PluginError;

#[derive(Debug, Default)]
pub struct Counters {
    body: Mutex<CountersBody>,
}

/// Since the plugin was applied; refused calls are counted, too.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CountersBody {
    pub calls: u64,
    pub ok: u64,
    /// By [`PluginError::code`].
    pub failed: BTreeMap<&'static str, u64>,
    /// What the host refused the guest, by the code that the guest was given.
    pub denied: BTreeMap<&'static str, u64>,
    /// Time in the guest, instantiation included.
    pub total_us: u64,
    /// Log lines over a call's share.
    pub dropped_lines: u64,
}

impl Counters {
    /// A call, made or refused.
    pub fn record(&self, error: Option<&PluginError>, micros: u64) {
        let mut body = self.body.lock().unwrap_or_else(PoisonError::into_inner);
        body.calls += 1;
        body.total_us += micros;
        match error {
            None => body.ok += 1,
            Some(error) => *body.failed.entry(error.code()).or_default() += 1,
        }
    }

    pub fn denied(&self, code: &'static str) {
        let mut body = self.body.lock().unwrap_or_else(PoisonError::into_inner);
        *body.denied.entry(code).or_default() += 1;
    }

    pub fn dropped_lines(&self, lines: u32) {
        if lines > 0 {
            self.body.lock().unwrap_or_else(PoisonError::into_inner).dropped_lines += u64::from(lines);
        }
    }

    pub fn body(&self) -> CountersBody {
        self.body.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Counters by the name of a plugin, over all sets of this process: what a monitor reads
/// must never go back.
#[derive(Clone, Debug, Default)]
pub struct Totals(Arc<Mutex<HashMap<String, Arc<Counters>>>>);

impl Totals {
    pub fn of(&self, plugin: &str) -> Arc<Counters> {
        let mut totals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        totals.entry(plugin.to_owned()).or_default().clone()
    }

    pub fn list(&self) -> Vec<(String, CountersBody)> {
        let totals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        totals.iter().map(|(name, counters)| (name.clone(), counters.body())).collect()
    }
}
