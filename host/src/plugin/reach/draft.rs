//! What a shadow writes: the call that wrote it sees it, and it is kept nowhere.

use std::collections::BTreeMap;

use crate::model::time::Time;
use crate::store::plugin_values::ValueRow;

/// By key; `None` for what was deleted. What one call may ask bounds it.
#[derive(Debug, Default)]
pub struct Draft(BTreeMap<String, Option<ValueRow>>);

impl Draft {
    /// Whether the call wrote or deleted this key, so that what is kept counts no more.
    pub fn holds(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    pub fn find(&self, key: &str, now: Time) -> Option<&ValueRow> {
        self.0.get(key)?.as_ref().filter(|row| row.expires_at.is_none_or(|end| end > now))
    }

    pub fn put(&mut self, key: &str, row: Option<ValueRow>) {
        self.0.insert(key.to_owned(), row);
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The keys of what is kept, as they would be had the call's writes been kept, too.
    pub fn over(&self, kept: Vec<String>, (prefix, after): (&str, &str), now: Time) -> Vec<String> {
        if self.0.is_empty() {
            return kept;
        }
        let own = self.0.keys().filter(|key| key.starts_with(prefix) && key.as_str() > after);
        let own = own.filter(|key| self.find(key, now).is_some()).cloned();
        let untouched = kept.into_iter().filter(|key| !self.holds(key));
        let mut keys: Vec<String> = untouched.chain(own).collect();
        keys.sort_unstable();
        keys
    }
}
