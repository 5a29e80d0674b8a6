//! What a claim is answered, for the document of the API. The answer itself is an object
//! that the stages work on, member by member; what they cannot change is said in
//! [`crate::enrich`].

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::ToSchema;

use super::bundle::{FullSkill, SkillRef};
use crate::model::task_body::TaskBody;
use crate::model::workspace::Repo;

/// A claim's answer.
#[derive(ToSchema)]
#[schema(as = Claim)]
pub struct ClaimBody {
    /// `null` when there is nothing to do.
    #[schema(required = true)]
    pub task: Option<ClaimedTask>,
}

/// A task with everything that an agent needs to work on it. What does not apply is absent;
/// plugins may add members.
#[derive(ToSchema)]
pub struct ClaimedTask {
    #[schema(inline = false)]
    #[serde(flatten)]
    pub task: TaskBody,
    /// What the agent calls the gateway with while it runs.
    pub auth_token: String,
    pub agent: Option<ClaimedAgent>,
    /// What the workspace's people want every agent to know.
    pub workspace_context: Option<String>,
    /// What the run is about, in one line.
    pub thread_name: Option<String>,
    pub repos: Option<Vec<Repo>>,
    pub connected_apps: Option<Vec<ConnectedApp>>,
    #[schema(format = Uuid)]
    pub project_id: Option<String>,
    pub project_title: Option<String>,
    pub project_description: Option<String>,
    pub project_resources: Option<Vec<ClaimedResource>>,
    /// The session to go on with, if it ran on this runtime.
    pub prior_session_id: Option<String>,
    pub prior_work_dir: Option<String>,
    #[schema(format = Uuid)]
    pub trigger_thread_id: Option<String>,
    pub trigger_comment_content: Option<String>,
    /// `member` or `agent`.
    pub trigger_author_type: Option<String>,
    pub trigger_author_name: Option<String>,
    /// How much was said on the issue since the agent's last start.
    pub new_comment_count: Option<i64>,
    #[schema(format = DateTime)]
    pub new_comments_since: Option<String>,
    /// What the user said since the agent's last word.
    pub chat_message: Option<String>,
    pub chat_message_attachments: Option<Vec<ClaimedAttachment>>,
    pub chat_channel_type: Option<String>,
    pub chat_in_thread: Option<bool>,
    #[schema(format = Uuid)]
    pub autopilot_id: Option<String>,
    pub autopilot_title: Option<String>,
    pub autopilot_description: Option<String>,
    /// `manual`, `schedule`, `webhook` or `api`.
    pub autopilot_source: Option<String>,
    pub autopilot_trigger_payload: Option<Value>,
    pub quick_create_prompt: Option<String>,
    pub quick_create_attachment_ids: Option<Vec<String>>,
    pub parent_issue_id: Option<String>,
    pub parent_issue_identifier: Option<String>,
    #[schema(format = Uuid)]
    pub squad_id: Option<String>,
    pub squad_name: Option<String>,
    /// The owner of the runtime.
    pub requesting_user_name: Option<String>,
    pub requesting_user_profile_description: Option<String>,
    /// Who caused the task: `member` or `agent`.
    pub initiator_type: Option<String>,
    #[schema(format = Uuid)]
    pub initiator_id: Option<String>,
    pub initiator_name: Option<String>,
    pub initiator_email: Option<String>,
}

/// The agent as it is now, whatever it was when the task was queued.
#[derive(ToSchema)]
pub struct ClaimedAgent {
    pub id: String,
    pub name: String,
    /// For the leader of a squad with a briefing at their end.
    pub instructions: String,
    /// Secret.
    pub custom_env: Option<BTreeMap<String, String>>,
    pub custom_args: Option<Vec<String>>,
    /// Secret: `{"mcpServers": {…}}`.
    pub mcp_config: Option<Value>,
    pub model: Option<String>,
    pub thinking_level: Option<String>,
    pub runtime_config: Option<Value>,
    /// Whole, for a daemon that does not take references.
    pub skills: Option<Vec<FullSkill<'static>>>,
    /// For a daemon that asks for their content later.
    pub skill_refs: Option<Vec<SkillRef<'static>>>,
}

/// An app that the agent may use in its owner's name.
#[derive(ToSchema)]
pub struct ConnectedApp {
    pub provider: String,
    pub server_name: String,
    pub toolkit_slug: String,
    pub toolkit_name: Option<String>,
}

/// A resource of the task's project.
#[derive(ToSchema)]
pub struct ClaimedResource {
    pub id: String,
    pub resource_type: String,
    /// What it points to; its members depend on the type.
    #[schema(value_type = Object)]
    pub resource_ref: Value,
    pub label: Option<String>,
}

/// A file that came with a chat message.
#[derive(ToSchema)]
pub struct ClaimedAttachment {
    pub id: String,
    pub filename: String,
    pub content_type: Option<String>,
}
