//! What clients do, each on a connection of its own, until the requests or the time are
//! used up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use hyper::Method;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::connection::{Answer, Connection, Target};
use crate::fleet::{self, Fleet, Runtime};
use crate::report::{Report, Seen};
use crate::{Bounds, process, reload, socket};

#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Scenario {
    /// Heartbeats over HTTP
    Heartbeat,
    /// Claims of daemons that have nothing to do
    Poll,
    /// Claims, with a task waiting for each
    Claim,
    /// Claims as before, while a plugin's settings change all the time
    Reload,
    /// Whole lives: claim, start, two messages, usage, complete
    Life,
    /// From an enqueue to the daemon's hold of the task, woken over its WebSocket
    Wakeup,
}

/// Hands out the requests of a scenario and knows when it is over.
pub struct Course {
    bounds: Bounds,
    began: Instant,
    taken: AtomicU64,
    done: AtomicU64,
}

impl Course {
    fn new(bounds: Bounds) -> Self {
        Self { bounds, began: Instant::now(), taken: AtomicU64::new(0), done: AtomicU64::new(0) }
    }

    /// The number of the next request, at the moment it is due; `None` when it is over.
    pub async fn next(&self) -> Option<u64> {
        let number = self.taken.fetch_add(1, Ordering::Relaxed);
        if number >= self.bounds.requests || self.began.elapsed() >= self.bounds.time {
            return None;
        }
        if self.bounds.rate > 0 {
            let due = Duration::from_secs(number) / self.bounds.rate;
            if due >= self.bounds.time {
                return None;
            }
            tokio::time::sleep_until((self.began + due).into()).await;
        }
        Some(number)
    }

    pub fn done(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }
}

pub async fn run(
    scenario: Scenario,
    target: &Target,
    admin: Option<&Target>,
    fleet: &Fleet,
    bounds: Bounds,
    pid: Option<u32>,
) -> anyhow::Result<Report> {
    let runtimes: Arc<[Runtime]> = fleet.runtimes().into();
    let stocked = match scenario {
        Scenario::Claim | Scenario::Reload | Scenario::Life => {
            stock(target, fleet, &runtimes, bounds).await?
        }
        Scenario::Heartbeat | Scenario::Poll | Scenario::Wakeup => bounds.requests,
    };
    let before = pid.and_then(process::used);
    let course = Arc::new(Course::new(Bounds { requests: stocked, ..bounds }));
    let (stop, stopping) = watch::channel(false);
    let operator = match scenario {
        Scenario::Reload => {
            let admin = admin.context("`reload` needs --admin-url and --admin-token")?.clone();
            Some(tokio::spawn(async move { reload::operate(&admin, stopping).await }))
        }
        _ => None,
    };
    let mut clients = JoinSet::new();
    for client in 0..bounds.clients {
        let (target, runtimes, course) = (target.clone(), runtimes.clone(), course.clone());
        let workspace = fleet.workspace.clone();
        clients.spawn(async move {
            let client = client as usize;
            match scenario {
                Scenario::Heartbeat => heartbeats(&target, &runtimes, &course).await,
                Scenario::Poll => polls(&target, &runtimes, &course).await,
                Scenario::Claim | Scenario::Reload => {
                    claims(&target, &runtimes, &course, client, false).await
                }
                Scenario::Life => claims(&target, &runtimes, &course, client, true).await,
                Scenario::Wakeup => socket::wakeups(&target, &workspace, &runtimes, &course, client).await,
            }
        });
    }
    let mut seen = Seen::default();
    while let Some(client) = clients.join_next().await {
        seen.merge(client.context("a client broke off")?);
    }
    let took = course.began.elapsed();
    let _ = stop.send(true);
    if let Some(operator) = operator {
        seen.merge(operator.await.context("the operator broke off")??);
    }
    let after = pid.and_then(process::used);
    let done = course.done.load(Ordering::Relaxed);
    Ok(Report::new(&format!("{scenario:?}").to_lowercase(), took, done, seen, before, after))
}

/// Queues the tasks that will be claimed, evenly over the runtimes.
async fn stock(
    target: &Target,
    fleet: &Fleet,
    runtimes: &Arc<[Runtime]>,
    bounds: Bounds,
) -> anyhow::Result<u64> {
    let course = Arc::new(Course::new(Bounds { rate: 0, ..bounds }));
    let mut clients: JoinSet<anyhow::Result<()>> = JoinSet::new();
    for _ in 0..bounds.clients.min(32) {
        let (target, runtimes, course) = (target.clone(), runtimes.clone(), course.clone());
        let workspace = fleet.workspace.clone();
        clients.spawn(async move {
            let mut connection = Connection::new(&target).within(&workspace);
            while let Some(number) = course.next().await {
                fleet::enqueue(&mut connection, pick(&runtimes, number), number).await?;
                course.done();
            }
            Ok(())
        });
    }
    while let Some(client) = clients.join_next().await {
        client.context("a producer broke off")??;
    }
    Ok(course.done.load(Ordering::Relaxed))
}

fn pick(runtimes: &[Runtime], number: u64) -> &Runtime {
    let index = usize::try_from(number).unwrap_or(0) % runtimes.len().max(1);
    &runtimes[index]
}

async fn heartbeats(target: &Target, runtimes: &[Runtime], course: &Course) -> Seen {
    let (mut connection, mut seen) = (Connection::new(target), Seen::default());
    while let Some(number) = course.next().await {
        let runtime = pick(runtimes, number);
        let body = format!("{{\"runtime_id\":\"{}\",\"supports_batch_import\":true}}", runtime.id);
        if timed(&mut seen, "heartbeat", &mut connection, "/api/daemon/heartbeat", body.as_bytes())
            .await
            .is_some()
        {
            course.done();
        }
    }
    seen
}

async fn polls(target: &Target, runtimes: &[Runtime], course: &Course) -> Seen {
    let (mut connection, mut seen) = (Connection::new(target), Seen::default());
    while let Some(number) = course.next().await {
        let path = claim_path(pick(runtimes, number));
        if timed(&mut seen, "claim (nothing)", &mut connection, &path, b"").await.is_some() {
            course.done();
        }
    }
    seen
}

/// Claims until the stock is used up; with `live`, each task lives to its end.
async fn claims(target: &Target, runtimes: &[Runtime], course: &Course, client: usize, live: bool) -> Seen {
    let (mut connection, mut seen) = (Connection::new(target), Seen::default());
    let mut empty = 0;
    let mut at = client;
    while empty < runtimes.len() && course.next().await.is_some() {
        // A runtime that has nothing left is passed over; the request number stands.
        loop {
            let path = claim_path(&runtimes[at % runtimes.len()]);
            let Some(answer) = timed(&mut seen, "claim", &mut connection, &path, b"").await else { break };
            if let Some(task) = task_of(&answer) {
                empty = 0;
                if !live || life(&mut seen, &mut connection, &task).await {
                    course.done();
                }
                at += 1;
                break;
            }
            at += 1;
            empty += 1;
            if empty >= runtimes.len() {
                break;
            }
        }
    }
    seen
}

/// The id in a claim's answer; parsed by hand-picked member so that big answers stay cheap.
pub fn task_of(answer: &Answer) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Claimed {
        task: Option<Task>,
    }
    #[derive(serde::Deserialize)]
    struct Task {
        id: String,
    }
    serde_json::from_slice::<Claimed>(&answer.body).ok()?.task.map(|task| task.id)
}

async fn life(seen: &mut Seen, connection: &mut Connection, task: &str) -> bool {
    let message = |seq: u32, text: &str| json!({"messages": [{"seq": seq, "type": "text", "content": text}]});
    let usage = json!({"usage": [{"provider": "claude", "model": "claude-sonnet-5", "input_tokens": 1000,
        "output_tokens": 200, "cache_read_tokens": 0, "cache_write_tokens": 0}]});
    let steps = [
        ("start", "start", Value::Null),
        ("messages", "messages", message(1, "Reading the code.")),
        ("messages", "messages", message(2, "Writing the change.")),
        ("usage", "usage", usage),
        (
            "complete",
            "complete",
            json!({"output": "Done: the change is in the branch.", "session_id": "load"}),
        ),
    ];
    for (route, verb, body) in steps {
        let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let path = format!("/api/daemon/tasks/{task}/{verb}");
        if timed(seen, route, connection, &path, &bytes).await.is_none() {
            return false;
        }
    }
    true
}

pub fn claim_path(runtime: &Runtime) -> String {
    format!("/api/daemon/runtimes/{}/tasks/claim", runtime.id)
}

/// Posts and records; `None` when the answer was no success.
pub async fn timed(
    seen: &mut Seen,
    route: &'static str,
    connection: &mut Connection,
    path: &str,
    body: &[u8],
) -> Option<Answer> {
    let began = Instant::now();
    match connection.send(Method::POST, path, body).await {
        Ok(answer) if (200..300).contains(&answer.status) => {
            seen.ok(route, began.elapsed());
            Some(answer)
        }
        Ok(answer) => {
            seen.error(route, format!("status {}", answer.status));
            None
        }
        Err(error) => {
            seen.error(route, format!("{error:#}"));
            None
        }
    }
}
