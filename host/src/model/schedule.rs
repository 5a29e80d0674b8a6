//! When a schedule is due: a cron expression of five fields in a time zone.

use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use thiserror::Error;

use super::time::Time;

/// Longer than anything that means something.
const EXPRESSION_BYTES: usize = 200;

#[derive(Debug, Error)]
pub enum ScheduleError {
    #[error("invalid timezone `{0}`: use an IANA name such as Europe/Berlin")]
    Zone(String),
    #[error("invalid cron expression: {0}")]
    Expression(String),
    #[error("invalid cron expression: it never comes due")]
    Never,
}

#[derive(Clone, Debug)]
pub struct Schedule {
    cron: Cron,
    zone: Tz,
}

impl Schedule {
    /// No zone means UTC.
    pub fn parse(expression: &str, zone: Option<&str>) -> Result<Self, ScheduleError> {
        let zone = parse_zone(zone)?;
        if expression.len() > EXPRESSION_BYTES {
            return Err(ScheduleError::Expression(format!("at most {EXPRESSION_BYTES} bytes are read")));
        }
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(expression).map_err(|error| ScheduleError::Expression(error.to_string()))?;
        Ok(Self { cron, zone })
    }

    /// The first time after this one. Whole minutes, in the zone's own reckoning.
    pub fn next_after(&self, time: Time) -> Result<Time, ScheduleError> {
        let next = self.cron.find_next_occurrence(&time.with_timezone(&self.zone), false);
        next.map(|next| next.to_utc()).map_err(|_| ScheduleError::Never)
    }

    /// The last time up to and with this one.
    pub fn last_until(&self, time: Time) -> Option<Time> {
        let last = self.cron.find_previous_occurrence(&time.with_timezone(&self.zone), true);
        last.ok().map(|last| last.to_utc())
    }
}

/// The zone of an IANA name; UTC when there is none.
pub fn parse_zone(name: Option<&str>) -> Result<Tz, ScheduleError> {
    match name.map(str::trim).filter(|name| !name.is_empty()) {
        None => Ok(Tz::UTC),
        Some(name) => name.parse().map_err(|_| ScheduleError::Zone(name.chars().take(64).collect())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Time {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn a_schedule_follows_its_zone_through_summer_time() {
        let schedule =
            Schedule::parse("0 9 * * 1-5", Some("Europe/Berlin")).unwrap_or_else(|e| panic!("{e}"));
        for (after, next) in [
            // A Friday in winter, and the Friday before the clocks go forward.
            ("2026-01-16T08:30:00Z", "2026-01-19T08:00:00Z"),
            ("2026-03-27T08:00:00Z", "2026-03-30T07:00:00Z"),
        ] {
            assert_eq!(schedule.next_after(at(after)).ok(), Some(at(next)), "{after}");
        }
        assert_eq!(schedule.last_until(at("2026-01-19T08:00:00Z")), Some(at("2026-01-19T08:00:00Z")));
        assert_eq!(schedule.last_until(at("2026-01-18T12:00:00Z")), Some(at("2026-01-16T08:00:00Z")));
    }

    #[test]
    fn what_makes_no_schedule_is_refused() {
        for (expression, zone) in [
            ("", None),
            ("* * * *", None),
            ("* * * * * *", None),
            ("61 * * * *", None),
            ("0 0 * * *", Some("Mars/Olympus")),
        ] {
            assert!(Schedule::parse(expression, zone).is_err(), "{expression} in {zone:?}");
        }
        let never = Schedule::parse("0 0 30 2 *", None);
        assert!(
            never.is_err() || never.is_ok_and(|never| never.next_after(at("2026-01-01T00:00:00Z")).is_err())
        );
    }
}
