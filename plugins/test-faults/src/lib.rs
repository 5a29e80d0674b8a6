//! A guest that serves every stage and misbehaves in the one its configuration names. In the
//! others it answers as if it were not there.

use serde::Deserialize;
use switchyard_sdk::enrichment::{self, Decision, Enrichment};
use switchyard_sdk::finished::{self, Finished};
use switchyard_sdk::mcp_overlay::{self, McpOverlay, Merged};
use switchyard_sdk::prepare::{self, Output, Prepare};
use switchyard_sdk::repo_resolution::{self, RepoResolution, Resolution};
use switchyard_sdk::squad_briefing::{self, SquadBriefing};
use switchyard_sdk::{Call, Description, Failure, Plugin, export};

struct Faults;

#[derive(Deserialize)]
struct Config {
    stage: Stage,
    fault: Fault,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Stage {
    Prepare,
    RepoResolution,
    McpOverlay,
    SquadBriefing,
    Enrichment,
    Finished,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Fault {
    Loop,
    Trap,
    Hog,
    /// An orderly failure.
    Fail,
}

const SCHEMA: &str = r#"{
    "type": "object",
    "properties": {
        "stage": {
            "enum": ["prepare", "repo-resolution", "mcp-overlay", "squad-briefing", "enrichment", "finished"]
        },
        "fault": { "enum": ["loop", "trap", "hog", "fail"] }
    },
    "required": ["stage", "fault"],
    "additionalProperties": false
}"#;

/// Commits the configured fault when this is the stage for it.
fn misbehave(call: &Call, here: Stage) -> Result<(), Failure> {
    let config: Config = call.config()?;
    if config.stage != here {
        return Ok(());
    }
    match config.fault {
        Fault::Loop => loop {
            std::hint::spin_loop();
        },
        Fault::Trap => panic!("on purpose"),
        Fault::Hog => loop {
            std::hint::black_box(Vec::<u8>::with_capacity(1 << 20).leak());
        },
        Fault::Fail => Err(Failure::new("on-purpose", "the configuration asked for it")),
    }
}

impl Plugin for Faults {
    fn describe() -> Description {
        Description::new("test-faults", "1.0.0", "Misbehaves in the stage its configuration names.")
            .config_schema(SCHEMA)
    }
}

impl Prepare for Faults {
    fn prepare(call: &Call, _: prepare::Input) -> Result<Output, Failure> {
        misbehave(call, Stage::Prepare).map(|()| Output::nothing())
    }
}

impl RepoResolution for Faults {
    fn resolve(call: &Call, _: repo_resolution::Input) -> Result<Resolution, Failure> {
        misbehave(call, Stage::RepoResolution).map(|()| Resolution::Workspace)
    }
}

impl McpOverlay for Faults {
    fn merge(call: &Call, _: mcp_overlay::Input) -> Result<Merged, Failure> {
        misbehave(call, Stage::McpOverlay).map(|()| Merged::AgentConfig)
    }
}

impl SquadBriefing for Faults {
    fn brief(call: &Call, _: squad_briefing::Input) -> Result<Option<String>, Failure> {
        misbehave(call, Stage::SquadBriefing).map(|()| None)
    }
}

impl Enrichment for Faults {
    fn enrich(call: &Call, _: enrichment::Input) -> Result<Decision, Failure> {
        misbehave(call, Stage::Enrichment).map(|()| Decision::unchanged())
    }
}

impl Finished for Faults {
    fn finished(call: &Call, _: finished::Input) -> Result<(), Failure> {
        misbehave(call, Stage::Finished)
    }
}

export!(Faults: prepare, repo_resolution, mcp_overlay, squad_briefing, enrichment, finished);
