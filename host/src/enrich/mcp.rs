//! Stage `mcp-overlay`: the agent's MCP configuration and the task's overlay become one.

use std::sync::Arc;

use serde_json::Value;

use super::trace::Trace;
use super::{Draft, Stopped};
use crate::plugin::error::PluginError;
use crate::plugin::generation::Generation;
use crate::plugin::stage::{McpInput, Merged, Stage};

/// Without a plugin, or when it fails and is skipped, the agent's own configuration stands.
pub async fn run(generation: &Arc<Generation>, draft: &mut Draft, trace: &mut Trace) -> Result<(), Stopped> {
    let input = McpInput { agent_config: draft.agent_mcp_config.take(), overlay: draft.overlay.take() };
    if !draft.body.contains_key("agent") || (input.agent_config.is_none() && input.overlay.is_none()) {
        return Ok(());
    }
    let own = input.agent_config.as_deref().map_or(Value::Null, parse);
    let mut chosen = own.clone();
    if let Some(plugin) = generation.serving(Stage::McpOverlay).next() {
        let mut report = plugin.merge_mcp(&draft.subject, &input).await;
        if let Ok(Merged::Config(text)) = &report.result {
            chosen = parse(text);
            if !chosen.is_object() {
                let problem = "the merged configuration is not a JSON object".to_owned();
                report.result = Err(PluginError::InvalidOutput(problem));
                chosen = own.clone();
            }
        }
        if let Some((merged, times)) = trace.value(plugin, Stage::McpOverlay, report)? {
            if merged == Merged::None {
                chosen = Value::Null;
            }
            trace.applied(plugin, Stage::McpOverlay, times, "/agent/mcp_config", &own, &chosen);
        }
    }
    if let (false, Some(Value::Object(agent))) = (chosen.is_null(), draft.body.get_mut("agent")) {
        agent.insert("mcp_config".to_owned(), chosen);
    }
    Ok(())
}

/// `Null` for what is no JSON.
fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}
