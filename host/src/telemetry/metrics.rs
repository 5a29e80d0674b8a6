//! What operators count, as Prometheus reads it. Names and labels are a contract with the
//! dashboards of existing deployments; what is ours alone starts with `switchyard_`.
//!
//! No label is taken from what a caller wrote unless its values are known or bounded:
//! never a workspace, user, agent, task, issue, runtime, session or address.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;

/// Daemons register as local ones; there is no other way to come by a runtime.
const LOCAL: &str = "local";
/// How many models and reasons are told apart; what comes after them is `other`.
const FREE_LABELS: usize = 200;

/// How often measurements are folded into histograms.
const FOLD: Duration = Duration::from_secs(5);

static EXPORTER: OnceLock<PrometheusHandle> = OnceLock::new();

/// Starts counting. A second gateway in the same process counts into the same registry.
pub fn install() -> anyhow::Result<()> {
    if EXPORTER.get().is_some() {
        return Ok(());
    }
    let recorder = with_buckets(PrometheusBuilder::new())?.build_recorder();
    let handle = recorder.handle();
    // Somebody else's recorder stays; then there is nothing to show here.
    if metrics::set_global_recorder(recorder).is_ok() {
        let _ = EXPORTER.set(handle);
        counter!("switchyard_db_statements_total").absolute(0);
    }
    Ok(())
}

fn with_buckets(builder: PrometheusBuilder) -> Result<PrometheusBuilder, BuildError> {
    const REQUESTS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];
    const TASKS: [f64; 12] = [0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 9000.0, 21600.0];
    const ATTEMPTS: [f64; 5] = [1.0, 2.0, 3.0, 5.0, 10.0];
    builder
        .set_buckets_for_metric(Matcher::Prefix("multica_http".to_owned()), &REQUESTS)?
        .set_buckets_for_metric(Matcher::Prefix("switchyard_".to_owned()), &REQUESTS)?
        .set_buckets_for_metric(Matcher::Full("multica_agent_task_iteration_count".to_owned()), &ATTEMPTS)?
        .set_buckets_for_metric(Matcher::Prefix("multica_agent_task".to_owned()), &TASKS)
}

/// Folds what was measured into the histograms, now and again until the gateway stops. A
/// scrape does so as well, but nobody may scrape for weeks, and each measurement is kept
/// until it is folded.
pub async fn keep(stopping: CancellationToken) {
    let fold = async {
        loop {
            tokio::time::sleep(FOLD).await;
            if let Some(handle) = EXPORTER.get() {
                handle.run_upkeep();
            }
        }
    };
    stopping.run_until_cancelled_owned(fold).await;
}

/// Everything counted so far, in Prometheus' text format.
pub fn render() -> String {
    EXPORTER
        .get()
        .map(|handle| {
            handle.run_upkeep();
            handle.render()
        })
        .unwrap_or_default()
}

/// Hints to or from other nodes: `sent`, `heard`, or `lost` on this side, by `postgres` or `redis`.
pub fn hints(what: &'static str, transport: &'static str, count: usize) {
    counter!("switchyard_bus_hints_total", "direction" => what, "transport" => transport)
        .increment(count as u64);
}

/// Whether Redis is there.
pub fn redis_up(up: bool) {
    gauge!("switchyard_redis_up").set(f64::from(u8::from(up)));
}

/// So many runtimes' beats, or goodbyes, reached Redis.
pub fn redis_beats(count: usize) {
    counter!("switchyard_redis_beats_total").increment(count as u64);
}

/// Events for people on other nodes, or of them: `sent`, `heard`, or `lost` on this side.
pub fn relayed(what: &'static str, count: usize) {
    counter!("switchyard_bus_events_total", "direction" => what).increment(count as u64);
}

/// Something was revoked, here or elsewhere, and is forgotten: as `heard`, or as `found` gone by
/// a node that may have missed it.
pub fn revoked(how: &'static str, count: usize) {
    counter!("switchyard_revocations_total", "how" => how).increment(count as u64);
}

/// A statement went to the database; those that begin and end a transaction count, too, so
/// that on PostgreSQL this counts round trips.
pub fn db_statement() {
    db_statements(1);
}

/// Several went there in one text.
pub fn db_statements(count: u64) {
    static STATEMENTS: OnceLock<Counter> = OnceLock::new();
    kept(&STATEMENTS, || counter!("switchyard_db_statements_total"), |counter| counter.increment(count));
}

/// Uses a metric that is found once: to find it by its name costs more than all else that is counted
/// with it. What was made before there is a registry counts nothing, and is not kept.
fn kept<M>(place: &OnceLock<M>, find: impl FnOnce() -> M, used: impl FnOnce(&M)) {
    match place.get() {
        Some(metric) => used(metric),
        None if EXPORTER.get().is_some() => used(place.get_or_init(find)),
        None => {}
    }
}

thread_local! {
    /// Counters of one label, by their name and its value; all of these are our own words, and few.
    static OF_ONE_LABEL: RefCell<Vec<(&'static str, &'static str, Counter)>> = RefCell::default();
}

/// Counts one more of what has a single label, on a path that is taken all the time.
fn count_one(name: &'static str, label: &'static str, value: &'static str) {
    if EXPORTER.get().is_none() {
        return;
    }
    OF_ONE_LABEL.with_borrow_mut(|known| {
        let of = |(of, with, _): &&(&str, &str, Counter)| *of == name && *with == value;
        if let Some((.., counter)) = known.iter().find(of) {
            return counter.increment(1);
        }
        let counter = counter!(name, label => value);
        counter.increment(1);
        known.push((name, value, counter));
    });
}

/// What counts the answers of one kind to one route.
struct Answers {
    method: &'static str,
    status: u16,
    count: Counter,
    seconds: Histogram,
}

thread_local! {
    /// By route. Finding a metric by its labels costs more than all else that a request's
    /// count does; routes and statuses are few.
    static ANSWERS: RefCell<HashMap<String, Vec<Answers>>> = RefCell::default();
}

/// A request was answered.
pub fn http_request(method: &'static str, route: &str, status: u16, took: Duration) {
    let of = |answers: &&Answers| answers.method == method && answers.status == status;
    let record = |answers: &Answers| {
        answers.count.increment(1);
        answers.seconds.record(took.as_secs_f64());
    };
    ANSWERS.with_borrow_mut(|routes| {
        if let Some(answers) = routes.get(route).and_then(|kinds| kinds.iter().find(of)) {
            return record(answers);
        }
        let labels =
            [("method", method.to_owned()), ("route", route.to_owned()), ("status", status.to_string())];
        let answers = Answers {
            method,
            status,
            count: counter!("multica_http_requests_total", &labels),
            seconds: histogram!("multica_http_request_duration_seconds", &labels),
        };
        record(&answers);
        // Nothing that was made before there is a registry counts anything.
        if EXPORTER.get().is_some() {
            routes.entry(route.to_owned()).or_default().push(answers);
        }
    });
}

/// A request came in, or left again.
pub fn http_in_flight(change: i8) {
    static IN_FLIGHT: OnceLock<Gauge> = OnceLock::new();
    let gauge = || gauge!("multica_http_in_flight_requests");
    kept(&IN_FLIGHT, gauge, |gauge| if change > 0 { gauge.increment(1.0) } else { gauge.decrement(1.0) });
}

/// A daemon asked for work; `outcome` is one of a claim's slow log.
pub fn claim(outcome: &'static str) {
    count_one("switchyard_claims_total", "outcome", outcome);
}

/// A runtime made itself heard.
pub fn heartbeat(transport: &'static str) {
    count_one("switchyard_heartbeats_total", "transport", transport);
}

/// A message came in over a daemon's socket.
pub fn socket_message(kind: &str) {
    const KINDS: [&str; 7] =
        ["heartbeat", "task_claim", "task_complete", "task_usage", "task_progress", "task_messages", "log"];
    let kind = KINDS.into_iter().find(|known| *known == kind).unwrap_or("other");
    count_one("multica_daemon_ws_message_received_total", "kind", kind);
}

/// What the sockets of daemons have come to so far.
pub struct DaemonSockets {
    pub active: usize,
    pub connects: u64,
    pub disconnects: u64,
    pub slow_evictions: u64,
    pub wakeup_hits: u64,
    pub wakeup_misses: u64,
}

pub fn daemon_sockets(sockets: &DaemonSockets) {
    gauge!("multica_daemonws_active_connections").set(whole(sockets.active));
    counter!("multica_daemonws_connects_total").absolute(sockets.connects);
    counter!("multica_daemonws_disconnects_total").absolute(sockets.disconnects);
    counter!("multica_daemonws_slow_evictions_total").absolute(sockets.slow_evictions);
    for (result, count) in [("hit", sockets.wakeup_hits), ("miss", sockets.wakeup_misses)] {
        counter!("multica_daemonws_wakeup_delivered_total", "result" => result).absolute(count);
    }
}

/// People who watch a workspace.
pub fn watchers(active: usize) {
    gauge!("switchyard_watchers").set(whole(active));
}

fn whole(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

pub fn task_enqueued(source: &'static str) {
    counter!("multica_agent_task_enqueued_total", "source" => source, "runtime_mode" => LOCAL).increment(1);
}

pub fn task_dispatched(source: &'static str, waited: Duration) {
    let labels = [("source", source), ("runtime_mode", LOCAL)];
    counter!("multica_agent_task_dispatched_total", &labels).increment(1);
    histogram!("multica_agent_task_queue_wait_seconds", &labels).record(waited.as_secs_f64());
}

pub fn task_started(source: &'static str, provider: &str) {
    let provider = bounded("provider", provider);
    counter!("multica_agent_task_started_total", "source" => source, "runtime_mode" => LOCAL, "provider" => provider)
        .increment(1);
}

/// How a task came to its end.
pub struct Ended<'a> {
    pub source: &'static str,
    pub status: &'static str,
    pub failure_reason: Option<&'a str>,
    pub attempt: i32,
    /// Absent when it never ran.
    pub ran: Option<Duration>,
    pub total: Duration,
}

pub fn task_ended(ended: &Ended<'_>) {
    let labels = [("source", ended.source), ("runtime_mode", LOCAL), ("terminal_status", ended.status)];
    counter!("multica_agent_task_terminal_total", &labels).increment(1);
    if let Some(ran) = ended.ran {
        histogram!("multica_agent_task_run_seconds", &labels).record(ran.as_secs_f64());
    }
    histogram!("multica_agent_task_total_seconds", &labels).record(ended.total.as_secs_f64());
    let of_kind = [("source", ended.source), ("terminal_status", ended.status)];
    histogram!("multica_agent_task_iteration_count", &of_kind).record(f64::from(ended.attempt));
    if let Some(reason) = ended.failure_reason {
        let labels = [
            ("source", ended.source.to_owned()),
            ("runtime_mode", LOCAL.to_owned()),
            ("failure_reason", bounded("reason", reason)),
        ];
        counter!("multica_agent_task_failed_total", &labels).increment(1);
    }
}

pub fn queued_expired(source: &'static str) {
    counter!("multica_task_queued_expired_total", "source" => source, "runtime_mode" => LOCAL).increment(1);
}

/// A task was not started while its prepare lease held.
pub fn lease_expired(source: &'static str) {
    counter!("multica_task_lease_expired_total", "source" => source).increment(1);
}

pub fn runtime_registered(provider: &str) {
    runtime("multica_runtime_registered_total", provider);
}

pub fn runtime_ready(provider: &str) {
    runtime("multica_runtime_ready_total", provider);
}

pub fn runtime_offline(provider: &str) {
    runtime("multica_runtime_offline_total", provider);
}

fn runtime(name: &'static str, provider: &str) {
    counter!(name, "runtime_mode" => LOCAL, "provider" => bounded("provider", provider)).increment(1);
}

/// An issue had its first completed run.
pub fn issue_executed(source: &'static str) {
    counter!("multica_issue_executed_total", "source" => source).increment(1);
}

/// Tokens that a model used in a task, by `token_type`. There is no list of prices here,
/// so all of them count as unpriced.
pub fn llm_usage(provider: &str, model: &str, source: &'static str, tokens: [(&'static str, i64); 4]) {
    let (provider, model) = (bounded("provider", provider), bounded("model", model));
    let request =
        [("provider", provider.clone()), ("model", model.clone()), ("runtime_mode", LOCAL.to_owned())];
    counter!("multica_llm_request_total", &request).increment(1);
    for (token_type, count) in tokens {
        let Some(count) = u64::try_from(count).ok().filter(|count| *count > 0) else { continue };
        let labels = [
            ("provider", provider.clone()),
            ("model", model.clone()),
            ("token_type", token_type.to_owned()),
            ("runtime_mode", LOCAL.to_owned()),
            ("source", source.to_owned()),
        ];
        counter!("multica_llm_tokens_total", &labels).increment(count);
        let unpriced = [
            ("provider", provider.clone()),
            ("model_alias", model.clone()),
            ("token_type", token_type.to_owned()),
        ];
        counter!("multica_llm_unpriced_tokens_total", &unpriced).increment(count);
    }
}

/// A look at the queue: how many tasks of a source stand in a status.
pub fn tasks(source: &'static str, status: &'static str, count: f64) {
    gauge!("switchyard_tasks", "source" => source, "status" => status).set(count);
}

/// Tasks in flight of a source.
pub fn tasks_in_progress(source: &'static str, count: f64) {
    gauge!("multica_agent_task_in_progress", "source" => source, "runtime_mode" => LOCAL).set(count);
}

/// What became of a plugin's calls since the process began.
pub fn plugin(name: &str, calls: u64, seconds: f64) {
    let name = name.to_owned();
    counter!("switchyard_plugin_calls_total", "plugin" => name.clone()).absolute(calls);
    gauge!("switchyard_plugin_seconds_total", "plugin" => name).set(seconds);
}

pub fn plugin_failures(name: &str, code: &'static str, count: u64) {
    counter!("switchyard_plugin_failures_total", "plugin" => name.to_owned(), "code" => code).absolute(count);
}

/// Plugins that could not be loaded, and those of them that the gateway is not ready without.
pub fn plugins_broken(all: usize, required: usize) {
    gauge!("switchyard_plugins_broken").set(whole(all));
    gauge!("switchyard_plugins_required_missing").set(whole(required));
}

/// A sweep ended.
pub fn sweep(took: Duration, failed_steps: u64) {
    histogram!("switchyard_sweep_seconds").record(took.as_secs_f64());
    counter!("switchyard_sweep_failures_total").increment(failed_steps);
}

/// A word that somebody else chose, as long as there are not too many of its kind.
fn bounded(kind: &'static str, word: &str) -> String {
    static SEEN: Mutex<BTreeMap<&'static str, HashSet<String>>> = Mutex::new(BTreeMap::new());
    if word.is_empty() {
        return "unknown".to_owned();
    }
    if word.len() > 100 {
        return "other".to_owned();
    }
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    let seen = seen.entry(kind).or_default();
    if !seen.contains(word) {
        if seen.len() >= FREE_LABELS {
            return "other".to_owned();
        }
        seen.insert(word.to_owned());
    }
    word.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_write_cannot_make_endless_series() {
        assert_eq!(bounded("test", ""), "unknown");
        assert_eq!(bounded("test", &"x".repeat(101)), "other");
        let distinct: HashSet<String> = (0..1000).map(|n| bounded("test", &format!("model-{n}"))).collect();
        assert!(distinct.contains("other") && distinct.len() == FREE_LABELS + 1);
        assert_eq!(bounded("another", "model-999"), "model-999");
    }
}
