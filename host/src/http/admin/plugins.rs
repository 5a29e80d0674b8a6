//! The running plugins: shown, replaced, rolled back, and explained.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query};
use axum::http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::app::App;
use crate::enrich::trace::Trace;
use crate::http::body::Body;
use crate::http::error::Error;
use crate::model::ids::TaskId;
use crate::model::time::seconds;
use crate::plugin::document::DocumentFormat;
use crate::plugin::generation::Generation;
use crate::plugin::plugins::{ApplyError, RollbackError};

/// A document over this is refused unread.
const MAX_DOCUMENT: usize = 1 << 20;

/// `GET /admin/plugins`
pub async fn show(app: App) -> Json<Value> {
    Json(body(&app.plugins.snapshot()))
}

#[derive(Deserialize)]
pub struct ApplyQuery {
    dry_run: Option<String>,
}

/// `PUT /admin/plugins`: the whole document, TOML or JSON by content type. Either all of it
/// runs when this answers, or nothing changed. With `dry_run=true` nothing changes.
pub async fn apply(
    app: App,
    Query(query): Query<ApplyQuery>,
    headers: HeaderMap,
    document: Bytes,
) -> Result<Json<Value>, Error> {
    let dry_run = match query.dry_run.as_deref() {
        None | Some("" | "false") => false,
        Some("true") => true,
        Some(other) => {
            return Err(Error::bad_request(format!("dry_run: `{other}` is neither `true` nor `false`")));
        }
    };
    let format = format_of(&headers)?;
    if document.len() > MAX_DOCUMENT {
        let message = format!("the document has {} bytes; at most {MAX_DOCUMENT} are taken", document.len());
        return Err(Error::new(StatusCode::PAYLOAD_TOO_LARGE, message));
    }
    let text = std::str::from_utf8(&document).map_err(|_| Error::bad_request("the document is not UTF-8"))?;
    let base = app.plugins.base_dir();
    let generation = app.plugins.apply(text, format, base.as_deref(), dry_run).await?;
    let mut body = body(&generation);
    body["dry_run"] = dry_run.into();
    Ok(Json(body))
}

/// `GET /admin/plugins/generations`: newest first.
pub async fn generations(app: App) -> Json<Value> {
    let running = app.plugins.snapshot().number;
    let list: Vec<Value> = app
        .plugins
        .generations()
        .iter()
        .map(|generation| {
            let names: Vec<&str> = generation.plugins.iter().map(|plugin| plugin.name.as_str()).collect();
            json!({
                "generation": generation.number,
                "digest": generation.digest,
                "applied_at": seconds(generation.applied_at),
                "running": generation.number == running,
                "plugins": names,
            })
        })
        .collect();
    Json(json!({"generations": list}))
}

#[derive(Deserialize)]
pub struct RollbackBody {
    generation: Option<u64>,
}

/// `POST /admin/plugins/rollback`: an earlier set runs again, as a new generation.
pub async fn rollback(app: App, Body(wanted): Body<RollbackBody>) -> Result<Json<Value>, Error> {
    let number = wanted.generation.ok_or_else(|| Error::bad_request("generation is required"))?;
    let generation = app.plugins.rollback(number)?;
    Ok(Json(body(&generation)))
}

/// `GET /admin/tasks/{taskId}/enrichment`
pub async fn enrichment(app: App, Path(id): Path<String>) -> Result<Json<Trace>, Error> {
    let id = TaskId::parse(&id).ok_or_else(|| Error::bad_request("invalid task_id"))?;
    let trace = app.traces.find(&id.to_string());
    let trace = trace.ok_or_else(|| Error::not_found("no trace of this task is kept"))?;
    Ok(Json(Trace::clone(&trace)))
}

fn format_of(headers: &HeaderMap) -> Result<DocumentFormat, Error> {
    let stated = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if stated.contains("toml") {
        Ok(DocumentFormat::Toml)
    } else if stated.contains("json") {
        Ok(DocumentFormat::Json)
    } else {
        let message = "send the document with `Content-Type: application/toml` or `application/json`";
        Err(Error::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message))
    }
}

fn body(generation: &Generation) -> Value {
    let plugins: Vec<Value> = generation
        .plugins
        .iter()
        .map(|plugin| {
            json!({
                "name": plugin.name,
                "version": plugin.version,
                "sha256": plugin.sha256,
                "stages": plugin.stages,
                "on_error": plugin.on_error,
                "grants": plugin.grants,
                "limits": plugin.limits,
                "breaker": plugin.breaker_state(),
                "counters": plugin.counters(),
            })
        })
        .collect();
    json!({
        "generation": generation.number,
        "digest": generation.digest,
        "applied_at": seconds(generation.applied_at),
        "plugins": plugins,
    })
}

impl From<ApplyError> for Error {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::Busy => Self::conflict("another apply is running; try again when it has ended"),
            ApplyError::Faults(faults) => {
                let message = "the document was not applied; nothing changed";
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, message).with("faults", json!(faults))
            }
        }
    }
}

impl From<RollbackError> for Error {
    fn from(error: RollbackError) -> Self {
        match error {
            RollbackError::Unknown(_) => Self::not_found(error.to_string()),
            RollbackError::Busy => Self::conflict(error.to_string()),
        }
    }
}
