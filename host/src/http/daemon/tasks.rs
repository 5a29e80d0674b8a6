//! A task on its daemon, from its start to its end.

use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::Done;
use crate::app::App;
use crate::dispatch::lifecycle::{self, Completion, Failure};
use crate::dispatch::places::Place;
use crate::http::body::{Body, OptionalBody};
use crate::http::error::{Error, ErrorBody};
use crate::http::extract::{self, Caller, PlaceAccess, TaskAccess};
use crate::http::sorted::Sorted;
use crate::model::failure;
use crate::model::ids::{TaskId, WorkspaceId};
use crate::model::message::Usage;
use crate::model::status::TaskStatus;
use crate::model::task::Task;
use crate::model::task_body::TaskBody;
use crate::store::{StoreError, runtimes, task_transitions, usage};
use crate::telemetry::metrics;

/// The most entries that one usage report may have.
const USAGE_ENTRIES: usize = 1000;

/// The agent begins to work: a prepared task runs.
#[utoipa::path(post, path = "/api/daemon/tasks/{taskId}/start", tag = "daemon",
    params(("taskId" = TaskId, Path, description = "The task's id")),
    responses((status = 200, body = TaskBody), (status = 400, body = ErrorBody, description = "The task is not prepared")))]
pub(super) async fn start(
    app: App,
    caller: Caller,
    PlaceAccess(place): PlaceAccess,
) -> Result<Sorted<TaskBody>, Error> {
    let started = lifecycle::start(&app, place.task_id, place.workspace_id).await;
    let started = started.map_err(|error| Error::internal("start task failed", error))?;
    let Some(task) = started else {
        let unprepared = Error::bad_request("start task: no rows in result set");
        return Err(extract::unless_gone(&app, &caller, place.task_id, unprepared).await);
    };
    Ok(answer(&task, place.workspace_id))
}

/// Why a task cannot begin.
#[derive(Deserialize, ToSchema)]
#[schema(as = DirectoryWait)]
pub(super) struct Waiting {
    /// In the words of the daemon, for people.
    reason: Option<String>,
}

/// The task waits for a directory on its daemon's machine that another one uses.
#[utoipa::path(post, path = "/api/daemon/tasks/{taskId}/wait-local-directory", tag = "daemon",
    params(("taskId" = TaskId, Path, description = "The task's id")), request_body = Option<Waiting>,
    responses((status = 200, body = TaskBody), (status = 400, body = ErrorBody, description = "The task is not prepared")))]
pub(super) async fn wait(
    app: App,
    access: TaskAccess,
    OptionalBody(sent): OptionalBody<Waiting>,
) -> Result<Sorted<TaskBody>, Error> {
    let reason = sent.reason.map(|reason| reason.trim().to_owned()).filter(|reason| !reason.is_empty());
    let waiting = lifecycle::wait(&app, access.task.id, access.workspace_id, reason).await;
    let waiting =
        waiting.map_err(|error| Error::internal("mark task waiting_local_directory failed", error))?;
    let task = waiting
        .ok_or_else(|| Error::bad_request("mark task waiting_local_directory: no rows in result set"))?;
    Ok(answer(&task, access.workspace_id))
}

/// How far the agent has come.
#[derive(Deserialize, ToSchema)]
#[schema(as = TaskProgress)]
pub(super) struct Progress {
    summary: Option<String>,
    step: Option<i64>,
    total: Option<i64>,
}

/// How far an agent has come: told to whoever watches the issue, and not kept.
// The body is looked at before the task.
#[utoipa::path(post, path = "/api/daemon/tasks/{taskId}/progress", tag = "daemon",
    params(("taskId" = TaskId, Path, description = "The task's id")), request_body = Progress,
    responses((status = 200, body = Done)))]
pub(super) async fn progress(
    app: App,
    caller: Caller,
    Path(task_id): Path<String>,
    Body(sent): Body<Progress>,
) -> Result<Json<Done>, Error> {
    let access = extract::task(&app, &caller, &task_id).await?;
    if access.task.issue_id.is_some() {
        app.events.system(access.workspace_id, "task:progress", || {
            let mut payload = json!({
                "task_id": access.task.id,
                "summary": sent.summary.unwrap_or_default(),
            });
            for (name, number) in [("step", sent.step), ("total", sent.total)] {
                if let Some(number) = number.filter(|number| *number != 0) {
                    payload[name] = number.into();
                }
            }
            payload
        });
    }
    Ok(Done::json())
}

/// What a run used so far, a total for each model.
#[derive(Deserialize, ToSchema)]
pub(super) struct UsageReport {
    /// At most 1000.
    usage: Option<Vec<Option<UsageEntry>>>,
}

/// An entry with a negative count is passed over.
#[derive(Deserialize, Default, ToSchema)]
struct UsageEntry {
    /// That of the runtime when it is left out.
    provider: Option<String>,
    model: Option<String>,
    input_tokens: Option<i64>,
    output_tokens: Option<i64>,
    cache_read_tokens: Option<i64>,
    cache_write_tokens: Option<i64>,
}

/// The tokens that a run used.
#[utoipa::path(post, path = "/api/daemon/tasks/{taskId}/usage", tag = "daemon",
    params(("taskId" = TaskId, Path, description = "The task's id")), request_body = UsageReport,
    responses((status = 200, body = Done)))]
pub(super) async fn usage(
    app: App,
    caller: Caller,
    PlaceAccess(place): PlaceAccess,
    Body(sent): Body<UsageReport>,
) -> Result<Json<Done>, Error> {
    let sent: Vec<UsageEntry> =
        sent.usage.unwrap_or_default().into_iter().map(Option::unwrap_or_default).collect();
    if sent.len() > USAGE_ENTRIES {
        return Err(Error::bad_request(format!(
            "usage has {} entries; send at most {USAGE_ENTRIES}",
            sent.len()
        )));
    }
    let failed = |error| Error::internal("failed to store usage", error);
    let provider = if sent.iter().any(|entry| entry.provider_name().is_empty()) {
        let task = extract::task(&app, &caller, &place.task_id.to_string()).await?.task;
        let mut conn = app.db.reader().await.map_err(failed)?;
        let runtime = runtimes::find(&mut conn, task.runtime_id).await.map_err(failed)?;
        runtime.map(|runtime| runtime.provider).unwrap_or_default()
    } else {
        String::new()
    };
    let mut entries = Vec::with_capacity(sent.len());
    for entry in sent {
        if let Some(usage) = entry.read(&provider) {
            entries.push(usage);
        } else {
            tracing::warn!(task.id = %place.task_id, "a usage entry with a negative count was skipped");
        }
    }
    if entries.is_empty() {
        // Nothing is written that would find out whether the task is there.
        extract::task(&app, &caller, &place.task_id.to_string()).await?;
        return Ok(Done::json());
    }
    let (id, now) = (place.task_id, app.clock.now());
    let stored = app.db.write_once(move |c| {
        Box::pin(async move {
            usage::upsert(c, id, &entries, now).await?;
            Ok(entries)
        })
    });
    match stored.await {
        Ok(entries) => entries.iter().for_each(|entry| tell_usage(&place, entry)),
        Err(error @ StoreError::Reference { .. }) => {
            return Err(extract::unless_gone(&app, &caller, id, failed(error)).await);
        }
        Err(error) => return Err(failed(error)),
    }
    Ok(Done::json())
}

/// What was used, for metrics and for the log of how much the providers' caches save.
fn tell_usage(place: &Place, usage: &Usage) {
    metrics::llm_usage(
        &usage.provider,
        &usage.model,
        place.source,
        [
            ("input", usage.input_tokens),
            ("output", usage.output_tokens),
            ("cache_read", usage.cache_read_tokens),
            ("cache_write", usage.cache_write_tokens),
        ],
    );
    let counts = [usage.input_tokens, usage.cache_read_tokens, usage.cache_write_tokens];
    let prompt = counts.into_iter().fold(0_i64, i64::saturating_add);
    if prompt > 0 {
        #[expect(clippy::cast_precision_loss, reason = "a ratio of token counts")]
        let ratio = usage.cache_read_tokens as f64 / prompt as f64;
        tracing::info!(
            task_id = %place.task_id,
            provider = usage.provider,
            model = usage.model,
            input_tokens = usage.input_tokens,
            output_tokens = usage.output_tokens,
            cache_read_tokens = usage.cache_read_tokens,
            cache_write_tokens = usage.cache_write_tokens,
            cache_read_ratio = ratio,
            "task prompt-cache usage"
        );
    }
}

impl UsageEntry {
    fn provider_name(&self) -> String {
        self.provider.as_deref().unwrap_or_default().trim().to_lowercase()
    }

    /// The entry as it is stored; `None` when a count is negative.
    fn read(self, fallback: &str) -> Option<Usage> {
        let provider = self.provider_name();
        let count = |number: Option<i64>| Some(number.unwrap_or(0)).filter(|number| *number >= 0);
        Some(Usage {
            provider: if provider.is_empty() { fallback.to_owned() } else { provider },
            model: self.model.unwrap_or_default(),
            input_tokens: count(self.input_tokens)?,
            output_tokens: count(self.output_tokens)?,
            cache_read_tokens: count(self.cache_read_tokens)?,
            cache_write_tokens: count(self.cache_write_tokens)?,
        })
    }
}

/// What an agent leaves behind.
#[derive(Deserialize, ToSchema)]
#[schema(as = TaskCompletion)]
pub(super) struct Completed {
    /// Its last words; they become a comment or a chat message.
    output: Option<String>,
    pr_url: Option<String>,
    session_id: Option<String>,
    work_dir: Option<String>,
}

/// The agent is done. A task that is not running is answered as it is, which lets a daemon
/// repeat the call.
#[utoipa::path(post, path = "/api/daemon/tasks/{taskId}/complete", tag = "daemon",
    params(("taskId" = TaskId, Path, description = "The task's id")), request_body = Completed,
    responses((status = 200, body = TaskBody)))]
pub(super) async fn complete(
    app: App,
    caller: Caller,
    PlaceAccess(place): PlaceAccess,
    Body(sent): Body<Completed>,
) -> Result<Sorted<TaskBody>, Error> {
    let output = sent.output.unwrap_or_default();
    let done = Completion {
        result: json!({
            "pr_url": sent.pr_url.unwrap_or_default(),
            "output": output,
            "session_id": sent.session_id.as_deref().unwrap_or_default(),
            "work_dir": sent.work_dir.as_deref().unwrap_or_default(),
        }),
        output,
        session_id: unless_empty(sent.session_id),
        work_dir: unless_empty(sent.work_dir),
    };
    let ended = lifecycle::complete(&app, place.task_id, place.workspace_id, done).await;
    let ended = ended.map_err(|error| Error::internal("complete task failed", error))?;
    let Some(task) = ended else {
        let gone = Error::not_found("task not found");
        return Err(extract::unless_gone(&app, &caller, place.task_id, gone).await);
    };
    Ok(answer(&task, place.workspace_id))
}

/// How a run failed.
#[derive(Deserialize, ToSchema)]
#[schema(as = TaskFailure)]
pub(super) struct Failed {
    error: Option<String>,
    session_id: Option<String>,
    work_dir: Option<String>,
    /// Read out of `error` when it is left out; decides whether the task is tried again.
    failure_reason: Option<String>,
}

/// The run failed. A task that is not in flight is answered as it is.
#[utoipa::path(post, path = "/api/daemon/tasks/{taskId}/fail", tag = "daemon",
    params(("taskId" = TaskId, Path, description = "The task's id")), request_body = Failed,
    responses((status = 200, body = TaskBody)))]
pub(super) async fn fail(
    app: App,
    access: TaskAccess,
    Body(sent): Body<Failed>,
) -> Result<Sorted<TaskBody>, Error> {
    let error = sent.error.unwrap_or_default();
    let reason = unless_empty(sent.failure_reason).unwrap_or_else(|| failure::classify(&error).to_owned());
    let failure = Failure {
        error,
        reason,
        session_id: unless_empty(sent.session_id),
        work_dir: unless_empty(sent.work_dir),
    };
    let ended = lifecycle::fail(&app, access.task, access.workspace_id, failure).await;
    let ended = ended.map_err(|error| Error::internal("fail task failed", error))?;
    let task = ended.ok_or_else(|| Error::not_found("task not found"))?;
    Ok(answer(&task, access.workspace_id))
}

/// How a task stands.
#[derive(Serialize, ToSchema)]
#[schema(as = TaskState)]
pub(super) struct State {
    status: TaskStatus,
}

/// How a task stands, for a daemon that runs it: one that was cancelled is to be stopped.
#[utoipa::path(get, path = "/api/daemon/tasks/{taskId}/status", tag = "daemon",
    params(("taskId" = TaskId, Path, description = "The task's id")), responses((status = 200, body = State)))]
pub(super) async fn status(access: TaskAccess) -> Json<State> {
    Json(State { status: access.task.status })
}

/// Where an agent can take up its work again.
#[derive(Deserialize, ToSchema)]
#[schema(as = TaskSession)]
pub(super) struct Session {
    session_id: Option<String>,
    work_dir: Option<String>,
}

/// Keeps where an agent can take up its work again, while it still runs.
#[utoipa::path(post, path = "/api/daemon/tasks/{taskId}/session", tag = "daemon",
    params(("taskId" = TaskId, Path, description = "The task's id")), request_body = Session,
    responses((status = 204, description = "Kept, if the task is dispatched or running")))]
pub(super) async fn pin_session(
    app: App,
    access: TaskAccess,
    Body(sent): Body<Session>,
) -> Result<StatusCode, Error> {
    let (session_id, work_dir) = (unless_empty(sent.session_id), unless_empty(sent.work_dir));
    if session_id.is_none() && work_dir.is_none() {
        return Err(Error::bad_request("session_id or work_dir required"));
    }
    let id = access.task.id;
    let pinned = app.db.write_soon(move |c| {
        Box::pin(
            async move { task_transitions::pin(c, id, session_id.as_deref(), work_dir.as_deref()).await },
        )
    });
    pinned.await.map_err(|error: StoreError| Error::internal("pin session failed", error))?;
    Ok(StatusCode::NO_CONTENT)
}

fn answer(task: &Task, workspace_id: WorkspaceId) -> Sorted<TaskBody> {
    Sorted(TaskBody::new(task, workspace_id))
}

fn unless_empty(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}
