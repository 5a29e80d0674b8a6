//! The agent as answers and events show it, with its secrets shown only to whom they
//! belong.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::agent::{Agent, InvocationTarget, SkillTag, Toolkits};
use super::agent_access::visibility_of;
use super::ids::{AgentId, RuntimeId, UserId, WorkspaceId};
use super::time::seconds;

/// Which secrets go into an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shown {
    pub mcp_config: bool,
    pub toolkits: ShownToolkits,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ShownToolkits {
    /// The feature is off: not even that there is a list.
    Nothing,
    /// Whether there is one.
    Redacted,
    Everything,
}

impl Shown {
    /// What everybody in the workspace may see; events carry this.
    pub fn to_everybody(toolkits_enabled: bool) -> Self {
        let toolkits = if toolkits_enabled { ShownToolkits::Redacted } else { ShownToolkits::Nothing };
        Self { mcp_config: false, toolkits }
    }
}

/// The agent object of the wire. What an agent's environment holds is never in it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AgentBody {
    pub id: AgentId,
    pub workspace_id: WorkspaceId,
    pub runtime_id: RuntimeId,
    pub name: String,
    pub description: String,
    pub instructions: String,
    pub avatar_url: Option<String>,
    /// As the runtime's: `local` or `cloud`.
    pub runtime_mode: String,
    /// Free-form; a gateway token shows as `***`.
    pub runtime_config: Value,
    pub custom_args: Value,
    pub has_custom_env: bool,
    pub custom_env_key_count: usize,
    pub mcp_config: Option<Value>,
    /// Whether there is an `mcp_config` that the caller may not see.
    pub mcp_config_redacted: bool,
    /// Derived: `workspace` if everybody in it may start the agent, else `private`.
    pub visibility: String,
    /// `private` or `public_to`.
    pub permission_mode: String,
    pub invocation_targets: Vec<TargetShown>,
    /// `idle`, `working`, `blocked`, `error` or `offline`.
    pub status: String,
    pub max_concurrent_tasks: i32,
    pub model: String,
    pub thinking_level: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub composio_toolkit_allowlist: Option<Toolkits>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub composio_toolkit_allowlist_redacted: bool,
    pub owner_id: Option<UserId>,
    pub skills: Vec<SkillTag>,
    #[schema(format = DateTime)]
    pub created_at: String,
    #[schema(format = DateTime)]
    pub updated_at: String,
    #[schema(format = DateTime)]
    pub archived_at: Option<String>,
    pub archived_by: Option<UserId>,
}

/// With whom an agent is shared.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct TargetShown {
    /// `workspace`, `member` or `team`.
    pub target_type: String,
    pub target_id: Option<Uuid>,
}

impl AgentBody {
    pub fn new(agent: Agent, targets: &[InvocationTarget], skills: Vec<SkillTag>, shown: Shown) -> Self {
        let kinds = targets.iter().map(|target| target.target_type.as_str());
        let visibility = visibility_of(&agent.permission_mode, kinds).to_owned();
        let targets = targets.iter().map(|target| TargetShown {
            target_type: target.target_type.clone(),
            target_id: Some(target.target_id),
        });
        Self {
            visibility,
            invocation_targets: targets.collect(),
            ..Self::without_targets(agent, skills, shown)
        }
    }

    /// As the answers and events about archived agents have it: no targets, and the
    /// visibility as it is stored.
    pub fn without_targets(agent: Agent, skills: Vec<SkillTag>, shown: Shown) -> Self {
        let keys = agent.custom_env.as_object().map_or(0, serde_json::Map::len);
        let mcp_config = agent.mcp_config.filter(|config| !config.is_null());
        let redacted = !shown.mcp_config && mcp_config.is_some();
        let toolkits = agent.composio_toolkit_allowlist;
        let has_toolkits = toolkits.is_some();
        Self {
            id: agent.id,
            workspace_id: agent.workspace_id,
            runtime_id: agent.runtime_id,
            name: agent.name,
            description: agent.description,
            instructions: agent.instructions,
            avatar_url: agent.avatar_url,
            runtime_mode: agent.runtime_mode,
            runtime_config: masked(agent.runtime_config),
            custom_args: if agent.custom_args.is_null() {
                Value::Array(Vec::new())
            } else {
                agent.custom_args
            },
            has_custom_env: keys > 0,
            custom_env_key_count: keys,
            mcp_config: mcp_config.filter(|_| shown.mcp_config),
            mcp_config_redacted: redacted,
            visibility: agent.visibility,
            permission_mode: agent.permission_mode,
            invocation_targets: Vec::new(),
            status: agent.status,
            max_concurrent_tasks: agent.max_concurrent_tasks,
            model: agent.model.unwrap_or_default(),
            thinking_level: agent.thinking_level.unwrap_or_default(),
            composio_toolkit_allowlist: toolkits
                .filter(|list| shown.toolkits == ShownToolkits::Everything && !list.0.is_empty()),
            composio_toolkit_allowlist_redacted: shown.toolkits == ShownToolkits::Redacted && has_toolkits,
            owner_id: agent.owner_id,
            skills,
            created_at: seconds(agent.created_at),
            updated_at: seconds(agent.updated_at),
            archived_at: agent.archived_at.map(seconds),
            archived_by: agent.archived_by,
        }
    }
}

/// A runtime configuration for people's eyes: a gateway token shows as `***`.
pub fn masked(mut config: Value) -> Value {
    if config.is_null() {
        return Value::Object(serde_json::Map::new());
    }
    if let Some(token) = config.pointer_mut("/gateway/token")
        && token.as_str().is_some_and(|text| !text.is_empty())
    {
        *token = MASK.into();
    }
    config
}

/// What stands for a token that is kept.
const MASK: &str = "***";

/// A runtime configuration as it was sent, with a mask replaced by what it stands for, or
/// taken out where there is nothing behind it.
pub fn unmasked(mut sent: Value, stored: &Value) -> Value {
    if sent.pointer("/gateway/token").and_then(Value::as_str) != Some(MASK) {
        return sent;
    }
    let kept = stored.pointer("/gateway/token").filter(|token| !token.is_null()).cloned();
    if let Some(gateway) = sent.get_mut("gateway").and_then(Value::as_object_mut) {
        match kept {
            Some(token) => gateway.insert("token".to_owned(), token),
            None => gateway.remove("token"),
        };
    }
    sent
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_token_is_masked_and_a_mask_keeps_it() {
        let stored = json!({"gateway": {"token": "secret", "url": "u"}});
        assert_eq!(masked(stored.clone()), json!({"gateway": {"token": "***", "url": "u"}}));
        assert_eq!(masked(json!({"gateway": {"token": ""}})), json!({"gateway": {"token": ""}}));
        assert_eq!(masked(json!(["x"])), json!(["x"]));
        let sent = json!({"gateway": {"token": "***", "url": "v"}});
        assert_eq!(unmasked(sent.clone(), &stored), json!({"gateway": {"token": "secret", "url": "v"}}));
        assert_eq!(unmasked(sent, &json!({})), json!({"gateway": {"url": "v"}}));
        assert_eq!(
            unmasked(json!({"gateway": {"token": "new"}}), &stored),
            json!({"gateway": {"token": "new"}})
        );
        assert_eq!(unmasked(json!({}), &stored), json!({}));
    }
}
