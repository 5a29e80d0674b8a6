//! A server for each connected app that the owner lets the agent use.

use serde_json::{Map, Value, json};
use switchyard_sdk::prepare::{ConnectedApp, Input, Output, Prepare};
use switchyard_sdk::{Call, Failure};

use crate::Served;

impl Prepare for Served {
    fn prepare(_: &Call, input: Input) -> Result<Output, Failure> {
        let (mut servers, mut apps) = (Map::new(), Vec::new());
        for account in input.accounts {
            let toolkit = account.toolkit;
            if !input.allowlist.contains(&toolkit) || servers.contains_key(&toolkit) {
                continue;
            }
            servers.insert(toolkit.clone(), json!({"url": format!("https://mcp.example.com/{toolkit}")}));
            apps.push(ConnectedApp {
                provider: "example".into(),
                server_name: toolkit.clone(),
                toolkit,
                display_name: None,
            });
        }
        if apps.is_empty() {
            return Ok(Output::nothing());
        }
        let overlay = json!({"mcpServers": Value::Object(servers)}).to_string();
        Ok(Output { overlay: Some(overlay), apps, attributes: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use switchyard_sdk::TaskKind;
    use switchyard_sdk::prepare::ConnectedAccount;

    use super::*;

    #[test]
    fn only_what_is_allowed_is_attached() {
        let account = |toolkit: &str| ConnectedAccount { toolkit: toolkit.into(), account_id: "1".into() };
        let input = Input {
            kind: TaskKind::Direct,
            agent_id: "a".into(),
            owner_id: None,
            allowlist: vec!["notion".into()],
            accounts: vec![account("notion"), account("slack")],
            attributes: Vec::new(),
        };
        let apps = Served::prepare(&Call::with_config("{}"), input).map(|output| output.apps.len());
        assert_eq!(apps, Ok(1));
    }
}
