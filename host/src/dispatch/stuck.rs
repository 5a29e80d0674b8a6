//! Tasks that will not end by themselves, because what ran them went away: failed one by
//! one, each in a transaction of its own, so that one that cannot be failed keeps nobody
//! from the rest.

use std::collections::BTreeSet;
use std::future::ready;

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::autopilot_follow::{self, Ended};
use super::comment::{self, Posted};
use super::overlay::{self, Overlay};
use super::quick_create::Told;
use super::{completion, ended, lifecycle, quick_create, refresh, retry, wakeup};
use crate::app::App;
use crate::model::failure;
use crate::model::ids::{AgentId, IssueId, RuntimeId, TaskId, WorkspaceId};
use crate::model::issue::Issue;
use crate::model::task::Task;
use crate::model::time::{Time, seconds};
use crate::store::sweeps::{self, Stuck};
use crate::store::{Conn, StoreError, issues, sessions, task_transitions, tasks, tokens};
use crate::telemetry::metrics;

/// How many are failed side by side: enough to share a commit on SQLite, few enough to
/// leave the connections of PostgreSQL to requests.
const SIDE_BY_SIDE: usize = 8;

/// What became of them.
#[derive(Debug, Default)]
pub struct Settled {
    /// How many failed.
    pub failed: usize,
    /// How many of those are tried again.
    pub retried: usize,
    /// Why some could not be failed; the first reason.
    pub error: Option<StoreError>,
}

/// Fails what is stuck in one way: up to `limit`, oldest first, and none is begun after
/// `until`.
pub async fn fail_all(app: &App, stuck: Stuck, limit: i64, until: Instant) -> Result<Settled, StoreError> {
    let now = app.clock.now();
    let ids = sweeps::list_stuck(&mut app.db.reader().await?, stuck, now, limit).await?;
    let mut settled = Settled::default();
    let mut agents: BTreeSet<AgentId> = BTreeSet::new();
    let mut rows = stream::iter(ids)
        .take_while(|_| ready(Instant::now() < until))
        .map(|id| async move { (id, fail_one(app, id, stuck, now).await) })
        .buffer_unordered(SIDE_BY_SIDE);
    while let Some((id, row)) = rows.next().await {
        match row {
            // Somebody moved it meanwhile.
            Ok(None) => {}
            Ok(Some(row)) => {
                settled.failed += 1;
                settled.retried += usize::from(row.retry.is_some());
                agents.insert(row.failed.agent_id);
                row.announce(app, stuck);
            }
            Err(error) => {
                tracing::error!(task.id = %id, error = ?error, "a stuck task could not be failed");
                settled.error.get_or_insert(error);
            }
        }
    }
    drop(rows);
    for agent in agents {
        refresh::agent_status(app, agent).await;
    }
    if settled.failed > 0 {
        let (words, _) = explain(stuck);
        tracing::info!(
            failed = settled.failed,
            retried = settled.retried,
            "stuck tasks were failed: {words}"
        );
    }
    Ok(settled)
}

/// What a task's row says of it: the error and its reason.
fn explain(stuck: Stuck) -> (&'static str, &'static str) {
    match stuck {
        Stuck::Orphaned(_) => ("daemon restarted while task was in flight", failure::RUNTIME_RECOVERY),
        Stuck::Offline => ("runtime went offline", failure::RUNTIME_OFFLINE),
        Stuck::NotStarted { .. } | Stuck::NotFinished { .. } => ("task timed out", failure::TIMEOUT),
        Stuck::NotClaimed { .. } => ("task expired in queue", failure::QUEUED_EXPIRED),
    }
}

struct Row {
    failed: Task,
    workspace_id: Option<WorkspaceId>,
    retry: Option<Task>,
    /// What its issue is told of the end.
    posted: Option<Posted>,
    /// What whoever asked for an issue is told.
    told: Option<Told>,
    /// The issue that went back to `todo`, as it is now.
    put_back: Option<Issue>,
    /// Runs of autopilots that ended with the task.
    runs: Vec<Ended>,
    /// Runtimes with queued work of an agent that has capacity again.
    wake: Vec<RuntimeId>,
}

async fn fail_one(app: &App, id: TaskId, stuck: Stuck, now: Time) -> Result<Option<Row>, StoreError> {
    let (error, reason) = explain(stuck);
    let overlay = overlay_of_next(app, id, reason).await?;
    app.db
        .write(move |c| {
            Box::pin(async move {
                match sweeps::fail_stuck(c, id, stuck, error, reason, now).await? {
                    Some(failed) => settle(c, failed, overlay, now).await.map(Some),
                    None => Ok(None),
                }
            })
        })
        .await
}

async fn overlay_of_next(app: &App, id: TaskId, reason: &str) -> Result<Overlay, StoreError> {
    if !overlay::is_wanted(app) {
        return Ok(Overlay::default());
    }
    // Given back before the overlay asks for a connection of its own: many are failed side by
    // side, and would wait for each other.
    let task = tasks::find(&mut app.db.reader().await?, id).await?;
    match task {
        Some(task) => Ok(retry::overlay(app, &task, reason).await),
        None => Ok(Overlay::default()),
    }
}

/// Runs in the transaction that failed the task: tries it again, puts back an issue that
/// nobody works on any more, ends a chat's turn, and revokes the run's tokens.
async fn settle(conn: &mut Conn, failed: Task, overlay: Overlay, now: Time) -> Result<Row, StoreError> {
    tokens::delete_of_task(conn, failed.id).await?;
    let retry = retry::queue(conn, &failed, overlay, now).await?;
    let workspace_id = tasks::find_workspace(conn, &failed).await?;
    let put_back = match failed.issue_id {
        Some(issue) if retry.is_none() => put_back_issue(conn, issue, now).await?,
        _ => None,
    };
    let (mut posted, mut told) = (None, None);
    // A run that is tried again has not had its last word.
    if retry.is_none() {
        let error = failed.error.as_deref().unwrap_or_default();
        let reason = failed.failure_reason.as_deref().unwrap_or_default();
        if let Some(reply) = completion::apology(&failed, error, reason, now) {
            sessions::insert_reply(conn, &reply).await?;
        }
        if let (Some(word), Some(workspace)) = (completion::error(&failed, error), workspace_id) {
            posted = completion::insert(conn, workspace, &failed, word, now).await?;
        }
        told = quick_create::failed(conn, &failed, error, now).await?;
    }
    let wake = task_transitions::list_waiting_runtimes(conn, failed.agent_id, failed.runtime_id).await?;
    let runs = autopilot_follow::task(conn, &failed, now).await?;
    Ok(Row { failed, workspace_id, retry, posted, told, put_back, runs, wake })
}

async fn put_back_issue(conn: &mut Conn, id: IssueId, now: Time) -> Result<Option<Issue>, StoreError> {
    if task_transitions::put_back_issue(conn, id, now).await? {
        return issues::find(conn, id).await;
    }
    Ok(None)
}

impl Row {
    /// Tells clients and daemons.
    fn announce(self, app: &App, stuck: Stuck) {
        match stuck {
            Stuck::NotClaimed { .. } => metrics::queued_expired(self.failed.source()),
            Stuck::NotStarted { .. } => metrics::lease_expired(self.failed.source()),
            Stuck::Orphaned(_) | Stuck::Offline | Stuck::NotFinished { .. } => {}
        }
        lifecycle::wake(app, &self.wake);
        let Some(workspace_id) = self.workspace_id else { return };
        if let Some(next) = &self.retry {
            wakeup::queued(app, workspace_id, next);
        }
        if let Some(posted) = self.posted {
            comment::tell(app, posted);
        }
        quick_create::tell(app, &self.failed, self.told);
        if let Some(issue) = &self.put_back {
            app.events.system(workspace_id, "issue:updated", || put_back_event(issue));
        }
        ended::tell_with(app, workspace_id, &self.failed, "task:failed", || failed_event(&self.failed));
        autopilot_follow::tell(app, workspace_id, &self.runs);
    }
}

fn failed_event(task: &Task) -> Value {
    json!({
        "task_id": task.id,
        "agent_id": task.agent_id,
        "issue_id": task.issue_id.map(|id| id.to_string()).unwrap_or_default(),
        "status": "failed",
        "failure_reason": task.failure_reason.as_deref().unwrap_or("agent_error"),
    })
}

fn put_back_event(issue: &Issue) -> Value {
    json!({
        "issue": {
            "id": issue.id,
            "workspace_id": issue.workspace_id,
            "number": issue.number,
            "title": issue.title,
            "description": issue.description,
            "status": issue.status,
            "priority": issue.priority,
            "assignee_type": issue.assignee_type,
            "assignee_id": issue.assignee_id,
            "creator_type": issue.creator_type,
            "creator_id": issue.creator_id,
            "parent_issue_id": issue.parent_issue_id,
            "project_id": issue.project_id,
            "position": issue.position,
            "created_at": seconds(issue.created_at),
            "updated_at": seconds(issue.updated_at),
        },
        "status_changed": true,
        "prev_status": "in_progress",
    })
}
