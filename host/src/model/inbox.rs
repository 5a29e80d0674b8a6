//! What a person is told.

use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::ids::{IssueId, UserId, WorkspaceId};
use super::time::{Time, seconds};

/// A row of `inbox_item`, as it is first stored.
#[derive(Clone, Debug)]
pub struct InboxItem {
    pub id: Uuid,
    pub workspace_id: WorkspaceId,
    pub recipient_id: UserId,
    /// The column `type`.
    pub kind: &'static str,
    /// `action_required`, `attention` or `info`.
    pub severity: &'static str,
    pub issue_id: Option<IssueId>,
    pub title: String,
    pub body: Option<String>,
    /// The agent that it is about.
    pub agent_id: Uuid,
    pub details: Value,
    pub created_at: Time,
}

impl InboxItem {
    /// What `inbox:new` carries. Only the recipient's own connections may get it.
    pub fn added(&self) -> Value {
        json!({"item": {
            "id": self.id,
            "workspace_id": self.workspace_id,
            "recipient_type": "member",
            "recipient_id": self.recipient_id,
            "type": self.kind,
            "severity": self.severity,
            "issue_id": self.issue_id,
            "title": self.title,
            "body": self.body,
            "actor_type": "agent",
            "actor_id": self.agent_id,
            "details": self.details,
            "read": false,
            "archived": false,
            "created_at": seconds(self.created_at),
        }})
    }
}

/// An item as its recipient sees it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct InboxBody {
    pub id: Uuid,
    pub workspace_id: WorkspaceId,
    pub recipient_type: String,
    pub recipient_id: Uuid,
    #[serde(rename = "type")]
    pub kind: String,
    /// `action_required`, `attention` or `info`.
    pub severity: String,
    pub issue_id: Option<IssueId>,
    pub title: String,
    pub body: Option<String>,
    pub read: bool,
    pub archived: bool,
    #[serde(serialize_with = "super::time::as_seconds::serialize")]
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Time,
    /// Of the issue that it is about.
    pub issue_status: Option<String>,
    pub actor_type: Option<String>,
    pub actor_id: Option<Uuid>,
    pub details: Value,
}

/// How much is unread in a workspace.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Unread {
    pub workspace_id: WorkspaceId,
    pub count: i64,
}
