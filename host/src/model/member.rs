//! Who belongs to a workspace.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::ids::{UserId, WorkspaceId};
use super::time::{Time, as_seconds};

/// A row of `member` with the person it is about, as answers and events show it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(title = "Membership")]
pub struct Member {
    /// Of the membership; elsewhere people are known by `user_id`.
    pub id: Uuid,
    pub workspace_id: WorkspaceId,
    pub user_id: UserId,
    /// `owner`, `admin` or `member`.
    pub role: String,
    #[serde(serialize_with = "as_seconds::serialize")]
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Time,
    pub name: String,
    pub email: String,
    pub avatar_url: Option<String>,
}
