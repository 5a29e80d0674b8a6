//! Hands out the requests of a scenario at the moment they are due, and knows when it is over.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What every scenario is bounded by.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub clients: u32,
    pub requests: u64,
    pub time: Duration,
    /// Requests a second in an open loop; 0 is a closed one.
    pub rate: u32,
}

pub struct Course {
    bounds: Bounds,
    began: Instant,
    taken: AtomicU64,
    done: AtomicU64,
}

/// One request that is due.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    pub number: u64,
    /// Latency counts from here: in an open loop from the moment the request should have
    /// begun, so that a server that stalls is charged for those who wait behind.
    pub due: Instant,
}

impl Course {
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, began: Instant::now(), taken: AtomicU64::new(0), done: AtomicU64::new(0) }
    }

    /// The next request, at the moment it is due; `None` when the scenario is over.
    pub async fn next(&self) -> Option<Turn> {
        let number = self.taken.fetch_add(1, Ordering::Relaxed);
        if number >= self.bounds.requests || self.began.elapsed() >= self.bounds.time {
            return None;
        }
        if self.bounds.rate == 0 {
            return Some(Turn { number, due: Instant::now() });
        }
        let offset = Duration::from_secs(number) / self.bounds.rate;
        if offset >= self.bounds.time {
            return None;
        }
        let due = self.began + offset;
        tokio::time::sleep_until(due.into()).await;
        Some(Turn { number, due })
    }

    /// What the scenario counts happened once more.
    pub fn done(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    pub fn total(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(requests: u64, rate: u32) -> Bounds {
        Bounds { clients: 1, requests, time: Duration::from_hours(1), rate }
    }

    #[tokio::test]
    async fn a_closed_loop_ends_after_its_requests() {
        let course = Course::new(bounds(2, 0));
        assert_eq!(course.next().await.map(|turn| turn.number), Some(0));
        assert_eq!(course.next().await.map(|turn| turn.number), Some(1));
        assert!(course.next().await.is_none());
    }

    #[tokio::test]
    async fn an_open_loop_keeps_its_pace_whatever_came_before() {
        let course = Course::new(bounds(4, 1000));
        let mut dues = Vec::new();
        while let Some(turn) = course.next().await {
            assert!(turn.due <= Instant::now(), "never early");
            dues.push(turn.due);
        }
        let apart: Vec<_> = dues.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(apart, [Duration::from_millis(1); 3]);
    }
}
