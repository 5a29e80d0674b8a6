//! `/admin`: what operators call, on a listener of its own.

mod generations;
pub mod metrics;
mod plugins;
mod recordings;
mod sweep;

use axum::Router;
use axum::routing::{get, post};

use crate::app::App;

pub fn routes() -> Router<App> {
    Router::new()
        .route("/plugins", get(plugins::show).put(plugins::apply))
        .route("/plugins/generations", get(generations::list))
        .route("/plugins/generations/{number}", get(generations::show))
        .route("/plugins/generations/{number}/diff", get(generations::diff))
        .route("/plugins/recordings", get(recordings::list))
        .route("/plugins/recordings/{id}", get(recordings::show))
        .route("/plugins/nodes", get(generations::nodes))
        .route("/plugins/rollback", post(plugins::rollback))
        .route("/tasks/{taskId}/enrichment", get(plugins::enrichment))
        .route("/sweep", post(sweep::sweep))
}
