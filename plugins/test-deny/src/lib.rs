//! A guest that denies every task, with the code and the reason of its configuration.

use serde::Deserialize;
use switchyard_sdk::enrichment::{Decision, Enrichment, Input};
use switchyard_sdk::{Call, Description, Failure, Plugin, export};

struct Deny;

#[derive(Deserialize)]
struct Config {
    code: String,
    reason: String,
}

const SCHEMA: &str = r#"{
    "type": "object",
    "properties": { "code": { "type": "string" }, "reason": { "type": "string" } },
    "required": ["code", "reason"],
    "additionalProperties": false
}"#;

impl Plugin for Deny {
    fn describe() -> Description {
        Description::new("test-deny", "1.0.0", "Denies every task.").config_schema(SCHEMA)
    }
}

impl Enrichment for Deny {
    fn enrich(call: &Call, _: Input) -> Result<Decision, Failure> {
        let config: Config = call.config()?;
        Ok(Decision::deny(config.code, config.reason))
    }
}

export!(Deny: enrichment);
