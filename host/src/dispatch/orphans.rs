//! Tasks that failed in bulk, because what ran them went away.

use std::collections::{BTreeSet, HashSet};

use serde_json::{Value, json};

use super::{ended, lifecycle, refresh, retry, wakeup};
use crate::app::App;
use crate::model::failure::RUNTIME_RECOVERY;
use crate::model::ids::{AgentId, IssueId, RuntimeId, WorkspaceId};
use crate::model::issue::Issue;
use crate::model::task::Task;
use crate::model::time::{Time, seconds};
use crate::store::{Conn, StoreError, issues, task_transitions, tasks, tokens};

const RECOVERED: &str = "daemon restarted while task was in flight";

/// A daemon came back without what its runtime had in flight: all of it failed.
pub async fn recover(app: &App, runtime: RuntimeId) -> Result<Settled, StoreError> {
    let app = app.clone();
    lifecycle::to_the_end(async move { recover_all(&app, runtime).await }).await
}

async fn recover_all(app: &App, runtime: RuntimeId) -> Result<Settled, StoreError> {
    let now = app.clock.now();
    let settled = app
        .db
        .write(move |c| {
            Box::pin(async move {
                let failed =
                    task_transitions::fail_in_flight(c, runtime, RECOVERED, RUNTIME_RECOVERY, now).await?;
                settle(c, failed, now).await
            })
        })
        .await?;
    settled.announce(app).await;
    Ok(settled)
}

/// What became of tasks that failed together.
#[derive(Debug, Default)]
pub struct Settled {
    rows: Vec<Row>,
    /// Runtimes with queued work of an agent that has capacity again.
    wake: Vec<RuntimeId>,
}

#[derive(Debug)]
struct Row {
    failed: Task,
    workspace_id: Option<WorkspaceId>,
    retry: Option<Task>,
    /// The issue that went back to `todo`, as it is now.
    put_back: Option<Issue>,
}

/// Runs in the transaction that failed the tasks: tries them again, puts back issues that
/// nobody works on any more, and revokes the tokens of the runs. Tell the world with
/// [`Settled::announce`] after the commit.
pub async fn settle(conn: &mut Conn, failed: Vec<Task>, now: Time) -> Result<Settled, StoreError> {
    let mut rows = Vec::with_capacity(failed.len());
    let mut wake = BTreeSet::new();
    let (mut retried, mut processed) = (HashSet::new(), HashSet::new());
    for task in failed {
        tokens::delete_of_task(conn, task.id).await?;
        let retry = retry::queue(conn, &task, now).await?;
        let workspace_id = tasks::find_workspace(conn, &task).await?;
        let mut put_back = None;
        if let Some(issue) = task.issue_id {
            if retry.is_some() {
                retried.insert(issue);
            } else if !retried.contains(&issue) && processed.insert(issue) {
                put_back = put_back_issue(conn, issue, now).await?;
            }
        }
        wake.extend(task_transitions::list_waiting_runtimes(conn, task.agent_id, task.runtime_id).await?);
        rows.push(Row { failed: task, workspace_id, retry, put_back });
    }
    Ok(Settled { rows, wake: wake.into_iter().collect() })
}

impl Settled {
    /// How many tasks failed.
    pub fn failed(&self) -> usize {
        self.rows.len()
    }

    /// How many of them are tried again.
    pub fn retried(&self) -> usize {
        self.rows.iter().filter(|row| row.retry.is_some()).count()
    }

    /// Tells clients and daemons.
    pub async fn announce(&self, app: &App) {
        lifecycle::wake(app, &self.wake);
        let mut agents: BTreeSet<AgentId> = BTreeSet::new();
        for row in &self.rows {
            agents.insert(row.failed.agent_id);
            let Some(workspace_id) = row.workspace_id else { continue };
            if let Some(next) = &row.retry {
                wakeup::queued(app, workspace_id, next);
            }
            if let Some(issue) = &row.put_back {
                app.events.system(workspace_id, "issue:updated", || put_back_event(issue));
            }
            ended::tell_with(app, workspace_id, &row.failed, "task:failed", || failed_event(&row.failed));
        }
        for agent in agents {
            refresh::agent_status(app, agent).await;
        }
        if !self.rows.is_empty() {
            tracing::info!(failed = self.failed(), retried = self.retried(), "tasks in flight were failed");
        }
    }
}

async fn put_back_issue(conn: &mut Conn, id: IssueId, now: Time) -> Result<Option<Issue>, StoreError> {
    if task_transitions::put_back_issue(conn, id, now).await? {
        return issues::find(conn, id).await;
    }
    Ok(None)
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
