//! The runtime: one agent CLI on one daemon's machine, in one workspace.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::ids::{RuntimeId, UserId, WorkspaceId};
use super::time::Time;

/// A row of `agent_runtime`.
#[derive(Clone, Debug)]
pub struct Runtime {
    pub id: RuntimeId,
    pub workspace_id: WorkspaceId,
    pub daemon_id: Option<String>,
    pub name: String,
    pub runtime_mode: String,
    pub provider: String,
    pub status: String,
    pub device_info: String,
    pub metadata: Value,
    pub last_seen_at: Option<Time>,
    pub owner_id: Option<UserId>,
    pub visibility: String,
    pub profile_id: Option<Uuid>,
    pub created_at: Time,
    pub updated_at: Time,
}

/// As much of a row as a beat looks at.
#[derive(Clone, Debug)]
pub struct RuntimeState {
    pub id: RuntimeId,
    pub workspace_id: WorkspaceId,
    pub daemon_id: Option<String>,
    pub status: String,
    pub last_seen_at: Option<Time>,
}

/// The runtime as both planes show it.
#[derive(Clone, Serialize, Debug, ToSchema)]
#[schema(title = "Runtime")]
pub struct RuntimeBody {
    pub id: RuntimeId,
    pub workspace_id: WorkspaceId,
    pub daemon_id: Option<String>,
    pub name: String,
    pub runtime_mode: String,
    pub provider: String,
    pub launch_header: &'static str,
    pub status: String,
    pub device_info: String,
    pub metadata: Value,
    pub owner_id: Option<UserId>,
    pub visibility: String,
    pub profile_id: Option<Uuid>,
    #[serde(serialize_with = "super::time::as_seconds_or_null::serialize")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_seen_at: Option<Time>,
    #[serde(serialize_with = "super::time::as_seconds::serialize")]
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Time,
    #[serde(serialize_with = "super::time::as_seconds::serialize")]
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Time,
}

impl From<Runtime> for RuntimeBody {
    fn from(row: Runtime) -> Self {
        Self {
            launch_header: launch_header(&row.provider),
            id: row.id,
            workspace_id: row.workspace_id,
            daemon_id: row.daemon_id,
            name: row.name,
            runtime_mode: row.runtime_mode,
            provider: row.provider,
            status: row.status,
            device_info: row.device_info,
            metadata: if row.metadata.is_null() {
                Value::Object(serde_json::Map::new())
            } else {
                row.metadata
            },
            owner_id: row.owner_id,
            visibility: row.visibility,
            profile_id: row.profile_id,
            last_seen_at: row.last_seen_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// How a provider's CLI is started, for display; empty when unknown.
pub fn launch_header(provider: &str) -> &'static str {
    match provider {
        "antigravity" => "agy -p (non-interactive)",
        "claude" => "claude (stream-json)",
        "codebuddy" => "codebuddy (stream-json)",
        "codex" => "codex app-server",
        "copilot" => "copilot (json)",
        "cursor" => "cursor-agent (stream-json)",
        "hermes" => "hermes acp",
        "kimi" => "kimi acp",
        "kiro" => "kiro-cli acp",
        "openclaw" => "openclaw agent (json)",
        "opencode" => "opencode run (json)",
        "pi" => "pi (json mode)",
        "qoder" => "qodercli --acp",
        "traecli" => "traecli acp serve",
        _ => "",
    }
}

/// A runtime as a daemon registers it.
#[derive(Clone, Debug)]
pub struct NewRuntime {
    /// Used only if there is no row yet.
    pub id: RuntimeId,
    pub workspace_id: WorkspaceId,
    pub daemon_id: String,
    pub name: String,
    pub provider: String,
    /// `online` or `offline`.
    pub status: &'static str,
    pub device_info: String,
    pub metadata: Value,
    pub owner_id: Option<UserId>,
    pub profile_id: Option<Uuid>,
    pub now: Time,
}
