//! `/api/daemon`: what daemons call.

mod claim;
mod deregister;
mod gc;
mod heartbeat;
mod legacy;
mod messages;
mod register;
mod reports;
mod runtimes;
mod socket;
mod tasks;
mod workspaces;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};

use super::guard;
use crate::app::App;

/// The most a request may carry, but for those that carry what agents wrote.
const BODY_LIMIT: usize = 1 << 20;
/// The most that messages and results may be.
const OUTPUT_LIMIT: usize = 32 << 20;

/// Authentication comes before matching: an unknown path without a token is a 401.
pub fn routes(app: &App) -> Router<App> {
    let output = DefaultBodyLimit::max(OUTPUT_LIMIT);
    Router::new()
        .route("/register", post(register::register))
        .route("/deregister", post(deregister::deregister))
        .route("/heartbeat", post(heartbeat::heartbeat))
        .route("/ws", get(socket::upgrade))
        .route("/workspaces/{workspaceId}/repos", get(workspaces::repos))
        .route("/workspaces/{workspaceId}/runtime-profiles", get(workspaces::profiles))
        .route("/runtimes/{runtimeId}/tasks/claim", post(claim::claim))
        .route("/runtimes/{runtimeId}/tasks/{taskId}/skill-bundles/resolve", post(claim::resolve_bundles))
        .route("/runtimes/{runtimeId}/tasks/pending", get(runtimes::pending))
        .route("/runtimes/{runtimeId}/tasks/{taskId}/prepare-lease", post(runtimes::prepare_lease))
        .route("/runtimes/{runtimeId}/recover-orphans", post(runtimes::recover_orphans))
        .route("/runtimes/{runtimeId}/update/{updateId}/result", post(reports::update))
        .route("/runtimes/{runtimeId}/models/{requestId}/result", post(reports::models))
        .route("/runtimes/{runtimeId}/local-skills/{requestId}/result", post(reports::local_skills))
        .route(
            "/runtimes/{runtimeId}/local-skills/import/{requestId}/result",
            post(reports::import).layer(output),
        )
        .route("/tasks/{taskId}/start", post(tasks::start))
        .route("/tasks/{taskId}/wait-local-directory", post(tasks::wait))
        .route("/tasks/{taskId}/progress", post(tasks::progress))
        .route("/tasks/{taskId}/usage", post(tasks::usage))
        .route("/tasks/{taskId}/complete", post(tasks::complete).layer(output))
        .route("/tasks/{taskId}/fail", post(tasks::fail).layer(output))
        .route("/tasks/{taskId}/messages", get(messages::list).post(messages::post).layer(output))
        .route("/tasks/{taskId}/status", get(tasks::status))
        .route("/tasks/{taskId}/session", post(tasks::pin_session))
        .route("/issues/{issueId}/gc-check", get(gc::issue))
        .route("/chat-sessions/{sessionId}/gc-check", get(gc::chat_session))
        .route("/autopilot-runs/{runId}/gc-check", get(gc::autopilot_run))
        .route("/tasks/{taskId}/gc-check", get(gc::task))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .fallback(guard::page_not_found)
        .layer(from_fn_with_state(app.clone(), guard::daemon_plane))
}
