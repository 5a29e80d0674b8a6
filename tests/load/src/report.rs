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
    scenario: String,
    seconds: f64,
    /// What the scenario counts: requests, claims, whole lives.
    done: u64,
    per_second: f64,
    routes: Vec<RouteReport>,
    server: Option<ServerReport>,
}

#[derive(Serialize)]
struct RouteReport {
    route: String,
    count: u64,
    p50_us: u64,
    p90_us: u64,
    p99_us: u64,
    max_us: u64,
    errors: BTreeMap<String, u64>,
}

#[derive(Serialize)]
struct ServerReport {
    cpu_us_per_done: f64,
    resident_mib: f64,
}

impl Report {
    pub fn new(
        scenario: &str,
        took: Duration,
        done: u64,
        seen: Seen,
        before: Option<Used>,
        after: Option<Used>,
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
        let server = before.zip(after).map(|(before, after)| ServerReport {
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
        }
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
fn as_f64(number: u64) -> f64 {
    number as f64
}
