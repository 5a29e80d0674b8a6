//! How much of what guests write reaches the log.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::limits::Limits;

/// What all calls of a plugin may write in a minute.
const MINUTE_BYTES: usize = 1 << 20;
const MINUTE: Duration = Duration::from_mins(1);

/// What a plugin wrote in the minute that runs.
#[derive(Debug, Default)]
pub struct Minute {
    state: Mutex<Option<(Instant, usize)>>,
}

impl Minute {
    fn take(&self, bytes: usize, now: Instant) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (began, used) = state.filter(|(began, _)| now < *began + MINUTE).unwrap_or((now, 0));
        let fits = used + bytes <= MINUTE_BYTES;
        *state = Some((began, if fits { used + bytes } else { used }));
        fits
    }
}

/// What one call may still write.
#[derive(Debug)]
pub struct LogShare {
    lines: usize,
    bytes: usize,
    minute: Arc<Minute>,
    dropped: u32,
}

impl LogShare {
    pub fn new(limits: &Limits, minute: Arc<Minute>) -> Self {
        Self { lines: limits.log_lines, bytes: limits.log_bytes, minute, dropped: 0 }
    }

    /// Whether a line of so many bytes is written; otherwise it is counted.
    pub fn take(&mut self, bytes: usize) -> bool {
        let fits = self.lines > 0 && bytes <= self.bytes && self.minute.take(bytes, Instant::now());
        if fits {
            self.lines -= 1;
            self.bytes -= bytes;
        } else {
            self.dropped = self.dropped.saturating_add(1);
        }
        fits
    }

    pub fn dropped(&self) -> u32 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_so_many_lines_and_bytes() {
        let limits = Limits { log_lines: 2, log_bytes: 10, ..Limits::default() };
        let mut share = LogShare::new(&limits, Arc::default());
        assert!(share.take(6) && !share.take(5) && share.take(4) && !share.take(0));
        assert_eq!(share.dropped(), 2);
    }

    #[test]
    fn all_calls_share_a_minute() {
        let (minute, start) = (Minute::default(), Instant::now());
        assert!(minute.take(MINUTE_BYTES, start));
        assert!(!minute.take(1, start + MINUTE / 2));
        assert!(minute.take(1, start + MINUTE));
    }
}
