//! A task on its daemon, from its start to its end.

use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::app::App;
use crate::dispatch::lifecycle::{self, Completion, Failure};
use crate::http::body::{Body, OptionalBody};
use crate::http::error::Error;
use crate::http::extract::{self, Caller, TaskAccess};
use crate::model::failure;
use crate::model::ids::WorkspaceId;
use crate::model::message::Usage;
use crate::model::task::Task;
use crate::model::task_body::task_body;
use crate::store::{StoreError, runtimes, task_transitions, usage};
use crate::telemetry::metrics;

/// The most entries that one usage report may have.
const USAGE_ENTRIES: usize = 1000;

/// `POST /api/daemon/tasks/{taskId}/start`
pub(super) async fn start(app: App, access: TaskAccess) -> Result<Json<Value>, Error> {
    let started = lifecycle::start(&app, access.task.id, access.workspace_id).await;
    let started = started.map_err(|error| Error::internal("start task failed", error))?;
    let task = started.ok_or_else(|| Error::bad_request("start task: no rows in result set"))?;
    Ok(answer(&task, access.workspace_id))
}

#[derive(Deserialize)]
pub(super) struct Waiting {
    reason: Option<String>,
}

/// `POST /api/daemon/tasks/{taskId}/wait-local-directory`
pub(super) async fn wait(
    app: App,
    access: TaskAccess,
    OptionalBody(sent): OptionalBody<Waiting>,
) -> Result<Json<Value>, Error> {
    let reason = sent.reason.map(|reason| reason.trim().to_owned()).filter(|reason| !reason.is_empty());
    let waiting = lifecycle::wait(&app, access.task.id, access.workspace_id, reason).await;
    let waiting =
        waiting.map_err(|error| Error::internal("mark task waiting_local_directory failed", error))?;
    let task = waiting
        .ok_or_else(|| Error::bad_request("mark task waiting_local_directory: no rows in result set"))?;
    Ok(answer(&task, access.workspace_id))
}

#[derive(Deserialize)]
pub(super) struct Progress {
    summary: Option<String>,
    step: Option<i64>,
    total: Option<i64>,
}

/// `POST /api/daemon/tasks/{taskId}/progress`. The body is looked at first. Only told, to
/// whoever watches the issue; nothing is kept.
pub(super) async fn progress(
    app: App,
    caller: Caller,
    Path(task_id): Path<String>,
    Body(sent): Body<Progress>,
) -> Result<Json<Value>, Error> {
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
    Ok(Json(json!({"status": "ok"})))
}

#[derive(Deserialize)]
pub(super) struct UsageReport {
    usage: Option<Vec<Option<UsageEntry>>>,
}

#[derive(Deserialize, Default)]
struct UsageEntry {
    provider: Option<String>,
    model: Option<String>,
    input_tokens: Option<i64>,
    output_tokens: Option<i64>,
    cache_read_tokens: Option<i64>,
    cache_write_tokens: Option<i64>,
}

/// `POST /api/daemon/tasks/{taskId}/usage`
pub(super) async fn usage(
    app: App,
    access: TaskAccess,
    Body(sent): Body<UsageReport>,
) -> Result<Json<Value>, Error> {
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
        let mut conn = app.db.reader().await.map_err(failed)?;
        let runtime = runtimes::find(&mut conn, access.task.runtime_id).await.map_err(failed)?;
        runtime.map(|runtime| runtime.provider).unwrap_or_default()
    } else {
        String::new()
    };
    let mut entries = Vec::with_capacity(sent.len());
    for entry in sent {
        if let Some(usage) = entry.read(&provider) {
            entries.push(usage);
        } else {
            tracing::warn!(task.id = %access.task.id, "a usage entry with a negative count was skipped");
        }
    }
    if entries.is_empty() {
        return Ok(Json(json!({"status": "ok"})));
    }
    let (id, now) = (access.task.id, app.clock.now());
    let stored = app.db.write(move |c| {
        Box::pin(async move {
            for entry in &entries {
                usage::upsert(c, id, entry, now).await?;
            }
            Ok(entries)
        })
    });
    match stored.await {
        Ok(entries) => entries.iter().for_each(|entry| tell_usage(&access.task, entry)),
        // The task was deleted meanwhile; nobody will ask what it used.
        Err(StoreError::Reference { .. }) => {
            tracing::info!(task.id = %id, "usage of a deleted task was dropped");
        }
        Err(error) => return Err(failed(error)),
    }
    Ok(Json(json!({"status": "ok"})))
}

/// What was used, for metrics and for the log of how much the providers' caches save.
fn tell_usage(task: &Task, usage: &Usage) {
    metrics::llm_usage(
        &usage.provider,
        &usage.model,
        task.source(),
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
            task_id = %task.id,
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

#[derive(Deserialize)]
pub(super) struct Completed {
    output: Option<String>,
    pr_url: Option<String>,
    session_id: Option<String>,
    work_dir: Option<String>,
}

/// `POST /api/daemon/tasks/{taskId}/complete`. A task that is not running is answered as it
/// is, which lets a daemon repeat the call.
pub(super) async fn complete(
    app: App,
    access: TaskAccess,
    Body(sent): Body<Completed>,
) -> Result<Json<Value>, Error> {
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
    let ended = lifecycle::complete(&app, access.task, access.workspace_id, done).await;
    let ended = ended.map_err(|error| Error::internal("complete task failed", error))?;
    let task = ended.ok_or_else(|| Error::not_found("task not found"))?;
    Ok(answer(&task, access.workspace_id))
}

#[derive(Deserialize)]
pub(super) struct Failed {
    error: Option<String>,
    session_id: Option<String>,
    work_dir: Option<String>,
    failure_reason: Option<String>,
}

/// `POST /api/daemon/tasks/{taskId}/fail`. A task that is not in flight is answered as it is.
pub(super) async fn fail(
    app: App,
    access: TaskAccess,
    Body(sent): Body<Failed>,
) -> Result<Json<Value>, Error> {
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

/// `GET /api/daemon/tasks/{taskId}/status`
pub(super) async fn status(access: TaskAccess) -> Json<Value> {
    Json(json!({"status": access.task.status.as_str()}))
}

#[derive(Deserialize)]
pub(super) struct Session {
    session_id: Option<String>,
    work_dir: Option<String>,
}

/// `POST /api/daemon/tasks/{taskId}/session`
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

fn answer(task: &Task, workspace_id: WorkspaceId) -> Json<Value> {
    Json(Value::Object(task_body(task, workspace_id)))
}

fn unless_empty(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}
