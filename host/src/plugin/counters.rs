//! What became of a plugin's calls.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::error::PluginError;

/// A call that went well takes no lock: all calls of a plugin meet here.
#[derive(Debug, Default)]
pub struct Counters {
    ok: AtomicU64,
    total_us: AtomicU64,
    dropped_lines: AtomicU64,
    codes: Mutex<Codes>,
    /// Counted last and read first, so that nobody sees a call without what came of it.
    calls: AtomicU64,
}

#[derive(Debug, Default)]
struct Codes {
    failed: BTreeMap<&'static str, u64>,
    denied: BTreeMap<&'static str, u64>,
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
        self.total_us.fetch_add(micros, Ordering::Relaxed);
        match error {
            None => {
                self.ok.fetch_add(1, Ordering::Relaxed);
            }
            Some(error) => *self.codes().failed.entry(error.code()).or_default() += 1,
        }
        self.calls.fetch_add(1, Ordering::Release);
    }

    pub fn denied(&self, code: &'static str) {
        *self.codes().denied.entry(code).or_default() += 1;
    }

    pub fn dropped_lines(&self, lines: u32) {
        if lines > 0 {
            self.dropped_lines.fetch_add(lines.into(), Ordering::Relaxed);
        }
    }

    pub fn body(&self) -> CountersBody {
        let calls = self.calls.load(Ordering::Acquire);
        let codes = self.codes();
        CountersBody {
            calls,
            ok: self.ok.load(Ordering::Relaxed),
            failed: codes.failed.clone(),
            denied: codes.denied.clone(),
            total_us: self.total_us.load(Ordering::Relaxed),
            dropped_lines: self.dropped_lines.load(Ordering::Relaxed),
        }
    }

    fn codes(&self) -> MutexGuard<'_, Codes> {
        self.codes.lock().unwrap_or_else(PoisonError::into_inner)
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
