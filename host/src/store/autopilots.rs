//! Autopilots' runs.

use uuid::Uuid;

use super::{Conn, StoreError};
use crate::model::ids::{AutopilotRunId, IssueId, WorkspaceId};
use crate::model::time::Time;

/// What a daemon asks before it cleans up after a run.
#[derive(Clone, Debug)]
pub struct RunState {
    pub workspace_id: WorkspaceId,
    pub status: String,
    pub completed_at: Option<Time>,
}

from_row!(RunState { workspace_id, status, completed_at });

/// `None` when the run or its autopilot is gone.
pub async fn find_run_state(conn: &mut Conn, id: AutopilotRunId) -> Result<Option<RunState>, StoreError> {
    const SQL: &str = "SELECT a.workspace_id, r.status, r.completed_at
        FROM autopilot_run r JOIN autopilot a ON a.id = r.autopilot_id WHERE r.id = $1";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(id).fetch_optional(c).await)?)
}

/// A run that came to its end.
#[derive(Clone, Copy, Debug)]
pub struct EndedRun {
    pub id: AutopilotRunId,
    pub autopilot_id: Uuid,
}

from_row!(EndedRun { id, autopilot_id });

/// Ends the unfinished runs that made an issue; gives them.
pub async fn end_runs_of_issue(
    conn: &mut Conn,
    issue: IssueId,
    status: &str,
    failure_reason: Option<&str>,
    now: Time,
) -> Result<Vec<EndedRun>, StoreError> {
    const SQL: &str = "UPDATE autopilot_run SET status = $2, failure_reason = $3, completed_at = $4
        WHERE issue_id = $1 AND status IN ('issue_created', 'running') RETURNING id, autopilot_id";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL)
        .bind(issue)
        .bind(status)
        .bind(failure_reason)
        .bind(now)
        .fetch_all(c)
        .await)?)
}
