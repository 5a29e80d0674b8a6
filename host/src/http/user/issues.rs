use utoipa_axum::router::OpenApiRouter;

use crate::app::App;

pub fn routes(app: &App) -> OpenApiRouter<App> {
    let _ = app;
    OpenApiRouter::new()
}
