//! Every URL, readable top to bottom.

use std::sync::OnceLock;

use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderValue, header};
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use axum::{Extension, Router};
use tower::util::MapRequestLayer;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{admin, cors, daemon, docs, document, guard, health, observe, realtime, unread, user};
use crate::app::App;

/// The most a request may carry: messages and results may be long, and a skill bundle of
/// 8 MiB grows when it is escaped.
const BODY_LIMIT: usize = 32 << 20;

pub(super) const CONTENT_SECURITY_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' https: data:; \
     connect-src 'self' wss:; frame-ancestors 'none'; object-src 'none'; base-uri 'self'; form-action 'self'",
);

/// What every request goes through, outermost first. A macro, because the type cannot be named.
///
/// Put on routes as one layer: each layer by itself is another box around every route, and a
/// request clones all boxes that are within each.
macro_rules! common {
    () => {
        (
            MapRequestLayer::new(unread::take_in),
            observe::Requests,
            SetResponseHeaderLayer::if_not_present(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
            CatchPanicLayer::custom(|_| {
                tracing::error!("a handler panicked");
                axum::response::IntoResponse::into_response(axum::http::StatusCode::INTERNAL_SERVER_ERROR)
            }),
            DefaultBodyLimit::max(BODY_LIMIT),
        )
    };
}

/// What daemons and people reach.
pub fn public(app: App) -> Router {
    let cors = cors::layer(&app.flags.allowed_origins);
    let routes = routes().clone().layer((common!(), Extension(app.clone()), cors));
    routes.with_state(app)
}

/// The tree of routes with the document that describes it. It is the same for every gateway of
/// a process, and takes longer to make than everything else at a start.
fn routes() -> &'static Router<App> {
    static ROUTES: OnceLock<Router<App>> = OnceLock::new();
    ROUTES.get_or_init(|| {
        let (routes, document) = OpenApiRouter::new()
            .routes(routes!(health::health))
            .routes(routes!(realtime::realtime))
            .routes(routes!(health::ready))
            .routes(routes!(health::healthy))
            .routes(routes!(user::socket::upgrade))
            .merge(daemon::routes())
            .merge(user::routes())
            .split_for_parts();
        let document = document::served(document);
        // The document describes the API, and so neither itself nor the page that shows it.
        routes
            .route("/api/openapi.json", get(async move || document))
            .route("/docs", get(docs::page))
            .route("/docs/{file}", get(docs::asset))
            .fallback(guard::page_not_found)
    })
}

/// What operators reach, on a listener of its own.
pub fn admin(app: App) -> Router {
    let operators = admin::routes()
        .fallback(guard::page_not_found)
        .layer(from_fn_with_state(app.clone(), guard::operator));
    let metrics = Router::new()
        .route("/metrics", get(admin::metrics::metrics))
        .route_layer(from_fn_with_state(app.clone(), guard::operator));
    let router = Router::new()
        .route("/health", get(health::health))
        .route("/readyz", get(health::ready))
        .merge(metrics)
        .nest("/admin", operators)
        .fallback(guard::page_not_found);
    router.layer(common!()).with_state(app)
}
