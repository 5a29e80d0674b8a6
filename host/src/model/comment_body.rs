//! The comment as every route and event shows it.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::attachment::AttachmentBody;
use super::ids::{CommentId, IssueId, TaskId};
use super::issue::Comment;
use super::reaction::CommentReaction;
use super::time::seconds;

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CommentBody {
    pub id: CommentId,
    pub issue_id: IssueId,
    /// `member`, `agent` or `system`.
    pub author_type: String,
    /// A user, an agent, or all zeros for the system.
    pub author_id: Uuid,
    pub content: String,
    /// `comment`, `status_change`, `progress_update` or `system`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The comment that this one answers, not the thread's root.
    pub parent_id: Option<CommentId>,
    pub created_at: String,
    pub updated_at: String,
    pub resolved_at: Option<String>,
    pub resolved_by_type: Option<String>,
    pub resolved_by_id: Option<Uuid>,
    /// The task that the author ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_task_id: Option<TaskId>,
    pub reactions: Vec<CommentReaction>,
    pub attachments: Vec<AttachmentBody>,
}

impl From<&Comment> for CommentBody {
    fn from(comment: &Comment) -> Self {
        Self {
            id: comment.id,
            issue_id: comment.issue_id,
            author_type: comment.author_type.clone(),
            author_id: comment.author_id,
            content: comment.content.clone(),
            kind: comment.kind.clone(),
            parent_id: comment.parent_id,
            created_at: seconds(comment.created_at),
            updated_at: seconds(comment.updated_at),
            resolved_at: comment.resolved_at.map(seconds),
            resolved_by_type: comment.resolved_by_type.clone(),
            resolved_by_id: comment.resolved_by_id,
            source_task_id: comment.source_task_id,
            reactions: Vec::new(),
            attachments: Vec::new(),
        }
    }
}
