//! A daemon says that a runtime lives, and hears what there is to do besides tasks.

use axum::Json;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::app::App;
use crate::http::body::Body;
use crate::http::error::Error;
use crate::http::extract::{self, Caller};
use crate::model::ids::RuntimeId;

#[derive(Deserialize)]
pub(super) struct Beat {
    runtime_id: Option<String>,
}

/// `POST /api/daemon/heartbeat`
pub(super) async fn heartbeat(
    app: App,
    caller: Caller,
    Body(sent): Body<Beat>,
) -> Result<Json<Value>, Error> {
    let id = sent.runtime_id.filter(|id| !id.is_empty());
    let id = id.ok_or_else(|| Error::bad_request("runtime_id is required"))?;
    let id = RuntimeId::parse(&id).ok_or_else(|| Error::bad_request("invalid runtime_id"))?;
    let runtime = extract::runtime(&app, &caller, id).await?;
    let alive = app.liveness.beat(&runtime).await;
    if !alive.map_err(|error| Error::internal("heartbeat failed", error))? {
        return Err(Error::not_found("runtime not found"));
    }
    Ok(Json(json!({"status": "ok", "feature_flags": feature_flags(&app)})))
}

/// The whole of what daemons are told of this deployment's switches. They cannot change
/// while the process lives, so the version is always 1.
fn feature_flags(app: &App) -> Value {
    json!({"version": 1, "flags": {"runtime_brief_slim": app.flags.runtime_brief_slim}})
}
