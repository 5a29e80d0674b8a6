//! A daemon says that a runtime lives, and hears what there is to do besides tasks.

use std::time::{Duration, Instant};

use axum::Json;
use serde::Deserialize;

use crate::app::App;
use crate::dispatch::heartbeat::{self, Answer, HeartbeatError};
use crate::http::body::Body;
use crate::http::error::Error;
use crate::http::extract::{Caller, may_use};
use crate::live::liveness::Known;
use crate::model::ids::RuntimeId;
use crate::model::pending_request::Kind;
use crate::telemetry::metrics;

/// A beat that takes longer is told of in the log.
const SLOW: Duration = Duration::from_millis(500);

#[derive(Deserialize)]
pub(super) struct Beat {
    runtime_id: Option<String>,
    /// Whether the daemon takes several imports at once.
    supports_batch_import: Option<bool>,
}

/// `POST /api/daemon/heartbeat`
pub(super) async fn heartbeat(
    app: App,
    caller: Caller,
    Body(sent): Body<Beat>,
) -> Result<Json<Answer>, Error> {
    let begun = Instant::now();
    let runtime = known(&app, &caller, sent.runtime_id.as_deref().unwrap_or_default()).await?;
    let answer = heartbeat::beat(&app, &runtime, sent.supports_batch_import.unwrap_or(false)).await?;
    metrics::heartbeat("http");
    log_if_slow(&runtime, begun.elapsed(), &answer);
    Ok(Json(answer))
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
    if id.is_empty() {
        return Err(Error::bad_request("runtime_id is required"));
    }
    let id = RuntimeId::parse(id).ok_or_else(|| Error::bad_request("invalid runtime_id"))?;
    let failed = |error| Error::internal("failed to load runtime", error);
    let runtime = app.liveness.find(id).await.map_err(failed)?;
    let runtime = runtime.ok_or_else(|| Error::not_found("runtime not found"))?;
    if may_use(app, caller, runtime.workspace_id).await.map_err(failed)? {
        Ok(runtime)
    } else {
        Err(Error::not_found("not found"))
    }
}

fn log_if_slow(runtime: &Known, took: Duration, answer: &Answer) {
    let timed_out = |kind| answer.timed_out.contains(&kind);
    // Nothing waits for the probe of an update, so that one does not count.
    let stalled = answer.timed_out.iter().any(|kind| *kind != Kind::Update);
    if took >= SLOW || stalled {
        tracing::info!(
            runtime_id = %runtime.id,
            outcome = "ok",
            total_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            probe_model_timed_out = timed_out(Kind::ModelList),
            probe_skills_timed_out = timed_out(Kind::LocalSkills),
            probe_import_timed_out = timed_out(Kind::LocalSkillImport),
            "heartbeat_endpoint slow"
        );
    }
}
