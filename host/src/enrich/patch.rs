//! Applies a plugin's operations to a claim: all of them, or none.

use serde_json::{Map, Value};

use super::briefing::append;
use super::changes::{Change, Side};
use super::{repos, shape};
use crate::plugin::stage::Operation;

/// Applies operations that were checked before, and gives the members that became
/// different. One that finds no place for itself takes everything back.
pub fn apply(body: &mut Map<String, Value>, operations: &[Operation]) -> Result<Vec<Change>, String> {
    let mut touched: Vec<(Place, Option<Value>)> = Vec::new();
    let outcome = operations.iter().try_for_each(|operation| {
        let place = Place::of(operation)?;
        if !touched.iter().any(|(known, _)| *known == place) {
            let before = place.find(body).cloned();
            touched.push((place, before));
        }
        apply_one(body, operation)
    });
    if let Err(problem) = outcome {
        for (place, before) in touched.into_iter().rev() {
            place.put_back(body, before);
        }
        return Err(problem);
    }
    let changed = touched.into_iter().filter_map(|(place, before)| {
        let after = place.find(body);
        if before.as_ref() == after {
            return None;
        }
        let side = |value: Option<Value>| value.map_or(Side::Absent, Side::Value);
        Some(Change::new(place.pointer(), side(before), side(after.cloned())))
    });
    Ok(changed.collect())
}

/// The member that an operation is about: one of the task's, or one of its agent's.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Place {
    of_agent: bool,
    name: String,
}

impl Place {
    fn agents(name: &str) -> Self {
        Self { of_agent: true, name: name.to_owned() }
    }

    fn tasks(name: &str) -> Self {
        Self { of_agent: false, name: name.to_owned() }
    }

    fn of(operation: &Operation) -> Result<Self, String> {
        Ok(match operation {
            Operation::AppendInstructions(_) => Self::agents("instructions"),
            Operation::AppendContext(_) => Self::tasks("workspace_context"),
            Operation::AddRepo(_) => Self::tasks("repos"),
            Operation::AddArg(_) => Self::agents("custom_args"),
            Operation::PutMcpServer(..) => Self::agents("mcp_config"),
            Operation::PutEnv(..) => Self::agents("custom_env"),
            Operation::Set(pointer, _) => match steps(pointer)?.as_slice() {
                [agent, name, ..] if agent == "agent" => Self::agents(name),
                [name, ..] => Self::tasks(name),
                [] => return Err(nowhere(pointer)),
            },
        })
    }

    fn find<'a>(&self, body: &'a Map<String, Value>) -> Option<&'a Value> {
        if self.of_agent { body.get("agent")?.get(&self.name) } else { body.get(&self.name) }
    }

    fn put_back(self, body: &mut Map<String, Value>, before: Option<Value>) {
        let map =
            if self.of_agent { body.get_mut("agent").and_then(Value::as_object_mut) } else { Some(body) };
        if let Some(map) = map {
            match before {
                Some(value) => map.insert(self.name, value),
                None => map.remove(&self.name),
            };
        }
    }

    fn pointer(&self) -> String {
        let name = self.name.replace('~', "~0").replace('/', "~1");
        if self.of_agent { format!("/agent/{name}") } else { format!("/{name}") }
    }
}

fn apply_one(body: &mut Map<String, Value>, operation: &Operation) -> Result<(), String> {
    match operation {
        Operation::AppendInstructions(text) => append_to(agent(body)?, "instructions", text),
        Operation::AppendContext(text) => append_to(body, "workspace_context", text),
        Operation::AddRepo(repo) => {
            let list = array(body, "repos")?;
            if !list.iter().any(|known| known.get("url").and_then(Value::as_str) == Some(&repo.url)) {
                list.push(repos::body(repo));
            }
        }
        Operation::AddArg(text) => array(agent(body)?, "custom_args")?.push(text.clone().into()),
        Operation::PutMcpServer(name, text) => {
            let servers = object(object(agent(body)?, "mcp_config")?, "mcpServers")?;
            servers.insert(name.clone(), parse(text)?);
        }
        Operation::PutEnv(name, text) => {
            object(agent(body)?, "custom_env")?.insert(name.clone(), parse(text)?);
        }
        Operation::Set(pointer, text) => set(body, pointer, parse(text)?)?,
    }
    Ok(())
}

fn agent(body: &mut Map<String, Value>) -> Result<&mut Map<String, Value>, String> {
    body.get_mut("agent").and_then(Value::as_object_mut).ok_or_else(|| "the claim has no agent".to_owned())
}

fn append_to(map: &mut Map<String, Value>, name: &str, text: &str) {
    let before = map.get(name).and_then(Value::as_str).unwrap_or_default();
    let after = append(before, text);
    map.insert(name.to_owned(), after.into());
}

fn array<'a>(map: &'a mut Map<String, Value>, name: &str) -> Result<&'a mut Vec<Value>, String> {
    let member = map.entry(name).or_insert_with(|| Value::Array(Vec::new()));
    member.as_array_mut().ok_or_else(|| format!("`{name}` is not a list"))
}

fn object<'a>(map: &'a mut Map<String, Value>, name: &str) -> Result<&'a mut Map<String, Value>, String> {
    let member = map.entry(name).or_insert_with(|| Value::Object(Map::new()));
    member.as_object_mut().ok_or_else(|| format!("`{name}` is not an object"))
}

/// Replaces or adds the member that the pointer names; what is above it must be there, and
/// the task's or agent's member keeps the type it has on the wire.
fn set(body: &mut Map<String, Value>, pointer: &str, value: Value) -> Result<(), String> {
    let steps = steps(pointer)?;
    let Some((last, above)) = steps.split_last() else { return Err(nowhere(pointer)) };
    let member = matches!(above, [] | [_] if above.first().is_none_or(|step| step == "agent"));
    let mut map = body;
    for step in above {
        map = map.get_mut(step).and_then(Value::as_object_mut).ok_or_else(|| nowhere(pointer))?;
    }
    if member {
        shape::check(pointer, map.get(last), &value).map_err(|problem| format!("set {problem}"))?;
    }
    map.insert(last.clone(), value);
    Ok(())
}

/// The names that a JSON Pointer goes through.
fn steps(pointer: &str) -> Result<Vec<String>, String> {
    let rest = pointer.strip_prefix('/').ok_or_else(|| nowhere(pointer))?;
    Ok(rest.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect())
}

fn nowhere(pointer: &str) -> String {
    format!("set `{pointer}`: there is no such place in the claim")
}

fn parse(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("a value is not JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plugin::stage::Repo;

    fn after(body: &Value, operations: &[Operation]) -> Result<Value, String> {
        let mut map = body.as_object().cloned().unwrap_or_default();
        let changes = apply(&mut map, operations);
        if changes.is_err() {
            assert_eq!(Some(&map), body.as_object(), "a refusal leaves everything as it was");
        }
        changes.map(|_| Value::Object(map))
    }

    fn set(pointer: &str, text: &str) -> Operation {
        Operation::Set(pointer.to_owned(), text.to_owned())
    }

    #[test]
    fn each_operation_finds_its_place() {
        let repo =
            |url: &str| Operation::AddRepo(Repo { url: url.to_owned(), description: None, reference: None });
        let operations = [
            Operation::AppendInstructions("two".to_owned()),
            Operation::AppendContext("here".to_owned()),
            repo("u"),
            repo("u"),
            Operation::AddArg("-v".to_owned()),
            Operation::PutMcpServer("s".to_owned(), "{\"url\":\"x\"}".to_owned()),
            Operation::PutEnv("A".to_owned(), "\"1\"".to_owned()),
            set("/agent/model", "\"m\""),
            set("/agent/mcp_config/mcpServers/s/type", "\"http\""),
            set("/extra", "[1]"),
        ];
        assert_eq!(
            after(&json!({"agent": {"instructions": "one"}}), &operations),
            Ok(json!({
                "agent": {"instructions": "one\n\ntwo", "custom_args": ["-v"], "custom_env": {"A": "1"}, "model": "m",
                    "mcp_config": {"mcpServers": {"s": {"url": "x", "type": "http"}}}},
                "workspace_context": "here", "repos": [{"url": "u"}], "extra": [1],
            }))
        );
    }

    #[test]
    fn one_that_finds_no_place_refuses_all() {
        let before = Operation::AppendContext("here".to_owned());
        for refused in [
            set("/agent/nothing/x", "1"),
            set("//agent/model", "1"),
            set("agent", "1"),
            set("", "{}"),
            set("/agent/model", "42"),
            set("/agent", "[]"),
        ] {
            assert!(
                after(&json!({"agent": {"model": "m"}}), &[before.clone(), refused.clone()]).is_err(),
                "{refused:?}"
            );
        }
        assert!(after(&json!({}), &[Operation::AddArg("x".to_owned())]).is_err());
    }

    #[test]
    fn what_ends_as_it_began_is_no_change() {
        let mut body = json!({"agent": {"model": "m"}}).as_object().cloned().unwrap_or_default();
        let operations = [set("/agent/model", "\"n\""), set("/agent/model", "\"m\"")];
        assert_eq!(apply(&mut body, &operations).map(|changes| changes.len()), Ok(0));
    }
}
