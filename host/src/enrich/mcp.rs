//! Stage `mcp-overlay`: the agent's MCP configuration and the task's overlay become one.

use std::sync::Arc;

use serde_json::Value;

use super::changes::{Change, Side};
use super::trace::Trace;
use super::{Draft, Stopped};
use crate::plugin::generation::Generation;
use crate::plugin::stage::{McpInput, Merged, Stage};

/// What the plugin chose, read.
enum Chosen {
    Own,
    Config { text: String, value: Value },
    None,
}

/// Without a plugin, or when it fails and is skipped, the agent's own configuration stands.
pub async fn run(generation: &Arc<Generation>, draft: &mut Draft, trace: &mut Trace) -> Result<(), Stopped> {
    let (own, overlay) = (draft.agent_mcp_config.take(), draft.overlay.take());
    if !draft.body.contains_key("agent") || (own.is_none() && overlay.is_none()) {
        return Ok(());
    }
    let mut delivered = own;
    if let Some(plugin) = generation.asked(Stage::McpOverlay, &draft.subject).next() {
        let input = McpInput {
            agent_config: delivered.as_ref().map(Value::to_string),
            overlay: overlay.as_ref().map(Value::to_string),
        };
        let report = plugin.merge_mcp(&draft.subject, &input, read).await;
        if let Some((chosen, times)) = trace.value(plugin, Stage::McpOverlay, report)? {
            let before = input.agent_config.map_or(Side::Absent, Side::Text);
            let mut changes = Vec::new();
            match chosen {
                Chosen::Config { text, value } if delivered.as_ref() != Some(&value) => {
                    changes.push(Change::new("/agent/mcp_config", before, Side::Text(text)));
                    delivered = Some(value);
                }
                Chosen::None if delivered.is_some() => {
                    changes.push(Change::new("/agent/mcp_config", before, Side::Absent));
                    delivered = None;
                }
                Chosen::Own | Chosen::Config { .. } | Chosen::None => {}
            }
            trace.applied(plugin, Stage::McpOverlay, times, changes);
        }
    }
    if let (Some(config), Some(Value::Object(agent))) = (delivered, draft.body.get_mut("agent")) {
        agent.insert("mcp_config".to_owned(), config);
    }
    Ok(())
}

fn read(merged: Merged) -> Result<Chosen, String> {
    Ok(match merged {
        Merged::AgentConfig => Chosen::Own,
        Merged::None => Chosen::None,
        Merged::Config(text) => match serde_json::from_str(&text) {
            Ok(value @ Value::Object(_)) => Chosen::Config { text, value },
            _ => return Err("the merged configuration is not a JSON object".to_owned()),
        },
    })
}
