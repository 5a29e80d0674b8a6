//! A person's talk with an agent, a task a turn.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::attachment::AttachmentBody;
use super::ids::{AgentId, ChatSessionId, TaskId, UserId, WorkspaceId};
use super::time::{Time, seconds};

/// The most that a title has, in Unicode scalar values.
pub const TITLE_CHARS: usize = 200;

/// A row of `chat_session`, without where its next turn resumes.
#[derive(Clone, Debug)]
pub struct ChatSession {
    pub id: ChatSessionId,
    pub workspace_id: WorkspaceId,
    pub agent_id: AgentId,
    pub creator_id: UserId,
    pub title: String,
    /// `active` or `archived`.
    pub status: String,
    pub unread_since: Option<Time>,
    pub created_at: Time,
    pub updated_at: Time,
}

/// A row of `chat_message`.
#[derive(Clone, Debug)]
pub struct ChatMessage {
    pub id: Uuid,
    pub chat_session_id: ChatSessionId,
    /// `user` or `assistant`.
    pub role: String,
    pub content: String,
    pub task_id: Option<TaskId>,
    pub failure_reason: Option<String>,
    pub elapsed_ms: Option<i64>,
    pub created_at: Time,
}

/// A session as clients see it.
#[derive(Serialize, ToSchema)]
pub struct ChatSessionBody {
    pub id: ChatSessionId,
    pub workspace_id: WorkspaceId,
    pub agent_id: AgentId,
    pub creator_id: UserId,
    pub title: String,
    /// `active` or `archived`.
    pub status: String,
    /// Only lists say so; elsewhere it is `false`.
    pub has_unread: bool,
    pub created_at: String,
    pub updated_at: String,
}

impl From<&ChatSession> for ChatSessionBody {
    fn from(session: &ChatSession) -> Self {
        Self {
            id: session.id,
            workspace_id: session.workspace_id,
            agent_id: session.agent_id,
            creator_id: session.creator_id,
            title: session.title.clone(),
            status: session.status.clone(),
            has_unread: false,
            created_at: seconds(session.created_at),
            updated_at: seconds(session.updated_at),
        }
    }
}

/// A message as clients see it.
#[derive(Serialize, ToSchema)]
pub struct ChatMessageBody {
    pub id: Uuid,
    pub chat_session_id: ChatSessionId,
    /// `user` or `assistant`.
    pub role: String,
    pub content: String,
    pub task_id: Option<TaskId>,
    pub created_at: String,
    pub failure_reason: Option<String>,
    pub elapsed_ms: Option<i64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<AttachmentBody>,
}

impl From<&ChatMessage> for ChatMessageBody {
    fn from(message: &ChatMessage) -> Self {
        Self {
            id: message.id,
            chat_session_id: message.chat_session_id,
            role: message.role.clone(),
            content: message.content.clone(),
            task_id: message.task_id,
            created_at: seconds(message.created_at),
            failure_reason: message.failure_reason.clone(),
            elapsed_ms: message.elapsed_ms,
            attachments: Vec::new(),
        }
    }
}
