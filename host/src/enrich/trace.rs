//! Who changed what: kept for each task, so that every claim can be explained.

use serde::Serialize;
use serde_json::{Map, Value};

use super::Stopped;
use crate::model::time::{Clock, Time};
use crate::plugin::error::PluginError;
use crate::plugin::plugin::{OnError, Plugin, Report, Times};
use crate::plugin::stage::{Stage, Subject};

/// How one claim came through the stages.
#[derive(Clone, Debug, Serialize)]
pub struct Trace {
    pub task_id: String,
    /// The one set of plugins that every stage of this claim used.
    pub generation: u64,
    #[serde(serialize_with = "crate::model::time::as_seconds::serialize")]
    pub at: Time,
    pub steps: Vec<Step>,
}

/// One call of one plugin.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    pub plugin: String,
    pub version: String,
    pub sha256: String,
    pub stage: Stage,
    pub outcome: Outcome,
    /// Of a denial or a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Waited for a place, made the instance, ran the guest: microseconds each.
    pub queue_us: u64,
    pub instantiate_us: u64,
    pub guest_us: u64,
    /// A JSON Patch on the claimed task, with secrets blotted out. What was replaced or
    /// removed stands beside it as `was`, which a JSON Patch allows and ignores.
    pub changes: Vec<Value>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Changed,
    Unchanged,
    /// It failed, and the claim went on without it.
    Skipped,
    /// It failed, and the task went back to the queue.
    Failed,
    Denied,
}

impl Trace {
    pub fn new(subject: &Subject, generation: u64) -> Self {
        Self { task_id: subject.task_id.clone(), generation, at: Clock::system().now(), steps: Vec::new() }
    }

    /// A call that gave a value, and what became different at `pointer`.
    pub fn applied(
        &mut self,
        plugin: &Plugin,
        stage: Stage,
        times: Times,
        pointer: &str,
        before: &Value,
        after: &Value,
    ) {
        let changes = redacted(pointer, before, after);
        self.changed(plugin, stage, times, changes);
    }

    /// As [`Trace::applied`], where the changes are known already.
    pub fn changed(&mut self, plugin: &Plugin, stage: Stage, times: Times, changes: Vec<Value>) {
        let outcome = if changes.is_empty() { Outcome::Unchanged } else { Outcome::Changed };
        self.push(plugin, stage, times, outcome, None, changes);
    }

    pub fn denied(&mut self, plugin: &Plugin, times: Times, code: &str, reason: &str) {
        let why = Some((code.to_owned(), reason.to_owned()));
        self.push(plugin, Stage::Enrichment, times, Outcome::Denied, why, Vec::new());
    }

    /// A call that gave no value: passed over, or the end of this claim.
    pub fn failed(
        &mut self,
        plugin: &Plugin,
        stage: Stage,
        times: Times,
        error: &PluginError,
    ) -> Result<(), Stopped> {
        let why = Some((error.code().to_owned(), error.to_string()));
        tracing::warn!(
            task.id = self.task_id, plugin.name = plugin.name, stage = stage.as_str(), %error,
            "a plugin failed"
        );
        match plugin.on_error {
            OnError::Skip => {
                self.push(plugin, stage, times, Outcome::Skipped, why, Vec::new());
                Ok(())
            }
            OnError::Fail => {
                self.push(plugin, stage, times, Outcome::Failed, why, Vec::new());
                Err(Stopped::Failed { plugin: plugin.name.clone(), message: error.to_string() })
            }
        }
    }

    /// The value of a call, or `None` when it failed and is passed over.
    pub fn value<T>(
        &mut self,
        plugin: &Plugin,
        stage: Stage,
        report: Report<T>,
    ) -> Result<Option<(T, Times)>, Stopped> {
        match report.result {
            Ok(value) => Ok(Some((value, report.times))),
            Err(error) => self.failed(plugin, stage, report.times, &error).map(|()| None),
        }
    }

    fn push(
        &mut self,
        plugin: &Plugin,
        stage: Stage,
        times: Times,
        outcome: Outcome,
        why: Option<(String, String)>,
        changes: Vec<Value>,
    ) {
        let (code, message) = why.unzip();
        self.steps.push(Step {
            plugin: plugin.name.clone(),
            version: plugin.version.clone(),
            sha256: plugin.sha256.clone(),
            stage,
            outcome,
            code,
            message,
            queue_us: times.queue_us,
            instantiate_us: times.instantiate_us,
            guest_us: times.guest_us,
            changes,
        });
    }
}

/// What to put in place of a secret.
const SECRET: &str = "[secret]";

/// The JSON Patch from `before` to `after` at `pointer`, without the secrets in either.
/// `Null` stands for a member that is not there.
pub fn redacted(pointer: &str, before: &Value, after: &Value) -> Vec<Value> {
    if before == after {
        return Vec::new();
    }
    let shown = |value: &Value| {
        let mut shown = value.clone();
        blot(&mut shown, pointer);
        shown
    };
    let (old, new) = (shown(before), shown(after));
    let change = |op: &str, value: Option<Value>| {
        let mut change = Map::new();
        change.insert("op".to_owned(), op.into());
        change.insert("path".to_owned(), pointer.into());
        if let Some(value) = value {
            change.insert("value".to_owned(), value);
        }
        if op != "add" {
            change.insert("was".to_owned(), old.clone());
        }
        vec![Value::Object(change)]
    };
    match (before, after) {
        (Value::Null, _) => change("add", Some(new)),
        (_, Value::Null) => change("remove", None),
        (Value::Object(_), Value::Object(_)) => below(pointer, &old, &new),
        _ => change("replace", Some(new)),
    }
}

/// Object against object: only the members that differ. A secret that changed looks the
/// same on both sides once it is blotted out, and then the whole member is named.
fn below(pointer: &str, old: &Value, new: &Value) -> Vec<Value> {
    let patch = json_patch::diff(old, new);
    let mut changes: Vec<Value> = patch.0.iter().filter_map(|op| serde_json::to_value(op).ok()).collect();
    for change in &mut changes {
        if change["op"] == "replace" || change["op"] == "remove" {
            let was = change["path"].as_str().and_then(|path| old.pointer(path)).cloned();
            change["was"] = was.unwrap_or_default();
        }
        for name in ["path", "from"] {
            if let Some(path) = change.get(name).and_then(Value::as_str) {
                let whole = format!("{pointer}{path}");
                change[name] = whole.into();
            }
        }
    }
    if changes.is_empty() {
        changes.push(serde_json::json!({"op": "replace", "path": pointer, "value": new, "was": old}));
    }
    changes
}

/// Blots out what a trace must not keep, in the value that stands at `pointer` of a task.
fn blot(value: &mut Value, pointer: &str) {
    match pointer {
        "/auth_token" => *value = SECRET.into(),
        "/agent" => {
            for (name, pointer) in [("custom_env", "/agent/custom_env"), ("mcp_config", "/agent/mcp_config")]
            {
                if let Some(inner) = value.get_mut(name) {
                    blot(inner, pointer);
                }
            }
            if let Some(config) = value.get_mut("runtime_config") {
                blot_token(config);
            }
        }
        "/agent/custom_env" => blot_values(value),
        "/agent/mcp_config" => super::view::withhold_mcp(value, SECRET),
        "/agent/runtime_config" => blot_token(value),
        _ if pointer.starts_with("/agent/custom_env/") || pointer.starts_with("/agent/mcp_config/") => {
            *value = SECRET.into();
        }
        _ => {}
    }
}

fn blot_values(value: &mut Value) {
    for inner in value.as_object_mut().into_iter().flat_map(Map::values_mut) {
        *inner = SECRET.into();
    }
}

fn blot_token(config: &mut Value) {
    if let Some(token) = config.pointer_mut("/gateway/token") {
        *token = SECRET.into();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn changes_name_what_differs_and_no_secret() {
        let before = json!({"mcpServers": {"a": {"command": "x"}}});
        let after = json!({"mcpServers": {"a": {"command": "x"},
            "b": {"url": "https://h/p?key=1", "headers": {"x-api-key": "k"}, "env": {"T": "t"}}}});
        let changes = redacted("/agent/mcp_config", &before, &after);
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0]["op"], "add");
        assert_eq!(changes[0]["path"], "/agent/mcp_config/mcpServers/b");
        let text = changes[0].to_string();
        assert!(!text.contains("key=1") && !text.contains("\"k\"") && !text.contains("\"t\""), "{text}");
    }

    #[test]
    fn a_secret_that_changed_still_shows_as_a_change() {
        let changes = redacted("/agent/custom_env", &json!({"A": "1"}), &json!({"A": "2"}));
        assert_eq!(
            changes,
            [
                json!({"op": "replace", "path": "/agent/custom_env", "value": {"A": "[secret]"}, "was": {"A": "[secret]"}})
            ]
        );
    }

    #[test]
    fn what_stayed_is_no_change() {
        assert!(redacted("/repos", &json!([1]), &json!([1])).is_empty());
        assert_eq!(redacted("/repos", &Value::Null, &json!([1]))[0]["op"], "add");
        assert_eq!(redacted("/repos", &json!([1]), &Value::Null)[0]["op"], "remove");
    }
}
