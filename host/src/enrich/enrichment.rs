//! Stage `enrichment`: integrators' plugins, in order, each on what the one before left.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::trace::{Trace, redacted};
use super::{Draft, Stopped, grants, patch, view};
use crate::plugin::error::PluginError;
use crate::plugin::generation::Generation;
use crate::plugin::plugin::Plugin;
use crate::plugin::stage::{Decision, Operation, Stage};

pub async fn run(
    generation: &Arc<Generation>,
    draft: Draft,
    trace: &mut Trace,
) -> Result<Map<String, Value>, Stopped> {
    let mut body = draft.body;
    for plugin in generation.serving(Stage::Enrichment) {
        let claim = view::of(&body, &plugin.grants);
        let report = plugin.enrich(&draft.subject, &claim).await;
        let times = report.times;
        match report.result {
            Ok(Decision::Patch(operations)) if operations.is_empty() => {
                trace.changed(plugin, Stage::Enrichment, times, Vec::new());
            }
            Ok(Decision::Patch(operations)) => match patched(plugin, &body, &operations) {
                Ok(after) => {
                    trace.changed(plugin, Stage::Enrichment, times, changes(&body, &after));
                    body = after;
                }
                Err(problem) => {
                    let error = PluginError::InvalidOutput(problem);
                    trace.failed(plugin, Stage::Enrichment, times, &error)?;
                }
            },
            Ok(Decision::Deny { code, reason }) => {
                trace.denied(plugin, times, &code, &reason);
                return Err(Stopped::Denied { plugin: plugin.name.clone(), code, reason });
            }
            Err(error) => trace.failed(plugin, Stage::Enrichment, times, &error)?,
        }
    }
    Ok(body)
}

fn patched(
    plugin: &Plugin,
    body: &Map<String, Value>,
    operations: &[Operation],
) -> Result<Map<String, Value>, String> {
    grants::check(operations, &plugin.grants)?;
    patch::apply(body, operations)
}

/// The members that differ, and below `agent` the members of the agent that do.
fn changes(before: &Map<String, Value>, after: &Map<String, Value>) -> Vec<Value> {
    let mut changes = Vec::new();
    for (name, new) in after {
        let old = before.get(name).unwrap_or(&Value::Null);
        match (name.as_str(), old, new) {
            ("agent", Value::Object(old), Value::Object(new)) => {
                for (name, new) in new {
                    let old = old.get(name).unwrap_or(&Value::Null);
                    changes.extend(redacted(&format!("/agent/{name}"), old, new));
                }
            }
            _ => changes.extend(redacted(&format!("/{name}"), old, new)),
        }
    }
    changes
}
