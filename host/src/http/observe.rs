//! Every request leaves a line in the log and a count in the metrics, and whatever is
//! logged on its way carries its id.

use std::cell::OnceCell;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::response::Response;
use tower::{Layer, Service};
use tracing::{Instrument, Span};
use uuid::Uuid;

use crate::auth::Identity;
use crate::model::ids::UserId;
use crate::telemetry::metrics;
use crate::telemetry::slow::Watch;

/// The longest id that a caller may give its request; the log is not theirs to fill.
const ID_BYTES: usize = 128;
/// What is asked too often to be worth a line.
const PROBES: [&str; 3] = ["/health", "/readyz", "/healthz"];

const GIVEN_ID: HeaderName = HeaderName::from_static("x-request-id");
/// What a tool says of itself: its platform, version and system.
const CLIENT: [HeaderName; 3] = [
    HeaderName::from_static("x-client-platform"),
    HeaderName::from_static("x-client-version"),
    HeaderName::from_static("x-client-os"),
];

/// Who called, filled in by the guard that found out.
#[derive(Clone, Default)]
pub struct CalledBy(Arc<OnceLock<UserId>>);

impl CalledBy {
    pub fn note(&self, caller: &Identity) {
        if let Identity::User { user_id } | Identity::Task { user_id, .. } = caller {
            // A request has one caller; a second guard says the same.
            let _ = self.0.set(*user_id);
        }
    }
}

/// What an error told its client, for the log.
#[derive(Clone)]
pub struct Told(pub String);

/// What every request passes, once its body is taken care of. A service rather than a function
/// between others, because such a one costs a request a copy of all that is behind it.
#[derive(Clone, Copy)]
pub struct Requests;

impl<S> Layer<S> for Requests {
    type Service = Observed<S>;

    fn layer(&self, inner: S) -> Observed<S> {
        Observed(inner)
    }
}

#[derive(Clone)]
pub struct Observed<S>(S);

impl<S, B> Service<Request> for Observed<S>
where
    S: Service<Request, Response = Response<B>, Error: 'static, Future: Send + 'static>,
    B: 'static,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<B>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        if PROBES.contains(&request.uri().path()) {
            return Box::pin(self.0.call(request));
        }
        let route = request.extensions().get::<MatchedPath>().cloned().map_or(Route::None, Route::Matched);
        let seen = Seen::of(&request, route);
        let called_by = CalledBy::default();
        request.extensions_mut().insert(called_by.clone());
        let observation = Observation::begin(seen, called_by);
        let answer = observation.span.in_scope(|| self.0.call(request));
        Box::pin(observation.watch(answer))
    }
}

/// A request while it is answered.
pub struct Observation {
    seen: Seen,
    called_by: CalledBy,
    watch: Watch,
    span: Span,
    in_flight: InFlight,
}

impl Observation {
    pub fn begin(seen: Seen, called_by: CalledBy) -> Self {
        let span = tracing::info_span!("request", id = seen.id());
        Self { seen, called_by, watch: Watch::start(), span, in_flight: InFlight::enter() }
    }

    /// The answer, which leaves its line and is counted.
    pub async fn watch<B, E>(
        self,
        answer: impl Future<Output = Result<Response<B>, E>>,
    ) -> Result<Response<B>, E> {
        let Self { seen, called_by, watch, span, in_flight } = self;
        let response = answer.instrument(span.clone()).await?;
        drop(in_flight);
        let took = watch.total();
        metrics::http_request(seen.method(), seen.route(), response.status().as_u16(), took);
        let told = response.extensions().get::<Told>().map(|told| told.0.as_str());
        span.in_scope(|| seen.log(response.status(), told, called_by.0.get(), took));
        Ok(response)
    }
}

/// The pattern that a request's path matched.
pub enum Route {
    Matched(MatchedPath),
    Known(&'static str),
    None,
}

/// What is known of a request before it is answered, as it came: it becomes text where a line
/// is written.
pub struct Seen {
    id: OnceCell<String>,
    method: Method,
    uri: Uri,
    route: Route,
    given_id: Option<HeaderValue>,
    client: [Option<HeaderValue>; 3],
}

impl Seen {
    pub fn of(request: &Request, route: Route) -> Self {
        let header = |name| request.headers().get(name).cloned();
        Self {
            id: OnceCell::new(),
            method: request.method().clone(),
            uri: request.uri().clone(),
            route,
            given_id: header(&GIVEN_ID),
            client: CLIENT.each_ref().map(header),
        }
    }

    /// The caller's own, or one that is made up.
    fn id(&self) -> &str {
        self.id.get_or_init(|| {
            let given = self.given_id.as_ref().and_then(|value| value.to_str().ok());
            let given = given.filter(|id| !id.is_empty() && id.len() <= ID_BYTES);
            given.map_or_else(|| Uuid::now_v7().to_string(), str::to_owned)
        })
    }

    fn route(&self) -> &str {
        match &self.route {
            Route::Known(route) => route,
            // What falls through a prefix matched the prefix alone.
            Route::Matched(route) if !route.as_str().contains("{*") => route.as_str(),
            Route::Matched(_) | Route::None => "unmatched",
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

    fn client(&self, place: usize) -> Option<String> {
        let text = self.client[place].as_ref()?.to_str().ok()?;
        (!text.is_empty()).then(|| text.chars().take(ID_BYTES).collect())
    }

    fn log(&self, status: StatusCode, told: Option<&str>, user: Option<&UserId>, took: Duration) {
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    method = %self.method,
                    path = self.uri.path(),
                    status = status.as_u16(),
                    duration = ?took,
                    request_id = self.id(),
                    user_id = user.map(tracing::field::display),
                    client_platform = self.client(0),
                    client_version = self.client(1),
                    client_os = self.client(2),
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
