//! A well-behaved guest that does what its configuration says: it appends a text to the
//! agent's instructions, shows there what it was given, asks for the operations listed, and
//! writes as many lines to the log as it is told.

use serde::Deserialize;
use switchyard_sdk::enrichment::{Decision, Enrichment, Entry, Input, Operation};
use switchyard_sdk::{Call, Description, Failure, Plugin, Repo, export, log};

struct Echo;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Config {
    text: String,
    show_claim: bool,
    log_lines: u32,
    operations: Vec<Wish>,
}

/// An operation by its name in the contract; values are JSON text and sent as they are.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Wish {
    AppendInstructions(String),
    AppendContext(String),
    AddRepo(String),
    AddArg(String),
    PutMcpServer(String, String),
    PutEnv(String, String),
    Set(String, String),
}

const SCHEMA: &str = r#"{
    "type": "object",
    "properties": {
        "text": { "type": "string", "minLength": 1 },
        "show_claim": { "type": "boolean" },
        "log_lines": { "type": "integer", "minimum": 0, "maximum": 1000 },
        "operations": { "type": "array", "items": { "type": "object", "minProperties": 1, "maxProperties": 1 } }
    },
    "additionalProperties": false
}"#;

impl Plugin for Echo {
    fn describe() -> Description {
        Description::new("test-echo", "1.0.0", "Does what its configuration says.").config_schema(SCHEMA)
    }
}

impl Enrichment for Echo {
    fn enrich(call: &Call, input: Input) -> Result<Decision, Failure> {
        let config: Config = call.config()?;
        for line in 0..config.log_lines {
            log::info(format!("line {line}\n{}", config.text));
        }
        let mut operations: Vec<Operation> = config.operations.into_iter().map(Operation::from).collect();
        if !config.text.is_empty() {
            operations.push(Operation::append_instructions(config.text));
        }
        if config.show_claim {
            operations.push(Operation::append_instructions(input.claim));
        }
        Ok(Decision::Patch(operations))
    }
}

impl From<Wish> for Operation {
    fn from(wish: Wish) -> Self {
        match wish {
            Wish::AppendInstructions(text) => Self::AppendInstructions(text),
            Wish::AppendContext(text) => Self::AppendContext(text),
            Wish::AddRepo(url) => Self::AddRepo(Repo { url, description: None, ref_: None }),
            Wish::AddArg(text) => Self::AddArg(text),
            Wish::PutMcpServer(name, value) => Self::PutMcpServer(Entry { name, value }),
            Wish::PutEnv(name, value) => Self::PutEnv(Entry { name, value }),
            Wish::Set(name, value) => Self::Set(Entry { name, value }),
        }
    }
}

export!(Echo: enrichment);
