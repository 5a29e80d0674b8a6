//! Which pages of other sites may call with a person's login.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// How long a browser may keep what it was told.
const MAX_AGE: Duration = Duration::from_mins(5);

const HEADERS: [HeaderName; 12] = [
    header::ACCEPT,
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    HeaderName::from_static("x-workspace-id"),
    HeaderName::from_static("x-workspace-slug"),
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("x-agent-id"),
    HeaderName::from_static("x-task-id"),
    HeaderName::from_static("x-csrf-token"),
    HeaderName::from_static("x-client-platform"),
    HeaderName::from_static("x-client-version"),
    HeaderName::from_static("x-client-os"),
];

/// Answers preflights, and says in every answer to a named origin that it may be read.
pub fn layer(origins: &[String]) -> CorsLayer {
    let named = origins.iter().filter_map(|origin| {
        // Together with a login a browser takes only its own origin, spelt out.
        let header = HeaderValue::try_from(origin).ok().filter(|_| !origin.contains('*'));
        if header.is_none() {
            tracing::warn!("CORS_ALLOWED_ORIGINS: `{origin}` is no origin and lets nobody in");
        }
        header
    });
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(named.collect::<Vec<_>>()))
        .allow_methods([
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
            Method::OPTIONS,
        ])
        .allow_headers(HEADERS)
        .allow_credentials(true)
        .max_age(MAX_AGE)
}
