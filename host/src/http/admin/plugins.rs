//! The running plugins: shown, replaced, rolled back, and explained.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query};
use axum::http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::app::App;
use crate::claim::elsewhere;
use crate::http::body::Body;
use crate::http::error::Error;
use crate::model::ids::TaskId;
use crate::model::time::seconds;
use crate::plugin::document::DocumentFormat;
use crate::plugin::generation::{Generation, Origin};
use crate::plugin::plugins::{ApplyError, RollbackError, Sent};
use crate::plugin::rollout::Role;

/// A document over this is refused unread.
const MAX_DOCUMENT: usize = 1 << 20;

/// `GET /admin/plugins`: the running set, and the latest document that did not run, if none
/// ran since.
pub async fn show(app: App) -> Json<Value> {
    let mut shown = body(&app.plugins.snapshot());
    if let Some(refused) = app.plugins.refused() {
        shown["refused"] =
            json!({"origin": refused.origin, "at": seconds(refused.at), "faults": refused.faults});
    }
    Json(shown)
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
    let sent = Sent { text: text.to_owned(), format, origin: Origin::Api };
    let mut shown = body(&*app.plugins.apply(sent, dry_run).await?);
    shown["dry_run"] = dry_run.into();
    Ok(Json(shown))
}

#[derive(Deserialize)]
pub struct RollbackBody {
    generation: Option<u64>,
}

/// `POST /admin/plugins/rollback`: an earlier set runs again, as a new generation.
pub async fn rollback(app: App, Body(wanted): Body<RollbackBody>) -> Result<Json<Value>, Error> {
    let number = wanted.generation.ok_or_else(|| Error::bad_request("generation is required"))?;
    Ok(Json(body(&*app.plugins.rollback(number).await?)))
}

/// `GET /admin/tasks/{taskId}/enrichment`: of the latest claim, whichever node answered it.
pub async fn enrichment(app: App, Path(id): Path<String>) -> Result<Json<Value>, Error> {
    let id = TaskId::parse(&id).ok_or_else(|| Error::bad_request("invalid task_id"))?;
    if let Some(trace) = app.traces.find(&id.to_string()) {
        let mut shown = serde_json::to_value(&*trace).unwrap_or_default();
        shown["node"] = app.plugins.node_name().into();
        return Ok(Json(shown));
    }
    let found = elsewhere::find(&app, id).await;
    let found = found.map_err(|error| Error::internal("failed to ask the other nodes", error))?;
    found.map(Json).ok_or_else(|| Error::not_found("no trace of this task is kept"))
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
    let plugins = generation.plugins.iter().map(|plugin| {
        let mut shown = json!({
            "name": plugin.name,
            "version": plugin.version,
            "sha256": plugin.sha256,
            "source": plugin.origin.source,
            "signed_by": plugin.origin.signed_by,
            "stages": plugin.stages,
            "role": plugin.role.as_str(),
            "required": plugin.policy.required,
            "match": plugin.policy.matching,
            "on_error": plugin.policy.on_error,
            "limits": plugin.limits,
            "grants": plugin.grants,
            "breaker": plugin.breaker_state(),
            "counters": plugin.counters(),
        });
        if let Role::Canary { percent, replaces } = &plugin.role {
            shown["canary"] = (*percent).into();
            shown["replaces"] = replaces.as_str().into();
        }
        shown
    });
    json!({
        "generation": generation.number,
        "digest": generation.digest,
        "origin": generation.origin,
        "reason": generation.reason,
        "applied_at": seconds(generation.applied_at),
        "plugins": plugins.collect::<Vec<_>>(),
        "broken": generation.broken,
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
            ApplyError::Store(cause) => Self::internal("failed to keep the set; nothing changed", cause),
        }
    }
}

impl From<RollbackError> for Error {
    fn from(error: RollbackError) -> Self {
        match error {
            RollbackError::Unknown(_) => Self::not_found(error.to_string()),
            RollbackError::Apply(error) => error.into(),
        }
    }
}
