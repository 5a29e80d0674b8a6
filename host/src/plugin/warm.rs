//! Sandboxes that are kept for a plugin's next call, where its document asks for it: an
//! interpreter takes longer to make than to run. Everything a call may use is counted anew,
//! and what a guest remembers is its author's affair.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::PluginError;
use super::limits::Limits;
use super::sandbox::Sandbox;

pub struct Warm {
    kept: Mutex<Vec<Kept>>,
    /// Shared by all plugins: what the pool of instances holds beside calls.
    slots: Arc<Semaphore>,
    most: usize,
    most_calls: u32,
    /// A sandbox that holds more is not kept: a heap that never shrinks must end in time.
    most_bytes: usize,
}

struct Kept {
    sandbox: Sandbox,
    calls: u32,
    _slot: OwnedSemaphorePermit,
}

impl Warm {
    pub fn new(limits: &Limits, slots: Arc<Semaphore>) -> Self {
        Self {
            kept: Mutex::default(),
            slots,
            most: limits.warm,
            most_calls: u32::try_from(limits.warm_calls).unwrap_or(u32::MAX),
            most_bytes: limits.memory_bytes() / 2,
        }
    }

    /// One that was kept, and how many calls it has had.
    pub fn take(&self) -> Option<(Sandbox, u32)> {
        if self.most == 0 {
            return None;
        }
        self.kept().pop().map(|kept| (kept.sandbox, kept.calls))
    }

    /// Keeps a sandbox whose call ended as it should; others are dropped.
    pub fn keep(&self, sandbox: Sandbox, calls: u32, failed: Option<&PluginError>) {
        let ended_well = matches!(failed, None | Some(PluginError::Failed { .. }));
        let fits = calls < self.most_calls && sandbox.memory_bytes() <= self.most_bytes;
        if self.most == 0 || !ended_well || !fits {
            return;
        }
        let Ok(slot) = self.slots.clone().try_acquire_owned() else { return };
        let mut kept = self.kept();
        if kept.len() < self.most {
            kept.push(Kept { sandbox, calls, _slot: slot });
        }
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Kept>> {
        // A list is never left half changed.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
