//! Tasks are stopped, by a person or by what happened to the thing they are bound to.
//!
//! Whoever cancels as part of something larger calls [`in_transaction`] there and
//! [`Cancelled::announce`] after the commit.

use std::collections::BTreeSet;

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::autopilot_follow::{self, Ended};
use super::lifecycle::to_the_end;
use super::{ended, lifecycle, refresh};
use crate::app::App;
use crate::model::attachment::AttachmentBody;
use crate::model::ids::{AgentId, ChatSessionId, RuntimeId, TaskId, WorkspaceId};
use crate::model::task::Task;
use crate::model::time::Time;
use crate::store::sessions::{self, Reply};
use crate::store::task_cancels::{self, CancelScope};
use crate::store::{Conn, StoreError, attachments, messages, task_transitions, tasks, tokens};

/// What a chat shows when its run was stopped after it had said something.
const STOPPED: &str = "Stopped.";

/// Tasks that were active and are not any more.
#[derive(Debug, Default)]
pub struct Cancelled {
    tasks: Vec<(Task, Option<WorkspaceId>)>,
    /// Runs of autopilots that ended with them.
    runs: Vec<(WorkspaceId, Vec<Ended>)>,
    /// Runtimes with queued work of an agent that has capacity again.
    wake: BTreeSet<RuntimeId>,
}

impl Cancelled {
    /// How many tasks were stopped.
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Tells daemons and clients.
    pub async fn announce(&self, app: &App) {
        let wake: Vec<RuntimeId> = self.wake.iter().copied().collect();
        lifecycle::wake(app, &wake);
        let agents: BTreeSet<AgentId> = self.tasks.iter().map(|(task, _)| task.agent_id).collect();
        for agent in agents {
            refresh::agent_status(app, agent).await;
        }
        for (task, workspace_id) in &self.tasks {
            tracing::info!(task.id = %task.id, agent.id = %task.agent_id, "a task was cancelled");
            if let Some(workspace_id) = workspace_id {
                ended::tell(app, *workspace_id, task, "task:cancelled");
            }
        }
        for (workspace_id, runs) in &self.runs {
            autopilot_follow::tell(app, *workspace_id, runs);
        }
    }

    async fn push(&mut self, conn: &mut Conn, task: Task) -> Result<(), StoreError> {
        tokens::delete_of_task(conn, task.id).await?;
        let workspace_id = tasks::find_workspace(conn, &task).await?;
        let ended_at = task.completed_at.unwrap_or(task.created_at);
        let runs = autopilot_follow::task(conn, &task, ended_at).await?;
        self.runs.extend(workspace_id.map(|workspace| (workspace, runs)));
        self.wake
            .extend(task_transitions::list_waiting_runtimes(conn, task.agent_id, task.runtime_id).await?);
        self.tasks.push((task, workspace_id));
        Ok(())
    }
}

/// Cancels every active task of a scope and revokes their tokens.
pub async fn in_transaction(conn: &mut Conn, scope: CancelScope, now: Time) -> Result<Cancelled, StoreError> {
    let mut cancelled = Cancelled::default();
    for task in task_cancels::cancel_all(conn, scope, now).await? {
        cancelled.push(conn, task).await?;
    }
    Ok(cancelled)
}

/// Cancels every active task of a scope. Says how many there were.
pub async fn all(app: &App, scope: CancelScope) -> Result<usize, StoreError> {
    let app = app.clone();
    to_the_end(async move {
        let now = app.clock.now();
        let cancelled: Cancelled = app.db.write(move |c| Box::pin(in_transaction(c, scope, now))).await?;
        cancelled.announce(&app).await;
        Ok(cancelled.len())
    })
    .await
}

/// A chat message that started nothing after all, for its author to edit and send again.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CancelledMessage {
    pub chat_session_id: ChatSessionId,
    pub message_id: Uuid,
    pub content: String,
    pub restore_to_input: bool,
    /// What it showed; kept with the chat, to be sent again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<AttachmentBody>,
}

/// One task, as it is after it was to be cancelled.
#[derive(Debug)]
pub struct Stopped {
    pub task: Task,
    pub chat_message: Option<CancelledMessage>,
}

/// Cancels one task. A task that is over stays as it is. `None` when there is no such task.
pub async fn one(app: &App, id: TaskId) -> Result<Option<Stopped>, StoreError> {
    let app = app.clone();
    to_the_end(async move {
        let (now, public_url) = (app.clock.now(), app.flags.public_url.clone());
        let (cancelled, chat_message) =
            app.db.write(move |c| Box::pin(cancel_one(c, id, public_url, now))).await?;
        cancelled.announce(&app).await;
        let task = match cancelled.tasks.into_iter().next() {
            Some((task, _)) => task,
            None => match tasks::find(&mut app.db.reader().await?, id).await? {
                Some(task) => task,
                None => return Ok(None),
            },
        };
        Ok(Some(Stopped { task, chat_message }))
    })
    .await
}

async fn cancel_one(
    conn: &mut Conn,
    id: TaskId,
    public_url: Option<String>,
    now: Time,
) -> Result<(Cancelled, Option<CancelledMessage>), StoreError> {
    let mut cancelled = Cancelled::default();
    let Some(task) = tasks::cancel(conn, id, now).await? else { return Ok((cancelled, None)) };
    let chat_message = match task.chat_session_id {
        Some(session) => end_turn(conn, &task, session, public_url.as_deref(), now).await?,
        None => None,
    };
    cancelled.push(conn, task).await?;
    Ok((cancelled, chat_message))
}

/// A turn that said nothing gives its message back; one that did gets a closing line.
async fn end_turn(
    conn: &mut Conn,
    task: &Task,
    session_id: ChatSessionId,
    public_url: Option<&str>,
    now: Time,
) -> Result<Option<CancelledMessage>, StoreError> {
    if messages::any(conn, task.id).await? {
        let reply = Reply {
            id: Uuid::now_v7(),
            session_id,
            task_id: task.id,
            content: STOPPED.to_owned(),
            failure_reason: None,
            elapsed_ms: (now - task.created_at).num_milliseconds().max(0),
            created_at: now,
        };
        sessions::insert_reply(conn, &reply).await?;
        return Ok(None);
    }
    // First: the message would take them along.
    let attachments = attachments::unbind_from_prompt(conn, task.id).await?;
    let taken = sessions::take_prompt(conn, task.id).await?;
    Ok(taken.map(|(message_id, content)| CancelledMessage {
        chat_session_id: session_id,
        message_id,
        content,
        restore_to_input: true,
        attachments: AttachmentBody::list(&attachments, public_url),
    }))
}
