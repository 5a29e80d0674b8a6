//! What a call may use. Four limits together: the guest's own time, all time, memory over
//! everything the sandbox holds, and the bytes that cross.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use wasmtime::ResourceLimiter;

use super::engine::TICK;

/// The limits of one plugin; the document may set each within its bounds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Limits {
    /// Guest time; waiting is not billed.
    pub cpu_ms: u64,
    /// All of the call, from its place in the pool to its result.
    pub wall_ms: u64,
    /// How long a call waits for a place before it gives up.
    pub queue_ms: u64,
    pub memory_mib: u64,
    pub max_input_bytes: usize,
    pub max_output_bytes: usize,
    /// Calls of this plugin at once.
    pub max_concurrent: usize,
    /// Sandboxes that are kept for the next calls, and how many calls each serves. Without
    /// any, each call has a fresh one.
    pub warm: usize,
    pub warm_calls: u64,
    /// Requests that one call may send, and how long each may take.
    pub http_calls: usize,
    pub http_ms: u64,
    /// What the plugin may keep between its calls.
    pub kv_mib: u64,
    /// What one call may write to the log.
    pub log_lines: usize,
    pub log_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            cpu_ms: 50,
            wall_ms: 500,
            queue_ms: 250,
            memory_mib: 64,
            max_input_bytes: 1 << 20,
            max_output_bytes: 1 << 20,
            max_concurrent: 16,
            warm: 0,
            warm_calls: 1000,
            http_calls: 8,
            http_ms: 1000,
            kv_mib: 16,
            log_lines: 64,
            log_bytes: 64 << 10,
        }
    }
}

/// How many changes one call may ask for, and how many repositories it may name.
pub const MAX_ITEMS: usize = 256;

impl Limits {
    pub fn wall(&self) -> Duration {
        Duration::from_millis(self.wall_ms)
    }

    /// Guest time in ticks of the epoch: one more than it has, because the first may come
    /// at once. A guest has its time at the least, and a tick beyond it at the most.
    pub fn ticks(&self) -> u64 {
        let tick = u64::try_from(TICK.as_millis()).unwrap_or(1).max(1);
        self.cpu_ms.div_ceil(tick) + 1
    }

    pub fn memory_bytes(&self) -> usize {
        usize::try_from(self.memory_mib << 20).unwrap_or(usize::MAX)
    }
}

/// Sums every memory and table of a sandbox, because wasmtime's own limiter counts each by
/// itself.
#[derive(Debug)]
pub struct Memory {
    used: usize,
    limit: usize,
    /// Set when growth was refused, to tell "out of memory" from the trap that follows.
    refused: bool,
}

/// What an element of a table costs.
const ELEMENT_BYTES: usize = 16;

impl Memory {
    pub fn new(limit: usize) -> Self {
        Self { used: 0, limit, refused: false }
    }

    /// Never shrinks, so it is the most there was.
    pub fn used(&self) -> usize {
        self.used
    }

    pub fn was_refused(&self) -> bool {
        self.refused
    }

    fn grow(&mut self, bytes: usize) -> bool {
        let wanted = self.used.saturating_add(bytes);
        if wanted > self.limit {
            self.refused = true;
            return false;
        }
        self.used = wanted;
        true
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(desired.saturating_sub(current)))
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(desired.saturating_sub(current).saturating_mul(ELEMENT_BYTES)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_count_together() {
        let mut memory = Memory::new(100);
        assert!(memory.grow(60));
        assert!(!memory.grow(60) && memory.was_refused());
        assert!(memory.grow(40));
    }

    #[test]
    fn a_guest_never_has_less_than_its_time() {
        assert_eq!(Limits { cpu_ms: 1, ..Limits::default() }.ticks(), 2);
        assert_eq!(Limits { cpu_ms: 50, ..Limits::default() }.ticks(), 11);
        assert_eq!(Limits { cpu_ms: 51, ..Limits::default() }.ticks(), 12);
    }
}
