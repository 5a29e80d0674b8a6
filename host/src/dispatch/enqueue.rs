//! A task enters the queue.

use thiserror::Error;

use super::{originator, wakeup};
use crate::app::App;
use crate::model::ids::{AgentId, SquadId, WorkspaceId};
use crate::model::issue::{Comment, Issue};
use crate::model::task::{NewTask, Task, priority_of};
use crate::model::text::trigger_summary;
use crate::store::{StoreError, agents, tasks};

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
}

impl IssueRun {
    /// A plain run without a trigger.
    pub fn of(agent_id: AgentId) -> Self {
        Self { agent_id, leads: None, trigger: None, handoff_note: None, force_fresh_session: false }
    }
}

/// Queues a run on an issue, tells clients, and wakes the daemon. The task is bound to the
/// runtime its agent has now and stays there when the agent moves.
pub async fn issue_run(app: &App, issue: &Issue, run: IssueRun) -> Result<Task, EnqueueError> {
    let now = app.clock.now();
    let issue = issue.clone();
    let workspace_id = issue.workspace_id;
    let task: Task = app
        .db
        .write(move |c| {
            Box::pin(async move {
                let agent = agents::find_readiness(c, run.agent_id).await?.ok_or(EnqueueError::NoAgent)?;
                if agent.archived {
                    return Err(EnqueueError::Archived);
                }
                let originator = originator::of_issue_task(c, &issue, run.trigger.as_ref()).await?;
                let new = NewTask {
                    issue_id: Some(issue.id),
                    priority: priority_of(&issue.priority),
                    trigger_comment_id: run.trigger.as_ref().map(|comment| comment.id),
                    trigger_summary: run
                        .trigger
                        .as_ref()
                        .and_then(|comment| trigger_summary(&comment.content)),
                    is_leader_task: run.leads.is_some(),
                    squad_id: run.leads,
                    handoff_note: run.handoff_note.filter(|note| !note.is_empty()),
                    force_fresh_session: run.force_fresh_session,
                    originator_user_id: originator,
                    ..NewTask::queued(run.agent_id, agent.runtime_id, now)
                };
                tasks::insert(c, new).await?.ok_or(EnqueueError::AlreadyPending)
            })
        })
        .await?;
    announce(app, workspace_id, &task);
    Ok(task)
}

/// What follows once the row is committed.
fn announce(app: &App, workspace_id: WorkspaceId, task: &Task) {
    tracing::info!(
        task.id = %task.id, agent.id = %task.agent_id, runtime.id = %task.runtime_id, "a task was queued"
    );
    wakeup::queued(app, workspace_id, task);
}
