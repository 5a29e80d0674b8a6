//! What nobody asks for and somebody must do: at every tick, in this order, what went
//! stale is taken offline, what is stuck is failed, and what is past its time is deleted.
//!
//! Every step is bounded in rows and in time, and one that fails keeps no other from
//! running. Several nodes may sweep the same database: each write tests again what its
//! step looked for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use serde::Serialize;
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::stuck;
use crate::app::App;
use crate::model::time::Time;
use crate::store::batch::Ids;
use crate::store::sweeps::{self, Expired, Stuck, Swept};
use crate::store::{Db, StoreError};
use crate::telemetry::metrics;

/// A runtime that was not seen for so long is offline. More than the time after which a
/// beat reaches its row: 60 s of throttling, 15 s between beats, 30 s to the next flush.
const STALE_AFTER: TimeDelta = TimeDelta::seconds(150);
/// A dispatched task whose daemon neither starts it nor holds its lease.
const START_WITHIN: TimeDelta = TimeDelta::seconds(300);
/// A backstop for dead daemons, no limit on work.
const FINISH_WITHIN: TimeDelta = TimeDelta::seconds(9000);
const CLAIM_WITHIN: TimeDelta = TimeDelta::seconds(7200);
const KEEP_OFFLINE: TimeDelta = TimeDelta::days(7);
const PURGE_EVERY: TimeDelta = TimeDelta::hours(1);
/// Long enough to look into what went wrong last month; senders repeat a call for days at most.
const KEEP_DELIVERIES: TimeDelta = TimeDelta::days(30);
/// After a start every row looks as old as the gateway was down. Daemons get time to be
/// heard before one is called stale: four beats.
const GRACE: Duration = Duration::from_mins(1);
/// The most rows that a step takes on; the next tick goes on from there.
const ROWS: i64 = 500;
/// The longest that a step begins new rows.
const STEP: Duration = Duration::from_secs(10);

/// Sweeps one at a time, and remembers when it last purged.
#[derive(Clone, Default)]
pub struct Sweeper(Arc<Mutex<Option<Time>>>);

/// What one sweep did.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Runtimes that were not heard of any more.
    pub runtimes_offline: usize,
    pub tasks_failed: FailedTasks,
    /// How many of the failed tasks are tried again.
    pub tasks_retried: usize,
    /// Runtimes that were offline for a week and had no agent.
    pub runtimes_deleted: usize,
    /// Tokens past their time.
    pub tokens_purged: u64,
    /// What webhooks were sent more than a month ago.
    pub deliveries_purged: u64,
    /// Steps that failed; the log says why.
    pub failed_steps: Vec<&'static str>,
    pub duration_ms: u64,
}

/// By reason.
#[derive(Debug, Default, Serialize)]
pub struct FailedTasks {
    pub runtime_offline: usize,
    pub timeout: usize,
    pub queued_expired: usize,
}

/// Who wants the sweep.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Caller {
    /// Young is whoever started less than the grace ago.
    Clock { young: bool },
    /// Wants all of it, now.
    Operator,
}

/// Sweeps at every tick until the gateway stops.
pub async fn keep(app: App, every: Duration, stopping: CancellationToken) {
    let began = Instant::now();
    let mut ticks = tokio::time::interval_at(began + every, every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stopping.run_until_cancelled(ticks.tick()).await.is_some() {
        let young = began.elapsed() < GRACE;
        once(&app, Caller::Clock { young }).await;
    }
}

/// One sweep. Waits for one that is under way.
pub async fn once(app: &App, caller: Caller) -> Report {
    let mut purged_at = app.sweeper.0.lock().await;
    let began = Instant::now();
    let mut report = Report::default();
    let now = app.clock.now();
    if caller != (Caller::Clock { young: true }) {
        let step = stale_runtimes(app, now, &mut report).await;
        report.ended("stale_runtimes", step);
    }
    for (name, stuck) in [
        ("runtime_offline", Stuck::Offline),
        ("dispatch_timeout", Stuck::NotStarted { dispatched_before: now - START_WITHIN }),
        ("run_timeout", Stuck::NotFinished { started_before: now - FINISH_WITHIN }),
        ("queue_expiry", Stuck::NotClaimed { created_before: now - CLAIM_WITHIN }),
    ] {
        let step = stuck_tasks(app, stuck, &mut report).await;
        report.ended(name, step);
    }
    let step = unused_runtimes(app, now, &mut report).await;
    report.ended("runtime_gc", step);
    if caller == Caller::Operator || purged_at.is_none_or(|at| now - at >= PURGE_EVERY) {
        let step = expired(app, now, &mut report).await;
        report.ended("purge", step);
        *purged_at = Some(now);
    }
    report.duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    metrics::sweep(began.elapsed(), report.failed_steps.len() as u64);
    report
}

impl Report {
    fn ended(&mut self, step: &'static str, result: Result<(), StoreError>) {
        if let Err(error) = result {
            tracing::error!(step, error = ?error, "a step of a sweep failed");
            self.failed_steps.push(step);
        }
    }
}

/// The rows say when a runtime was last seen; memory and Redis may know better.
async fn stale_runtimes(app: &App, now: Time, report: &mut Report) -> Result<(), StoreError> {
    let seen_before = now - STALE_AFTER;
    let candidates = sweeps::list_stale_runtimes(&mut app.db.reader().await?, seen_before, ROWS).await?;
    let dead: Vec<_> = app.liveness.unheard(candidates).await.into_iter().map(|id| id.0).collect();
    if dead.is_empty() {
        return Ok(());
    }
    let gone: Vec<Swept> = app
        .db
        .write(move |c| {
            Box::pin(async move { sweeps::set_stale_offline(c, Ids::of(dead), seen_before, now).await })
        })
        .await?;
    for runtime in &gone {
        app.liveness.forget(runtime.id);
        metrics::runtime_offline(&runtime.provider);
        tracing::info!(runtime.id = %runtime.id, "a runtime was not heard of any more and is offline");
    }
    report.runtimes_offline = gone.len();
    tell(app, &gone, "stale_sweep");
    Ok(())
}

async fn stuck_tasks(app: &App, stuck: Stuck, report: &mut Report) -> Result<(), StoreError> {
    let settled = stuck::fail_all(app, stuck, ROWS, Instant::now() + STEP).await?;
    report.tasks_retried += settled.retried;
    match stuck {
        Stuck::Orphaned(_) | Stuck::Offline => report.tasks_failed.runtime_offline += settled.failed,
        Stuck::NotStarted { .. } | Stuck::NotFinished { .. } => {
            report.tasks_failed.timeout += settled.failed;
        }
        Stuck::NotClaimed { .. } => report.tasks_failed.queued_expired += settled.failed,
    }
    settled.error.map_or(Ok(()), Err)
}

async fn unused_runtimes(app: &App, now: Time, report: &mut Report) -> Result<(), StoreError> {
    let seen_before = now - KEEP_OFFLINE;
    let gone: Vec<Swept> = app
        .db
        .write(move |c| Box::pin(async move { sweeps::delete_unused_runtimes(c, seen_before, ROWS).await }))
        .await?;
    for runtime in &gone {
        app.liveness.forget(runtime.id);
        tracing::info!(runtime.id = %runtime.id, "a runtime that nobody used for long was deleted");
    }
    report.runtimes_deleted = gone.len();
    tell(app, &gone, "runtime_gc");
    Ok(())
}

async fn expired(app: &App, now: Time, report: &mut Report) -> Result<(), StoreError> {
    let until = Instant::now() + STEP;
    report.tokens_purged += purge(&app.db, Expired::TaskTokens, now, until).await?;
    report.tokens_purged += purge(&app.db, Expired::DaemonTokens, now, until).await?;
    report.deliveries_purged += purge(&app.db, Expired::Deliveries, now - KEEP_DELIVERIES, until).await?;
    Ok(())
}

/// Deletes, some at a time, until nothing is left or the time is up.
async fn purge(db: &Db, what: Expired, before: Time, until: Instant) -> Result<u64, StoreError> {
    let mut purged = 0;
    loop {
        let some: u64 = db
            .write_soon(move |c| Box::pin(async move { sweeps::purge(c, what, before, ROWS).await }))
            .await?;
        purged += some;
        if some < ROWS.unsigned_abs() || Instant::now() >= until {
            return Ok(purged);
        }
    }
}

/// Tells each workspace's clients once to look at their runtimes again.
fn tell(app: &App, runtimes: &[Swept], action: &'static str) {
    let workspaces: BTreeSet<_> = runtimes.iter().map(|runtime| runtime.workspace_id).collect();
    for workspace in workspaces {
        app.events.system(workspace, "daemon:register", || json!({"action": action}));
    }
}
