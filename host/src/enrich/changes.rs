//! What a plugin changed, as a JSON Patch without secrets. The two sides are kept as they
//! were; the patch is made when somebody looks, because claims are many and looks are few.

use serde_json::{Map, Value};

use super::{repos, view};
use crate::plugin::stage::Repo;

/// What to put in place of a secret.
const SECRET: &str = "[secret]";

/// One member of the claim that became different.
#[derive(Clone, Debug)]
pub struct Change {
    /// JSON Pointer within the claimed task.
    pub pointer: String,
    pub before: Side,
    pub after: Side,
}

/// A member's value, in the form in which it was at hand.
#[derive(Clone, Debug)]
pub enum Side {
    /// There was no such member.
    Absent,
    Value(Value),
    /// JSON text.
    Text(String),
    Repos(Vec<Repo>),
}

impl Change {
    pub fn new(pointer: impl Into<String>, before: Side, after: Side) -> Self {
        Self { pointer: pointer.into(), before, after }
    }

    /// The operations of a JSON Patch. What was replaced or removed stands beside it as
    /// `was`, which a JSON Patch allows and ignores.
    pub fn patch(&self) -> Vec<Value> {
        redacted(&self.pointer, &self.before.value(), &self.after.value())
    }

    /// Roughly, what it takes in memory.
    pub fn bytes(&self) -> usize {
        self.pointer.len() + self.before.bytes() + self.after.bytes()
    }
}

impl Side {
    /// `Null` stands for a member that is not there.
    fn value(&self) -> Value {
        match self {
            Self::Absent => Value::Null,
            Self::Value(value) => value.clone(),
            Self::Text(text) => serde_json::from_str(text).unwrap_or_default(),
            Self::Repos(list) => repos::list(list),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Absent => 0,
            Self::Value(value) => weight(value),
            Self::Text(text) => text.len(),
            Self::Repos(list) => list
                .iter()
                .map(|repo| {
                    let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
                    repo.url.len() + length(&repo.description) + length(&repo.reference) + 72
                })
                .sum(),
        }
    }
}

fn weight(value: &Value) -> usize {
    const NODE: usize = size_of::<Value>();
    match value {
        Value::String(text) => NODE + text.len(),
        Value::Array(list) => NODE + list.iter().map(weight).sum::<usize>(),
        Value::Object(map) => {
            NODE + map.iter().map(|(name, value)| name.len() + weight(value)).sum::<usize>()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => NODE,
    }
}

/// The JSON Patch from `before` to `after` at `pointer`, without the secrets in either.
fn redacted(pointer: &str, before: &Value, after: &Value) -> Vec<Value> {
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

/// Blots out what a trace must not show, in the value that stands at `pointer` of a task.
fn blot(value: &mut Value, pointer: &str) {
    match pointer {
        "/auth_token" => *value = SECRET.into(),
        "/agent/custom_env" => {
            value
                .as_object_mut()
                .into_iter()
                .flat_map(Map::values_mut)
                .for_each(|inner| *inner = SECRET.into());
        }
        "/agent/mcp_config" => view::withhold_mcp(value, SECRET),
        "/agent/runtime_config" => view::withhold_token(value, SECRET),
        _ => {}
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
            "b": {"url": "https://h/p?key=1", "headers": {"x-api-key": "k"}, "env": {"T": "t"}, "pin": "12"}}});
        let changes = redacted("/agent/mcp_config", &before, &after);
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0]["op"], "add");
        assert_eq!(changes[0]["path"], "/agent/mcp_config/mcpServers/b");
        let text = changes[0].to_string();
        for secret in ["key=1", "\"k\"", "\"t\"", "\"12\""] {
            assert!(!text.contains(secret), "{text}");
        }
    }

    #[test]
    fn a_secret_that_changed_still_shows_as_a_change() {
        let changes = redacted("/agent/custom_env", &json!({"A": "1"}), &json!({"A": "2"}));
        let blotted = json!({"A": "[secret]"});
        assert_eq!(
            changes,
            [json!({"op": "replace", "path": "/agent/custom_env", "value": blotted, "was": blotted})]
        );
    }

    #[test]
    fn what_stayed_is_no_change() {
        assert!(redacted("/repos", &json!([1]), &json!([1])).is_empty());
        assert_eq!(redacted("/repos", &Value::Null, &json!([1]))[0]["op"], "add");
        assert_eq!(redacted("/repos", &json!([1]), &Value::Null)[0]["op"], "remove");
    }
}
