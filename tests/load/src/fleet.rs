//! The daemons and their runtimes, an agent on each runtime, and issues that give them work.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context;
use hyper::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::connection::{Connection, Target};
use crate::sockets::{Member, Owner};

/// So many that no scenario waits for capacity unless it wants to.
const TASKS_AT_ONCE: u64 = 10_000;
/// What an agent of a crew may do at once.
const TASKS_OF_A_CREW: u64 = 32;
/// How many agents a crew has on a runtime at the most.
const LARGEST_CREW: u64 = 64;

/// Everything that was registered; made anew for each run of this program.
pub struct Fleet {
    pub workspace: Arc<str>,
    pub daemons: Vec<Daemon>,
}

pub struct Daemon {
    pub runtimes: Vec<Runtime>,
}

#[derive(Clone, Debug)]
pub struct Runtime {
    pub id: Arc<str>,
    pub agent: Arc<str>,
}

impl Fleet {
    pub async fn register(
        target: &Target,
        workspace: &str,
        daemons: u32,
        runtimes: u32,
    ) -> anyhow::Result<Self> {
        let mut connection = Connection::new(target);
        let workspace = find_workspace(&mut connection, workspace).await?;
        let mut connection = connection.within(&workspace);
        let run = uuid::Uuid::new_v4().simple().to_string();
        let mut made = Vec::new();
        for number in 0..daemons {
            made.push(daemon(&mut connection, &workspace, &run[..8], number, runtimes).await?);
        }
        Ok(Self { workspace: workspace.into(), daemons: made })
    }

    /// Every runtime, so that neighbours belong to different daemons.
    pub fn runtimes(&self) -> Vec<Runtime> {
        let most = self.daemons.iter().map(|daemon| daemon.runtimes.len()).max().unwrap_or(0);
        (0..most)
            .flat_map(|index| self.daemons.iter().filter_map(move |daemon| daemon.runtimes.get(index)))
            .cloned()
            .collect()
    }
}

impl Fleet {
    /// New agents on every runtime, as many as hold this many tasks with none doing more at once
    /// than agents do. One after another they belong to different runtimes.
    pub async fn crew(&self, target: &Target, tasks: u64) -> anyhow::Result<Vec<Runtime>> {
        let runtimes = self.runtimes();
        let on_each = tasks.div_ceil(runtimes.len().max(1) as u64).min(TASKS_AT_ONCE);
        let agents = on_each.div_ceil(TASKS_OF_A_CREW).clamp(1, LARGEST_CREW);
        let at_once = on_each.div_ceil(agents).max(TASKS_OF_A_CREW);
        let run = uuid::Uuid::new_v4().simple().to_string();
        let mut connection = Connection::new(target).within(&self.workspace);
        let mut crew = Vec::new();
        for number in 0..agents {
            for runtime in &runtimes {
                let name = format!("crew {} {number} of {}", &run[..8], runtime.id);
                let agent = agent(&mut connection, &runtime.id, &name, at_once).await?;
                crew.push(Runtime { id: runtime.id.clone(), agent: agent.into() });
            }
        }
        Ok(crew)
    }
}

/// Gives the agent of this runtime one more issue to work on.
pub async fn enqueue(connection: &mut Connection, runtime: &Runtime, number: u64) -> anyhow::Result<()> {
    connection.expect(Method::POST, "/api/issues", &issue(runtime, number)).await.map(drop)
}

/// An issue for the agent of this runtime.
pub fn issue(runtime: &Runtime, number: u64) -> Value {
    json!({
        "title": format!("Load {number}"),
        "description": "Made by the load generator.",
        "assignee_type": "agent",
        "assignee_id": &*runtime.agent,
        "allow_duplicate": true,
    })
}

/// Registers daemons with one runtime each and no agent, `at_once` at a time, their owners in
/// turn.
pub async fn register_crowd(
    target: &Target,
    owners: Vec<Owner>,
    count: u32,
    at_once: u32,
) -> anyhow::Result<Vec<Member>> {
    let run = uuid::Uuid::new_v4().simple().to_string();
    let mut homes = Vec::new();
    for owner in owners {
        let target = Target { authorization: owner.token, ..target.clone() };
        let workspace = find_workspace(&mut Connection::new(&target), &owner.workspace).await?;
        homes.push((target, workspace));
    }
    let (homes, next) = (Arc::new(homes), Arc::new(AtomicU32::new(0)));
    let mut clients: JoinSet<anyhow::Result<Vec<Member>>> = JoinSet::new();
    for _ in 0..at_once.min(count) {
        let (homes, next, run) = (homes.clone(), next.clone(), run[..8].to_owned());
        clients.spawn(async move {
            let mut connections: Vec<Connection> =
                homes.iter().map(|(target, workspace)| Connection::new(target).within(workspace)).collect();
            let mut made = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return Ok(made);
                }
                let place = number as usize % homes.len();
                let ((target, workspace), id) = (&homes[place], format!("crowd-{run}-{number}"));
                for runtime in register(&mut connections[place], workspace, &id, 1).await? {
                    made.push((target.authorization.clone(), runtime.into()));
                }
            }
        });
    }
    let mut members = Vec::new();
    while let Some(client) = clients.join_next().await {
        members.extend(client.context("a client broke off")??);
    }
    Ok(members)
}

async fn find_workspace(connection: &mut Connection, wanted: &str) -> anyhow::Result<String> {
    let list = connection.expect(Method::GET, "/api/workspaces", &Value::Null).await?;
    let named = |entry: &&Value| {
        ["id", "slug"].iter().any(|member| entry.get(*member).and_then(Value::as_str) == Some(wanted))
    };
    let found = list.as_array().and_then(|list| list.iter().find(named));
    let id = found.and_then(|entry| entry.get("id")).and_then(Value::as_str);
    id.map(str::to_owned).with_context(|| format!("the token opens no workspace `{wanted}`"))
}

/// Registers a daemon; gives the ids of its runtimes.
async fn register(
    connection: &mut Connection,
    workspace: &str,
    id: &str,
    runtimes: u32,
) -> anyhow::Result<Vec<String>> {
    let wanted: Vec<Value> = (0..runtimes)
        .map(|index| json!({"name": format!("{id}/{index}"), "type": format!("load-{index}"), "version": "1.0.0"}))
        .collect();
    let body = json!({"workspace_id": workspace, "daemon_id": id, "device_name": "load",
        "cli_version": "0.3.31", "runtimes": wanted});
    let answer = connection.expect(Method::POST, "/api/daemon/register", &body).await?;
    let registered = answer.get("runtimes").and_then(Value::as_array).context("no runtimes in the answer")?;
    let ids = registered.iter().map(|runtime| {
        let id = runtime.get("id").and_then(Value::as_str);
        id.map(str::to_owned).context("a runtime without an id")
    });
    ids.collect()
}

async fn daemon(
    connection: &mut Connection,
    workspace: &str,
    run: &str,
    number: u32,
    runtimes: u32,
) -> anyhow::Result<Daemon> {
    let id = format!("load-{run}-{number}");
    let mut made = Vec::new();
    for runtime in register(connection, workspace, &id, runtimes).await? {
        let name = format!("{id}/{}", made.len());
        let agent = agent(connection, &runtime, &name, TASKS_AT_ONCE).await?;
        made.push(Runtime { id: runtime.into(), agent: agent.into() });
    }
    Ok(Daemon { runtimes: made })
}

/// An agent on the runtime; gives its id.
pub async fn agent(
    connection: &mut Connection,
    runtime: &str,
    name: &str,
    tasks_at_once: u64,
) -> anyhow::Result<String> {
    let agent = json!({
        "name": name,
        "runtime_id": runtime,
        "permission_mode": "public_to",
        "instructions": "You are a load test.",
        "mcp_config": {"mcpServers": {"fetch": {"command": "uvx", "args": ["mcp-server-fetch"]}}},
        "max_concurrent_tasks": tasks_at_once,
    });
    let agent = connection.expect(Method::POST, "/api/agents", &agent).await?;
    let id = agent.get("id").and_then(Value::as_str);
    id.map(str::to_owned).context("an agent without an id")
}
