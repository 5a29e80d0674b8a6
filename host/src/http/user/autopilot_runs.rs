//! Setting an autopilot off by hand, and what came of each time it went off.

use axum::Json;
use axum::extract::Path;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::autopilots::{Access, page};
use crate::app::App;
use crate::dispatch::autopilot_run::{self, Cause, RunError};
use crate::http::error::Error;
use crate::http::query::Query;
use crate::model::autopilot::Run;
use crate::model::ids::AutopilotRunId;
use crate::store::autopilot_runs;

/// What goes under `/api/autopilots`.
pub(super) fn on_autopilots() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(start)).routes(routes!(list)).routes(routes!(find))
}

/// Sets the autopilot off now. A run that may not start is answered as skipped.
#[utoipa::path(post, path = "/{id}/trigger", tag = "autopilots", params(("id" = String, Path)),
    responses((status = 200, body = Run)))]
async fn start(app: App, access: Access) -> Result<Json<Run>, Error> {
    access.require_write()?;
    if !access.autopilot.is_active() {
        return Err(Error::bad_request("autopilot is not active"));
    }
    Ok(Json(autopilot_run::start(&app, access.autopilot, Cause::manual()).await?))
}

#[derive(Deserialize)]
struct PageQuery {
    limit: Option<String>,
    offset: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct Runs {
    runs: Vec<Run>,
    /// How many this page has.
    total: usize,
}

/// An autopilot's runs, newest first, without what set them off.
#[utoipa::path(get, path = "/{id}/runs", tag = "autopilots",
    params(("id" = String, Path), ("limit" = Option<i64>, Query), ("offset" = Option<i64>, Query)),
    responses((status = 200, body = Runs)))]
async fn list(app: App, access: Access, Query(query): Query<PageQuery>) -> Result<Json<Runs>, Error> {
    let (limit, offset) = page(query.limit.as_deref(), query.offset.as_deref());
    let found = autopilot_runs::list(&mut app.db.reader().await?, access.autopilot.id, limit, offset).await?;
    let runs: Vec<Run> = found.into_iter().map(|run| Run { trigger_payload: None, ..run }).collect();
    Ok(Json(Runs { total: runs.len(), runs }))
}

/// One run.
#[utoipa::path(get, path = "/{id}/runs/{runId}", tag = "autopilots",
    params(("id" = String, Path), ("runId" = String, Path)), responses((status = 200, body = Run)))]
async fn find(app: App, access: Access, Path(ids): Path<(String, String)>) -> Result<Json<Run>, Error> {
    let id = AutopilotRunId::parse(&ids.1).ok_or_else(|| Error::bad_request("invalid run id"))?;
    let found = autopilot_runs::find(&mut app.db.reader().await?, access.autopilot.id, id).await?;
    Ok(Json(found.ok_or_else(|| Error::not_found("run not found"))?))
}

impl From<RunError> for Error {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Store(cause) => Self::internal("failed to trigger autopilot", cause),
            RunError::Failed { .. } | RunError::RanBefore => Self::new(
                axum::http::StatusCode::INTERNAL_SERVER_ERROR,
                format!("failed to trigger autopilot: {error}"),
            ),
        }
    }
}
