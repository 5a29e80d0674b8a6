//! Calls that share a plugin's room and its breaker. Those of claims have one lane and those
//! of tasks that are about to be queued another: a service that hangs in the one costs the
//! other neither a place nor its standing.

use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, SemaphorePermit};

use super::breaker::Breaker;
use super::error::PluginError;
use super::limits::Limits;

pub struct Lane {
    pub breaker: Breaker,
    limits: Limits,
    places: Semaphore,
    /// Whether the wait for a place counts against the time of the call.
    waits_count: bool,
}

/// Failures that a guest passes on when whom it asked did not answer. Each costs the call all
/// of its time, so they open the breaker.
const IN_VAIN: [&str; 2] = ["timeout", "unreachable"];

impl Lane {
    pub fn of_claims(limits: Limits) -> Self {
        Self::new(limits, false)
    }

    /// Somebody waits for the task to be queued, whatever the wait is for.
    pub fn of_enqueues(limits: Limits) -> Self {
        Self::new(Limits { queue_ms: limits.queue_ms.min(limits.wall_ms), ..limits }, true)
    }

    fn new(limits: Limits, waits_count: bool) -> Self {
        let places = Semaphore::new(limits.max_concurrent);
        Self { breaker: Breaker::default(), limits, places, waits_count }
    }

    /// A place of this lane's and one of the pool's.
    pub async fn place<'a>(
        &'a self,
        pool: &'a Semaphore,
    ) -> Option<(SemaphorePermit<'a>, SemaphorePermit<'a>)> {
        if let (Ok(own), Ok(pool)) = (self.places.try_acquire(), pool.try_acquire()) {
            return Some((own, pool));
        }
        let both = async { Some((self.places.acquire().await.ok()?, pool.acquire().await.ok()?)) };
        let patience = Duration::from_millis(self.limits.queue_ms);
        tokio::time::timeout(patience, both).await.ok().flatten()
    }

    /// The limits of a call that came at this moment and has its place now.
    pub fn limits(&self, came: Instant) -> Limits {
        if !self.waits_count {
            return self.limits;
        }
        let waited = u64::try_from(came.elapsed().as_millis()).unwrap_or(u64::MAX);
        Limits { wall_ms: self.limits.wall_ms.saturating_sub(waited).max(1), ..self.limits }
    }

    /// Remembers how a call went. Whether it was the plugin's fault.
    pub fn record(&self, error: Option<&PluginError>) -> bool {
        let counts = match error {
            None => false,
            // A failure that the guest tells of itself is no fault of the plugin's.
            Some(PluginError::Failed { code, .. }) => self.waits_count && IN_VAIN.contains(&code.as_str()),
            Some(error) if error.is_the_guests() => true,
            Some(_) => return false,
        };
        self.breaker.record(!counts, Instant::now());
        counts
    }
}
