//! Many daemons that are connected at the same time and only beat: what each takes of the
//! server's memory, and what their beats take of its processor.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use futures_util::{SinkExt, StreamExt};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::http::header::HeaderValue;

use crate::fleet;
use crate::report::{Report, Seen, as_f64};
use crate::scenario::Stage;
use crate::socket::{self, Socket};

/// How many sockets there are, whose they are, and how they beat.
#[derive(Clone, Debug)]
pub struct Crowd {
    pub sockets: u32,
    /// How long all of them stay connected.
    pub hold: Duration,
    pub beat_every: Duration,
    /// Whose they are, in turn, because a server may bound the sockets of one owner; when there
    /// is nobody, whoever runs the scenario.
    pub owners: Vec<Owner>,
}

/// Somebody with daemons of his own.
#[derive(Clone, Debug)]
pub struct Owner {
    pub token: HeaderValue,
    /// Where they are registered, by id or slug.
    pub workspace: String,
}

/// A daemon's only runtime, and the token it comes in with.
pub type Member = (HeaderValue, Arc<str>);

/// Names of what is reported beside the routes.
pub const MEMORY: &str = "server memory for each socket, KiB";
pub const CPU: &str = "server CPU of their beats, % of a core";
pub const LOST: &str = "sockets that were lost";
const BEAT: &str = "beat";

/// What became of one socket. Few numbers, because there are thousands of them.
struct Stayed {
    took: Vec<Duration>,
    lost: bool,
}

pub async fn run(stage: &Stage, workspace: &str, clients: u32) -> anyhow::Result<Report> {
    let crowd = &stage.crowd;
    let me = Owner { token: stage.target.authorization.clone(), workspace: workspace.to_owned() };
    let owners = if crowd.owners.is_empty() { vec![me] } else { crowd.owners.clone() };
    let members = fleet::register_crowd(&stage.target, owners, crowd.sockets, clients).await?;
    let before = stage.watched().await;
    let began = Instant::now();
    let mut seen = Seen::default();
    let sockets = connect(stage, &members, clients, &mut seen).await?;
    ensure!(!sockets.is_empty(), "no socket could be opened: {}", seen.first_error());
    let connected = sockets.len();
    // What was only needed to come in is given back before memory is read.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let open = stage.watched().await;
    let (stop, stopping) = watch::channel(false);
    let held = Instant::now();
    let mut beating = JoinSet::new();
    for (number, (socket, runtime)) in sockets.into_iter().enumerate() {
        // Spread over the interval, as daemons that were started at any time are.
        let share = u32::try_from(number).unwrap_or(0) % crowd.sockets.max(1);
        let first = crowd.beat_every * share / crowd.sockets.max(1);
        let every = crowd.beat_every;
        let stopping = stopping.clone();
        beating.spawn(async move { stay(socket, &runtime, first, every, stopping).await });
    }
    tokio::time::sleep(crowd.hold).await;
    let after = stage.watched().await;
    let held = held.elapsed();
    let _ = stop.send(true);
    let mut lost = 0;
    while let Some(one) = beating.join_next().await {
        let one = one.context("a socket broke off")?;
        for took in one.took {
            seen.ok(BEAT, took);
        }
        if one.lost {
            seen.error(BEAT, "the socket was closed");
        }
        lost += u64::from(one.lost);
    }
    let mut report = Report::new("sockets", began.elapsed(), connected as u64, seen, open, after);
    if let Some((before, open)) = before.used.zip(open.used) {
        let grown = open.resident_kib.saturating_sub(before.resident_kib);
        report.more.insert(MEMORY, as_f64(grown) / as_f64(connected as u64));
    }
    if let Some((open, after)) = open.used.zip(after.used) {
        report.more.insert(CPU, 100.0 * (after.cpu_seconds - open.cpu_seconds) / held.as_secs_f64());
    }
    report.more.insert(LOST, as_f64(lost));
    Ok(report)
}

type Connected = Vec<(Socket, Arc<str>)>;

/// Opens them, so many at a time.
async fn connect(
    stage: &Stage,
    members: &[Member],
    at_once: u32,
    seen: &mut Seen,
) -> anyhow::Result<Connected> {
    let places = Arc::new(Semaphore::new(at_once as usize));
    let mut opening = JoinSet::new();
    for (token, runtime) in members {
        let (target, places) = (stage.target.clone(), places.clone());
        let (token, runtime) = (token.clone(), runtime.clone());
        opening.spawn(async move {
            let _place = places.acquire_owned().await;
            let began = Instant::now();
            let opened = socket::open(&target, &token, &runtime).await;
            (opened.map(|socket| (socket, runtime)), began.elapsed())
        });
    }
    let mut sockets = Vec::new();
    while let Some(opened) = opening.join_next().await {
        match opened.context("a socket broke off")? {
            (Ok(socket), took) => {
                seen.ok("connect", took);
                sockets.push(socket);
            }
            (Err(error), _) => seen.error("connect", format!("{error:#}")),
        }
    }
    Ok(sockets)
}

/// Beats when it is time, and reads meanwhile so that pings are answered.
async fn stay(
    mut socket: Socket,
    runtime: &str,
    first: Duration,
    every: Duration,
    mut stopping: watch::Receiver<bool>,
) -> Stayed {
    let mut took = Vec::new();
    let mut due = tokio::time::Instant::now() + first;
    let mut sent: Option<Instant> = None;
    let lost = loop {
        tokio::select! {
            _ = stopping.changed() => break false,
            () = tokio::time::sleep_until(due) => {
                if socket.send(socket::beat(runtime)).await.is_err() {
                    break true;
                }
                sent = Some(Instant::now());
                due += every;
            }
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) if text.contains("daemon:heartbeat_ack") => {
                    if let Some(sent) = sent.take() {
                        took.push(sent.elapsed());
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => break true,
            }
        }
    };
    Stayed { took, lost }
}
