//! Leaves a plugin alone that fails again and again, and tries it once in a while.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Failures in a row that open it.
const THRESHOLD: u32 = 5;
/// How long the first pause is, and the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub struct Breaker {
    /// Whether the latest call failed, or it is open. While it is not, nobody locks: all calls
    /// of a plugin come by here.
    troubled: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    /// Set while open: until when, and for how long.
    open: Option<(Instant, Duration)>,
    /// Whether one call is trying if it works again.
    probing: bool,
}

/// Leave to make a call. When the call tries whether the plugin works again, nobody else
/// does until this is dropped, which happens even when whoever called goes away.
#[derive(Debug)]
pub struct Admission<'a> {
    probe_of: Option<&'a Breaker>,
}

impl Breaker {
    /// Whether a call may be made now. Of those that come after a pause, one may.
    pub fn admit(&self, now: Instant) -> Option<Admission<'_>> {
        if !self.troubled.load(Ordering::Acquire) {
            return Some(Admission { probe_of: None });
        }
        let mut state = self.state();
        match state.open {
            None => Some(Admission { probe_of: None }),
            Some((until, _)) if now < until || state.probing => None,
            Some(_) => {
                state.probing = true;
                Some(Admission { probe_of: Some(self) })
            }
        }
    }

    pub fn record(&self, ok: bool, now: Instant) {
        if ok && !self.troubled.load(Ordering::Acquire) {
            return;
        }
        let mut state = self.state();
        self.troubled.store(!ok, Ordering::Release);
        if ok {
            (state.failures, state.open) = (0, None);
            return;
        }
        state.failures = state.failures.saturating_add(1);
        let pause = match state.open {
            // Begun before it opened; what it tells is known.
            Some((until, _)) if now < until => return,
            Some((_, last)) => (last * 2).min(LONGEST_PAUSE),
            None if state.failures >= THRESHOLD => FIRST_PAUSE,
            None => return,
        };
        state.open = Some((now + pause, pause));
    }

    /// Forgets what was, as after a call that worked.
    pub fn close(&self) {
        let mut state = self.state();
        (state.failures, state.open) = (0, None);
        self.troubled.store(false, Ordering::Release);
    }

    /// Whether it has failed too often, and not worked since.
    pub fn is_open(&self) -> bool {
        self.state().open.is_some()
    }

    /// `closed`, `open` or `half_open`.
    pub fn name(&self, now: Instant) -> &'static str {
        match self.state().open {
            None => "closed",
            Some((until, _)) if now >= until => "half_open",
            Some(_) => "open",
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        if let Some(breaker) = self.probe_of {
            breaker.state().probing = false;
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
            assert!(breaker.admit(start).is_some());
            breaker.record(false, start);
        }
        breaker.record(false, start);
        assert!(breaker.admit(start).is_none());
        let later = start + FIRST_PAUSE;
        let probe = breaker.admit(later);
        assert!(probe.is_some(), "one probe");
        assert!(breaker.admit(later).is_none(), "and no second");
        drop(probe);
        assert!(breaker.admit(later).is_some(), "until the first has gone");
        breaker.record(false, later);
        assert!(breaker.admit(later + FIRST_PAUSE).is_none(), "the pause doubled");
        let last = later + FIRST_PAUSE * 2;
        assert!(breaker.admit(last).is_some());
        breaker.record(true, last);
        assert_eq!(breaker.name(last), "closed");
    }
}
