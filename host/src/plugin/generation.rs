//! A set of plugins that was applied: immutable, and swapped whole.

use std::sync::Arc;

use super::plugin::Plugin;
use super::stage::Stage;
use crate::model::time::Time;

pub struct Generation {
    /// Counts from 1; a rollback makes a new one.
    pub number: u64,
    /// SHA-256 of the document, whatever its spelling: 64 hex digits.
    pub digest: String,
    pub applied_at: Time,
    /// Those that are enabled, in the document's order.
    pub plugins: Vec<Arc<Plugin>>,
}

impl Generation {
    pub fn serving(&self, stage: Stage) -> impl Iterator<Item = &Arc<Plugin>> {
        self.plugins.iter().filter(move |plugin| plugin.stages.contains(&stage))
    }
}
