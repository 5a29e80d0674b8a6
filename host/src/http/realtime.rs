//! `GET /health/realtime`: how many sockets are open, and what became of what was sent.

use std::net::SocketAddr;

use axum::Json;
use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::guard;
use crate::app::App;
use crate::auth::token;

/// Headers of proxies: whoever sent one is not here, wherever the connection comes from.
const FORWARDED: [&str; 4] = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip"];

/// For whoever knows the token that the deployment set; without one, for this machine.
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
    Json(json!({
        "daemons": app.hub.counts(),
        "people": app.events.watchers().counts(),
        "wakeups": {"hit": hits, "miss": misses},
    }))
    .into_response()
}

fn is_forwarded(headers: &HeaderMap) -> bool {
    FORWARDED.iter().any(|name| headers.contains_key(*name))
}
