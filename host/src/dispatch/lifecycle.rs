//! A task on its daemon: prepared, waiting, started, and how it ends.
//!
//! Each verb is one transaction, and whoever listens hears of it after the commit. An end
//! that comes second, after a cancellation say, gives the task as it is and does nothing.

use std::future::Future;
use std::time::Duration;

use serde_json::Value;

use super::autopilot_follow::{self, Ended};
use super::claim::PREPARE_LEASE;
use super::comment::{self, Posted};
use super::completion::{Output, Word};
use super::overlay::Overlay;
use super::quick_create::Told;
use super::{completion, ended, quick_create, refresh, retry, wakeup};
use crate::app::App;
use crate::model::agent::Agent;
use crate::model::failure;
use crate::model::ids::{RuntimeId, TaskId, WorkspaceId};
use crate::model::status::TaskStatus;
use crate::model::task::Task;
use crate::model::time::Time;
use crate::store::sessions::Reply;
use crate::store::task_transitions::Aftermath;
use crate::store::tasks::Completed;
use crate::store::{Conn, StoreError, agents, sessions, task_transitions, tasks, tokens};
use crate::telemetry::metrics;

/// What a daemon reports of a run that came to its end.
#[derive(Clone, Debug)]
pub struct Completion {
    /// Stored as it is.
    pub result: Value,
    pub output: String,
    /// Where the run can be resumed, if the daemon said so now.
    pub session_id: Option<String>,
    pub work_dir: Option<String>,
}

/// What a daemon reports of a run that broke off.
#[derive(Clone, Debug)]
pub struct Failure {
    pub error: String,
    pub reason: String,
    pub session_id: Option<String>,
    pub work_dir: Option<String>,
}

/// The daemon still prepares the task. `None` when there is nothing to prepare.
pub async fn extend_lease(app: &App, id: TaskId, runtime: RuntimeId) -> Result<Option<Task>, StoreError> {
    let until = app.clock.now() + PREPARE_LEASE;
    app.db
        .write_soon(move |c| {
            Box::pin(async move { task_transitions::extend_lease(c, id, runtime, until).await })
        })
        .await
}

/// Another run holds the directory that the task needs. `None` unless it was dispatched.
pub async fn wait(
    app: &App,
    id: TaskId,
    workspace_id: WorkspaceId,
    reason: Option<String>,
) -> Result<Option<Task>, StoreError> {
    let app = app.clone();
    to_the_end(async move {
        let until = app.clock.now() + PREPARE_LEASE;
        let waiting: Option<Task> = app
            .db
            .write_soon(move |c| {
                Box::pin(async move { task_transitions::wait(c, id, reason.as_deref(), until).await })
            })
            .await?;
        if let Some(task) = &waiting {
            app.events.system(workspace_id, "task:waiting_local_directory", || wakeup::event(task));
        }
        Ok(waiting)
    })
    .await
}

/// A prepared task begins to run, and the fallbacks that stood by for it end. `None` when
/// it was not prepared.
pub async fn start(app: &App, id: TaskId, workspace_id: WorkspaceId) -> Result<Option<Task>, StoreError> {
    let app = app.clone();
    to_the_end(async move {
        let now = app.clock.now();
        let started: Option<(Task, Option<String>)> =
            app.db.write_once_soon(move |c| Box::pin(async move { tasks::start(c, id, now).await })).await?;
        Ok(started.map(|(task, provider)| {
            tracing::info!(task.id = %task.id, agent.id = %task.agent_id, "a task started");
            metrics::task_started(task.source(), provider.as_deref().unwrap_or_default());
            app.events.system(workspace_id, "task:running", || wakeup::event(&task));
            task
        }))
    })
    .await
}

/// A running task is done. `None` when there is no such task.
pub async fn complete(
    app: &App,
    id: TaskId,
    workspace_id: WorkspaceId,
    done: Completion,
) -> Result<Option<Task>, StoreError> {
    let app = app.clone();
    to_the_end(async move {
        let now = app.clock.now();
        // Outside the transaction, because it takes a while.
        let output = Output::of(&done.output);
        let ended =
            app.db.write(move |c| Box::pin(completed(c, id, workspace_id, done, output, now))).await?;
        let Some(End { task, effects }) = ended else { return Ok(None) };
        let Some(mut effects) = effects else { return Ok(Some(task)) };
        tracing::info!(task.id = %task.id, agent.id = %task.agent_id, "a task was completed");
        wake(&app, &effects.wake);
        if let Some(posted) = effects.posted.take() {
            comment::tell(&app, posted);
        }
        quick_create::tell(&app, &task, effects.told.take());
        completion::chat_done(&app, workspace_id, &task, effects.reply.as_ref());
        announce(&app, workspace_id, &task, &effects, "task:completed");
        Ok(Some(task))
    })
    .await
}

/// A task in flight broke off. `None` when there is no such task. A blank reason is read
/// from the error's text.
pub async fn fail(
    app: &App,
    task: Task,
    workspace_id: WorkspaceId,
    mut failure: Failure,
) -> Result<Option<Task>, StoreError> {
    let app = app.clone();
    if failure.reason.trim().is_empty() {
        failure.reason = failure::classify(&failure.error).to_owned();
    }
    to_the_end(async move {
        let now = app.clock.now();
        let words = Words {
            reply: completion::apology(&task, &failure.error, &failure.reason, now),
            comment: completion::error(&task, &failure.error),
        };
        let overlay = retry::overlay(&app, &task, &failure.reason).await;
        let ended = app
            .db
            .write(move |c| Box::pin(failed(c, task, workspace_id, failure, words, overlay, now)))
            .await?;
        let Some(End { task, effects }) = ended else { return Ok(None) };
        let Some(mut effects) = effects else { return Ok(Some(task)) };
        tracing::info!(
            task.id = %task.id, agent.id = %task.agent_id, reason = task.failure_reason, "a task failed"
        );
        wake(&app, &effects.wake);
        match &effects.retry {
            Some(next) => wakeup::queued(&app, workspace_id, next),
            None => {
                if let Some(posted) = effects.posted.take() {
                    comment::tell(&app, posted);
                }
                quick_create::tell(&app, &task, effects.told.take());
            }
        }
        announce(&app, workspace_id, &task, &effects, "task:failed");
        Ok(Some(task))
    })
    .await
}

/// A task that is over, and what is left to do if it is over only now.
struct End {
    task: Task,
    effects: Option<Effects>,
}

/// What people may read of an end.
struct Words {
    reply: Option<Reply>,
    comment: Option<Word>,
}

#[derive(Default)]
struct Effects {
    posted: Option<Posted>,
    /// What whoever asked for an issue is told.
    told: Option<Told>,
    reply: Option<Reply>,
    retry: Option<Task>,
    /// The agent as its status is now.
    agent: Option<Agent>,
    /// Runs of autopilots that ended with the task.
    runs: Vec<Ended>,
    /// Runtimes with work of the agent that may have become claimable.
    wake: Vec<RuntimeId>,
}

/// The last words on an end: the agent's status, then the task itself.
fn announce(app: &App, workspace_id: WorkspaceId, task: &Task, effects: &Effects, kind: &'static str) {
    if let Some(agent) = &effects.agent {
        refresh::tell(app, agent);
    }
    ended::tell(app, workspace_id, task, kind);
    autopilot_follow::tell(app, workspace_id, &effects.runs);
}

async fn completed(
    conn: &mut Conn,
    id: TaskId,
    workspace_id: WorkspaceId,
    done: Completion,
    output: Output,
    now: Time,
) -> Result<Option<End>, StoreError> {
    let (session_id, work_dir) = (done.session_id.as_deref(), done.work_dir.as_deref());
    let completed = tasks::complete(conn, id, &done.result, session_id, work_dir, now).await?;
    let Some(Completed { task, has_answered }) = completed else { return too_late(conn, id).await };
    if let Some(chat) = task.chat_session_id {
        // In the same transaction, so that the next turn cannot start from the old place.
        sessions::merge_pointer(conn, chat, session_id, work_dir, task.runtime_id, now).await?;
    }
    let reply = completion::answer(&task, &output, now);
    if let Some(reply) = &reply {
        sessions::insert_reply(conn, reply).await?;
    }
    let posted = match completion::output(&task, &output) {
        // None is owed where the agent wrote something itself, or decided as a squad's leader
        // that nothing needs to be said.
        Some(word) if !has_answered => completion::insert(conn, workspace_id, &task, word, now).await?,
        _ => None,
    };
    let told = quick_create::completed(conn, &task, now).await?;
    let around = task_transitions::complete_around(conn, &task, now).await?;
    let Aftermath { is_first, waiting: wake, agent } = around;
    if let Some(issue) = task.issue_id.filter(|_| is_first) {
        metrics::issue_executed(task.source());
        tracing::info!(issue.id = %issue, "a first task was completed on an issue");
    }
    let runs = autopilot_follow::task(conn, &task, now).await?;
    Ok(Some(End { task, effects: Some(Effects { posted, told, reply, retry: None, agent, runs, wake }) }))
}

async fn failed(
    conn: &mut Conn,
    task: Task,
    workspace_id: WorkspaceId,
    failure: Failure,
    words: Words,
    overlay: Overlay,
    now: Time,
) -> Result<Option<End>, StoreError> {
    agents::lock(conn, task.agent_id).await?;
    let (session_id, work_dir) = (failure.session_id.as_deref(), failure.work_dir.as_deref());
    let failed =
        tasks::fail(conn, task.id, &failure.error, &failure.reason, session_id, work_dir, now).await?;
    let Some(task) = failed else { return too_late(conn, task.id).await };
    if let Some(chat) = task.chat_session_id
        && !failure::is_resume_unsafe(&failure.reason)
    {
        sessions::merge_pointer(conn, chat, session_id, work_dir, task.runtime_id, now).await?;
    }
    let retry = retry::queue(conn, &task, overlay, now).await?;
    // A run that is tried again has not had its last word.
    let Words { reply, comment } = match retry {
        Some(_) => Words { reply: None, comment: None },
        None => words,
    };
    if let Some(reply) = &reply {
        sessions::insert_reply(conn, reply).await?;
    }
    let posted = match comment {
        Some(word) => completion::insert(conn, workspace_id, &task, word, now).await?,
        None => None,
    };
    let told = match retry {
        Some(_) => None,
        None => quick_create::failed(conn, &task, &failure.error, now).await?,
    };
    tokens::delete_of_task(conn, task.id).await?;
    let wake = task_transitions::list_waiting_runtimes(conn, task.agent_id, task.runtime_id).await?;
    let runs = autopilot_follow::task(conn, &task, now).await?;
    let agent = agents::reconcile_status(conn, task.agent_id, now).await?;
    Ok(Some(End { task, effects: Some(Effects { posted, told, reply, retry, agent, runs, wake }) }))
}

/// Somebody else ended the task first, or it is not that far. Its tokens go only if it is
/// over: a live run must keep its own.
async fn too_late(conn: &mut Conn, id: TaskId) -> Result<Option<End>, StoreError> {
    let Some(task) = tasks::find(conn, id).await? else { return Ok(None) };
    if task.status.is_terminal() {
        tokens::delete_of_task(conn, id).await?;
    }
    if task.status == TaskStatus::Dispatched || task.status == TaskStatus::WaitingLocalDirectory {
        tracing::warn!(task.id = %id, status = task.status.as_str(), "a daemon ended a task that it had not started");
    }
    Ok(Some(End { task, effects: None }))
}

/// Wakes the daemons whose work the end of a task may have made claimable.
pub fn wake(app: &App, runtimes: &[RuntimeId]) {
    for runtime in runtimes {
        app.wakeups.bump(*runtime);
    }
}

/// How long it was from one moment to the next; nothing if the clock went back.
pub fn between(from: Time, to: Time) -> Duration {
    (to - from).to_std().unwrap_or_default()
}

/// Runs to its end even when the client hangs up: what follows a commit must not be lost
/// with the connection.
pub(super) fn to_the_end<T, E>(
    work: impl Future<Output = Result<T, E>> + Send + 'static,
) -> impl Future<Output = Result<T, E>> + Send
where
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    let running = tokio::spawn(work);
    async { running.await.unwrap_or_else(|_| Err(StoreError::Unavailable(None).into())) }
}
