//! A well-behaved guest: it appends a configured text to the agent's instructions, and
//! writes as many lines to the log as it is told.

use serde::Deserialize;
use switchyard_sdk::enrichment::{Decision, Enrichment, Input, Operation};
use switchyard_sdk::{Call, Description, Failure, Plugin, export, log};

struct Echo;

#[derive(Deserialize)]
struct Config {
    text: String,
    #[serde(default)]
    log_lines: u32,
}

const SCHEMA: &str = r#"{
    "type": "object",
    "properties": {
        "text": { "type": "string", "minLength": 1 },
        "log_lines": { "type": "integer", "minimum": 0, "maximum": 1000 }
    },
    "required": ["text"],
    "additionalProperties": false
}"#;

impl Plugin for Echo {
    fn describe() -> Description {
        Description::new("test-echo", "1.0.0", "Appends a configured text.").config_schema(SCHEMA)
    }
}

impl Enrichment for Echo {
    fn enrich(call: &Call, _: Input) -> Result<Decision, Failure> {
        let config: Config = call.config()?;
        for line in 0..config.log_lines {
            log::info(format!("line {line}\n{}", config.text));
        }
        Ok(Decision::Patch(vec![Operation::append_instructions(config.text)]))
    }
}

export!(Echo: enrichment);
