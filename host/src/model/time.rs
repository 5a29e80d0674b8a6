//! The clock, and the shapes a time has on the wire.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, DurationRound, SecondsFormat, TimeDelta, Utc};

pub type Time = DateTime<Utc>;

/// The one place that asks what time it is. It hands out whole microseconds, because
/// PostgreSQL keeps no more and a value must compare equal after a round trip.
///
/// A clock set by hand stands still until somebody moves it, which is what a simulation of
/// hours in a second needs. Clones show the same time.
#[derive(Clone, Debug)]
pub struct Clock(Option<Arc<AtomicI64>>);

impl Clock {
    /// The machine's.
    pub fn system() -> Self {
        Self(None)
    }

    /// One that shows `at` until it is set.
    pub fn by_hand(at: Time) -> Self {
        Self(Some(Arc::new(AtomicI64::new(at.timestamp_micros()))))
    }

    pub fn now(&self) -> Time {
        match &self.0 {
            None => {
                let now = Utc::now();
                now.duration_trunc(TimeDelta::microseconds(1)).unwrap_or(now)
            }
            Some(micros) => {
                DateTime::from_timestamp_micros(micros.load(Ordering::SeqCst)).unwrap_or_default()
            }
        }
    }

    /// Moves a clock that is set by hand, in either direction; the machine's is not ours to
    /// move.
    pub fn set(&self, to: Time) {
        if let Some(micros) = &self.0 {
            micros.store(to.timestamp_micros(), Ordering::SeqCst);
        }
    }
}

/// RFC 3339 with whole seconds, UTC, `Z`.
pub fn seconds(time: Time) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// RFC 3339 with as many fractional digits as the value needs, UTC, `Z`.
pub fn nanos(time: Time) -> String {
    let text = time.to_rfc3339_opts(SecondsFormat::Nanos, true);
    let digits = text.trim_end_matches('Z').trim_end_matches('0').trim_end_matches('.');
    format!("{digits}Z")
}

/// Serialises a time as [`seconds`].
pub mod as_seconds {
    use serde::Serializer;

    pub fn serialize<S: Serializer>(time: &super::Time, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::seconds(*time))
    }
}

/// Serialises an optional time as [`seconds`] or `null`.
pub mod as_seconds_or_null {
    use serde::Serializer;

    pub fn serialize<S: Serializer>(time: &Option<super::Time>, serializer: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => serializer.serialize_str(&super::seconds(*time)),
            None => serializer.serialize_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_are_trimmed() {
        for (given, expected) in [
            ("2026-07-01T12:34:56Z", "2026-07-01T12:34:56Z"),
            ("2026-07-01T12:34:50.120Z", "2026-07-01T12:34:50.12Z"),
            ("2026-07-01T12:34:50.000001Z", "2026-07-01T12:34:50.000001Z"),
        ] {
            let time: Time = given.parse().unwrap_or_default();
            assert_eq!(nanos(time), expected);
        }
    }
}
