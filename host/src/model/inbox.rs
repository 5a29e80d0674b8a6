//! What a person is told.

use serde_json::{Value, json};
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
