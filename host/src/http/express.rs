//! The two calls that daemons repeat all day long, past the tree of routes: to walk the tree and
//! its layers took longer than to answer. Only what is plain goes this way, and hears what it would
//! hear from the tree; whatever is odd about a request goes there.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::HttpBody;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use futures_util::future::Either;
use tower::Service;

use super::extract::Caller;
use super::observe::{CalledBy, Observation, Route, Seen};
use super::router::CONTENT_SECURITY_POLICY;
use super::{daemon, guard, unread};
use crate::app::App;

/// The most that a request may carry here. Neither call has more to say.
const BYTES: u64 = 1 << 16;

const HEARTBEAT: &str = "/api/daemon/heartbeat";
const CLAIM: &str = "/api/daemon/runtimes/{runtimeId}/tasks/claim";

/// What the tree says of other sites' pages to those who come from none.
const VARY: HeaderValue = HeaderValue::from_static("origin");
const CREDENTIALS: HeaderValue = HeaderValue::from_static("true");

/// Answers the two calls itself, and asks `tree` for all others.
#[derive(Clone)]
pub struct Express<S> {
    app: App,
    tree: S,
}

#[derive(Clone, Copy)]
enum Stop {
    Heartbeat,
    Claim,
}

impl<S> Express<S> {
    pub fn new(app: App, tree: S) -> Self {
        Self { app, tree }
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

impl<S: Service<Request, Response = Response, Error = Infallible>> Service<Request> for Express<S> {
    type Response = Response;
    type Error = Infallible;
    type Future = Either<Answer, S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.tree.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let Some(stop) = Stop::of(&request) else { return Either::Right(self.tree.call(request)) };
        let (app, called_by) = (self.app.clone(), CalledBy::default());
        let seen = Seen::of(&request, Route::Known(stop.route()));
        // On the heap before all that is put around it: it is large, and would be copied each time.
        let answer = Box::pin(answer(app, stop, unread::take_in(request), called_by.clone()));
        Either::Left(Box::pin(Observation::begin(seen, called_by).watch(dressed(answer))))
    }
}

impl Stop {
    fn of(request: &Request) -> Option<Self> {
        let is_plain = request.method() == Method::POST
            && !request.headers().contains_key(header::ORIGIN)
            && request.body().size_hint().exact().is_some_and(|bytes| bytes <= BYTES);
        let path = request.uri().path();
        if !is_plain {
            None
        } else if path == HEARTBEAT {
            Some(Self::Heartbeat)
        } else {
            runtime(path).map(|_| Self::Claim)
        }
    }

    /// The pattern that the tree has for it.
    fn route(self) -> &'static str {
        match self {
            Self::Heartbeat => HEARTBEAT,
            Self::Claim => CLAIM,
        }
    }
}

/// The id in a claim's path, if it looks like one.
fn runtime(path: &str) -> Option<&str> {
    let id = path.strip_prefix("/api/daemon/runtimes/")?.strip_suffix("/tasks/claim")?;
    (id.len() == 36 && id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')).then_some(id)
}

async fn answer(app: App, stop: Stop, request: Request, called_by: CalledBy) -> Response {
    let caller = match guard::daemon_caller(&app, request.headers()).await {
        Ok(identity) => identity,
        Err(refused) => return refused.into_response(),
    };
    called_by.note(&caller);
    let caller = Caller(caller);
    match stop {
        Stop::Heartbeat => daemon::heartbeat::heartbeat(app, caller, request).await.into_response(),
        Stop::Claim => {
            let (parts, _) = request.into_parts();
            let id = runtime(parts.uri.path()).unwrap_or_default();
            daemon::claim::claim_for(&app, &caller, id, &parts.headers).await.into_response()
        }
    }
}

/// What the tree's layers do to an answer.
async fn dressed(answer: impl Future<Output = Response>) -> Result<Response, Infallible> {
    let mut response = match AssertUnwindSafe(answer).catch_unwind().await {
        Ok(mut response) => {
            response.headers_mut().insert(header::VARY, VARY);
            response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, CREDENTIALS);
            response
        }
        Err(_) => {
            tracing::error!("a handler panicked");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    };
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY);
    Ok(response)
}
