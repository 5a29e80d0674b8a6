//! A number for each runtime that moves whenever something enters its queue. Whoever found
//! a queue empty remembers the number, and while it has not moved the queue is still empty.
//!
//! The number moves after the commit, by whoever commits: no path can forget it, and a
//! caller that hangs up takes nothing with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::ids::RuntimeId;
use crate::model::task::Task;
use crate::telemetry::metrics;

/// Runtimes share slots. A neighbour that moves costs one look that was not needed, and
/// the table never grows.
const SLOTS: usize = 4096;

/// A task that entered a queue, or a whole queue that moved.
#[derive(Clone, Copy, Debug)]
pub struct Entered {
    runtime: RuntimeId,
    /// Where the task comes from, if it is new.
    source: Option<&'static str>,
}

impl Entered {
    pub(super) fn queue(&self) -> RuntimeId {
        self.runtime
    }

    pub(super) fn task(task: &Task) -> Self {
        Self { runtime: task.runtime_id, source: Some(task.source()) }
    }

    pub(super) fn runtime(runtime: RuntimeId) -> Self {
        Self { runtime, source: None }
    }
}

#[derive(Clone)]
pub struct QueueVersions(Arc<[AtomicU64]>);

impl Default for QueueVersions {
    fn default() -> Self {
        Self((0..SLOTS).map(|_| AtomicU64::new(0)).collect())
    }
}

impl QueueVersions {
    pub fn current(&self, runtime: RuntimeId) -> u64 {
        self.slot(runtime).load(Ordering::Acquire)
    }

    /// Something entered the runtime's queue, here or on another node.
    pub fn bump(&self, runtime: RuntimeId) {
        self.slot(runtime).fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn entered(&self, entered: &[Entered]) {
        for entry in entered {
            self.bump(entry.runtime);
            if let Some(source) = entry.source {
                metrics::task_enqueued(source);
            }
        }
    }

    fn slot(&self, runtime: RuntimeId) -> &AtomicU64 {
        // The end of an id is random, whatever its version.
        let bytes = runtime.0.as_bytes();
        let index = usize::from(u16::from_be_bytes([bytes[14], bytes[15]])) % SLOTS;
        &self.0[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_moves_with_its_own_runtime_and_with_all() {
        let versions = QueueVersions::default();
        let (one, other) = (RuntimeId(uuid::Uuid::from_u128(1)), RuntimeId(uuid::Uuid::from_u128(2)));
        versions.bump(one);
        assert_eq!((versions.current(one), versions.current(other)), (1, 0));
    }
}
