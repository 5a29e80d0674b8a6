//! A daemon asks for work and gets exactly one task, or none.

use chrono::TimeDelta;
use thiserror::Error;

use super::at_rest::Known;
use super::claims::{Granted, Shares};
use super::{ended, lifecycle, refresh, wakeup};
use crate::app::App;
use crate::auth::token::{self, NoRandomness};
use crate::model::agent::Agent;
use crate::model::ids::{RuntimeId, UserId, WorkspaceId};
use crate::model::runtime::Runtime;
use crate::model::task::Task;
use crate::model::time::Time;
use crate::store::claim_surroundings::Surroundings;
use crate::store::queue::Held;
use crate::store::tokens::TaskToken;
use crate::store::{Conn, StoreError, agents, queue, runtimes, tasks, tokens};
use crate::telemetry::metrics;
use crate::telemetry::slow::{self, ClaimForRuntime, Watch};

/// Longer than a daemon's timeouts for claim and start together; what was not started by
/// then was never received.
pub(super) const REDELIVER_AFTER: TimeDelta = TimeDelta::seconds(90);
/// How long a daemon may prepare before it starts or asks for more.
pub const PREPARE_LEASE: TimeDelta = TimeDelta::seconds(45);
/// How long a task's token lives if the task does not end before.
pub(super) const TOKEN_LIFE: TimeDelta = TimeDelta::hours(24);
/// How often a claim is tried whose slot or lane was taken between its look and its write.
const TRIES: u32 = 3;

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
    /// What the answer needs, where it was read already.
    pub surroundings: Option<Box<Surroundings>>,
}

#[derive(Debug, Error)]
pub enum ClaimError {
    #[error("runtime not found")]
    Gone,
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
    Task {
        task: Box<Task>,
        workspace_id: WorkspaceId,
        owner_id: UserId,
        /// The agent as its status is now; `None` when the task was only handed out again.
        agent: Option<Box<Agent>>,
    },
    Refused {
        task: Box<Task>,
        workspace_id: Option<WorkspaceId>,
        error: ClaimError,
    },
}

struct Transaction {
    promoted: Vec<Task>,
    taken: Taken,
}

/// Promotes what is due, hands out again what was lost, else takes the next task of this
/// runtime; and mints its token, all in one transaction. A runtime that is known to have
/// nothing to hand out is answered from memory.
pub async fn claim(app: &App, runtime: RuntimeId) -> Result<Option<Claimed>, ClaimError> {
    let Known::Nothing(version) = app.at_rest.ask(runtime) else {
        metrics::claim("empty_cache_hit");
        return Ok(None);
    };
    let mut log = ClaimForRuntime::start(runtime);
    let claimed = claim_timed(app, runtime, version, &mut log).await;
    if claimed.is_err() && log.outcome == "no_task" {
        log.outcome = "error_claim";
    }
    log.end();
    claimed
}

async fn claim_timed(
    app: &App,
    id: RuntimeId,
    version: Option<u64>,
    log: &mut ClaimForRuntime,
) -> Result<Option<Claimed>, ClaimError> {
    let task_app = app.clone();
    let claimed = lifecycle::to_the_end(async move { claim_shared(&task_app, id, version).await }).await;
    log.claim_loop_ms = log.lap();
    let (claimed, outcome) = claimed?;
    log.outcome = outcome;
    log.list_pending_count = i64::from(outcome != "empty_db");
    log.agents_tried = i64::from(claimed.is_some());
    Ok(claimed)
}

/// Takes a task together with whoever claims now; what cannot be taken so is taken alone.
async fn claim_shared(
    app: &App,
    id: RuntimeId,
    version: Option<u64>,
) -> Result<(Option<Claimed>, &'static str), ClaimError> {
    let minted = token::mint(token::TASK)?;
    let watch = Watch::start();
    match app.claims.ask(id, token::hash(&minted), version).await {
        Shares::Nothing => Ok((None, "empty_db")),
        Shares::Blocked => {
            slow::claim_task(None, "no_tasks", watch.total());
            Ok((None, "no_task"))
        }
        Shares::Granted(granted) => {
            let Granted { task, workspace_id, owner_id, surroundings } = *granted;
            slow::claim_task(Some(task.agent_id.to_string()), "claimed", watch.total());
            tell(app, workspace_id, &task, surroundings.as_ref().map(|around| &around.agent));
            Ok((Some(Claimed { task, workspace_id, owner_id, token: minted, surroundings }), "claimed"))
        }
        Shares::Alone => {
            let runtime = runtimes::find(&mut app.db.reader().await?, id).await?.ok_or(ClaimError::Gone)?;
            claim_one(app, &runtime).await
        }
    }
}

/// Tells clients that the agent got to work.
fn tell(app: &App, workspace: WorkspaceId, task: &Task, agent: Option<&Agent>) {
    let dispatched_at = task.dispatched_at.unwrap_or_else(|| app.clock.now());
    metrics::task_dispatched(task.source(), lifecycle::between(task.created_at, dispatched_at));
    if let Some(agent) = agent {
        refresh::tell(app, agent);
    }
    app.places.learn(task, workspace);
    app.events.system(workspace, "task:dispatch", || dispatched(task));
}

/// Takes a task, and tells what happened; also how, for the log.
async fn claim_one(app: &App, runtime: &Runtime) -> Result<(Option<Claimed>, &'static str), ClaimError> {
    let now = app.clock.now();
    let minted = token::mint(token::TASK)?;
    let hash = token::hash(&minted);
    let watch = Watch::start();
    let Transaction { promoted, taken } = transact(app, runtime, &hash, now).await?;
    for task in &promoted {
        wakeup::queued(app, runtime.workspace_id, task);
    }
    match taken {
        Taken::Nothing => {
            slow::claim_task(None, "no_tasks", watch.total());
            Ok((None, "no_task"))
        }
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
        Taken::Task { task, workspace_id, owner_id, agent } => {
            slow::claim_task(Some(task.agent_id.to_string()), "claimed", watch.total());
            let outcome = match &agent {
                Some(agent) => {
                    tell(app, workspace_id, &task, Some(agent));
                    "claimed"
                }
                None => {
                    metrics::lease_expired(task.source());
                    "reclaimed_dispatched"
                }
            };
            let claimed = Claimed { task: *task, workspace_id, owner_id, token: minted, surroundings: None };
            Ok((Some(claimed), outcome))
        }
    }
}

/// One transaction, and again when somebody else took a slot or a lane meanwhile. An agent that
/// somebody holds for long is passed over: the runtime's others go on.
async fn transact(
    app: &App,
    runtime: &Runtime,
    token_hash: &str,
    now: Time,
) -> Result<Transaction, StoreError> {
    let (mut tries, mut held) = (1, Held::Wait);
    loop {
        let (claiming, hash) = (runtime.clone(), token_hash.to_owned());
        let done = app
            .db
            .write_soon(move |c| Box::pin(async move { take(c, &claiming, held, &hash, now).await }))
            .await;
        match done {
            Err(error) if error.is_locked() && held == Held::Wait => {
                tracing::debug!(runtime.id = %runtime.id, "an agent is held by another transaction");
                held = Held::PassOver;
            }
            // Somebody holds the task itself; it waits for the next poll.
            Err(error) if error.is_locked() => {
                return Ok(Transaction { promoted: Vec::new(), taken: Taken::Nothing });
            }
            Err(error @ StoreError::Conflict { .. }) if tries < TRIES => {
                tracing::debug!(runtime.id = %runtime.id, %error, "a claim is tried again");
                tries += 1;
            }
            done => return done,
        }
    }
}

async fn take(
    conn: &mut Conn,
    runtime: &Runtime,
    held: Held,
    token_hash: &str,
    now: Time,
) -> Result<Transaction, StoreError> {
    let promoted = promote_due(conn, runtime, now).await?;
    let lease = now + PREPARE_LEASE;
    let again = queue::redeliver(conn, runtime.id, now - REDELIVER_AFTER, now, lease).await?;
    let is_new = again.is_none();
    let task = match again {
        Some(task) => Some(task),
        None => queue::claim(conn, runtime.id, held, now, lease).await?,
    };
    let Some(task) = task.map(Box::new) else {
        return Ok(Transaction { promoted, taken: Taken::Nothing });
    };
    let workspace_id = tasks::find_workspace(conn, &task).await?;
    let refusal = match (workspace_id, runtime.owner_id) {
        (Some(workspace_id), Some(owner_id)) if workspace_id == runtime.workspace_id => {
            let token =
                TaskToken { task_id: task.id, agent_id: task.agent_id, workspace_id, user_id: owner_id };
            tokens::insert_task(conn, token, token_hash, now + TOKEN_LIFE, now).await?;
            // The claim holds the agent's row already.
            let agent = if is_new {
                agents::reconcile_status(conn, task.agent_id, now).await?.map(Box::new)
            } else {
                None
            };
            return Ok(Transaction { promoted, taken: Taken::Task { task, workspace_id, owner_id, agent } });
        }
        (Some(workspace_id), None) if workspace_id == runtime.workspace_id => ClaimError::NoOwner,
        _ => ClaimError::Isolation,
    };
    tokens::delete_of_task(conn, task.id).await?;
    let task = tasks::cancel(conn, task.id, now).await?.map_or(task, Box::new);
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
