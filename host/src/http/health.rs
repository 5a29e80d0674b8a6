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
    /// `ok` or `not_ready`.
    status: &'static str,
}

/// What readiness depends on.
#[derive(Serialize, ToSchema)]
pub struct Checks {
    /// `ok` or `error`.
    db: &'static str,
    /// `ok` or `unknown`.
    migrations: &'static str,
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
    match app.db.ping().await {
        Ok(()) => {
            let checks = Checks { db: "ok", migrations: "ok" };
            (StatusCode::OK, Json(Readiness { checks, status: "ok" }))
        }
        Err(error) => {
            tracing::warn!(%error, "the database does not answer");
            let checks = Checks { db: "error", migrations: "unknown" };
            (StatusCode::SERVICE_UNAVAILABLE, Json(Readiness { checks, status: "not_ready" }))
        }
    }
}
