//! A guest that attaches a server to every task that is queued: one whose environment shows what
//! the guest was given, or whatever its configuration says.

use serde::Deserialize;
use serde_json::json;
use switchyard_sdk::prepare::{ConnectedApp, Input, Output, Prepare};
use switchyard_sdk::{Call, Description, Failure, Plugin, TaskKind, export};

struct Attach;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Config {
    /// Sent as it is.
    overlay: Option<String>,
    app: Option<String>,
    /// `trap`, `loop` or a failure's code.
    fail: Option<String>,
}

impl Plugin for Attach {
    fn describe() -> Description {
        Description::new("test-prepare", "1.0.0", "Attaches a server to every task.")
            .config_schema(r#"{"type": "object"}"#)
    }
}

impl Prepare for Attach {
    fn prepare(call: &Call, input: Input) -> Result<Output, Failure> {
        let config: Config = call.config()?;
        match config.fail.as_deref() {
            None => {}
            Some("trap") => panic!("on purpose"),
            #[expect(clippy::empty_loop, reason = "what is tried")]
            Some("loop") => loop {},
            Some(code) => return Err(Failure::new(code, "on purpose")),
        }
        let overlay = config
            .overlay
            .unwrap_or_else(|| json!({ "mcpServers": { "seen": seen(call, &input) } }).to_string());
        let apps = config.app.into_iter().map(|toolkit| ConnectedApp {
            provider: "test".to_owned(),
            server_name: "seen".to_owned(),
            toolkit,
            display_name: Some("Test".to_owned()),
        });
        Ok(Output { overlay: Some(overlay), apps: apps.collect(), attributes: Vec::new() })
    }
}

fn seen(call: &Call, input: &Input) -> serde_json::Value {
    let kind = match input.kind {
        TaskKind::Direct => "direct",
        TaskKind::Comment => "comment",
        TaskKind::Chat => "chat",
        TaskKind::Autopilot => "autopilot",
        TaskKind::QuickCreate => "quick-create",
    };
    let accounts: Vec<String> =
        input.accounts.iter().map(|account| format!("{}={}", account.toolkit, account.account_id)).collect();
    json!({ "command": "true", "env": {
        "TASK": call.task_id,
        "KIND": kind,
        "AGENT": input.agent_id,
        "OWNER": input.owner_id.as_deref().unwrap_or_default(),
        "ALLOWED": input.allowlist.join(","),
        "ACCOUNTS": accounts.join(","),
    } })
}

export!(Attach: prepare);
