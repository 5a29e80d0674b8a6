//! The contract of the stages as plain values: what `wit/` says, without its encoding.

use serde::{Deserialize, Serialize};

/// A point at which plugins are called.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    Prepare,
    RepoResolution,
    McpOverlay,
    SquadBriefing,
    Enrichment,
    Finished,
}

impl Stage {
    pub const ALL: [Self; 6] = [
        Self::Prepare,
        Self::RepoResolution,
        Self::McpOverlay,
        Self::SquadBriefing,
        Self::Enrichment,
        Self::Finished,
    ];

    /// The name of its interface.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::RepoResolution => "repo-resolution",
            Self::McpOverlay => "mcp-overlay",
            Self::SquadBriefing => "squad-briefing",
            Self::Enrichment => "enrichment",
            Self::Finished => "finished",
        }
    }

    /// Whether all its plugins are asked; the others decide one thing, so the first that fits
    /// the task decides.
    pub fn takes_many(self) -> bool {
        matches!(self, Self::Prepare | Self::Enrichment | Self::Finished)
    }
}

/// What is the same for every stage of one claim.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subject {
    pub task_id: String,
    pub workspace_id: String,
    pub agent_id: String,
    pub kind: Kind,
}

/// A kind of work, by where it came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Direct,
    Comment,
    Chat,
    Autopilot,
    QuickCreate,
}

impl Kind {
    pub const ALL: [Self; 5] = [Self::Direct, Self::Comment, Self::Chat, Self::Autopilot, Self::QuickCreate];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Comment => "comment",
            Self::Chat => "chat",
            Self::Autopilot => "autopilot",
            Self::QuickCreate => "quick-create",
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Repo {
    pub url: String,
    pub description: Option<String>,
    pub reference: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resource {
    pub id: String,
    pub resource_type: String,
    /// JSON text.
    pub resource_ref: String,
    pub label: Option<String>,
}

/// An account of the agent's owner at an outside application.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConnectedAccount {
    pub toolkit: String,
    pub account_id: String,
}

/// A task that is to be queued.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PrepareInput {
    pub kind: Kind,
    pub agent_id: String,
    pub owner_id: Option<String>,
    pub allowlist: Vec<String>,
    pub accounts: Vec<ConnectedAccount>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConnectedApp {
    pub provider: String,
    pub server_name: String,
    pub toolkit: String,
    pub display_name: Option<String>,
}

/// What a task takes along.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PrepareOutput {
    /// JSON text.
    pub overlay: Option<String>,
    pub apps: Vec<ConnectedApp>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RepoInput {
    pub kind: Kind,
    pub resources: Vec<Resource>,
    pub workspace_repos: Vec<Repo>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Resolution {
    /// The workspace's list, untouched.
    Workspace,
    These(Vec<Repo>),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct McpInput {
    /// JSON text.
    pub agent_config: Option<String>,
    /// JSON text.
    pub overlay: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Merged {
    /// As stored, to the byte.
    AgentConfig,
    /// This JSON text.
    Config(String),
    None,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MemberKind {
    Agent,
    Human,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    pub kind: MemberKind,
    pub id: String,
    pub name: String,
    pub role: String,
    pub archived: bool,
    pub skills: Option<Vec<String>>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BriefingInput {
    pub kind: Kind,
    pub squad_id: String,
    pub squad_name: String,
    pub squad_instructions: String,
    pub leader_id: String,
    pub leader_name: Option<String>,
    pub members: Vec<Member>,
}

/// One change that a plugin asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Operation {
    AppendInstructions(String),
    AppendContext(String),
    AddRepo(Repo),
    AddArg(String),
    /// Name and JSON object.
    PutMcpServer(String, String),
    /// Name and JSON string.
    PutEnv(String, String),
    /// JSON Pointer and JSON text.
    Set(String, String),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Decision {
    Patch(Vec<Operation>),
    Deny { code: String, reason: String },
}
