//! Runs one WebSocket: what waits on its line goes out, with pings between; what comes in is
//! handed on, message by message. Knows nothing of what the messages mean.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt, poll};
use tokio::sync::{Mutex, Notify};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout, timeout_at};

use crate::live::lines::{End, Ending, Outlet, Pace};

/// How long one frame may take to be written.
const WRITE_WAIT: Duration = Duration::from_secs(10);
/// How long a goodbye may take.
const CLOSE_WAIT: Duration = Duration::from_secs(1);

/// What shows that the other side lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Proof {
    /// An answer to a ping, and nothing else.
    Pong,
    /// Anything it sends.
    Message,
}

/// Where messages go out, one at a time.
type Sink = Arc<Mutex<SplitSink<WebSocket, Message>>>;

/// The messages that come in.
pub struct Inbound {
    stream: SplitStream<WebSocket>,
    sink: Sink,
    /// Something was written that the socket did not take at once.
    unflushed: Arc<Notify>,
    end: End,
    proof: Proof,
    /// How long the other side may stay silent.
    silence: Duration,
    deadline: Instant,
    writer: JoinHandle<()>,
}

/// What a request gets that asks for a socket in no way that is known.
pub fn no_handshake() -> Response {
    let version = [(header::SEC_WEBSOCKET_VERSION, "13")];
    (StatusCode::BAD_REQUEST, version, "Bad Request\n").into_response()
}

/// Starts writing what comes out of the line and gives back the side to read from. The other
/// side may stay silent so long, and is pinged when nine tenths of that are over.
pub fn open(socket: WebSocket, outlet: Outlet, end: End, proof: Proof, silence: Duration) -> Inbound {
    let (sink, stream) = socket.split();
    let (sink, unflushed) = (Arc::new(Mutex::new(sink)), Arc::<Notify>::default());
    let writer = tokio::spawn(write(sink.clone(), unflushed.clone(), outlet, end.clone(), silence * 9 / 10));
    Inbound { stream, sink, unflushed, end, proof, silence, deadline: Instant::now() + silence, writer }
}

impl Inbound {
    /// The next message as text; `None` once the line has ended, from either side.
    pub async fn next(&mut self) -> Option<String> {
        loop {
            let end = self.end.clone();
            let received = tokio::select! {
                biased;
                _ = end.come() => return None,
                received = timeout_at(self.deadline, self.stream.next()) => received,
            };
            let message = match received {
                Ok(Some(Ok(message))) => message,
                Ok(Some(Err(error))) => {
                    self.end.bring(if is_too_big(error) { Ending::TooBig } else { Ending::Normal });
                    return None;
                }
                Ok(None) | Err(_) => {
                    self.end.bring(Ending::Normal);
                    return None;
                }
            };
            if self.proof == Proof::Message || matches!(message, Message::Pong(_)) {
                self.deadline = Instant::now() + self.silence;
            }
            match message {
                Message::Text(text) => return Some(text.as_str().to_owned()),
                Message::Binary(bytes) => return Some(String::from_utf8_lossy(&bytes).into_owned()),
                // Answered by the library.
                Message::Ping(_) | Message::Pong(_) => {}
                Message::Close(_) => {
                    self.end.bring(Ending::Normal);
                    return None;
                }
            }
        }
    }

    /// Writes an answer at once, which spares a busy socket a second task's turn. `false` when
    /// that would have to wait: the answer has to go by the line.
    pub async fn answer(&mut self, text: &str) -> bool {
        let Ok(mut sink) = self.sink.try_lock() else { return false };
        let fed = poll!(pin!(sink.feed(Message::Text(text.into()))));
        let Poll::Ready(mut written) = fed else { return false };
        if written.is_ok() {
            match poll!(pin!(sink.flush())) {
                Poll::Ready(flushed) => written = flushed,
                Poll::Pending => self.unflushed.notify_one(),
            }
        }
        if written.is_err() {
            self.end.bring(Ending::Normal);
        }
        true
    }

    /// Ends the line and says how it ended. Waits until the goodbye is out, and gives the
    /// other side a moment to answer it: a socket closed with unread data in it would take
    /// the goodbye along.
    pub async fn close(mut self) -> Ending {
        self.end.bring(Ending::Normal);
        // Fails only when the writer panicked, and then there is nobody to wait for.
        let _ = self.writer.await;
        let answered = async { while let Some(Ok(_)) = self.stream.next().await {} };
        let _ = timeout(CLOSE_WAIT, answered).await;
        self.end.come().await
    }
}

async fn write(sink: Sink, unflushed: Arc<Notify>, mut outlet: Outlet, end: End, ping_every: Duration) {
    let mut pings = interval_at(Instant::now() + ping_every, ping_every);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let ending = loop {
        let message = tokio::select! {
            biased;
            ending = end.come() => break ending,
            frame = outlet.frames.recv() => match frame {
                Some(frame) => Some(Message::Text(frame.as_ref().into())),
                None => break Ending::Normal,
            },
            () = unflushed.notified() => None,
            _ = pings.tick() => Some(Message::Ping(Vec::new().into())),
        };
        let written = tokio::select! {
            biased;
            ending = end.come() => break ending,
            written = async { put(&mut *sink.lock().await, message, &outlet.pace).await } => written,
        };
        if !written {
            end.bring(Ending::Normal);
            break Ending::Normal;
        }
    };
    let (code, reason) = match ending {
        Ending::Normal => (close_code::NORMAL, ""),
        Ending::GoingAway => (close_code::AWAY, "the gateway is stopping"),
        Ending::TooBig => (close_code::SIZE, "message too big"),
        Ending::TooSlow => (close_code::AGAIN, "too slow"),
        Ending::NotAllowed => (close_code::POLICY, "not a member of this workspace any more"),
    };
    let goodbye = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
    // A side that left or does not read is not told.
    let _ = timeout(CLOSE_WAIT, async {
        let mut sink = sink.lock().await;
        sink.send(goodbye).await?;
        sink.close().await
    })
    .await;
}

/// Writes one message, or what was left of others, and tells the line when the socket does not
/// take it at once.
async fn put(sink: &mut SplitSink<WebSocket, Message>, message: Option<Message>, pace: &Pace) -> bool {
    let mut sending = pin!(async {
        match message {
            Some(message) => sink.send(message).await,
            None => sink.flush().await,
        }
    });
    if let Poll::Ready(written) = poll!(sending.as_mut()) {
        return written.is_ok();
    }
    pace.blocked();
    let written = timeout(WRITE_WAIT, sending).await;
    pace.moved();
    matches!(written, Ok(Ok(())))
}

fn is_too_big(error: axum::Error) -> bool {
    let error = error.into_inner();
    matches!(error.downcast_ref::<tungstenite::Error>(), Some(tungstenite::Error::Capacity(_)))
}
