//! The demonstration's workspace: a daemon with one runtime, a squad of two agents and a
//! person, a project with a repository. Making it again finds what is there.

use anyhow::Context;
use serde_json::{Value, json};

use super::client::{Api, text};

pub const SLUG: &str = "demo";
pub const DAEMON: &str = "demo-machine";

/// What the story needs to know of it.
pub struct Stage {
    pub runtime: String,
    pub squad: String,
    pub project: String,
}

pub async fn make(api: &Api, user_id: &str) -> anyhow::Result<Stage> {
    api.put(
        &format!("/api/workspaces/{}", api.workspace),
        json!({
            "name": "Demo",
            "context": "We ship small, reviewed changes.",
            "repos": [{"url": "https://example.com/acme/everything.git", "description": "the monorepo"}],
        }),
    )
    .await?;
    let runtime = register(api).await?;
    let leader = agent(
        api,
        &json!({
            "name": "Ada",
            "runtime_id": runtime,
            "permission_mode": "public_to",
            "instructions": "You are Ada. You plan and review.",
            "mcp_config": {"mcpServers": {"fetch": {"command": "uvx", "args": ["mcp-server-fetch"]}}},
        }),
    )
    .await?;
    let builder = agent(
        api,
        &json!({
            "name": "Bo",
            "runtime_id": runtime,
            "permission_mode": "public_to",
            "instructions": "You are Bo. You write code.",
        }),
    )
    .await?;
    let skill = skill(api).await?;
    api.put(&format!("/api/agents/{builder}/skills"), json!({"skill_ids": [skill]})).await?;
    let squad = squad(api, &leader, &builder, user_id).await?;
    let project = project(api).await?;
    Ok(Stage { runtime, squad, project })
}

/// What a daemon does first. Repeating it gives the same runtime.
async fn register(api: &Api) -> anyhow::Result<String> {
    let registered = api
        .post(
            "/api/daemon/register",
            json!({
                "workspace_id": api.workspace,
                "daemon_id": DAEMON,
                "device_name": "demo",
                "cli_version": "0.3.31",
                "runtimes": [{"name": "Claude on demo", "type": "claude", "version": "2.1.0"}],
            }),
        )
        .await?;
    text(&registered, "/runtimes/0/id")
}

async fn agent(api: &Api, wanted: &Value) -> anyhow::Result<String> {
    match named(&api.get("/api/agents").await?, "name", &text(wanted, "/name")?) {
        Some(id) => Ok(id),
        None => text(&api.post("/api/agents", wanted.clone()).await?, "/id"),
    }
}

async fn skill(api: &Api) -> anyhow::Result<String> {
    const NAME: &str = "rust";
    match named(&api.get("/api/skills").await?, "name", NAME) {
        Some(id) => Ok(id),
        None => {
            let skill = json!({"name": NAME, "description": "writes Rust", "content": "# Rust\nPrefer small functions.\n"});
            text(&api.post("/api/skills", skill).await?, "/id")
        }
    }
}

async fn squad(api: &Api, leader: &str, builder: &str, user_id: &str) -> anyhow::Result<String> {
    const NAME: &str = "Core";
    if let Some(id) = named(&api.get("/api/squads").await?, "name", NAME) {
        return Ok(id);
    }
    let made = api.post("/api/squads", json!({"name": NAME, "leader_id": leader})).await?;
    let id = text(&made, "/id")?;
    api.put(&format!("/api/squads/{id}"), json!({"instructions": "Every change has a test."})).await?;
    let members = format!("/api/squads/{id}/members");
    api.post(&members, json!({"member_type": "agent", "member_id": builder, "role": "builder"})).await?;
    api.post(&members, json!({"member_type": "member", "member_id": user_id, "role": "product"})).await?;
    Ok(id)
}

async fn project(api: &Api) -> anyhow::Result<String> {
    const TITLE: &str = "Billing";
    let list = api.get("/api/projects").await?;
    if let Some(id) = list.get("projects").and_then(|list| named(list, "title", TITLE)) {
        return Ok(id);
    }
    let resource = json!({"resource_type": "github_repo",
        "resource_ref": {"url": "https://example.com/acme/billing.git", "ref": "main"}});
    let made = api.post("/api/projects", json!({"title": TITLE, "resources": [resource]})).await?;
    text(&made, "/id")
}

/// The id of the entry of a list whose member has this value.
fn named(list: &Value, member: &str, value: &str) -> Option<String> {
    let found =
        list.as_array()?.iter().find(|entry| entry.get(member).and_then(Value::as_str) == Some(value))?;
    found.get("id").and_then(Value::as_str).map(str::to_owned)
}

/// Gives work to the squad, as a person does on the board.
pub async fn assign(api: &Api, stage: &Stage, title: &str) -> anyhow::Result<Value> {
    api.post(
        "/api/issues",
        json!({
            "title": title,
            "description": "Totals are off by one cent.",
            "priority": "high",
            "project_id": stage.project,
            "assignee_type": "squad",
            "assignee_id": stage.squad,
            "allow_duplicate": true,
        }),
    )
    .await
    .context("the issue could not be assigned to the squad")
}
