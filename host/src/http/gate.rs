//! A function that stands before routes: it lets a request pass, and may leave something in it,
//! or answers it. What stands behind is called without a copy of more than one route, which a
//! function between others would cost each time.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use tower::{Layer, Service, ServiceExt};

use super::error::Error;
use crate::app::App;

/// The layer of a guard. The App that it is given is the one in the request's extensions.
#[derive(Clone, Copy)]
pub struct Gate<G>(pub G);

impl<G: Clone, S> Layer<S> for Gate<G> {
    type Service = Gated<G, S>;

    fn layer(&self, route: S) -> Gated<G, S> {
        Gated { guard: self.0.clone(), route }
    }
}

#[derive(Clone)]
pub struct Gated<G, S> {
    guard: G,
    route: S,
}

impl<G, P, R, S> Service<Request> for Gated<G, S>
where
    G: Fn(App, Request) -> P,
    P: Future<Output = Result<Request, R>> + Send + 'static,
    R: IntoResponse + Send,
    S: Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // The route is asked once the guard has let the request pass.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let Some(app) = request.extensions().get::<App>().cloned() else {
            let lost = Error::internal("the gateway failed", anyhow::anyhow!("no App"));
            return Box::pin(std::future::ready(Ok(lost.into_response())));
        };
        let (passed, route) = ((self.guard)(app, request), self.route.clone());
        Box::pin(async move {
            match passed.await {
                Ok(request) => route.oneshot(request).await,
                Err(answer) => Ok(answer.into_response()),
            }
        })
    }
}
