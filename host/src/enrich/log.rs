//! The traces of recent claims, by task. Memory only, and bounded: the oldest go first.

use std::sync::Arc;

use moka::sync::Cache;

use super::trace::Trace;

/// How many tasks are remembered.
const TASKS: u64 = 10_000;

#[derive(Clone)]
pub struct TraceLog {
    traces: Cache<String, Arc<Trace>>,
}

impl Default for TraceLog {
    fn default() -> Self {
        Self { traces: Cache::builder().max_capacity(TASKS).build() }
    }
}

impl TraceLog {
    /// Keeps the trace of a task's latest claim.
    pub fn insert(&self, trace: Trace) {
        self.traces.insert(trace.task_id.clone(), Arc::new(trace));
    }

    pub fn find(&self, task_id: &str) -> Option<Arc<Trace>> {
        self.traces.get(task_id)
    }
}
