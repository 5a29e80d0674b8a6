//! The agent: a configured AI worker bound to one runtime.

use serde_json::Value;
use uuid::Uuid;

use super::ids::{AgentId, RuntimeId, UserId, WorkspaceId};
use super::time::Time;

/// A row of `agent`.
#[derive(Clone, Debug)]
pub struct Agent {
    pub id: AgentId,
    pub workspace_id: WorkspaceId,
    pub name: String,
    pub description: String,
    pub instructions: String,
    pub avatar_url: Option<String>,
    pub runtime_mode: String,
    pub runtime_config: Value,
    pub runtime_id: RuntimeId,
    pub visibility: String,
    pub permission_mode: String,
    pub status: String,
    pub max_concurrent_tasks: i32,
    pub owner_id: Option<UserId>,
    /// Secret: string to string.
    pub custom_env: Value,
    pub custom_args: Value,
    /// Secret: `{"mcpServers":{…}}`.
    pub mcp_config: Option<Value>,
    pub model: Option<String>,
    pub thinking_level: Option<String>,
    pub archived_at: Option<Time>,
    pub archived_by: Option<UserId>,
    pub created_at: Time,
    pub updated_at: Time,
}

/// A row of `agent_invocation_target`: with whom a `public_to` agent is shared.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InvocationTarget {
    pub agent_id: AgentId,
    /// `workspace`, `member` or `team`.
    pub target_type: String,
    pub target_id: Uuid,
}
