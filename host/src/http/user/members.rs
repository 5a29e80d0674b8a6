//! `/api/workspaces/{id}/members`: who belongs to a workspace.

use axum::Json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::http::error::{Error, ErrorBody};
use crate::http::extract::Scope;
use crate::model::ids::WorkspaceId;
use crate::model::member::Member;
use crate::store::members;

/// What goes under `/api/workspaces`.
pub fn on_workspaces() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Everybody in the workspace, oldest membership first.
#[utoipa::path(get, path = "/{id}/members", params(("id" = WorkspaceId, Path)), responses(
    (status = 200, body = [Member]),
    (status = 401, body = ErrorBody),
    (status = 404, body = ErrorBody),
))]
async fn list(app: App, scope: Scope) -> Result<Json<Vec<Member>>, Error> {
    let failed = |error| Error::internal("failed to list members", error);
    let found = members::list(&mut app.db.reader().await.map_err(failed)?, scope.workspace_id).await;
    Ok(Json(found.map_err(failed)?))
}
