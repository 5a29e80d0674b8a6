//! What happened to an issue, for its timeline.

use serde_json::{Value, json};
use uuid::Uuid;

use super::actor::Actor;
use super::ids::{IssueId, WorkspaceId};
use super::time::{Time, seconds};

/// A row of `activity_log`.
#[derive(Clone, Debug)]
pub struct Activity {
    pub id: Uuid,
    pub workspace_id: WorkspaceId,
    pub issue_id: Option<IssueId>,
    /// `member`, `agent` or `system`.
    pub actor_type: String,
    pub actor_id: Option<Uuid>,
    pub action: String,
    pub details: Value,
    pub created_at: Time,
}

impl Activity {
    /// Something that somebody did to an issue.
    pub fn on_issue(
        workspace_id: WorkspaceId,
        issue_id: IssueId,
        actor: Actor,
        action: &str,
        details: Value,
        now: Time,
    ) -> Self {
        Self {
            id: Uuid::now_v7(),
            workspace_id,
            issue_id: Some(issue_id),
            actor_type: actor.kind().to_owned(),
            actor_id: Some(actor.id()),
            action: action.to_owned(),
            details,
            created_at: now,
        }
    }

    /// As a timeline and `activity:created` show it.
    pub fn entry(&self) -> Value {
        json!({
            "type": "activity",
            "id": self.id,
            "actor_type": self.actor_type,
            "actor_id": self.actor_id.map(|id| id.to_string()).unwrap_or_default(),
            "action": self.action,
            "details": self.details,
            "created_at": seconds(self.created_at),
        })
    }
}
