//! The agent: a configured AI worker bound to one runtime.

use std::collections::HashSet;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::ids::{AgentId, RuntimeId, SkillId, UserId, WorkspaceId};
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
    /// The connected apps whose tools a task may be given; none and an empty list are alike
    /// to a task, and told apart to the owner.
    pub composio_toolkit_allowlist: Option<Toolkits>,
    pub archived_at: Option<Time>,
    pub archived_by: Option<UserId>,
    pub created_at: Time,
    pub updated_at: Time,
}

/// Slugs of connected apps, each once, in lower case.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(transparent)]
pub struct Toolkits(pub Vec<String>);

impl Toolkits {
    /// What was sent, trimmed, in lower case, without blanks and repeats, in its order.
    pub fn normalised(sent: Vec<String>) -> Self {
        let mut seen = HashSet::new();
        let slugs = sent.into_iter().map(|slug| slug.trim().to_lowercase());
        Self(slugs.filter(|slug| !slug.is_empty() && seen.insert(slug.clone())).collect())
    }
}

/// A row of `agent_invocation_target`: with whom a `public_to` agent is shared.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InvocationTarget {
    pub agent_id: AgentId,
    /// `workspace`, `member` or `team`.
    pub target_type: String,
    pub target_id: Uuid,
}

/// What an agent knows, as lists of agents show it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct SkillTag {
    pub id: SkillId,
    pub name: String,
    pub description: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn toolkits_are_normalised_and_keep_their_order() {
        let sent = [" Notion", "github", "", "NOTION", "  "].map(str::to_owned).to_vec();
        assert_eq!(Toolkits::normalised(sent).0, ["notion", "github"]);
    }
}
