//! `/api/daemon`: what daemons call.

use axum::Router;
use axum::middleware::from_fn_with_state;

use super::guard;
use crate::app::App;

/// Authentication comes before matching: an unknown path without a token is a 401.
pub fn routes(app: &App) -> Router<App> {
    Router::new().fallback(guard::page_not_found).layer(from_fn_with_state(app.clone(), guard::daemon_plane))
}
