//! Every request leaves a line in the log and a count in the metrics, and whatever is
//! logged on its way carries its id.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument;
use uuid::Uuid;

use crate::model::ids::UserId;
use crate::telemetry::metrics;
use crate::telemetry::slow::Watch;

/// The longest id that a caller may give its request; the log is not theirs to fill.
const ID_BYTES: usize = 128;
/// What is asked too often to be worth a line.
const PROBES: [&str; 3] = ["/health", "/readyz", "/healthz"];

/// Who called, filled in by the guard that found out.
#[derive(Clone, Default)]
pub struct CalledBy(Arc<OnceLock<UserId>>);

impl CalledBy {
    pub fn note(&self, user: UserId) {
        // A request has one caller; a second guard says the same.
        let _ = self.0.set(user);
    }
}

/// What an error told its client, for the log.
#[derive(Clone)]
pub struct Told(pub String);

/// The outermost layer.
pub async fn requests(mut request: Request, next: Next) -> Response {
    if PROBES.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    let watch = Watch::start();
    let seen = Seen::of(&request);
    let span = tracing::info_span!("request", id = seen.id);
    let called_by = CalledBy::default();
    request.extensions_mut().insert(called_by.clone());
    let in_flight = InFlight::enter();
    let response = next.run(request).instrument(span.clone()).await;
    drop(in_flight);
    let took = watch.total();
    metrics::http_request(seen.method(), &seen.route, response.status().as_u16(), took);
    let told = response.extensions().get::<Told>().map(|told| told.0.as_str());
    span.in_scope(|| seen.log(response.status(), told, called_by.0.get(), took));
    response
}

/// What is known of a request before it is answered.
struct Seen {
    id: String,
    method: Method,
    path: String,
    route: String,
    client: [String; 3],
}

impl Seen {
    fn of(request: &Request) -> Self {
        let headers = request.headers();
        let given = text(headers, "x-request-id").filter(|id| !id.is_empty() && id.len() <= ID_BYTES);
        let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
        // What falls through a mounted prefix matched the prefix alone.
        let route = route.filter(|route| !route.contains("{*"));
        let client = ["x-client-platform", "x-client-version", "x-client-os"]
            .map(|name| text(headers, name).unwrap_or_default().chars().take(ID_BYTES).collect());
        Self {
            id: given.map_or_else(|| Uuid::now_v7().to_string(), str::to_owned),
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            route: route.unwrap_or("unmatched").to_owned(),
            client,
        }
    }

    /// One of the methods that exist; a label must not be whatever a caller makes up.
    fn method(&self) -> &'static str {
        match self.method {
            Method::GET => "GET",
            Method::POST => "POST",
            Method::PUT => "PUT",
            Method::PATCH => "PATCH",
            Method::DELETE => "DELETE",
            Method::HEAD => "HEAD",
            Method::OPTIONS => "OPTIONS",
            _ => "OTHER",
        }
    }

    fn log(&self, status: StatusCode, told: Option<&str>, user: Option<&UserId>, took: Duration) {
        let [client_platform, client_version, client_os] =
            self.client.each_ref().map(|text| Some(text.as_str()).filter(|text| !text.is_empty()));
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    method = %self.method,
                    path = self.path,
                    status = status.as_u16(),
                    duration = ?took,
                    request_id = self.id,
                    user_id = user.map(tracing::field::display),
                    client_platform,
                    client_version,
                    client_os,
                    "http request"
                )
            };
        }
        // A service elsewhere that fails is no failure of the gateway.
        if status == StatusCode::BAD_GATEWAY {
            line!(warn);
        } else if status.is_server_error() {
            line!(error);
        } else if status.is_client_error() && !is_expected(status, told) {
            line!(warn);
        } else {
            line!(info);
        }
    }
}

/// A daemon that asks for what is gone hears so and moves on; nothing is wrong.
fn is_expected(status: StatusCode, told: Option<&str>) -> bool {
    let told = told.unwrap_or_default().to_lowercase();
    status == StatusCode::NOT_FOUND && (told.contains("runtime not found") || told.contains("task not found"))
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Counts a request until it is answered or its client is gone.
struct InFlight;

impl InFlight {
    fn enter() -> Self {
        metrics::http_in_flight(1);
        Self
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        metrics::http_in_flight(-1);
    }
}
