//! What concerns a runtime's tasks before they run, and after their daemon restarted.

use axum::Json;
use serde_json::{Value, json};

use crate::app::App;
use crate::dispatch::{lifecycle, orphans};
use crate::http::error::Error;
use crate::http::extract::{RuntimeAccess, TaskAccess};
use crate::model::task_body::task_body;
use crate::store::tasks;

/// `GET /api/daemon/runtimes/{runtimeId}/tasks/pending`
pub(super) async fn pending(app: App, RuntimeAccess(runtime): RuntimeAccess) -> Result<Json<Value>, Error> {
    let failed = |error| Error::internal("failed to list pending tasks", error);
    let pending = tasks::list_pending(&mut app.db.reader().await.map_err(failed)?, runtime.id).await;
    let bodies = pending.map_err(failed)?;
    let bodies = bodies.iter().map(|task| Value::Object(task_body(task, runtime.workspace_id)));
    Ok(Json(bodies.collect()))
}

/// `POST /api/daemon/runtimes/{runtimeId}/tasks/{taskId}/prepare-lease`
pub(super) async fn prepare_lease(
    app: App,
    RuntimeAccess(runtime): RuntimeAccess,
    access: TaskAccess,
) -> Result<Json<Value>, Error> {
    if access.workspace_id != runtime.workspace_id || access.task.runtime_id != runtime.id {
        return Err(Error::not_found("task not found"));
    }
    let extended = lifecycle::extend_lease(&app, access.task.id, runtime.id).await;
    let extended = extended.map_err(|error| Error::internal("extend task prepare lease failed", error))?;
    let task =
        extended.ok_or_else(|| Error::bad_request("extend task prepare lease: no rows in result set"))?;
    Ok(Json(Value::Object(task_body(&task, access.workspace_id))))
}

/// `POST /api/daemon/runtimes/{runtimeId}/recover-orphans`
pub(super) async fn recover_orphans(
    app: App,
    RuntimeAccess(runtime): RuntimeAccess,
) -> Result<Json<Value>, Error> {
    let settled = orphans::recover(&app, runtime.id).await;
    let settled = settled.map_err(|error| Error::internal("recover orphans failed", error))?;
    Ok(Json(json!({"orphaned": settled.failed, "retried": settled.retried})))
}
