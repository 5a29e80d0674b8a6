//! Somebody who follows an issue.

use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::ids::IssueId;
use super::time::{Time, as_seconds};

/// A row of `issue_subscriber`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct Subscriber {
    pub issue_id: IssueId,
    /// `member` or `agent`.
    pub user_type: String,
    pub user_id: Uuid,
    /// `creator`, `assignee`, `commenter`, `mentioned`, `manual` or `autopilot`.
    pub reason: String,
    #[serde(serialize_with = "as_seconds::serialize")]
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Time,
}

impl Subscriber {
    /// What `subscriber:added` carries.
    pub fn added(&self) -> Value {
        json!({
            "issue_id": self.issue_id,
            "user_type": self.user_type,
            "user_id": self.user_id,
            "reason": self.reason,
        })
    }
}
