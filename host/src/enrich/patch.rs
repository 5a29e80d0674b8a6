//! Applies a plugin's operations to a claim: all of them, or none.

use serde_json::{Map, Value};

use super::briefing::append;
use super::repos;
use crate::plugin::stage::Operation;

/// The claim after the operations, which were checked before. An operation that finds no
/// place for itself refuses the whole.
pub fn apply(body: &Map<String, Value>, operations: &[Operation]) -> Result<Map<String, Value>, String> {
    let mut after = body.clone();
    for operation in operations {
        apply_one(&mut after, operation)?;
    }
    Ok(after)
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

/// Replaces or adds the member that the pointer names; what is above it must be there.
fn set(body: &mut Map<String, Value>, pointer: &str, value: Value) -> Result<(), String> {
    let nowhere = || format!("set `{pointer}`: there is no such place in the claim");
    let (above, name) = pointer.rsplit_once('/').ok_or_else(nowhere)?;
    let name = name.replace("~1", "/").replace("~0", "~");
    if above.is_empty() {
        body.insert(name, value);
        return Ok(());
    }
    let above = above.trim_start_matches('/');
    let (first, rest) = above.split_at(above.find('/').unwrap_or(above.len()));
    let place = body.get_mut(first).and_then(|member| member.pointer_mut(rest)).ok_or_else(nowhere)?;
    place.as_object_mut().ok_or_else(nowhere)?.insert(name, value);
    Ok(())
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
        apply(body.as_object().unwrap_or(&Map::new()), operations).map(Value::Object)
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
            Operation::Set("/agent/model".to_owned(), "\"m\"".to_owned()),
            Operation::Set("/extra".to_owned(), "[1]".to_owned()),
        ];
        assert_eq!(
            after(&json!({"agent": {"instructions": "one"}}), &operations),
            Ok(json!({
                "agent": {"instructions": "one\n\ntwo", "custom_args": ["-v"], "custom_env": {"A": "1"}, "model": "m",
                    "mcp_config": {"mcpServers": {"s": {"url": "x"}}}},
                "workspace_context": "here", "repos": [{"url": "u"}], "extra": [1],
            }))
        );
    }

    #[test]
    fn one_that_finds_no_place_refuses_all() {
        let operations = [
            Operation::AppendContext("here".to_owned()),
            Operation::Set("/agent/nothing/x".to_owned(), "1".to_owned()),
        ];
        assert!(after(&json!({"agent": {}}), &operations).is_err());
        assert!(after(&json!({}), &[Operation::AddArg("x".to_owned())]).is_err());
    }
}
