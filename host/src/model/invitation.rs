//! A person is asked into a workspace.

use chrono::TimeDelta;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::ids::{UserId, WorkspaceId};
use super::time::{Time, as_seconds};
use super::workspace::User;

/// How long an invitation may be accepted.
pub const LIFETIME: TimeDelta = TimeDelta::days(7);

/// A row of `workspace_invitation`, as answers and events show it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Invitation {
    pub id: Uuid,
    pub workspace_id: WorkspaceId,
    pub inviter_id: UserId,
    pub invitee_email: String,
    /// Absent for an address that has no account yet.
    pub invitee_user_id: Option<UserId>,
    /// `admin` or `member`.
    pub role: String,
    /// `pending`, `accepted`, `declined` or `expired`.
    pub status: String,
    #[serde(serialize_with = "as_seconds::serialize")]
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Time,
    #[serde(serialize_with = "as_seconds::serialize")]
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Time,
    #[serde(serialize_with = "as_seconds::serialize")]
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inviter_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inviter_email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace_name: Option<String>,
}

impl Invitation {
    /// Whether it is the person who was asked: by account, or by address in any case.
    pub fn is_for(&self, user: &User) -> bool {
        self.invitee_user_id == Some(user.id)
            || self.invitee_email.to_lowercase() == user.email.to_lowercase()
    }
}
