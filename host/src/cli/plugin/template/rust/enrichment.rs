//! The operator's notice, and arguments nobody may use.

use serde::Deserialize;
use switchyard_sdk::enrichment::{Decision, Enrichment, Input, Operation};
use switchyard_sdk::{Call, Failure, log};

use crate::Served;

/// The configuration as JSON Schema; the gateway holds the operator's against it.
pub const SCHEMA: &str = r#"{
    "type": "object",
    "properties": {
        "notice": { "type": "string", "maxLength": 4096 },
        "deny_args": { "type": "array", "maxItems": 64, "items": { "type": "string", "minLength": 1 } }
    },
    "additionalProperties": false
}"#;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Config {
    notice: String,
    deny_args: Vec<String>,
}

/// The part of the claim this plugin reads. Whatever it does not name is skipped.
#[derive(Deserialize)]
struct Claim {
    agent: Option<Agent>,
}

#[derive(Deserialize)]
struct Agent {
    #[serde(default)]
    custom_args: Vec<String>,
}

impl Enrichment for Served {
    fn enrich(call: &Call, input: Input) -> Result<Decision, Failure> {
        let config: Config = call.config()?;
        let claim: Claim = input.claim()?;
        let arguments = claim.agent.map(|agent| agent.custom_args).unwrap_or_default();
        let name = |argument: &str| argument.split('=').next().unwrap_or_default().to_owned();
        if let Some(argument) = arguments.iter().find(|argument| config.deny_args.contains(&name(argument))) {
            log::warn(format!("refused the argument {argument:?}"));
            return Ok(Decision::deny(
                "argument-denied",
                format!("the agent's argument {argument:?} is forbidden here; remove it"),
            ));
        }
        let notice = config.notice.trim();
        if notice.is_empty() {
            return Ok(Decision::unchanged());
        }
        Ok(Decision::Patch(vec![Operation::append_instructions(notice)]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enrich(config: &str, claim: &str) -> Result<Decision, Failure> {
        Served::enrich(&Call::with_config(config), Input { claim: claim.into(), attributes: Vec::new() })
    }

    #[test]
    fn the_notice_is_appended() {
        let decision = enrich(r#"{"notice":" Frozen. "}"#, r#"{"agent":{}}"#);
        assert_eq!(decision, Ok(Decision::Patch(vec![Operation::AppendInstructions("Frozen.".into())])));
    }

    #[test]
    fn a_forbidden_argument_stops_the_task() {
        let decision = enrich(r#"{"deny_args":["--x"]}"#, r#"{"agent":{"custom_args":["--x=1"]}}"#);
        assert!(matches!(decision, Ok(Decision::Deny(denial)) if denial.code == "argument-denied"));
    }
}
