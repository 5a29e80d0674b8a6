//! A request may be answered before its body was read: it is refused for its token, its path
//! or its size. What is left of the body is then taken in and thrown away. Without that the
//! connection would be closed under a caller who is still sending, and who might never see
//! the answer.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::runtime::Handle;

/// The most that is taken in: what the largest request may be. Who sends more is cut off.
const BYTES: usize = 32 << 20;
/// The longest that it may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The outermost layer: nothing that drops a body stands before it.
pub fn take_in(request: Request) -> Request {
    if request.body().is_end_stream() {
        return request;
    }
    request.map(|body| Body::new(Reading { rest: Some(body) }))
}

/// A body under way.
struct Reading {
    /// `None` once it was read to its end, or broke off.
    rest: Option<Body>,
}

impl HttpBody for Reading {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(rest) = &mut self.rest else { return Poll::Ready(None) };
        let polled = Pin::new(&mut *rest).poll_frame(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) || rest.is_end_stream() {
            self.rest = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.rest.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.rest.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        if let (Some(rest), Ok(runtime)) = (self.rest.take(), Handle::try_current()) {
            runtime.spawn(tokio::time::timeout(PATIENCE, throw_away(rest)));
        }
    }
}

async fn throw_away(mut rest: Body) {
    let mut left = BYTES;
    while let Some(Ok(frame)) = rest.frame().await {
        match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
            Some(less) => left = less,
            None => return,
        }
    }
}
