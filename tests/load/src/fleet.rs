//! The daemons and their runtimes, an agent on each runtime, and issues that give them work.

use std::sync::Arc;

use anyhow::Context;
use hyper::Method;
use serde_json::{Value, json};

use crate::connection::{Connection, Target};

/// So many that no scenario waits for capacity unless it wants to.
const TASKS_AT_ONCE: u32 = 10_000;

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

/// Gives the agent of this runtime one more issue to work on.
pub async fn enqueue(connection: &mut Connection, runtime: &Runtime, number: u64) -> anyhow::Result<()> {
    let issue = json!({
        "title": format!("Load {number}"),
        "description": "Made by the load generator.",
        "assignee_type": "agent",
        "assignee_id": &*runtime.agent,
        "allow_duplicate": true,
    });
    connection.expect(Method::POST, "/api/issues", &issue).await.map(drop)
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

async fn daemon(
    connection: &mut Connection,
    workspace: &str,
    run: &str,
    number: u32,
    runtimes: u32,
) -> anyhow::Result<Daemon> {
    let id = format!("load-{run}-{number}");
    let wanted: Vec<Value> = (0..runtimes)
        .map(|index| json!({"name": format!("{id}/{index}"), "type": format!("load-{index}"), "version": "1.0.0"}))
        .collect();
    let body = json!({"workspace_id": workspace, "daemon_id": id, "device_name": "load",
        "cli_version": "0.3.31", "runtimes": wanted});
    let answer = connection.expect(Method::POST, "/api/daemon/register", &body).await?;
    let registered = answer.get("runtimes").and_then(Value::as_array).context("no runtimes in the answer")?;
    let mut made = Vec::new();
    for runtime in registered {
        let runtime = runtime.get("id").and_then(Value::as_str).context("a runtime without an id")?;
        let agent = json!({
            "name": format!("{id}/{}", made.len()),
            "runtime_id": runtime,
            "permission_mode": "public_to",
            "instructions": "You are a load test.",
            "mcp_config": {"mcpServers": {"fetch": {"command": "uvx", "args": ["mcp-server-fetch"]}}},
            "max_concurrent_tasks": TASKS_AT_ONCE,
        });
        let agent = connection.expect(Method::POST, "/api/agents", &agent).await?;
        let agent = agent.get("id").and_then(Value::as_str).context("an agent without an id")?;
        made.push(Runtime { id: runtime.into(), agent: agent.into() });
    }
    Ok(Daemon { runtimes: made })
}
