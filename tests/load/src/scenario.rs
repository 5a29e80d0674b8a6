//! What clients do, each on a connection of its own, until the requests or the time are
//! used up.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use hyper::Method;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::connection::{Answer, Connection, Target};
use crate::course::{Bounds, Course};
use crate::fleet::{self, Fleet, Runtime};
use crate::report::{Report, Seen, Watched};
use crate::sockets::{self, Crowd};
use crate::statements::Counter;
use crate::{process, reload, socket};

#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Scenario {
    /// Heartbeats over HTTP
    Heartbeat,
    /// Heartbeats over WebSocket
    Beat,
    /// Claims of daemons that have nothing to do
    Poll,
    /// Claims, with a task waiting for each
    Claim,
    /// Claims as before, while a plugin's settings change all the time
    Reload,
    /// Whole lives: claim, start, two messages, usage, complete
    Life,
    /// Issues that producers give to agents
    Enqueue,
    /// From an enqueue to the daemon's hold of the task, woken over its WebSocket
    Wakeup,
    /// Many daemons that are connected and only beat: memory and CPU of each
    Sockets,
}

/// Against what a scenario runs, and how the server is watched meanwhile.
#[derive(Clone)]
pub struct Stage {
    pub target: Target,
    pub admin: Option<Target>,
    pub counter: Option<Counter>,
    pub pid: Option<u32>,
    /// What the scenario of many sockets needs to know.
    pub crowd: Crowd,
}

impl Stage {
    pub async fn watched(&self) -> Watched {
        let statements = match &self.counter {
            Some(counter) => counter.read().await,
            None => None,
        };
        Watched { used: self.pid.and_then(process::used), statements }
    }
}

pub async fn run(scenario: Scenario, stage: &Stage, fleet: &Fleet, bounds: Bounds) -> anyhow::Result<Report> {
    if scenario == Scenario::Sockets {
        return sockets::run(stage, &fleet.workspace, bounds.clients).await;
    }
    let requests = stocked(scenario, stage, fleet, bounds).await?;
    run_stocked(scenario, stage, fleet, Bounds { requests, ..bounds }).await
}

/// Queues what the scenario will claim; gives how many requests there are to do.
pub async fn stocked(
    scenario: Scenario,
    stage: &Stage,
    fleet: &Fleet,
    bounds: Bounds,
) -> anyhow::Result<u64> {
    match scenario {
        Scenario::Claim | Scenario::Reload | Scenario::Life => stock(&stage.target, fleet, bounds).await,
        _ => Ok(bounds.requests),
    }
}

/// The scenario by itself, once everything is queued that it needs.
pub async fn run_stocked(
    scenario: Scenario,
    stage: &Stage,
    fleet: &Fleet,
    bounds: Bounds,
) -> anyhow::Result<Report> {
    let runtimes: Arc<[Runtime]> = fleet.runtimes().into();
    let before = stage.watched().await;
    let course = Arc::new(Course::new(bounds));
    let (stop, stopping) = watch::channel(false);
    let operator = match scenario {
        Scenario::Reload => {
            let admin = stage.admin.clone().context("`reload` needs --admin-url and --admin-token")?;
            Some(tokio::spawn(async move { reload::operate(&admin, stopping).await }))
        }
        _ => None,
    };
    let mut clients = JoinSet::new();
    for client in 0..bounds.clients {
        let (target, runtimes, course) = (stage.target.clone(), runtimes.clone(), course.clone());
        let workspace = fleet.workspace.clone();
        clients.spawn(async move {
            let client = client as usize;
            match scenario {
                Scenario::Heartbeat => heartbeats(&target, &runtimes, &course).await,
                Scenario::Beat => socket::beats(&target, &runtimes, &course, client).await,
                Scenario::Poll => polls(&target, &runtimes, &course).await,
                Scenario::Claim | Scenario::Reload => {
                    claims(&target, &runtimes, &course, client, false).await
                }
                Scenario::Life => claims(&target, &runtimes, &course, client, true).await,
                Scenario::Enqueue => enqueues(&target, &workspace, &runtimes, &course).await,
                Scenario::Wakeup => socket::wakeups(&target, &workspace, &runtimes, &course, client).await,
                // Answered above.
                Scenario::Sockets => Seen::default(),
            }
        });
    }
    let mut seen = Seen::default();
    while let Some(client) = clients.join_next().await {
        seen.merge(client.context("a client broke off")?);
    }
    let took = course.elapsed();
    let _ = stop.send(true);
    if let Some(operator) = operator {
        seen.merge(operator.await.context("the operator broke off")??);
    }
    let after = stage.watched().await;
    Ok(Report::new(&format!("{scenario:?}").to_lowercase(), took, course.total(), seen, before, after))
}

/// Queues the tasks that will be claimed, evenly over the runtimes and over agents that were made
/// for them.
async fn stock(target: &Target, fleet: &Fleet, bounds: Bounds) -> anyhow::Result<u64> {
    let crew: Arc<[Runtime]> = fleet.crew(target, bounds.requests).await?.into();
    let course = Arc::new(Course::new(Bounds { rate: 0, ..bounds }));
    let mut clients: JoinSet<anyhow::Result<()>> = JoinSet::new();
    for _ in 0..bounds.clients.min(32) {
        let (target, crew, course) = (target.clone(), crew.clone(), course.clone());
        let workspace = fleet.workspace.clone();
        clients.spawn(async move {
            let mut connection = Connection::new(&target).within(&workspace);
            while let Some(turn) = course.next().await {
                fleet::enqueue(&mut connection, pick(&crew, turn.number), turn.number).await?;
                course.done();
            }
            Ok(())
        });
    }
    while let Some(client) = clients.join_next().await {
        client.context("a producer broke off")??;
    }
    Ok(course.total())
}

pub fn pick(runtimes: &[Runtime], number: u64) -> &Runtime {
    let index = usize::try_from(number).unwrap_or(0) % runtimes.len().max(1);
    &runtimes[index]
}

async fn heartbeats(target: &Target, runtimes: &[Runtime], course: &Course) -> Seen {
    let (mut connection, mut seen) = (Connection::new(target), Seen::default());
    while let Some(turn) = course.next().await {
        let runtime = pick(runtimes, turn.number);
        let body = format!("{{\"runtime_id\":\"{}\",\"supports_batch_import\":true}}", runtime.id);
        let path = "/api/daemon/heartbeat";
        if timed(&mut seen, "heartbeat", &mut connection, path, body.as_bytes(), turn.due).await.is_some() {
            course.done();
        }
    }
    seen
}

async fn polls(target: &Target, runtimes: &[Runtime], course: &Course) -> Seen {
    let (mut connection, mut seen) = (Connection::new(target), Seen::default());
    while let Some(turn) = course.next().await {
        let path = claim_path(pick(runtimes, turn.number));
        if timed(&mut seen, "claim", &mut connection, &path, b"", turn.due).await.is_some() {
            course.done();
        }
    }
    seen
}

async fn enqueues(target: &Target, workspace: &str, runtimes: &[Runtime], course: &Course) -> Seen {
    let (mut connection, mut seen) = (Connection::new(target).within(workspace), Seen::default());
    while let Some(turn) = course.next().await {
        let issue = fleet::issue(pick(runtimes, turn.number), turn.number).to_string();
        if timed(&mut seen, "enqueue", &mut connection, "/api/issues", issue.as_bytes(), turn.due)
            .await
            .is_some()
        {
            course.done();
        }
    }
    seen
}

/// Claims until the course is over or nothing is left; a client begins at a runtime of its
/// own, so that clients do not crowd.
async fn claims(target: &Target, runtimes: &[Runtime], course: &Course, client: usize, live: bool) -> Seen {
    let (mut connection, mut seen) = (Connection::new(target), Seen::default());
    let mut empty = 0;
    let mut at = client;
    while empty < runtimes.len() {
        let Some(turn) = course.next().await else { break };
        let mut due = turn.due;
        // A runtime that has nothing left is passed over; the request's number stands.
        while empty < runtimes.len() {
            let path = claim_path(&runtimes[at % runtimes.len()]);
            at += 1;
            let Some(answer) = timed(&mut seen, "claim", &mut connection, &path, b"", due).await else {
                break;
            };
            if let Some(task) = task_of(&answer) {
                empty = 0;
                if !live || life(&mut seen, &mut connection, &task).await {
                    course.done();
                }
                break;
            }
            empty += 1;
            due = Instant::now();
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
    let done = json!({"output": "Done: the change is in the branch.", "session_id": "load"});
    let steps = [
        ("start", Value::Null),
        ("messages", message(1, "Reading the code.")),
        ("messages", message(2, "Writing the change.")),
        ("usage", usage),
        ("complete", done),
    ];
    for (route, body) in steps {
        let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let path = format!("/api/daemon/tasks/{task}/{route}");
        if timed(seen, route, connection, &path, &bytes, Instant::now()).await.is_none() {
            return false;
        }
    }
    true
}

pub fn claim_path(runtime: &Runtime) -> String {
    format!("/api/daemon/runtimes/{}/tasks/claim", runtime.id)
}

/// Posts and records from when it was due; `None` when the answer was no success.
pub async fn timed(
    seen: &mut Seen,
    route: &'static str,
    connection: &mut Connection,
    path: &str,
    body: &[u8],
    due: Instant,
) -> Option<Answer> {
    match connection.send(Method::POST, path, body).await {
        Ok(answer) if (200..300).contains(&answer.status) => {
            seen.ok(route, due.elapsed());
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
