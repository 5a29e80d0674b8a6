//! Whether the process lives, and whether it can do its work.

use axum::Json;
use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::app::App;

/// `GET /health`
pub async fn health() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

/// `GET /readyz`, `GET /healthz`. The schema is brought up to date before the listener
/// opens, so a database that answers has it.
pub async fn ready(app: App) -> (StatusCode, Json<Value>) {
    match app.db.ping().await {
        Ok(()) => (StatusCode::OK, Json(json!({"status": "ok", "checks": {"db": "ok", "migrations": "ok"}}))),
        Err(error) => {
            tracing::warn!(%error, "the database does not answer");
            let body = json!({"status": "not_ready", "checks": {"db": "error", "migrations": "unknown"}});
            (StatusCode::SERVICE_UNAVAILABLE, Json(body))
        }
    }
}
