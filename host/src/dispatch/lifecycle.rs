//! A task on its daemon: prepared, waiting, started, and how it ends.
//!
//! Each verb is one transaction, and whoever listens hears of it after the commit. An end
//! that comes second, after a cancellation say, gives the task as it is and does nothing.

use std::future::Future;

use serde_json::Value;

use super::claim::PREPARE_LEASE;
use super::{completion, ended, refresh, retry, wakeup};
use crate::app::App;
use crate::model::failure;
use crate::model::ids::{RuntimeId, TaskId, WorkspaceId};
use crate::model::redact;
use crate::model::status::TaskStatus;
use crate::model::task::Task;
use crate::model::time::Time;
use crate::store::sessions::Reply;
use crate::store::{Conn, StoreError, sessions, task_transitions, tasks, tokens};

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
}

/// A prepared task begins to run, and the fallbacks that stood by for it end. `None` when
/// it was not prepared.
pub async fn start(app: &App, id: TaskId, workspace_id: WorkspaceId) -> Result<Option<Task>, StoreError> {
    let now = app.clock.now();
    let started: Option<Task> = app
        .db
        .write_soon(move |c| {
            Box::pin(async move {
                let started = tasks::start(c, id, now).await?;
                if started.is_some() {
                    tasks::cancel_escalations_of(c, id, now).await?;
                }
                Ok::<_, StoreError>(started)
            })
        })
        .await?;
    if let Some(task) = &started {
        tracing::info!(task.id = %task.id, agent.id = %task.agent_id, "a task started");
        app.events.system(workspace_id, "task:running", || wakeup::event(task));
    }
    Ok(started)
}

/// A running task is done. `None` when there is no such task.
pub async fn complete(
    app: &App,
    task: Task,
    workspace_id: WorkspaceId,
    done: Completion,
) -> Result<Option<Task>, StoreError> {
    let app = app.clone();
    to_the_end(async move {
        let now = app.clock.now();
        let output = done.output.clone();
        let reply = task
            .chat_session_id
            .and_then(|_| completion::reply(&task, completion::reply_text(&done.output), None, now));
        let ended = app.db.write(move |c| Box::pin(completed(c, task.id, done, reply, now))).await?;
        let Some(End { task, effects }) = ended else { return Ok(None) };
        let Some(effects) = effects else { return Ok(Some(task)) };
        tracing::info!(task.id = %task.id, agent.id = %task.agent_id, "a task was completed");
        wake(&app, &effects.wake);
        if effects.owes_comment && !output.is_empty() {
            completion::post_output(&app, workspace_id, &task, &output).await;
        }
        completion::chat_done(&app, workspace_id, &task, effects.reply.as_ref());
        refresh::agent_status(&app, task.agent_id).await;
        ended::tell(&app, workspace_id, &task, "task:completed");
        Ok(Some(task))
    })
    .await
}

/// A task in flight broke off. `None` when there is no such task.
pub async fn fail(
    app: &App,
    task: Task,
    workspace_id: WorkspaceId,
    failure: Failure,
) -> Result<Option<Task>, StoreError> {
    let app = app.clone();
    to_the_end(async move {
        let now = app.clock.now();
        let error = failure.error.clone();
        let reply = task.chat_session_id.and_then(|_| {
            completion::reply(&task, redact::text(&failure.error), Some(failure.reason.clone()), now)
        });
        let ended = app.db.write(move |c| Box::pin(failed(c, task.id, failure, reply, now))).await?;
        let Some(End { task, effects }) = ended else { return Ok(None) };
        let Some(effects) = effects else { return Ok(Some(task)) };
        tracing::info!(
            task.id = %task.id, agent.id = %task.agent_id, reason = task.failure_reason, "a task failed"
        );
        wake(&app, &effects.wake);
        match &effects.retry {
            Some(next) => wakeup::queued(&app, workspace_id, next),
            None => completion::post_error(&app, workspace_id, &task, &error).await,
        }
        refresh::agent_status(&app, task.agent_id).await;
        ended::tell(&app, workspace_id, &task, "task:failed");
        Ok(Some(task))
    })
    .await
}

/// A task that is over, and what is left to do if it is over only now.
struct End {
    task: Task,
    effects: Option<Effects>,
}

#[derive(Default)]
struct Effects {
    owes_comment: bool,
    reply: Option<Reply>,
    retry: Option<Task>,
    /// Runtimes with work of the agent that may have become claimable.
    wake: Vec<RuntimeId>,
}

async fn completed(
    conn: &mut Conn,
    id: TaskId,
    done: Completion,
    reply: Option<Reply>,
    now: Time,
) -> Result<Option<End>, StoreError> {
    let (session_id, work_dir) = (done.session_id.as_deref(), done.work_dir.as_deref());
    let Some(task) = tasks::complete(conn, id, &done.result, session_id, work_dir, now).await? else {
        return too_late(conn, id).await;
    };
    if let Some(chat) = task.chat_session_id {
        // In the same transaction, so that the next turn cannot start from the old place.
        sessions::merge_pointer(conn, chat, session_id, work_dir, task.runtime_id, now).await?;
    }
    if let Some(reply) = &reply {
        sessions::insert_reply(conn, reply).await?;
    }
    let owes_comment = completion::owes_comment(conn, &task).await?;
    if let Some(issue) = task.issue_id
        && task_transitions::stamp_first_execution(conn, issue, now).await?
    {
        tracing::info!(issue.id = %issue, "a first task was completed on an issue");
    }
    tokens::delete_of_task(conn, id).await?;
    let wake = task_transitions::list_waiting_runtimes(conn, task.agent_id, task.runtime_id).await?;
    Ok(Some(End { task, effects: Some(Effects { owes_comment, reply, retry: None, wake }) }))
}

async fn failed(
    conn: &mut Conn,
    id: TaskId,
    failure: Failure,
    reply: Option<Reply>,
    now: Time,
) -> Result<Option<End>, StoreError> {
    let (session_id, work_dir) = (failure.session_id.as_deref(), failure.work_dir.as_deref());
    let failed = tasks::fail(conn, id, &failure.error, &failure.reason, session_id, work_dir, now).await?;
    let Some(task) = failed else { return too_late(conn, id).await };
    if let Some(chat) = task.chat_session_id
        && !failure::is_resume_unsafe(&failure.reason)
    {
        sessions::merge_pointer(conn, chat, session_id, work_dir, task.runtime_id, now).await?;
    }
    let retry = retry::queue(conn, &task, now).await?;
    let reply = reply.filter(|_| retry.is_none());
    if let Some(reply) = &reply {
        sessions::insert_reply(conn, reply).await?;
    }
    tokens::delete_of_task(conn, id).await?;
    let wake = task_transitions::list_waiting_runtimes(conn, task.agent_id, task.runtime_id).await?;
    Ok(Some(End { task, effects: Some(Effects { owes_comment: false, reply, retry, wake }) }))
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

/// Runs to its end even when the client hangs up: what follows a commit must not be lost
/// with the connection.
pub(super) async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::spawn(work).await.unwrap_or_else(|_| Err(StoreError::Unavailable(None)))
}
