//! Stage `mcp-overlay`: the agent's MCP configuration and the task's overlay become one.

use std::sync::Arc;

use serde_json::Value;

use super::changes::{Change, Side};
use super::trace::{Applied, Trace};
use super::{Draft, Stopped, record};
use crate::plugin::generation::Generation;
use crate::plugin::output;
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
    let input = || McpInput {
        agent_config: delivered.as_ref().map(Value::to_string),
        overlay: overlay.as_ref().map(Value::to_string),
    };
    for shadow in generation.shadows(Stage::McpOverlay, &draft.subject) {
        let (subject, input) = (draft.subject.clone(), input());
        trace.shadows.call(shadow, Stage::McpOverlay, move |plugin| async move {
            let report = plugin.merge_mcp(&subject, &input, read).await;
            report.map(|chosen| Applied::Changed(difference(input, chosen)))
        });
    }
    if let Some(plugin) = generation.called(Stage::McpOverlay, &draft.subject).next() {
        let input = input();
        let mut take = record::begin(generation, Stage::McpOverlay, &draft.subject, || record::mcp(&input));
        let accept = |merged| {
            if let Some(take) = &mut take {
                take.output(output::merged(&merged));
            }
            read(merged)
        };
        let report = plugin.merge_mcp(&draft.subject, &input, accept).await;
        if let Some(take) = take {
            take.end(plugin, &draft.subject, &report);
        }
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

/// What a merge would change.
fn difference(input: McpInput, chosen: Chosen) -> Vec<Change> {
    let own: Option<Value> = input.agent_config.as_deref().and_then(|text| serde_json::from_str(text).ok());
    let after = match chosen {
        Chosen::Config { text, value } if own.as_ref() != Some(&value) => Side::Text(text),
        Chosen::None if own.is_some() => Side::Absent,
        Chosen::Own | Chosen::Config { .. } | Chosen::None => return Vec::new(),
    };
    let before = input.agent_config.map_or(Side::Absent, Side::Text);
    vec![Change::new("/agent/mcp_config", before, after)]
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
