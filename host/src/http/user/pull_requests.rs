//! The pull requests of an issue. They come from an integration that this gateway does not
//! have, so there are none.

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::http::error::ErrorBody;
use crate::http::issue_path::IssueInPath;

/// What goes under `/api/issues`.
pub fn on_issues() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list))
}

#[derive(Serialize, ToSchema)]
struct PullRequests {
    pull_requests: Vec<serde_json::Value>,
}

/// The issue's pull requests.
#[utoipa::path(get, path = "/{id}/pull-requests", tag = "issues",
    params(("id" = String, Path, description = "The id, or an identifier such as `KEY-12`")),
    responses((status = 200, body = PullRequests), (status = 404, body = ErrorBody)))]
async fn list(_issue: IssueInPath) -> Json<PullRequests> {
    Json(PullRequests { pull_requests: Vec::new() })
}
