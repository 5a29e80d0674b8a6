//! The issue and the comments on it.

use chrono::NaiveDate;
use serde_json::Value;
use uuid::Uuid;

use super::ids::{CommentId, IssueId, ProjectId, TaskId, WorkspaceId};
use super::time::Time;

pub const ISSUE_STATUSES: [&str; 7] =
    ["backlog", "todo", "in_progress", "in_review", "done", "blocked", "cancelled"];
pub const PRIORITIES: [&str; 5] = ["urgent", "high", "medium", "low", "none"];

/// What a comment may be.
pub const COMMENT_TYPES: [&str; 4] = ["comment", "status_change", "progress_update", "system"];

/// A row of `issue`.
#[derive(Clone, Debug)]
pub struct Issue {
    pub id: IssueId,
    pub workspace_id: WorkspaceId,
    pub number: i32,
    pub title: String,
    pub description: Option<String>,
    pub status: String,
    pub priority: String,
    pub assignee_type: Option<String>,
    pub assignee_id: Option<Uuid>,
    pub creator_type: String,
    pub creator_id: Uuid,
    pub parent_issue_id: Option<IssueId>,
    pub project_id: Option<ProjectId>,
    pub origin_type: Option<String>,
    pub origin_id: Option<Uuid>,
    pub position: f64,
    pub stage: Option<i32>,
    pub start_date: Option<NaiveDate>,
    pub due_date: Option<NaiveDate>,
    pub metadata: Value,
    pub first_executed_at: Option<Time>,
    pub created_at: Time,
    pub updated_at: Time,
}

impl Issue {
    /// Done or cancelled: the issue is over, whatever its tasks do.
    pub fn is_closed(&self) -> bool {
        is_closed(&self.status)
    }
}

/// See [`Issue::is_closed`].
pub fn is_closed(status: &str) -> bool {
    matches!(status, "done" | "cancelled")
}

/// A row of `comment`.
#[derive(Clone, Debug)]
pub struct Comment {
    pub id: CommentId,
    pub issue_id: IssueId,
    pub workspace_id: WorkspaceId,
    /// `member`, `agent` or `system`.
    pub author_type: String,
    /// A user id, an agent id, or all zeros for the system.
    pub author_id: Uuid,
    pub content: String,
    /// The column `type`.
    pub kind: String,
    /// The comment replied to, never rewritten to the thread's root.
    pub parent_id: Option<CommentId>,
    /// The task an agent ran when it wrote this.
    pub source_task_id: Option<TaskId>,
    pub resolved_at: Option<Time>,
    pub resolved_by_type: Option<String>,
    pub resolved_by_id: Option<Uuid>,
    pub created_at: Time,
    pub updated_at: Time,
}
