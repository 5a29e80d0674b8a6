//! Tasks as people see them: what runs on an issue, what it said, and stopping it.

use utoipa_axum::router::OpenApiRouter;

use crate::app::App;

pub fn routes(app: &App) -> OpenApiRouter<App> {
    let _ = app;
    OpenApiRouter::new()
}

/// What goes under `/api/issues`.
pub fn on_issues() -> OpenApiRouter<App> {
    OpenApiRouter::new()
}
