//! What concerns a runtime's tasks before they run, and after their daemon restarted.

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::dispatch::{lifecycle, orphans};
use crate::http::error::{Error, ErrorBody};
use crate::http::extract::{RuntimeAccess, TaskAccess};
use crate::http::sorted::Sorted;
use crate::model::ids::{RuntimeId, TaskId};
use crate::model::task_body::TaskBody;
use crate::store::tasks;

/// What waits for a runtime or was handed to it, the most urgent first.
#[utoipa::path(get, path = "/api/daemon/runtimes/{runtimeId}/tasks/pending", tag = "daemon",
    params(("runtimeId" = RuntimeId, Path, description = "The runtime's id")),
    responses((status = 200, body = Vec<TaskBody>)))]
pub(super) async fn pending(
    app: App,
    RuntimeAccess(runtime): RuntimeAccess,
) -> Result<Sorted<Vec<TaskBody>>, Error> {
    let failed = |error| Error::internal("failed to list pending tasks", error);
    let pending = tasks::list_pending(&mut app.db.reader().await.map_err(failed)?, runtime.id).await;
    let pending = pending.map_err(failed)?;
    Ok(Sorted(pending.iter().map(|task| TaskBody::new(task, runtime.workspace_id)).collect()))
}

/// The daemon still prepares the task, which keeps it from being handed out again.
#[utoipa::path(post, path = "/api/daemon/runtimes/{runtimeId}/tasks/{taskId}/prepare-lease", tag = "daemon",
    params(("runtimeId" = RuntimeId, Path, description = "The runtime's id"),
        ("taskId" = TaskId, Path, description = "The task's id")),
    responses((status = 200, body = TaskBody), (status = 400, body = ErrorBody, description = "The task is not being prepared")))]
pub(super) async fn prepare_lease(
    app: App,
    RuntimeAccess(runtime): RuntimeAccess,
    access: TaskAccess,
) -> Result<Sorted<TaskBody>, Error> {
    if access.workspace_id != runtime.workspace_id || access.task.runtime_id != runtime.id {
        return Err(Error::not_found("task not found"));
    }
    let extended = lifecycle::extend_lease(&app, access.task.id, runtime.id).await;
    let extended = extended.map_err(|error| Error::internal("extend task prepare lease failed", error))?;
    let task =
        extended.ok_or_else(|| Error::bad_request("extend task prepare lease: no rows in result set"))?;
    Ok(Sorted(TaskBody::new(&task, access.workspace_id)))
}

/// What became of the tasks that a restarted daemon left behind.
#[derive(Serialize, ToSchema)]
pub(super) struct Recovered {
    /// How many failed.
    orphaned: usize,
    /// How many of those are tried again.
    retried: usize,
}

/// After a daemon's restart: fails what it had in flight, and tries it again where it may.
#[utoipa::path(post, path = "/api/daemon/runtimes/{runtimeId}/recover-orphans", tag = "daemon",
    params(("runtimeId" = RuntimeId, Path, description = "The runtime's id")),
    responses((status = 200, body = Recovered)))]
pub(super) async fn recover_orphans(
    app: App,
    RuntimeAccess(runtime): RuntimeAccess,
) -> Result<Json<Recovered>, Error> {
    let settled = orphans::recover(&app, runtime.id).await;
    let settled = settled.map_err(|error| Error::internal("recover orphans failed", error))?;
    Ok(Json(Recovered { orphaned: settled.failed, retried: settled.retried }))
}
