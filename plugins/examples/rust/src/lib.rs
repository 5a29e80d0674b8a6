//! A plugin an operator might want: it tells every agent what the operator has to say, and
//! it refuses tasks whose agent was given an argument that nobody may use, such as the one
//! that switches a sandbox off.
//!
//! In `plugins.toml`:
//!
//! ```toml
//! [[plugin]]
//! name = "policy"
//! source = "file:example-policy.wasm"
//!
//! [plugin.config]
//! notice = "Production is frozen until Monday."
//! deny_args = ["--no-sandbox"]
//! ```

use serde::Deserialize;
use switchyard_sdk::enrichment::{Decision, Enrichment, Input, Operation};
use switchyard_sdk::{Call, Description, Failure, Plugin, export, log};

/// Any name will do. It has no fields: each call runs in a fresh instance, so what a call
/// needs comes with it.
struct Policy;

/// What the operator may set. [`SCHEMA`] says the same to the gateway, which checks a
/// configuration before it goes live.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Config {
    notice: String,
    deny_args: Vec<String>,
}

const SCHEMA: &str = r#"{
    "type": "object",
    "properties": {
        "notice": {
            "type": "string",
            "maxLength": 4096,
            "description": "A paragraph for the end of every agent's instructions."
        },
        "deny_args": {
            "type": "array",
            "maxItems": 64,
            "items": { "type": "string", "minLength": 1, "maxLength": 256 },
            "description": "Arguments no agent may be started with, alone or as --name=value."
        }
    },
    "additionalProperties": false
}"#;

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

impl Plugin for Policy {
    fn describe() -> Description {
        Description::new(
            "example-policy",
            env!("CARGO_PKG_VERSION"),
            "Adds the operator's notice and refuses forbidden arguments.",
        )
        .config_schema(SCHEMA)
    }
}

impl Enrichment for Policy {
    fn enrich(call: &Call, input: Input) -> Result<Decision, Failure> {
        let config: Config = call.config()?;
        let claim: Claim = input.claim()?;
        let arguments = claim.agent.map(|agent| agent.custom_args).unwrap_or_default();
        if let Some(argument) = arguments.iter().find(|argument| is_denied(argument, &config.deny_args)) {
            log::warn(format!("refused the argument {argument:?}"));
            return Ok(Decision::deny(
                "argument-denied",
                format!(
                    "the agent's argument {argument:?} is forbidden here; remove it from its custom arguments"
                ),
            ));
        }
        let notice = config.notice.trim();
        if notice.is_empty() {
            return Ok(Decision::unchanged());
        }
        Ok(Decision::Patch(vec![Operation::append_instructions(notice)]))
    }
}

/// Whether an argument is on the list, alone or with a value behind an equals sign.
fn is_denied(argument: &str, denied: &[String]) -> bool {
    let name = argument.split_once('=').map_or(argument, |(name, _)| name);
    denied.iter().any(|entry| entry == argument || entry == name)
}

export!(Policy: enrichment);

#[cfg(test)]
mod tests {
    //! Plain unit tests: a plugin is an ordinary crate and needs no gateway to be tried.

    use super::*;

    fn enrich(config: &str, claim: &str) -> Result<Decision, Failure> {
        Policy::enrich(&Call::with_config(config), Input { claim: claim.into(), attributes: Vec::new() })
    }

    #[test]
    fn the_notice_is_appended() {
        let decision = enrich(r#"{"notice":" Frozen. "}"#, r#"{"agent":{"custom_args":["--fast"]}}"#);
        assert_eq!(decision, Ok(Decision::Patch(vec![Operation::AppendInstructions("Frozen.".into())])));
    }

    #[test]
    fn without_a_notice_the_claim_stays() {
        assert_eq!(enrich("{}", r#"{"id":"t","agent":{}}"#), Ok(Decision::unchanged()));
        assert_eq!(enrich("{}", "{}"), Ok(Decision::unchanged()));
    }

    #[test]
    fn a_forbidden_argument_stops_the_task() {
        let config = r#"{"notice":"Frozen.","deny_args":["--no-sandbox"]}"#;
        for argument in ["--no-sandbox", "--no-sandbox=true"] {
            let claim = format!(r#"{{"agent":{{"custom_args":["-v","{argument}"]}}}}"#);
            let decision = enrich(config, &claim);
            assert!(
                matches!(&decision, Ok(Decision::Deny(denial)) if denial.code == "argument-denied"),
                "{decision:?}"
            );
        }
        let allowed = enrich(config, r#"{"agent":{"custom_args":["--no-sandbox-notice"]}}"#);
        assert!(matches!(allowed, Ok(Decision::Patch(_))), "{allowed:?}");
    }

    #[test]
    fn a_configuration_of_another_shape_is_told() {
        assert_eq!(enrich(r#"{"notice":1}"#, "{}").map_err(|failure| failure.code), Err("bad-config".into()));
    }
}
