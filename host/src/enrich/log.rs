//! The traces of recent claims, by task. Memory only, and bounded: the oldest go first.

use std::sync::Arc;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use super::trace::Trace;

/// What all traces together may take; some ten thousand claims of the usual size.
const BYTES: u64 = 64 << 20;

#[derive(Clone)]
pub struct TraceLog {
    traces: Cache<String, Arc<Trace>>,
}

impl Default for TraceLog {
    fn default() -> Self {
        let traces = Cache::builder()
            .max_capacity(BYTES)
            .weigher(|_, trace: &Arc<Trace>| u32::try_from(trace.bytes()).unwrap_or(u32::MAX))
            // The latest is what somebody will ask for, however seldom anybody asks.
            .eviction_policy(EvictionPolicy::lru())
            .build();
        Self { traces }
    }
}

impl TraceLog {
    /// Keeps the trace of a task's latest claim, behind what was noted when it was queued.
    pub fn insert(&self, trace: Trace) {
        let trace = match self.traces.get(&trace.task_id) {
            Some(earlier) => trace.after(&earlier),
            None => trace,
        };
        let trace = Arc::new(trace);
        self.traces.insert(trace.task_id.clone(), trace.clone());
        if trace.prepared.are_any() || trace.shadows.are_any() {
            let traces = self.traces.clone();
            tokio::spawn(async move {
                trace.prepared.settled().await;
                trace.shadows.settled().await;
                // Weighed again, unless the task was claimed again meanwhile.
                if traces.get(&trace.task_id).is_some_and(|kept| Arc::ptr_eq(&kept, &trace)) {
                    traces.insert(trace.task_id.clone(), trace);
                }
            });
        }
    }

    pub fn find(&self, task_id: &str) -> Option<Arc<Trace>> {
        self.traces.get(task_id)
    }
}
