//! One task from its enqueue to its end, then a change of plugins under the running
//! gateway; told as it happens.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::client::{Api, text};
use super::print;
use super::setup::{self, Stage};
use crate::model::ids::TaskId;
use crate::store::{Db, StoreError, tasks};

/// How long an edited document may take to run.
const APPLIED_WITHIN: Duration = Duration::from_secs(5);

pub async fn tell(api: &Api, stage: &Stage, db: &Db, document: &Path, edited: &str) -> anyhow::Result<()> {
    print::chapter("An issue is assigned to the squad");
    let issue = setup::assign(api, stage, "Fix rounding in invoices").await?;
    print::fact("issue", &format!("{} {}", text(&issue, "/identifier")?, text(&issue, "/title")?));
    let pending = api.get(&format!("/api/daemon/runtimes/{}/tasks/pending", stage.runtime)).await?;
    let task = text(&pending, "/0/id")?;
    print::fact("queued", &format!("task {task} for the leader's runtime"));
    attach_overlay(db, &task).await?;
    print::fact("overlay", "the run carries an MCP server of its own, as a connected app gives it");

    print::chapter("The daemon claims it");
    let began = Instant::now();
    let claim = claim(api, stage).await?;
    print::fact("claimed", &format!("in {:.1} ms, plugins included", began.elapsed().as_secs_f64() * 1e3));
    ensure!(text(&claim, "/id")? == task, "another task was claimed");
    let token = text(&claim, "/auth_token")?;
    print::fact("token", &format!("{}… , worth something until the task ends", &token[..8]));

    print::chapter("What the plugins did to it");
    explain(api, &task).await?;

    print::chapter("The agent works");
    run(api, &task).await?;
    let comments = api.get(&format!("/api/issues/{}/comments", text(&issue, "/id")?)).await?;
    print::fact("comment", &text(&comments, "/0/content")?);

    print::chapter("plugins.toml is edited; the gateway runs on");
    let before = generation(api).await?;
    std::fs::write(document, edited).context("plugins.toml could not be written")?;
    print::block(edited);
    let after = applied(api, before).await?;
    print::fact("applied", &format!("generation {before} became {after}"));
    let issue = setup::assign(api, stage, "Fix rounding in receipts").await?;
    print::fact("issue", &format!("{} {}", text(&issue, "/identifier")?, text(&issue, "/title")?));
    let next = self::claim(api, stage).await?;
    let instructions = text(&next, "/agent/instructions")?;
    print::fact("next claim", "its instructions are now:");
    print::block(&instructions);
    ensure!(
        !instructions.contains("## Squad Operating Protocol"),
        "the briefing is still there although its plugin was removed"
    );
    run(api, &text(&next, "/id")?).await?;
    print::fact("restarts", "none");
    Ok(())
}

async fn claim(api: &Api, stage: &Stage) -> anyhow::Result<Value> {
    let answer =
        api.post(&format!("/api/daemon/runtimes/{}/tasks/claim", stage.runtime), Value::Null).await?;
    let task = answer.get("task").cloned().unwrap_or_default();
    ensure!(task.is_object(), "there was nothing to claim");
    Ok(task)
}

/// Prints each step of the trace with the member it changed, before and after.
async fn explain(api: &Api, task: &str) -> anyhow::Result<()> {
    let trace = api.admin(&format!("/admin/tasks/{task}/enrichment")).await?;
    for step in trace.get("steps").and_then(Value::as_array).into_iter().flatten() {
        let micros = |name: &str| step.get(name).and_then(Value::as_u64).unwrap_or_default();
        print::fact(
            &text(step, "/plugin")?,
            &format!(
                "{} at stage {}, {} µs",
                text(step, "/outcome")?,
                text(step, "/stage")?,
                micros("instantiate_us") + micros("guest_us")
            ),
        );
        for change in step.get("changes").and_then(Value::as_array).into_iter().flatten() {
            print::change(change);
        }
    }
    Ok(())
}

/// What a daemon reports while an agent runs.
async fn run(api: &Api, task: &str) -> anyhow::Result<()> {
    let path = |verb: &str| format!("/api/daemon/tasks/{task}/{verb}");
    api.post(&path("start"), Value::Null).await?;
    let messages = [
        json!({"seq": 1, "type": "text", "content": "Reading the invoice code."}),
        json!({"seq": 2, "type": "tool_use", "tool": "bash", "input": {"command": "grep -rn round src"}}),
        json!({"seq": 3, "type": "tool_result", "tool": "bash",
            "output": "src/total.rs:12: round(x)  # API_KEY=sk-this-must-not-be-stored"}),
        json!({"seq": 4, "type": "text", "content": "Delegated to Bo."}),
    ];
    let mut seen = 0;
    for message in messages {
        api.post(&path("messages"), json!({"messages": [message]})).await?;
        let new = api.get(&format!("{}?since={seen}", path("messages"))).await?;
        for message in new.as_array().into_iter().flatten() {
            seen = message.get("seq").and_then(Value::as_i64).unwrap_or(seen);
            let said = ["content", "output"].iter().find_map(|name| message.get(*name)).cloned();
            let said = said.or_else(|| message.get("input").cloned()).unwrap_or_default();
            print::fact(&text(message, "/type")?, said.as_str().unwrap_or(&said.to_string()));
        }
    }
    let usage = json!({"provider": "claude", "model": "claude-sonnet-5", "input_tokens": 5120,
        "output_tokens": 860, "cache_read_tokens": 4096, "cache_write_tokens": 512});
    api.post(&path("usage"), json!({"usage": [usage]})).await?;
    print::fact("usage", "5120 tokens in, 860 out");
    let output = "Delegated to Bo with the failing case attached.";
    let done = api.post(&path("complete"), json!({"output": output, "session_id": "demo-session"})).await?;
    print::fact("status", &text(&done, "/status")?);
    Ok(())
}

async fn generation(api: &Api) -> anyhow::Result<u64> {
    let shown = api.admin("/admin/plugins").await?;
    shown.get("generation").and_then(Value::as_u64).context("the answer has no generation")
}

/// Waits until an edited document runs.
async fn applied(api: &Api, before: u64) -> anyhow::Result<u64> {
    let began = Instant::now();
    while began.elapsed() < APPLIED_WITHIN {
        let now = generation(api).await?;
        if now > before {
            return Ok(now);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    anyhow::bail!("the edited plugins.toml was not applied; the log says why")
}

/// Stands in for an integration that attaches a connected app to the run.
async fn attach_overlay(db: &Db, task: &str) -> anyhow::Result<()> {
    let id = TaskId::parse(task).context("the task has no id")?;
    let overlay = json!({"mcpServers": {"tickets": {"type": "http", "url": "https://mcp.example.com/tickets",
        "headers": {"x-api-key": "demo"}}}});
    let set: Result<(), StoreError> =
        db.write(move |c| Box::pin(async move { tasks::set_overlay(c, id, &overlay).await })).await;
    Ok(set?)
}
