//! Latencies by route, counted while a scenario runs and printed when it is over.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::process::Used;

/// Longest latency that is told apart: a minute, in microseconds.
const LONGEST: u64 = 60_000_000;

/// What one client saw; merged when it is done, so that clients share nothing.
#[derive(Default)]
pub struct Seen {
    routes: BTreeMap<&'static str, Route>,
}

struct Route {
    micros: Histogram<u64>,
    errors: BTreeMap<String, u64>,
}

impl Default for Route {
    fn default() -> Self {
        // Three digits: a value is off by a thousandth at most.
        let micros = Histogram::new_with_bounds(1, LONGEST, 3).unwrap_or_else(|_| unreachable!());
        Self { micros, errors: BTreeMap::new() }
    }
}

impl Seen {
    pub fn ok(&mut self, route: &'static str, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(LONGEST).clamp(1, LONGEST);
        self.routes.entry(route).or_default().micros.saturating_record(micros);
    }

    pub fn error(&mut self, route: &'static str, what: impl Into<String>) {
        *self.routes.entry(route).or_default().errors.entry(what.into()).or_default() += 1;
    }

    /// The median and the 99th percentile of a route, in microseconds.
    pub fn percentiles(&self, route: &str) -> (u64, u64) {
        let route = self.routes.get(route);
        route.map_or((0, 0), |route| {
            (route.micros.value_at_quantile(0.5), route.micros.value_at_quantile(0.99))
        })
    }

    /// What went wrong first, for a message.
    pub fn first_error(&self) -> String {
        let mut errors = self.routes.values().flat_map(|route| route.errors.keys());
        errors.next().cloned().unwrap_or_default()
    }

    pub fn merge(&mut self, other: Self) {
        for (name, route) in other.routes {
            let mine = self.routes.entry(name).or_default();
            // Same bounds, so nothing can be lost.
            let _ = mine.micros.add(&route.micros);
            for (what, count) in route.errors {
                *mine.errors.entry(what).or_default() += count;
            }
        }
    }
}

#[derive(Serialize)]
pub struct Report {
    pub scenario: String,
    pub seconds: f64,
    /// What the scenario counts: requests, claims, whole lives.
    pub done: u64,
    pub per_second: f64,
    pub routes: Vec<RouteReport>,
    pub server: Option<ServerReport>,
    /// Statements that the server sent to its database for each of what is counted.
    pub statements_per_done: Option<f64>,
    /// What only this scenario measures.
    pub more: BTreeMap<&'static str, f64>,
}

#[derive(Serialize)]
pub struct RouteReport {
    pub route: String,
    pub count: u64,
    pub p50_us: u64,
    pub p90_us: u64,
    pub p99_us: u64,
    pub max_us: u64,
    pub errors: BTreeMap<String, u64>,
}

#[derive(Serialize)]
pub struct ServerReport {
    pub cpu_us_per_done: f64,
    pub resident_mib: f64,
}

/// What the server's side showed before and after.
#[derive(Clone, Copy, Default)]
pub struct Watched {
    pub used: Option<Used>,
    pub statements: Option<f64>,
}

impl Report {
    pub fn new(
        scenario: &str,
        took: Duration,
        done: u64,
        seen: Seen,
        before: Watched,
        after: Watched,
    ) -> Self {
        let routes = seen.routes.into_iter().map(|(name, route)| RouteReport {
            route: name.to_owned(),
            count: route.micros.len(),
            p50_us: route.micros.value_at_quantile(0.5),
            p90_us: route.micros.value_at_quantile(0.9),
            p99_us: route.micros.value_at_quantile(0.99),
            max_us: route.micros.max(),
            errors: route.errors,
        });
        let statements = before.statements.zip(after.statements);
        let server = before.used.zip(after.used).map(|(before, after)| ServerReport {
            cpu_us_per_done: (after.cpu_seconds - before.cpu_seconds) * 1e6 / as_f64(done.max(1)),
            resident_mib: as_f64(after.resident_kib) / 1024.0,
        });
        Self {
            scenario: scenario.to_owned(),
            seconds: took.as_secs_f64(),
            done,
            per_second: as_f64(done) / took.as_secs_f64().max(1e-9),
            routes: routes.collect(),
            server,
            statements_per_done: statements.map(|(before, after)| (after - before) / as_f64(done.max(1))),
            more: BTreeMap::new(),
        }
    }

    pub fn route(&self, name: &str) -> Option<&RouteReport> {
        self.routes.iter().find(|route| route.route == name)
    }

    /// How many requests failed, whatever the route.
    pub fn errors(&self) -> u64 {
        self.routes.iter().flat_map(|route| route.errors.values()).sum()
    }

    pub fn table(&self) -> String {
        let mut text = format!(
            "\n{}: {} in {:.2} s, {:.0}/s\n",
            self.scenario, self.done, self.seconds, self.per_second
        );
        if let Some(server) = &self.server {
            let (cpu, memory) = (server.cpu_us_per_done, server.resident_mib);
            let _ = writeln!(text, "  the server used {cpu:.0} us of CPU for each, and {memory:.1} MiB");
        }
        if let Some(statements) = self.statements_per_done {
            let _ = writeln!(text, "  {statements:.2} statements for each went to the database");
        }
        for (what, value) in &self.more {
            let _ = writeln!(text, "  {what}: {value:.2}");
        }
        let _ = writeln!(
            text,
            "  {:<28} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "route", "count", "p50 us", "p90 us", "p99 us", "max us"
        );
        for route in &self.routes {
            let _ = writeln!(
                text,
                "  {:<28} {:>9} {:>9} {:>9} {:>9} {:>9}",
                route.route, route.count, route.p50_us, route.p90_us, route.p99_us, route.max_us
            );
            for (what, count) in &route.errors {
                let _ = writeln!(text, "    {count} errors: {what}");
            }
        }
        text
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
pub fn as_f64(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_saw_adds_up() {
        let mut one = Seen::default();
        one.ok("claim", Duration::from_micros(100));
        one.error("claim", "status 500");
        let mut two = Seen::default();
        two.ok("claim", Duration::from_micros(300));
        one.merge(two);
        let watched = |statements| Watched { used: None, statements: Some(statements) };
        let report = Report::new("claim", Duration::from_secs(2), 2, one, watched(10.0), watched(22.0));
        let route = report.route("claim").unwrap();
        assert_eq!((route.count, route.p50_us, route.max_us), (2, 100, 300));
        assert_eq!((report.errors(), report.per_second), (1, 1.0));
        assert_eq!(report.statements_per_done, Some(6.0));
        assert!(report.table().contains("1 errors: status 500"));
    }
}
