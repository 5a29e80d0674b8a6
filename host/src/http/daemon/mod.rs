//! `/api/daemon`: what daemons call.

pub mod claim;
mod deregister;
mod gc;
pub mod heartbeat;
mod legacy;
mod messages;
mod register;
mod reports;
mod runtimes;
mod socket;
mod tasks;
mod workspaces;

use axum::Json;
use axum::extract::DefaultBodyLimit;
use axum::routing::any;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

use super::document::{self, Guard};
use super::gate::Gate;
use super::guard;
use crate::app::App;

/// The most a request may carry, but for those that carry what agents wrote.
const BODY_LIMIT: usize = 1 << 20;
/// The most that messages and results may be.
const OUTPUT_LIMIT: usize = 32 << 20;

/// Authentication comes before matching: an unknown path without a token is a 401. Each path is
/// written out, because a prefix that is mounted is cut off each request's path by itself, and
/// daemons ask more often than all others.
pub fn routes() -> OpenApiRouter<App> {
    let output = DefaultBodyLimit::max(OUTPUT_LIMIT);
    let mut routes = OpenApiRouter::new()
        .routes(routes!(register::register))
        .routes(routes!(deregister::deregister))
        .routes(routes!(heartbeat::heartbeat))
        .routes(routes!(socket::upgrade))
        .routes(routes!(workspaces::repos))
        .routes(routes!(workspaces::profiles))
        .routes(routes!(claim::claim))
        .routes(routes!(claim::resolve_bundles))
        .routes(routes!(runtimes::pending))
        .routes(routes!(runtimes::prepare_lease))
        .routes(routes!(runtimes::recover_orphans))
        .routes(routes!(reports::update))
        .routes(routes!(reports::models))
        .routes(routes!(reports::local_skills))
        .routes(routes!(reports::import).layer(output))
        .routes(routes!(tasks::start))
        .routes(routes!(tasks::wait))
        .routes(routes!(tasks::progress))
        .routes(routes!(tasks::usage))
        .routes(routes!(tasks::complete).layer(output))
        .routes(routes!(tasks::fail).layer(output))
        .routes(routes!(messages::list, messages::post).layer(output))
        .routes(routes!(tasks::status))
        .routes(routes!(tasks::pin_session))
        .routes(routes!(gc::issue))
        .routes(routes!(gc::chat_session))
        .routes(routes!(gc::autopilot_run))
        .routes(routes!(gc::task));
    document::guarded(&mut routes.get_openapi_mut().paths, Guard::Daemon);
    for unknown in ["/api/daemon", "/api/daemon/", "/api/daemon/{*rest}"] {
        routes = routes.route(unknown, any(guard::page_not_found));
    }
    routes.layer((Gate(guard::daemon_plane), DefaultBodyLimit::max(BODY_LIMIT)))
}

/// What is said when there is nothing to say.
#[derive(Serialize, ToSchema)]
struct Done {
    /// `ok`.
    status: &'static str,
}

impl Done {
    fn json() -> Json<Self> {
        Json(Self { status: "ok" })
    }
}
