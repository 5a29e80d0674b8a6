//! A guest that answers what no plugin should; its configuration names what.

use serde::Deserialize;
use switchyard_sdk::enrichment::{Decision, Enrichment, Entry, Input, Operation};
use switchyard_sdk::{Call, Description, Failure, Plugin, export};

struct Garbage;

#[derive(Deserialize)]
struct Config {
    mode: Mode,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Mode {
    /// A value that is no JSON.
    InvalidJson,
    /// JSON of another type than the member's.
    WrongType,
    /// A member no plugin may write.
    NotGranted,
    /// A pointer that is none.
    BadPointer,
    /// A variable of the environment nobody granted.
    UngrantedEnv,
    /// A server that is no object.
    BadServer,
    /// A repository without a URL.
    BadRepo,
    /// One good operation before a refused one: neither may be applied.
    HalfGood,
    /// Eight mebibytes of text.
    Huge,
    /// A hundred thousand operations.
    Many,
    /// A failure with a message of a mebibyte.
    LongFailure,
    /// A denial without code and reason.
    EmptyDenial,
}

const SCHEMA: &str = r#"{
    "type": "object",
    "properties": {
        "mode": {
            "enum": [
                "invalid-json", "wrong-type", "not-granted", "bad-pointer", "ungranted-env", "bad-server",
                "bad-repo", "half-good", "huge", "many", "long-failure", "empty-denial"
            ]
        }
    },
    "required": ["mode"],
    "additionalProperties": false
}"#;

impl Plugin for Garbage {
    fn describe() -> Description {
        Description::new("test-garbage", "1.0.0", "Answers what no plugin should.").config_schema(SCHEMA)
    }
}

impl Enrichment for Garbage {
    fn enrich(call: &Call, _: Input) -> Result<Decision, Failure> {
        let config: Config = call.config()?;
        let operations = match config.mode {
            Mode::InvalidJson => vec![set("/agent/model", "{not json")],
            Mode::WrongType => vec![set("/agent/model", "42")],
            Mode::NotGranted => vec![set("/auth_token", "\"mat_forged\"")],
            Mode::BadPointer => vec![set("agent~2model", "\"x\"")],
            Mode::UngrantedEnv => vec![Operation::put_env("LD_PRELOAD", "/tmp/x.so")?],
            Mode::BadServer => vec![Operation::put_mcp_server("bad", &["not an object"])?],
            Mode::BadRepo => vec![Operation::AddRepo(switchyard_sdk::Repo {
                url: String::new(),
                description: None,
                ref_: None,
            })],
            Mode::HalfGood => vec![
                Operation::append_instructions("This must not arrive."),
                set("/auth_token", "\"mat_forged\""),
            ],
            Mode::Huge => vec![Operation::append_instructions("x".repeat(8 << 20))],
            Mode::Many => vec![Operation::add_arg("-x"); 100_000],
            Mode::LongFailure => return Err(Failure::new("long", "x".repeat(1 << 20))),
            Mode::EmptyDenial => return Ok(Decision::deny("", "")),
        };
        Ok(Decision::Patch(operations))
    }
}

/// A `set` the SDK would not build: the value goes as it is.
fn set(pointer: &str, value: &str) -> Operation {
    Operation::Set(Entry { name: pointer.into(), value: value.into() })
}

export!(Garbage: enrichment);
