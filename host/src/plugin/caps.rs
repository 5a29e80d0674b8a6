//! The most that the operator lets any document ask for.

use std::collections::{BTreeMap, HashSet};

use serde_json::Value;

use super::limits::Limits;
use super::reader::LIMIT_KEYS;

/// By the name of a limit.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Caps(BTreeMap<String, u64>);

impl Caps {
    pub fn new(caps: BTreeMap<String, u64>) -> Result<Self, String> {
        match caps.keys().find(|key| !LIMIT_KEYS.contains(&key.as_str())) {
            Some(key) => {
                Err(format!("plugin_caps: `{key}` is no limit; there are {}", LIMIT_KEYS.join(", ")))
            }
            None => Ok(Self(caps)),
        }
    }

    /// The limits within the caps. What was asked for beyond one is a fault, with the limit's
    /// name; a default is lowered.
    pub fn within(&self, limits: Limits, asked: &HashSet<String>) -> Result<Limits, Vec<(String, String)>> {
        if self.0.is_empty() {
            return Ok(limits);
        }
        let mut given = serde_json::to_value(limits).unwrap_or_default();
        let mut faults = Vec::new();
        for (key, cap) in &self.0 {
            let Some(value) = given.get(key).and_then(Value::as_u64).filter(|value| value > cap) else {
                continue;
            };
            if asked.contains(key) {
                let message = format!(
                    "{value} is over the {cap} that this gateway allows (`plugin_caps.{key}` in its configuration); \
                     ask for less, or have the cap raised"
                );
                faults.push((key.clone(), message));
            } else {
                given[key] = (*cap).into();
            }
        }
        if faults.is_empty() { Ok(serde_json::from_value(given).unwrap_or(limits)) } else { Err(faults) }
    }
}
