use utoipa_axum::router::OpenApiRouter;

use crate::app::App;

pub fn routes(app: &App) -> OpenApiRouter<App> {
    let _ = app;
    OpenApiRouter::new()
}

/// What goes under `/api/issues`, whose prefix is mounted in `issues`.
pub fn on_issues() -> OpenApiRouter<App> {
    OpenApiRouter::new()
}
