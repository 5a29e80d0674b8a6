//! A task enters the queue.

use chrono::TimeDelta;
use serde_json::json;
use thiserror::Error;

use super::overlay::{self, Overlay};
use super::{originator, wakeup};
use crate::app::App;
use crate::model::ids::{AgentId, SquadId, TaskId, WorkspaceId};
use crate::model::issue::{Comment, Issue};
use crate::model::status::{TaskKind, TaskStatus};
use crate::model::task::{NewTask, Task, priority_of};
use crate::model::text::trigger_summary;
use crate::model::time::Time;
use crate::store::{Conn, StoreError, agents, pull_requests, tasks};

/// Why no task was made.
#[derive(Debug, Error)]
pub enum EnqueueError {
    #[error("agent not found")]
    NoAgent,
    #[error("agent is archived")]
    Archived,
    /// The agent already has a queued or dispatched task on this issue.
    #[error("agent already has a pending task for this issue")]
    AlreadyPending,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A run on an issue, by assignment, promotion, comment or rerun.
#[derive(Clone, Debug)]
pub struct IssueRun {
    pub agent_id: AgentId,
    /// Set when the agent runs as the leader of this squad.
    pub leads: Option<SquadId>,
    pub trigger: Option<Comment>,
    pub handoff_note: Option<String>,
    pub force_fresh_session: bool,
    /// Made before the transaction: no row may be seen without it.
    pub overlay: Overlay,
}

impl IssueRun {
    /// A plain run without a trigger.
    pub fn of(agent_id: AgentId) -> Self {
        Self {
            agent_id,
            leads: None,
            trigger: None,
            handoff_note: None,
            force_fresh_session: false,
            overlay: Overlay::default(),
        }
    }

    fn kind(&self) -> TaskKind {
        if self.trigger.is_some() { TaskKind::Comment } else { TaskKind::Direct }
    }

    /// With what its agent's connected apps give it.
    pub async fn equipped(self, app: &App) -> Self {
        let overlay = overlay::prepare(app, self.agent_id, self.kind()).await;
        Self { overlay, ..self }
    }
}

/// Queues a run on an issue, tells clients, and wakes the daemon. The task is bound to the
/// runtime its agent has now and stays there when the agent moves.
pub async fn issue_run(app: &App, issue: &Issue, run: IssueRun) -> Result<Task, EnqueueError> {
    let run = run.equipped(app).await;
    let now = app.clock.now();
    let workspace_id = issue.workspace_id;
    let issue = issue.clone();
    let task: Task =
        app.db.write(move |c| Box::pin(async move { insert_issue_run(c, &issue, run, now).await })).await?;
    announce(app, workspace_id, &task);
    Ok(task)
}

/// As [`issue_run`], inside a transaction. Tell with [`announce`] after its commit.
pub async fn insert_issue_run(
    conn: &mut Conn,
    issue: &Issue,
    run: IssueRun,
    now: Time,
) -> Result<Task, EnqueueError> {
    let originator_user_id = originator::of_issue_task(conn, issue, run.trigger.as_ref()).await?;
    let head = pull_requests::find_reviewed_head(conn, issue.id).await?;
    let new = NewTask {
        id: run.overlay.task_id,
        context: head.map(|sha| json!({"head_sha": sha})),
        handoff_note: run.handoff_note.filter(|note| !note.is_empty()),
        force_fresh_session: run.force_fresh_session,
        originator_user_id,
        runtime_mcp_overlay: run.overlay.servers,
        runtime_connected_apps: run.overlay.apps,
        ..on_issue(conn, issue, run.agent_id, run.leads, run.trigger.as_ref(), now).await?
    };
    tasks::insert(conn, new).await?.ok_or(EnqueueError::AlreadyPending)
}

/// Somebody to be woken if whoever was asked first does not react. Enters the queue when
/// its time has come, and says nothing until then.
#[derive(Clone, Debug)]
pub struct Fallback {
    pub agent_id: AgentId,
    /// Set when the agent would run as the leader of this squad.
    pub leads: Option<SquadId>,
    pub trigger: Comment,
    /// The task of whoever was asked first.
    pub primary: TaskId,
    pub after: TimeDelta,
}

/// Stores a fallback on an issue, inside the transaction that queues whoever is asked
/// first. Nothing is told.
pub async fn insert_fallback(
    conn: &mut Conn,
    issue: &Issue,
    fallback: Fallback,
    now: Time,
) -> Result<Task, EnqueueError> {
    let Fallback { agent_id, leads, trigger, primary, after } = fallback;
    let new = NewTask {
        status: TaskStatus::Deferred,
        escalation_for_task_id: Some(primary),
        fire_at: Some(now + after),
        ..on_issue(conn, issue, agent_id, leads, Some(&trigger), now).await?
    };
    tasks::insert(conn, new).await?.ok_or(EnqueueError::AlreadyPending)
}

/// What every task on an issue has: where its agent runs now, and why it was made.
async fn on_issue(
    conn: &mut Conn,
    issue: &Issue,
    agent_id: AgentId,
    leads: Option<SquadId>,
    trigger: Option<&Comment>,
    now: Time,
) -> Result<NewTask, EnqueueError> {
    let agent = agents::find_readiness(conn, agent_id).await?.ok_or(EnqueueError::NoAgent)?;
    if agent.archived {
        return Err(EnqueueError::Archived);
    }
    Ok(NewTask {
        issue_id: Some(issue.id),
        priority: priority_of(&issue.priority),
        trigger_comment_id: trigger.map(|comment| comment.id),
        trigger_summary: trigger.and_then(|comment| trigger_summary(&comment.content)),
        is_leader_task: leads.is_some(),
        squad_id: leads,
        ..NewTask::queued(agent_id, agent.runtime_id, now)
    })
}

/// What follows once the row is committed.
pub fn announce(app: &App, workspace_id: WorkspaceId, task: &Task) {
    tracing::info!(
        task.id = %task.id, agent.id = %task.agent_id, runtime.id = %task.runtime_id, "a task was queued"
    );
    wakeup::queued(app, workspace_id, task);
}
