//! Whether the process lives, and whether it can do its work.

use axum::Json;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;

/// The process lives.
#[derive(Serialize, ToSchema)]
pub struct Health {
    status: &'static str,
}

/// Whether the process can do its work.
#[derive(Serialize, ToSchema)]
pub struct Readiness {
    checks: Checks,
    /// `ok`, `degraded` (it works, but not as it should) or `not_ready`.
    status: &'static str,
}

/// What readiness depends on.
#[derive(Serialize, ToSchema)]
pub struct Checks {
    /// `ok` or `error`.
    db: &'static str,
    /// `ok` or `unknown`.
    migrations: &'static str,
    /// Absent when all are loaded; `degraded`, or `missing` when one is required.
    #[serde(skip_serializing_if = "Option::is_none")]
    plugins: Option<&'static str>,
    /// Those that cannot be loaded, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    broken: Vec<String>,
}

/// Whether the process lives.
#[utoipa::path(get, path = "/health", tag = "health", responses((status = 200, body = Health)))]
pub async fn health() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Whether the process can do its work, under another name.
#[utoipa::path(get, path = "/healthz", tag = "health",
    responses((status = 200, body = Readiness), (status = 503, body = Readiness)))]
pub async fn healthy(app: App) -> (StatusCode, Json<Readiness>) {
    ready(app).await
}

/// Whether the process can do its work.
// The schema is brought up to date before the listener opens, so a database that answers
// has it.
#[utoipa::path(get, path = "/readyz", tag = "health",
    responses((status = 200, body = Readiness), (status = 503, body = Readiness)))]
pub async fn ready(app: App) -> (StatusCode, Json<Readiness>) {
    let generation = app.plugins.snapshot();
    let broken: Vec<String> = generation.broken.iter().map(|broken| broken.name.clone()).collect();
    let plugins = if generation.broken.iter().any(|broken| broken.required) {
        Some("missing")
    } else {
        (!broken.is_empty()).then_some("degraded")
    };
    let (db, migrations) = match app.db.ping().await {
        Ok(()) => ("ok", "ok"),
        Err(error) => {
            tracing::warn!(%error, "the database does not answer");
            ("error", "unknown")
        }
    };
    let (code, status) = match (db, plugins) {
        ("ok", None) => (StatusCode::OK, "ok"),
        ("ok", Some("degraded")) => (StatusCode::OK, "degraded"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "not_ready"),
    };
    (code, Json(Readiness { checks: Checks { db, migrations, plugins, broken }, status }))
}
