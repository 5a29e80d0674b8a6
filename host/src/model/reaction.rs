//! An emoji that somebody put on an issue or a comment.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::ids::{CommentId, IssueId};
use super::time::{Time, as_seconds};

/// A row of `comment_reaction`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CommentReaction {
    pub id: Uuid,
    pub comment_id: CommentId,
    /// `member` or `agent`.
    pub actor_type: String,
    pub actor_id: Uuid,
    pub emoji: String,
    #[serde(serialize_with = "as_seconds::serialize")]
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Time,
}

/// A row of `issue_reaction`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct IssueReaction {
    pub id: Uuid,
    pub issue_id: IssueId,
    /// `member` or `agent`.
    pub actor_type: String,
    pub actor_id: Uuid,
    pub emoji: String,
    #[serde(serialize_with = "as_seconds::serialize")]
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Time,
}
