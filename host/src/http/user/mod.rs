//! `/api`: what people, bots and agents at work call.

use axum::Router;
use axum::middleware::from_fn_with_state;

use super::guard;
use crate::app::App;

/// The routes of the user plane. A mounted prefix authenticates before it matches; the
/// three kinds of workspace selection are told apart by the layer a prefix carries.
pub fn routes(app: &App) -> Router<App> {
    Router::new().merge(unscoped(app)).merge(scoped(app))
}

/// Routes that need no workspace.
fn unscoped(app: &App) -> Router<App> {
    let _ = app;
    Router::new()
}

/// Routes whose workspace comes from a header or the query.
fn scoped(app: &App) -> Router<App> {
    let _ = app;
    Router::new()
}

/// A prefix under which everything asks for a token first.
pub fn mount(app: &App, prefix: &str, routes: Router<App>) -> Router<App> {
    let routes =
        routes.fallback(guard::page_not_found).layer(from_fn_with_state(app.clone(), guard::user_plane));
    Router::new().nest(prefix, routes)
}

/// As [`mount`], with the workspace from a header or the query.
pub fn mount_scoped(app: &App, prefix: &str, routes: Router<App>) -> Router<App> {
    let routes = routes
        .fallback(guard::page_not_found)
        .layer(from_fn_with_state(app.clone(), guard::scoped))
        .layer(from_fn_with_state(app.clone(), guard::user_plane));
    Router::new().nest(prefix, routes)
}
