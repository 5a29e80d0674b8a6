//! Leaves a plugin alone that fails again and again, and tries it once in a while.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Failures in a row that open it.
const THRESHOLD: u32 = 5;
/// How long the first pause is, and the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A probe whose caller went away reports nothing; past this another may try.
const PROBE: Duration = Duration::from_secs(35);

#[derive(Debug, Default)]
pub struct Breaker {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    /// Set while open: until when, and for how long.
    open: Option<(Instant, Duration)>,
    /// Since when one call is trying whether it works again.
    probing: Option<Instant>,
}

impl Breaker {
    /// Whether a call may be made now. Of those that come after a pause, one may.
    pub fn admits(&self, now: Instant) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.open {
            None => true,
            Some((until, _)) if now < until => false,
            Some(_) => {
                let free = state.probing.is_none_or(|since| now >= since + PROBE);
                if free {
                    state.probing = Some(now);
                }
                free
            }
        }
    }

    pub fn record(&self, ok: bool, now: Instant) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.probing = None;
        if ok {
            *state = State::default();
            return;
        }
        state.failures = state.failures.saturating_add(1);
        if state.failures >= THRESHOLD {
            let pause = state.open.map_or(FIRST_PAUSE, |(_, last)| (last * 2).min(LONGEST_PAUSE));
            state.open = Some((now + pause, pause));
        }
    }

    /// `closed`, `open` or `half_open`.
    pub fn name(&self, now: Instant) -> &'static str {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.open {
            None => "closed",
            Some((until, _)) if now >= until => "half_open",
            Some(_) => "open",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_probes_and_closes() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        for _ in 0..THRESHOLD {
            assert!(breaker.admits(start));
            breaker.record(false, start);
        }
        assert!(!breaker.admits(start));
        let later = start + FIRST_PAUSE;
        assert!(breaker.admits(later), "one probe");
        assert!(!breaker.admits(later), "and no second");
        assert!(breaker.admits(later + PROBE), "until the first is lost");
        breaker.record(false, later);
        assert!(!breaker.admits(later + FIRST_PAUSE), "the pause doubled");
        let last = later + FIRST_PAUSE * 2;
        assert!(breaker.admits(last));
        breaker.record(true, last);
        assert_eq!(breaker.name(last), "closed");
    }
}
