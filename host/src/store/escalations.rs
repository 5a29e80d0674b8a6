//! Tasks that stand by for another, ended when they are not needed.

use super::{Conn, StoreError};
use crate::model::ids::{AgentId, IssueId, TaskId};
use crate::model::time::Time;

/// Ends what stands by for any task of one agent on one issue: it has spoken. One that runs
/// already goes on. Gives those that ended.
pub async fn cancel_on(
    conn: &mut Conn,
    issue: IssueId,
    primary_agent: AgentId,
    now: Time,
) -> Result<Vec<TaskId>, StoreError> {
    const SQL: &str =
        "UPDATE agent_task_queue SET status = 'cancelled', completed_at = $3, prepare_lease_expires_at = NULL
        WHERE status IN ('deferred', 'queued', 'dispatched', 'waiting_local_directory')
            AND escalation_for_task_id IN
                (SELECT p.id FROM agent_task_queue p WHERE p.issue_id = $1 AND p.agent_id = $2) RETURNING id";
    Ok(on_conn!(conn, |c| sqlx::query_scalar(SQL)
        .bind(issue)
        .bind(primary_agent)
        .bind(now)
        .fetch_all(c)
        .await)?)
}
