//! What a daemon asks before it deletes a directory: does the thing it belongs to still
//! live? An answer of "absent" may cost data, so a failure is never reported as one.

use axum::Json;
use axum::extract::Path;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::http::error::Error;
use crate::http::extract::{Caller, TaskAccess, may_use};
use crate::model::ids::{AutopilotRunId, ChatSessionId, IssueId, TaskId, WorkspaceId};
use crate::model::time::{Time, nanos};
use crate::store::{StoreError, autopilots, issues, sessions};

/// What stands for "not yet".
const NEVER: &str = "0001-01-01T00:00:00Z";

/// How a thing stands that is never over for good.
#[derive(Serialize, ToSchema)]
#[schema(as = LiveState)]
pub(super) struct Live {
    status: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

/// How a thing stands that comes to an end.
#[derive(Serialize, ToSchema)]
#[schema(as = EndState)]
pub(super) struct Ending {
    /// `0001-01-01T00:00:00Z` before the end.
    #[schema(format = DateTime)]
    completed_at: String,
    status: String,
}

/// Whether an issue's directory is still needed.
#[utoipa::path(get, path = "/api/daemon/issues/{issueId}/gc-check", tag = "daemon",
    params(("issueId" = IssueId, Path, description = "The issue's id")), responses((status = 200, body = Live)))]
pub(super) async fn issue(app: App, caller: Caller, Path(id): Path<String>) -> Result<Json<Live>, Error> {
    let id = IssueId::parse(&id).ok_or_else(|| Error::bad_request("invalid issue_id"))?;
    let failed = |error| Error::internal("failed to load issue", error);
    let found = issues::find(&mut app.db.reader().await.map_err(failed)?, id).await.map_err(failed)?;
    let issue = found.ok_or_else(|| Error::not_found("issue not found"))?;
    allow(&app, &caller, issue.workspace_id).await.map_err(failed)??;
    Ok(Json(Live { status: issue.status, updated_at: nanos(issue.updated_at) }))
}

/// Whether a chat's directory is still needed.
#[utoipa::path(get, path = "/api/daemon/chat-sessions/{sessionId}/gc-check", tag = "daemon",
    params(("sessionId" = ChatSessionId, Path, description = "The chat session's id")),
    responses((status = 200, body = Live)))]
pub(super) async fn chat_session(
    app: App,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Live>, Error> {
    let id = ChatSessionId::parse(&id).ok_or_else(|| Error::bad_request("invalid session_id"))?;
    let failed = |error| Error::internal("failed to load chat session", error);
    let mut conn = app.db.reader().await.map_err(failed)?;
    let found = sessions::find_state(&mut conn, id).await.map_err(failed)?;
    drop(conn);
    let session = found.ok_or_else(|| Error::not_found("chat session not found"))?;
    allow(&app, &caller, session.workspace_id).await.map_err(failed)??;
    Ok(Json(Live { status: session.status, updated_at: nanos(session.updated_at) }))
}

/// Whether the directory of an autopilot's run is still needed.
#[utoipa::path(get, path = "/api/daemon/autopilot-runs/{runId}/gc-check", tag = "daemon",
    params(("runId" = AutopilotRunId, Path, description = "The run's id")), responses((status = 200, body = Ending)))]
pub(super) async fn autopilot_run(
    app: App,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Ending>, Error> {
    let id = AutopilotRunId::parse(&id).ok_or_else(|| Error::bad_request("invalid run_id"))?;
    let failed = |error| Error::internal("failed to load autopilot run", error);
    let mut conn = app.db.reader().await.map_err(failed)?;
    let found = autopilots::find_run_state(&mut conn, id).await.map_err(failed)?;
    drop(conn);
    let run = found.ok_or_else(|| Error::not_found("autopilot run not found"))?;
    allow(&app, &caller, run.workspace_id).await.map_err(failed)??;
    Ok(Json(Ending { status: run.status, completed_at: or_never(run.completed_at) }))
}

/// Whether a task's directory is still needed.
#[utoipa::path(get, path = "/api/daemon/tasks/{taskId}/gc-check", tag = "daemon",
    params(("taskId" = TaskId, Path, description = "The task's id")), responses((status = 200, body = Ending)))]
pub(super) async fn task(access: TaskAccess) -> Json<Ending> {
    let task = access.task;
    Json(Ending { status: task.status.as_str().to_owned(), completed_at: or_never(task.completed_at) })
}

fn or_never(time: Option<Time>) -> String {
    time.map_or_else(|| NEVER.to_owned(), nanos)
}

async fn allow(app: &App, caller: &Caller, workspace: WorkspaceId) -> Result<Result<(), Error>, StoreError> {
    let allowed = may_use(app, caller, workspace).await?;
    Ok(if allowed { Ok(()) } else { Err(Error::not_found("not found")) })
}
