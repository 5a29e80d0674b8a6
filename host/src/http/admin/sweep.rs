//! Sweeping when an operator wants it, rather than at the next tick.

use axum::Json;

use crate::app::App;
use crate::dispatch::sweep::{self, Caller, Report};

/// `POST /admin/sweep`: everything a tick does, purges included; answers what it did.
pub async fn sweep(app: App) -> Json<Report> {
    // On its own, so that what follows a commit is not lost with the connection.
    let swept = tokio::spawn(async move { sweep::once(&app, Caller::Operator).await });
    Json(swept.await.unwrap_or_default())
}
