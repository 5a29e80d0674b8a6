//! A request may be answered before its body was read: it is refused for its token, its path
//! or its size. What is left of the body is then taken in and thrown away. Without that the
//! connection would be closed under a caller who is still sending, and who might never see
//! the answer.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes, HttpBody};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use futures_util::{Stream, StreamExt};
use tokio::runtime::Handle;

/// The most that is taken in: what the largest request may be. Who sends more is cut off.
const BYTES: usize = 32 << 20;
/// The longest that it may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The outermost layer: nothing that drops a body stands before it.
pub async fn take_in(request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let request = request.map(|body| Body::from_stream(Reading { rest: Some(body.into_data_stream()) }));
    next.run(request).await
}

/// A body under way.
struct Reading {
    /// `None` once it was read to its end, or broke off.
    rest: Option<BodyDataStream>,
}

impl Stream for Reading {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(rest) = &mut self.rest else { return Poll::Ready(None) };
        let polled = rest.poll_next_unpin(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.rest = None;
        }
        polled
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        if let (Some(rest), Ok(runtime)) = (self.rest.take(), Handle::try_current()) {
            runtime.spawn(tokio::time::timeout(PATIENCE, throw_away(rest)));
        }
    }
}

async fn throw_away(mut rest: BodyDataStream) {
    let mut left = BYTES;
    while let Some(Ok(bytes)) = rest.next().await {
        match left.checked_sub(bytes.len()) {
            Some(less) => left = less,
            None => return,
        }
    }
}
