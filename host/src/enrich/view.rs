//! The claim as a plugin may see it.

use std::borrow::Cow;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

use crate::plugin::grants::{Grants, View};

/// What stands in place of a value that is withheld. The names stay, so that a plugin can
/// tell what is configured.
const WITHHELD: &str = "***";

/// JSON text of the claim without what was not granted. The task's token is never shown.
pub fn of(body: &Map<String, Value>, grants: &Grants) -> String {
    // A map with text for names always serialises.
    serde_json::to_string(&Task { body, grants }).unwrap_or_default()
}

/// The task, its agent shown as [`Agent`]. Skills are large, so nothing is copied that goes
/// out as it is.
struct Task<'a> {
    body: &'a Map<String, Value>,
    grants: &'a Grants,
}

impl Serialize for Task<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in self.body.iter().filter(|(name, _)| *name != "auth_token") {
            match value {
                Value::Object(agent) if name == "agent" => {
                    map.serialize_entry(name, &Agent { agent, grants: self.grants })?;
                }
                _ => map.serialize_entry(name, value)?,
            }
        }
        map.end()
    }
}

struct Agent<'a> {
    agent: &'a Map<String, Value>,
    grants: &'a Grants,
}

impl Serialize for Agent<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.agent.len()))?;
        for (name, value) in self.agent {
            map.serialize_entry(name, shown(name, value, self.grants).as_ref())?;
        }
        map.end()
    }
}

/// A member of the agent, or a copy without its secrets.
fn shown<'a>(name: &str, value: &'a Value, grants: &Grants) -> Cow<'a, Value> {
    let withhold: fn(&mut Value, &str) = match name {
        "custom_env" if !grants.view.contains(&View::CustomEnv) => withhold_texts,
        "mcp_config" if !grants.view.contains(&View::McpSecrets) => withhold_mcp,
        "runtime_config" => withhold_token,
        _ => return Cow::Borrowed(value),
    };
    let mut copy = value.clone();
    withhold(&mut copy, WITHHELD);
    Cow::Owned(copy)
}

/// Replaces what can hold a secret in an MCP configuration. That is every text, but for
/// those of a server of which it is known what they say: its type and command, the names of
/// its arguments, and its address without query and user.
pub fn withhold_mcp(config: &mut Value, with: &str) {
    let Value::Object(config) = config else { return withhold_texts(config, with) };
    for (name, member) in config {
        match member {
            Value::Object(servers) if name == "mcpServers" => {
                servers.values_mut().for_each(|server| withhold_server(server, with));
            }
            _ => withhold_texts(member, with),
        }
    }
}

pub fn withhold_server(server: &mut Value, with: &str) {
    let Value::Object(server) = server else { return withhold_texts(server, with) };
    for (name, member) in server {
        match (name.as_str(), member) {
            ("type" | "transport" | "command", Value::String(_)) => {}
            ("args", Value::Array(args)) => withhold_arguments(args, with),
            ("url", Value::String(url)) => *url = bare_url(url, with),
            (_, member) => withhold_texts(member, with),
        }
    }
}

/// `--name=value` keeps its name; what follows a name that speaks of a secret is one.
fn withhold_arguments(args: &mut [Value], with: &str) {
    let mut secret_next = false;
    for arg in args {
        let Some(text) = arg.as_str() else { continue };
        let is_name = text.starts_with('-');
        let after_secret = std::mem::replace(&mut secret_next, false);
        if let Some((name, _)) = text.split_once('=').filter(|_| is_name) {
            *arg = format!("{name}={with}").into();
        } else if is_name {
            secret_next = speaks_of_secret(text);
        } else if after_secret || text.contains('=') || text.contains("://") {
            // `KEY=value` for a wrapper such as `env`, or an address with a user or a query.
            *arg = if text.contains("://") { bare_url(text, with) } else { with.to_owned() }.into();
        }
    }
}

fn speaks_of_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["key", "token", "secret", "pass", "auth", "header", "cred", "env", "bearer"]
        .iter()
        .any(|word| name.contains(word))
        || name == "-e"
        || name == "-h"
}

/// The token that a runtime reaches its gateway with.
pub fn withhold_token(config: &mut Value, with: &str) {
    if let Some(token) = config.pointer_mut("/gateway/token") {
        *token = with.into();
    }
}

/// Every text, at any depth.
pub fn withhold_texts(value: &mut Value, with: &str) {
    match value {
        Value::String(text) => with.clone_into(text),
        Value::Array(list) => list.iter_mut().for_each(|item| withhold_texts(item, with)),
        Value::Object(map) => map.values_mut().for_each(|member| withhold_texts(member, with)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

pub fn bare_url(text: &str, with: &str) -> String {
    let Ok(mut url) = url::Url::parse(text) else { return with.to_owned() };
    if url.query().is_some() {
        url.set_query(Some(with));
    }
    if url.fragment().is_some() {
        url.set_fragment(Some(with));
    }
    if url.password().is_some() || !url.username().is_empty() {
        // Fails only for URLs that cannot have a user, which this one has.
        let _ = url.set_username("");
        let _ = url.set_password(None);
    }
    url.to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claim() -> Map<String, Value> {
        let claim = json!({"auth_token": "mat_x", "thread_name": "t", "agent": {
        "custom_env": {"KEY": "v"},
        "runtime_config": {"mode": "m", "gateway": {"token": "g4te"}},
        "mcp_config": {"inputs": [{"default": "s3ed"}], "mcpServers": {
            "a": {"url": "https://u:p@h/p?token=t#frag", "headers": {"k": "s"}, "bearer": "s3ar"},
            "b": {"command": "npx", "args": ["-y", "pkg", "--key=s3cret", "--api-token", "s3nd", "-v", "seen"]},
            "c": "s3text",
        }}}});
        claim.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn secrets_are_withheld_unless_granted_and_the_token_always() {
        let view = of(&claim(), &Grants::default());
        for secret in [
            "mat_x", "\"v\"", "token=t", "u:p", "\"s\"", "s3cret", "s3nd", "s3ed", "s3ar", "s3text", "g4te",
            "#frag",
        ] {
            assert!(!view.contains(secret), "{secret} in {view}");
        }
        for shown in ["KEY", "-y", "pkg", "--key=", "seen", "npx", "https://h/p", "thread_name"] {
            assert!(view.contains(shown), "{shown} not in {view}");
        }
        let all = Grants { view: vec![View::CustomEnv, View::McpSecrets], ..Grants::default() };
        let view = of(&claim(), &all);
        assert!(view.contains("token=t") && view.contains("\"v\"") && view.contains("s3ed"));
        assert!(!view.contains("mat_x") && !view.contains("g4te"));
    }

    #[test]
    fn what_is_not_a_configuration_is_withheld_whole() {
        for odd in
            [json!("s3"), json!(["s3"]), json!({"mcpServers": "s3"}), json!({"mcpServers": {"a": ["s3"]}})]
        {
            let mut config = odd;
            withhold_mcp(&mut config, WITHHELD);
            assert!(!config.to_string().contains("s3"), "{config}");
        }
    }
}
