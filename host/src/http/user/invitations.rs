use utoipa_axum::router::OpenApiRouter;

use crate::app::App;

/// What goes under `/api/workspaces`.
pub fn on_workspaces() -> OpenApiRouter<App> {
    OpenApiRouter::new()
}
