//! The overlay's servers beside the agent's own.

use serde_json::{Map, Value};
use switchyard_sdk::mcp_overlay::{Input, McpOverlay, Merged};
use switchyard_sdk::{Call, Failure};

use crate::Served;

impl McpOverlay for Served {
    fn merge(_: &Call, input: Input) -> Result<Merged, Failure> {
        let Some(overlay) = input.overlay else { return Ok(Merged::AgentConfig) };
        let mut config = object(input.agent_config.as_deref().unwrap_or("{}"))?;
        let mut servers = match config.remove("mcpServers") {
            Some(Value::Object(servers)) => servers,
            _ => Map::new(),
        };
        if let Some(Value::Object(added)) = object(&overlay)?.remove("mcpServers") {
            servers.extend(added);
        }
        config.insert("mcpServers".into(), Value::Object(servers));
        Ok(Merged::Config(Value::Object(config).to_string()))
    }
}

fn object(text: &str) -> Result<Map<String, Value>, Failure> {
    serde_json::from_str(text).map_err(|error| Failure::new("bad-mcp-config", error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_added() {
        let given = |text: &str| Some(text.to_owned());
        let input = Input {
            agent_config: given(r#"{"mcpServers":{"a":{}}}"#),
            overlay: given(r#"{"mcpServers":{"b":{}}}"#),
            attributes: Vec::new(),
        };
        let merged = Served::merge(&Call::with_config("{}"), input);
        assert_eq!(merged, Ok(Merged::Config(r#"{"mcpServers":{"a":{},"b":{}}}"#.into())));
    }
}
