//! What only an answer to a claim reads: joined, scoped to the task's workspace, few.

use uuid::Uuid;

use super::{Conn, StoreError};
use crate::model::failure;
use crate::model::ids::{AgentId, CommentId, IssueId, RuntimeId, WorkspaceId};
use crate::model::time::Time;

/// A comment that caused a run, with its author's name and address.
#[derive(Clone, Debug)]
pub struct TriggerContext {
    pub id: CommentId,
    pub parent_id: Option<CommentId>,
    pub author_type: String,
    pub author_id: Uuid,
    pub content: String,
    pub author_name: Option<String>,
    /// Only of people.
    pub author_email: Option<String>,
}

from_row!(TriggerContext { id, parent_id, author_type, author_id, content, author_name, author_email });

pub async fn find_trigger(
    conn: &mut Conn,
    comment: CommentId,
    workspace: WorkspaceId,
) -> Result<Option<TriggerContext>, StoreError> {
    const SQL: &str = r#"SELECT c.id, c.parent_id, c.author_type, c.author_id, c.content,
            COALESCE(a.name, u.name) AS author_name, u.email AS author_email
        FROM comment c
        LEFT JOIN agent a ON c.author_type = 'agent' AND a.id = c.author_id
        LEFT JOIN "user" u ON c.author_type = 'member' AND u.id = c.author_id
        WHERE c.id = $1 AND c.workspace_id = $2"#;
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(comment).bind(workspace).fetch_optional(c).await)?)
}

/// When the agent last began to work on the issue.
pub async fn find_last_start(
    conn: &mut Conn,
    agent: AgentId,
    issue: IssueId,
) -> Result<Option<Time>, StoreError> {
    const SQL: &str = "SELECT started_at FROM agent_task_queue
        WHERE issue_id = $1 AND agent_id = $2 AND started_at IS NOT NULL ORDER BY started_at DESC LIMIT 1";
    Ok(on_conn!(conn, |c| sqlx::query_scalar(SQL).bind(issue).bind(agent).fetch_optional(c).await)?)
}

/// Comments on the whole issue since then, other than the trigger and the agent's own.
pub async fn count_new_comments(
    conn: &mut Conn,
    issue: IssueId,
    since: Time,
    trigger: CommentId,
    agent: AgentId,
) -> Result<i64, StoreError> {
    const SQL: &str = "SELECT count(*) FROM comment WHERE issue_id = $1 AND created_at > $2 AND id <> $3
        AND NOT (author_type = 'agent' AND author_id = $4)";
    Ok(on_conn!(conn, |c| sqlx::query_scalar(SQL)
        .bind(issue)
        .bind(since)
        .bind(trigger)
        .bind(agent)
        .fetch_one(c)
        .await)?)
}

/// Where an earlier run left off.
#[derive(Clone, Debug)]
pub struct PriorSession {
    pub session_id: String,
    pub work_dir: Option<String>,
    pub runtime_id: RuntimeId,
}

from_row!(PriorSession { session_id, work_dir, runtime_id });

/// One of an agent's ended runs on an issue, as far as a resume cares.
pub(super) struct EndedRun {
    session: PriorSession,
    status: String,
    failure_reason: Option<String>,
    error: Option<String>,
}

from_row!(EndedRun { status, failure_reason, error; session });

/// The latest run on the issue whose session may be resumed: completed, or failed for a
/// reason that is not in the session itself.
pub async fn find_prior_session(
    conn: &mut Conn,
    agent: AgentId,
    issue: IssueId,
) -> Result<Option<PriorSession>, StoreError> {
    // The reasons are judged here, where they have a name; a run of failures longer than
    // this has nothing worth resuming behind it.
    const SQL: &str =
        "SELECT session_id, work_dir, runtime_id, status, failure_reason, error FROM agent_task_queue
        WHERE issue_id = $1 AND agent_id = $2 AND session_id IS NOT NULL AND status IN ('completed', 'failed')
        ORDER BY COALESCE(completed_at, started_at, dispatched_at, created_at) DESC, id DESC LIMIT 50";
    let runs: Vec<EndedRun> =
        on_conn!(conn, |c| sqlx::query_as(SQL).bind(issue).bind(agent).fetch_all(c).await)?;
    Ok(first_to_resume(runs))
}

pub(super) fn first_to_resume(runs: Vec<EndedRun>) -> Option<PriorSession> {
    runs.into_iter().find(EndedRun::may_be_resumed).map(|run| run.session)
}

impl EndedRun {
    fn may_be_resumed(&self) -> bool {
        if self.status == "completed" {
            return true;
        }
        let error = self.error.as_deref().unwrap_or_default().to_lowercase();
        let reason = self.failure_reason.as_deref().unwrap_or_default();
        let refused = error.contains("400") && error.contains("invalid_request_error");
        !refused && !failure::is_resume_unsafe(reason)
    }
}
