//! A daemon asks for work and gets exactly one task, or none.

use chrono::TimeDelta;
use thiserror::Error;

use super::{ended, refresh, wakeup};
use crate::app::App;
use crate::auth::token::{self, NoRandomness};
use crate::model::ids::{UserId, WorkspaceId};
use crate::model::runtime::Runtime;
use crate::model::task::Task;
use crate::model::time::Time;
use crate::store::tokens::TaskToken;
use crate::store::{Conn, StoreError, queue, tasks, tokens};

/// Longer than a daemon's timeouts for claim and start together; what was not started by
/// then was never received.
const REDELIVER_AFTER: TimeDelta = TimeDelta::seconds(90);
/// How long a daemon may prepare before it starts or asks for more.
pub const PREPARE_LEASE: TimeDelta = TimeDelta::seconds(45);
/// How long a task's token lives if the task does not end before.
const TOKEN_LIFE: TimeDelta = TimeDelta::hours(24);

/// A task on its way to a daemon.
#[derive(Clone, Debug)]
pub struct Claimed {
    pub task: Task,
    /// The workspace that the task's own source names.
    pub workspace_id: WorkspaceId,
    /// The owner of the runtime, for whom the agent's calls count.
    pub owner_id: UserId,
    /// Shown once, here.
    pub token: String,
}

#[derive(Debug, Error)]
pub enum ClaimError {
    /// The task's source is gone or belongs to another workspace; the task was cancelled.
    #[error("task workspace isolation check failed")]
    Isolation,
    /// Nobody the agent's calls could count for; the task was cancelled.
    #[error("runtime owner required to mint task token")]
    NoOwner,
    #[error("failed to mint task token")]
    Mint(#[from] NoRandomness),
    #[error("failed to claim task")]
    Store(#[from] StoreError),
}

/// What a claim's transaction came to.
enum Taken {
    Nothing,
    Task { task: Task, workspace_id: WorkspaceId, owner_id: UserId, again: bool },
    Refused { task: Task, workspace_id: Option<WorkspaceId>, error: ClaimError },
}

struct Transaction {
    promoted: Vec<Task>,
    taken: Taken,
}

/// Promotes what is due, hands out again what was lost, else takes the next task of this
/// runtime; and mints its token, all in one transaction.
pub async fn claim(app: &App, runtime: &Runtime) -> Result<Option<Claimed>, ClaimError> {
    let now = app.clock.now();
    let lost_before = now - REDELIVER_AFTER;
    if !queue::has_work(&mut app.db.reader().await?, runtime.id, lost_before, now).await? {
        return Ok(None);
    }
    let minted = token::mint(token::TASK)?;
    let hash = token::hash(&minted);
    let claiming = runtime.clone();
    let done: Result<Transaction, StoreError> = app
        .db
        .write_soon(move |c| Box::pin(async move { take(c, &claiming, &hash, lost_before, now).await }))
        .await;
    let Transaction { promoted, taken } = done?;
    for task in &promoted {
        wakeup::queued(app, runtime.workspace_id, task);
    }
    match taken {
        Taken::Nothing => Ok(None),
        Taken::Refused { task, workspace_id, error } => {
            tracing::error!(
                task.id = %task.id, runtime.id = %runtime.id, workspace.id = ?workspace_id, %error,
                "a claimed task was refused and cancelled"
            );
            refresh::agent_status(app, task.agent_id).await;
            let workspace = workspace_id.unwrap_or(runtime.workspace_id);
            ended::tell(app, workspace, &task, "task:cancelled");
            Err(error)
        }
        Taken::Task { task, workspace_id, owner_id, again } => {
            if !again {
                refresh::agent_status(app, task.agent_id).await;
                app.events.system(workspace_id, "task:dispatch", || dispatched(&task));
            }
            Ok(Some(Claimed { task, workspace_id, owner_id, token: minted }))
        }
    }
}

async fn take(
    conn: &mut Conn,
    runtime: &Runtime,
    token_hash: &str,
    lost_before: Time,
    now: Time,
) -> Result<Transaction, StoreError> {
    let promoted = promote_due(conn, runtime, now).await?;
    let lease = now + PREPARE_LEASE;
    let again = queue::redeliver(conn, runtime.id, lost_before, now, lease).await?;
    let (task, again) = match again {
        Some(task) => (Some(task), true),
        None => (queue::claim(conn, runtime.id, now, lease).await?, false),
    };
    let Some(task) = task else {
        return Ok(Transaction { promoted, taken: Taken::Nothing });
    };
    let workspace_id = tasks::find_workspace(conn, &task).await?;
    let refusal = match (workspace_id, runtime.owner_id) {
        (Some(workspace_id), Some(owner_id)) if workspace_id == runtime.workspace_id => {
            let token =
                TaskToken { task_id: task.id, agent_id: task.agent_id, workspace_id, user_id: owner_id };
            tokens::insert_task(conn, token, token_hash, now + TOKEN_LIFE, now).await?;
            return Ok(Transaction { promoted, taken: Taken::Task { task, workspace_id, owner_id, again } });
        }
        (Some(workspace_id), None) if workspace_id == runtime.workspace_id => ClaimError::NoOwner,
        _ => ClaimError::Isolation,
    };
    tokens::delete_of_task(conn, task.id).await?;
    let task = tasks::cancel(conn, task.id, now).await?.unwrap_or(task);
    Ok(Transaction { promoted, taken: Taken::Refused { task, workspace_id, error: refusal } })
}

/// A fallback whose time has come enters the queue, or ends when its agent is already
/// waiting to work on the issue.
async fn promote_due(conn: &mut Conn, runtime: &Runtime, now: Time) -> Result<Vec<Task>, StoreError> {
    let mut promoted = Vec::new();
    for due in queue::list_due(conn, runtime.id, now).await? {
        match queue::promote(conn, due.id).await? {
            Some(task) => promoted.push(task),
            None => {
                tasks::cancel(conn, due.id, now).await?;
            }
        }
    }
    Ok(promoted)
}

/// The task's context document with the ids of the claim over it.
fn dispatched(task: &Task) -> serde_json::Value {
    let mut payload = task.context.clone().filter(serde_json::Value::is_object).unwrap_or_default();
    if !payload.is_object() {
        payload = serde_json::json!({});
    }
    payload["task_id"] = task.id.to_string().into();
    payload["runtime_id"] = task.runtime_id.to_string().into();
    payload["issue_id"] = task.issue_id.map(|id| id.to_string()).unwrap_or_default().into();
    payload["agent_id"] = task.agent_id.to_string().into();
    if let Some(session) = task.chat_session_id {
        payload["chat_session_id"] = session.to_string().into();
    }
    payload
}

/// Undoes a claim whose answer could not be made: the task waits in the queue again, with
/// the reason, and the token that was minted for it is worth nothing.
pub async fn put_back(app: &App, claimed: &Claimed, reason: String) -> Result<(), StoreError> {
    let (id, epoch) = (claimed.task.id, claimed.task.claim_epoch);
    let back: Result<_, StoreError> = app
        .db
        .write(move |c| {
            Box::pin(async move {
                let task = queue::put_back(c, id, epoch, &reason).await?;
                if task.is_some() {
                    tokens::delete_of_task(c, id).await?;
                }
                Ok(task)
            })
        })
        .await;
    if let Some(task) = back? {
        refresh::agent_status(app, task.agent_id).await;
        // No wakeup: whatever failed would fail again at once. The next poll tries.
        app.events.system(claimed.workspace_id, "task:queued", || wakeup::event(&task));
    }
    Ok(())
}
