//! What a stage returned, as JSON for people and scripts.

use serde_json::{Value, json};

use super::stage::{Decision, Merged, Operation, PrepareOutput, Repo, Resolution};

pub fn resolution(resolution: &Resolution) -> Value {
    match resolution {
        Resolution::Workspace => json!("workspace"),
        Resolution::These(repos) => json!({"these": repos.iter().map(repo).collect::<Vec<_>>()}),
    }
}

pub fn merged(merged: &Merged) -> Value {
    match merged {
        Merged::AgentConfig => json!("agent-config"),
        Merged::None => json!("none"),
        Merged::Config(text) => json!({"config": parsed(text)}),
    }
}

pub fn prepared(prepared: &PrepareOutput) -> Value {
    let apps = prepared.apps.iter().map(|app| {
        json!({
            "provider": app.provider,
            "server_name": app.server_name,
            "toolkit": app.toolkit,
            "display_name": app.display_name,
        })
    });
    json!({"overlay": prepared.overlay.as_deref().map(parsed), "apps": apps.collect::<Vec<_>>()})
}

pub fn decision(decision: &Decision) -> Value {
    match decision {
        Decision::Deny { code, reason } => json!({"deny": {"code": code, "reason": reason}}),
        Decision::Patch(operations) => json!({"patch": operations.iter().map(operation).collect::<Vec<_>>()}),
    }
}

fn operation(operation: &Operation) -> Value {
    match operation {
        Operation::AppendInstructions(text) => json!({"append-instructions": text}),
        Operation::AppendContext(text) => json!({"append-context": text}),
        Operation::AddRepo(given) => json!({"add-repo": repo(given)}),
        Operation::AddArg(text) => json!({"add-arg": text}),
        Operation::PutMcpServer(name, text) => {
            json!({"put-mcp-server": {"name": name, "value": parsed(text)}})
        }
        Operation::PutEnv(name, text) => json!({"put-env": {"name": name, "value": parsed(text)}}),
        Operation::Set(name, text) => json!({"set": {"name": name, "value": parsed(text)}}),
    }
}

fn repo(repo: &Repo) -> Value {
    json!({"url": repo.url, "description": repo.description, "ref": repo.reference})
}

/// JSON text as JSON; text that is none stays text.
fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}
