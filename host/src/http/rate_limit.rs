//! So many calls a minute from one source, and no more.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use moka::sync::Cache;

/// How many sources are told apart; the least recent are forgotten first.
const SOURCES: u64 = 100_000;

#[derive(Clone)]
pub struct RateLimit<K: Hash + Eq + Send + Sync + 'static> {
    per_minute: u32,
    calls: Cache<K, Arc<AtomicU32>>,
}

impl<K: Hash + Eq + Send + Sync + 'static> RateLimit<K> {
    pub fn per_minute(per_minute: u32) -> Self {
        let calls = Cache::builder().max_capacity(SOURCES).time_to_live(Duration::from_mins(1)).build();
        Self { per_minute, calls }
    }

    /// Counts a call. `false` when it is one too many in the minute that the first began.
    pub fn allows(&self, source: K) -> bool {
        let count = self.calls.get_with(source, Arc::default);
        count.fetch_add(1, Ordering::Relaxed) < self.per_minute
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_source_has_its_own_share() {
        let limit = RateLimit::per_minute(2);
        assert_eq!([1, 1, 1, 2].map(|source| limit.allows(source)), [true, true, false, true]);
    }
}
