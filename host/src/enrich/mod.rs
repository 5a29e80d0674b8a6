//! The stages a claim runs through before its answer leaves: which there are, in what
//! order, what happens when a plugin fails, and a trace of who changed what. Knows nothing
//! of Wasm.

mod briefing;
mod changes;
mod enrichment;
pub mod finished;
mod grants;
pub mod log;
mod mcp;
mod patch;
mod pipeline;
pub mod prepare;
pub mod record;
mod repos;
mod shadow;
mod shape;
pub mod trace;
mod view;

use serde_json::{Map, Value};

use crate::plugin::stage::{BriefingInput, Kind, Repo, Resource, Subject};

pub use pipeline::run;

/// A claim on its way out: all that stages need to know, and what they may change.
#[derive(Clone, Debug)]
pub struct Draft {
    pub subject: Subject,
    pub kind: Kind,
    /// What is attached to the task's project.
    pub resources: Vec<Resource>,
    /// The workspace's list as stored.
    pub workspace_repos: Vec<Repo>,
    /// The agent's own MCP configuration.
    pub agent_mcp_config: Option<Value>,
    /// What was made for this task when it was queued.
    pub overlay: Option<Value>,
    /// Set when the task is a squad leader's.
    pub squad: Option<BriefingInput>,
    /// The task as it will be sent, but for `repos`, `agent.mcp_config` and the briefing.
    pub body: Map<String, Value>,
}

/// Why a task must not leave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Stopped {
    /// A plugin decided so.
    Denied { plugin: String, code: String, reason: String },
    /// A plugin that must not fail did.
    Failed { plugin: String, message: String },
}
