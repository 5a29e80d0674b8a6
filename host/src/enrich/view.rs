//! The claim as a plugin may see it.

use serde_json::{Map, Value};

use crate::plugin::plugin::Grants;

/// What stands in place of a value that is withheld. The names stay, so that a plugin can
/// tell what is configured.
const WITHHELD: &str = "***";

/// JSON text of the claim without what was not granted. The task's token is never shown.
pub fn of(body: &Map<String, Value>, grants: &Grants) -> String {
    let mut view = body.clone();
    view.remove("auth_token");
    if let Some(Value::Object(agent)) = view.get_mut("agent") {
        if !grants.view_custom_env
            && let Some(Value::Object(env)) = agent.get_mut("custom_env")
        {
            env.values_mut().for_each(|value| *value = WITHHELD.into());
        }
        if !grants.view_mcp_secrets
            && let Some(config) = agent.get_mut("mcp_config")
        {
            withhold_mcp(config, WITHHELD);
        }
        if let Some(token) =
            agent.get_mut("runtime_config").and_then(|config| config.pointer_mut("/gateway/token"))
        {
            *token = WITHHELD.into();
        }
    }
    Value::Object(view).to_string()
}

/// Replaces what can hold a secret in an MCP configuration: values of `env` and `headers`,
/// of arguments such as `--key=value`, and the query and user part of `url`.
pub fn withhold_mcp(config: &mut Value, with: &str) {
    let Some(Value::Object(servers)) = config.get_mut("mcpServers") else { return };
    for server in servers.values_mut() {
        for name in ["env", "headers"] {
            if let Some(Value::Object(values)) = server.get_mut(name) {
                values.values_mut().for_each(|value| *value = with.into());
            }
        }
        if let Some(Value::Array(args)) = server.get_mut("args") {
            for arg in args {
                withhold_argument(arg, with);
            }
        }
        if let Some(Value::String(url)) = server.get_mut("url") {
            *url = bare_url(url, with);
        }
    }
}

/// `--name=value` keeps its name.
fn withhold_argument(arg: &mut Value, with: &str) {
    let Some(text) = arg.as_str() else { return };
    if let Some((name, _)) = text.split_once('=').filter(|_| text.starts_with('-')) {
        *arg = format!("{name}={with}").into();
    }
}

fn bare_url(text: &str, with: &str) -> String {
    let Ok(mut url) = url::Url::parse(text) else { return with.to_owned() };
    if url.query().is_some() {
        url.set_query(Some(with));
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
        let claim = json!({"auth_token": "mat_x", "agent": {"custom_env": {"KEY": "v"}, "mcp_config": {"mcpServers": {
            "a": {"url": "https://u:p@h/p?token=t", "headers": {"k": "s"}, "args": ["-y", "--key=s3cret"]}}}}});
        claim.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn secrets_are_withheld_unless_granted_and_the_token_always() {
        let view = of(&claim(), &Grants::default());
        for secret in ["mat_x", "\"v\"", "token=t", "u:p", "\"s\"", "s3cret"] {
            assert!(!view.contains(secret), "{secret} in {view}");
        }
        assert!(view.contains("KEY") && view.contains("-y"));
        let all = Grants { view_custom_env: true, view_mcp_secrets: true, ..Grants::default() };
        let view = of(&claim(), &all);
        assert!(view.contains("token=t") && view.contains("\"v\"") && !view.contains("mat_x"));
    }
}
