//! A daemon says that a runtime lives, and hears what there is to do besides tasks.

use axum::Json;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::token;
use crate::dispatch::heartbeat::{self, Answer, HeartbeatError};
use crate::http::body::Body;
use crate::http::error::{Error, ErrorBody};
use crate::http::extract::{Caller, may_use};
use crate::live::liveness::Known;
use crate::model::ids::RuntimeId;
use crate::store::StoreError;
use crate::telemetry::metrics;
use crate::telemetry::slow::HeartbeatEndpoint;

/// Which runtime lives.
#[derive(Deserialize, ToSchema)]
pub struct Beat {
    runtime_id: Option<String>,
    /// Whether the daemon takes several imports at once.
    supports_batch_import: Option<bool>,
}

/// A runtime lives. The answer brings what waits for it besides tasks.
#[utoipa::path(post, path = "/api/daemon/heartbeat", tag = "daemon", request_body = Beat,
    responses((status = 200, body = Answer),
        (status = 404, body = ErrorBody, description = "No such runtime; the daemon should register it again")))]
pub async fn heartbeat(app: App, caller: Caller, request: Request) -> Result<Json<Answer>, Error> {
    let mut log = HeartbeatEndpoint::start();
    log.auth_path = auth_path(request.headers());
    let answer = Box::pin(heartbeat_timed(&app, &caller, request, &mut log)).await;
    log.end();
    answer
}

async fn heartbeat_timed(
    app: &App,
    caller: &Caller,
    request: Request,
    log: &mut HeartbeatEndpoint,
) -> Result<Json<Answer>, Error> {
    log.outcome = "bad_body";
    let Body(sent) = Body::<Beat>::from_request(request, app).await?;
    log.decode_ms = log.lap();
    let id = sent.runtime_id.unwrap_or_default();
    log.outcome = if id.is_empty() { "missing_runtime_id" } else { "bad_runtime_id" };
    let wanted = runtime_id(&id)?;
    log.runtime_id = id;
    log.outcome = "runtime_lookup_error";
    let found = find(app, wanted).await?;
    log.runtime_lookup_ms = log.lap();
    log.outcome = "runtime_not_found";
    let runtime = found.ok_or_else(|| Error::not_found("runtime not found"))?;
    log.outcome = "workspace_denied";
    check(app, caller, &runtime).await?;
    log.workspace_check_ms = log.lap();
    log.outcome = "error_update";
    let batch_import = sent.supports_batch_import.unwrap_or(false);
    let answer = heartbeat::beat(app, &runtime, batch_import, &mut log.laps).await?;
    log.outcome = "ok";
    metrics::heartbeat("http");
    Ok(Json(answer))
}

/// What kind of token a request came with.
fn auth_path(headers: &HeaderMap) -> &'static str {
    let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = header.and_then(|text| text.strip_prefix("Bearer ")).unwrap_or_default();
    match token.get(..4) {
        Some(token::DAEMON) => "daemon_token",
        Some(token::PERSONAL) => "pat",
        Some("mcn_") => "cloud_pat",
        _ => "jwt",
    }
}

impl From<HeartbeatError> for Error {
    fn from(error: HeartbeatError) -> Self {
        match error {
            HeartbeatError::Gone => Self::not_found("runtime not found"),
            HeartbeatError::Store(error) => Self::internal("heartbeat failed", error),
        }
    }
}

/// As [`crate::http::extract::runtime`], from what is remembered of rows where it can be.
pub(super) async fn known(app: &App, caller: &Caller, id: &str) -> Result<Known, Error> {
    let runtime = find(app, runtime_id(id)?).await?;
    let runtime = runtime.ok_or_else(|| Error::not_found("runtime not found"))?;
    check(app, caller, &runtime).await?;
    Ok(runtime)
}

fn runtime_id(id: &str) -> Result<RuntimeId, Error> {
    if id.is_empty() {
        return Err(Error::bad_request("runtime_id is required"));
    }
    RuntimeId::parse(id).ok_or_else(|| Error::bad_request("invalid runtime_id"))
}

async fn find(app: &App, id: RuntimeId) -> Result<Option<Known>, Error> {
    app.liveness.find(id).await.map_err(failed)
}

async fn check(app: &App, caller: &Caller, runtime: &Known) -> Result<(), Error> {
    if may_use(app, caller, runtime.workspace_id).await.map_err(failed)? {
        Ok(())
    } else {
        Err(Error::not_found("not found"))
    }
}

fn failed(error: StoreError) -> Error {
    Error::internal("failed to load runtime", error)
}
