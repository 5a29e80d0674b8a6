//! A daemon's WebSocket: beats over it, and the wakeups that come by it.

use std::time::Duration;

use anyhow::Context;
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::header::{AUTHORIZATION, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::connection::{Connection, Target};
use crate::course::Course;
use crate::fleet::{self, Runtime};
use crate::report::Seen;
use crate::scenario::{claim_path, pick, task_of};

/// What has not come by then does not come.
pub const PATIENCE: Duration = Duration::from_secs(5);
const BEAT: &str = "heartbeat over WebSocket";
pub const HOLD: &str = "enqueue to hold";

pub type Socket = WebSocketStream<TcpStream>;

/// Beats, each sent when the one before was answered.
pub async fn beats(target: &Target, runtimes: &[Runtime], course: &Course, client: usize) -> Seen {
    let mut seen = Seen::default();
    let runtime = pick(runtimes, client as u64);
    let mut socket = match open(target, &target.authorization, &runtime.id).await {
        Ok(socket) => socket,
        Err(error) => {
            seen.error(BEAT, format!("{error:#}"));
            return seen;
        }
    };
    let frame = beat(&runtime.id);
    while let Some(turn) = course.next().await {
        match answered(&mut socket, frame.clone()).await {
            Ok(_) => {
                seen.ok(BEAT, turn.due.elapsed());
                course.done();
            }
            Err(error) => {
                seen.error(BEAT, format!("{error:#}"));
                return seen;
            }
        }
    }
    seen
}

pub fn beat(runtime: &str) -> Message {
    let payload = json!({"runtime_id": runtime, "supports_batch_import": true});
    Message::text(json!({"type": "daemon:heartbeat", "payload": payload}).to_string())
}

/// Sends a beat and waits for its answer, the text of which is given back.
pub async fn answered(socket: &mut Socket, beat: Message) -> anyhow::Result<String> {
    let ask = async {
        socket.send(beat).await?;
        wait_for(socket, "daemon:heartbeat_ack").await
    };
    tokio::time::timeout(PATIENCE, ask).await.context("the beat was not answered")?
}

/// One daemon with one runtime; clients beyond the runtimes have nothing to do.
pub async fn wakeups(
    target: &Target,
    workspace: &str,
    runtimes: &[Runtime],
    course: &Course,
    client: usize,
) -> Seen {
    let mut seen = Seen::default();
    let Some(runtime) = runtimes.get(client) else { return seen };
    if let Err(error) = listen(target, workspace, runtime, course, &mut seen).await {
        seen.error(HOLD, format!("{error:#}"));
    }
    seen
}

async fn listen(
    target: &Target,
    workspace: &str,
    runtime: &Runtime,
    course: &Course,
    seen: &mut Seen,
) -> anyhow::Result<()> {
    let mut socket = open(target, &target.authorization, &runtime.id).await?;
    let mut producer = Connection::new(target).within(workspace);
    let mut daemon = Connection::new(target);
    // Neither connection is opened on a task's time.
    producer.open().await?;
    daemon.open().await?;
    while let Some(turn) = course.next().await {
        let (number, began) = (turn.number, turn.due);
        let enqueue = fleet::enqueue(&mut producer, runtime, number);
        let hold = async {
            loop {
                let woken = wait_for(&mut socket, "daemon:task_available");
                tokio::time::timeout(PATIENCE, woken).await.context("no wakeup came")??;
                let answer = daemon.send(hyper::Method::POST, &claim_path(runtime), b"").await?;
                // Several wakeups may stand for one task: the second finds nothing.
                if task_of(&answer).is_some() {
                    return Ok(began.elapsed());
                }
            }
        };
        // The daemon does not wait for the producer's answer.
        let (took, ()) = tokio::try_join!(hold, enqueue)?;
        seen.ok(HOLD, took);
        course.done();
    }
    Ok(())
}

/// Opens a daemon's socket for one runtime, with buffers small enough to hold thousands.
pub async fn open(target: &Target, token: &HeaderValue, runtime: &str) -> anyhow::Result<Socket> {
    let url = format!("ws://{}/api/daemon/ws?runtime_ids={runtime}", target.authority);
    let mut request = url.into_client_request()?;
    request.headers_mut().insert(AUTHORIZATION, token.clone());
    let stream = TcpStream::connect(&target.authority).await?;
    stream.set_nodelay(true)?;
    let config = WebSocketConfig::default().read_buffer_size(4096).write_buffer_size(0);
    let opened = client_async_with_config(request, stream, Some(config)).await;
    let (socket, _) = opened.context("the upgrade was refused")?;
    Ok(socket)
}

/// Reads on until a frame of this type comes.
pub async fn wait_for(socket: &mut Socket, kind: &str) -> anyhow::Result<String> {
    while let Some(message) = socket.next().await {
        match message {
            Ok(Message::Text(text)) if text.contains(kind) => return Ok(text.to_string()),
            Ok(_) => {}
            Err(Error::ConnectionClosed) => break,
            Err(error) => return Err(error.into()),
        }
    }
    anyhow::bail!("the socket was closed")
}
