//! Daemons on their WebSocket: a task is queued, the daemon is woken and claims it.

use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::StreamExt;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::header::AUTHORIZATION;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::connection::{Connection, Target};
use crate::fleet::{self, Runtime};
use crate::report::Seen;
use crate::scenario::{Course, claim_path, task_of};

/// A wakeup that has not come by then does not come.
const PATIENCE: Duration = Duration::from_secs(5);
const ROUTE: &str = "enqueue to hold";

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
        seen.error(ROUTE, format!("{error:#}"));
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
    let mut socket = open(target, runtime).await?;
    let mut producer = Connection::new(target).within(workspace);
    let mut daemon = Connection::new(target);
    while let Some(number) = course.next().await {
        let began = Instant::now();
        fleet::enqueue(&mut producer, runtime, number).await?;
        loop {
            woken(&mut socket).await?;
            let answer = daemon.send(hyper::Method::POST, &claim_path(runtime), b"").await?;
            // Several wakeups may stand for one task: the second finds nothing.
            if task_of(&answer).is_some() {
                break;
            }
        }
        seen.ok(ROUTE, began.elapsed());
        course.done();
    }
    Ok(())
}

async fn open(target: &Target, runtime: &Runtime) -> anyhow::Result<WebSocketStream<TcpStream>> {
    let url = format!("ws://{}/api/daemon/ws?runtime_ids={}", target.authority, runtime.id);
    let mut request = url.into_client_request()?;
    request.headers_mut().insert(AUTHORIZATION, target.authorization.clone());
    let stream = TcpStream::connect(&target.authority).await?;
    stream.set_nodelay(true)?;
    let (socket, _) = client_async(request, stream).await.context("the upgrade was refused")?;
    Ok(socket)
}

async fn woken(socket: &mut WebSocketStream<TcpStream>) -> anyhow::Result<()> {
    let wait = async {
        while let Some(message) = socket.next().await {
            match message {
                Ok(Message::Text(text)) if text.contains("daemon:task_available") => return Ok(()),
                Ok(_) => {}
                Err(Error::ConnectionClosed) => break,
                Err(error) => return Err(error.into()),
            }
        }
        anyhow::bail!("the socket was closed")
    };
    tokio::time::timeout(PATIENCE, wait).await.context("no wakeup came")?
}
