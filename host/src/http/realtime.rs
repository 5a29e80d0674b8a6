//! `GET /health/realtime`: how many sockets are open, and what became of what was sent.

use std::net::SocketAddr;

use axum::Json;
use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::guard;
use crate::app::App;
use crate::auth::token;
use crate::live::lines::Counts;

/// Headers of proxies: whoever sent one is not here, wherever the connection comes from.
const FORWARDED: [&str; 4] = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip"];

/// The sockets of this process.
#[derive(Serialize, ToSchema)]
struct Realtime {
    daemons: Counts,
    people: Counts,
    wakeups: Wakeups,
}

/// Hints that a task waits.
#[derive(Serialize, ToSchema)]
struct Wakeups {
    /// Those that found their daemon's socket.
    hit: u64,
    miss: u64,
}

/// How many sockets are open, for whoever knows the token that the deployment set; without
/// one, for this machine.
#[utoipa::path(get, path = "/health/realtime", tag = "health",
    responses((status = 200, body = Realtime), (status = 401, body = String, content_type = "text/plain"),
        (status = 404, body = String, content_type = "text/plain", description = "Not asked for on this machine")))]
pub async fn realtime(app: App, request: Request) -> Response {
    match &app.flags.realtime_metrics_token {
        Some(hash) => {
            let header = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
            let sent = header.and_then(|text| text.strip_prefix("Bearer ")).unwrap_or_default();
            // Hashes are compared, so that the time it takes tells nothing of the token.
            if token::hash(sent) != *hash {
                let realm = [(header::WWW_AUTHENTICATE, r#"Bearer realm="metrics""#)];
                return (StatusCode::UNAUTHORIZED, realm, "unauthorized\n").into_response();
            }
        }
        None => {
            let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
            let local = peer.is_some_and(|ConnectInfo(peer)| peer.ip().to_canonical().is_loopback());
            if !local || is_forwarded(request.headers()) {
                return guard::page_not_found().await;
            }
        }
    }
    let (hits, misses) = app.hub.wakeups();
    let (daemons, people) = (app.hub.counts(), app.events.watchers().counts());
    Json(Realtime { daemons, people, wakeups: Wakeups { hit: hits, miss: misses } }).into_response()
}

fn is_forwarded(headers: &HeaderMap) -> bool {
    FORWARDED.iter().any(|name| headers.contains_key(*name))
}
