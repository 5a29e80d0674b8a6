//! The smaller transitions of a task, and what ending one needs to know.

use super::tasks::task_columns;
use super::{Conn, StoreError, tokens};
use crate::model::ids::{AgentId, IssueId, RuntimeId, TaskId};
use crate::model::task::Task;
use crate::model::time::Time;
use crate::telemetry::metrics;

/// The prepare lease of a task that is not yet running moves on. `None` when the task is
/// past that, or not on the runtime.
pub async fn extend_lease(
    conn: &mut Conn,
    id: TaskId,
    runtime: RuntimeId,
    lease_until: Time,
) -> Result<Option<Task>, StoreError> {
    const SQL: &str = concat!(
        "UPDATE agent_task_queue SET prepare_lease_expires_at = $3
        WHERE id = $1 AND runtime_id = $2 AND started_at IS NULL
            AND status IN ('dispatched', 'waiting_local_directory') RETURNING ",
        task_columns!()
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL)
        .bind(id)
        .bind(runtime)
        .bind(lease_until)
        .fetch_optional(c)
        .await)?)
}

/// Dispatched becomes waiting. `None` when it was not dispatched.
pub async fn wait(
    conn: &mut Conn,
    id: TaskId,
    reason: Option<&str>,
    lease_until: Time,
) -> Result<Option<Task>, StoreError> {
    const SQL: &str = concat!(
        "UPDATE agent_task_queue SET status = 'waiting_local_directory', wait_reason = $2,
            prepare_lease_expires_at = $3
        WHERE id = $1 AND status = 'dispatched' RETURNING ",
        task_columns!()
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL)
        .bind(id)
        .bind(reason)
        .bind(lease_until)
        .fetch_optional(c)
        .await)?)
}

/// Notes where a run can be resumed. Does nothing to a task that is neither dispatched nor
/// running.
pub async fn pin(
    conn: &mut Conn,
    id: TaskId,
    session_id: Option<&str>,
    work_dir: Option<&str>,
) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE agent_task_queue
        SET session_id = COALESCE($2, session_id), work_dir = COALESCE($3, work_dir)
        WHERE id = $1 AND status IN ('dispatched', 'running')";
    on_conn!(conn, |c| sqlx::query(SQL).bind(id).bind(session_id).bind(work_dir).execute(c).await.map(drop))?;
    Ok(())
}

/// The runtimes on which an agent has queued work: the one a task of its ended on and the
/// one it is bound to now. Capacity and lanes that an end frees matter to nobody else.
pub async fn list_waiting_runtimes(
    conn: &mut Conn,
    agent: AgentId,
    runtime: RuntimeId,
) -> Result<Vec<RuntimeId>, StoreError> {
    // Counts on `agent_task_queue_next`, which holds queued rows alone.
    const SQL: &str = "SELECT DISTINCT runtime_id FROM agent_task_queue
        WHERE status = 'queued' AND agent_id = $1
            AND runtime_id IN ($2, (SELECT runtime_id FROM agent WHERE id = $1))";
    Ok(on_conn!(conn, |c| sqlx::query_scalar(SQL).bind(agent).bind(runtime).fetch_all(c).await)?)
}

/// Whether the agent itself wrote on the issue since the run began, or recorded as a squad's
/// leader that this very run needs no word.
pub async fn has_answered(
    conn: &mut Conn,
    issue: IssueId,
    agent: AgentId,
    task: TaskId,
    since: Time,
) -> Result<bool, StoreError> {
    const SQL: &str = "SELECT EXISTS (SELECT 1 FROM comment
            WHERE issue_id = $1 AND author_type = 'agent' AND author_id = $2 AND created_at >= $3)
        OR EXISTS (SELECT 1 FROM activity_log
            WHERE issue_id = $1 AND action = 'squad_leader_evaluated'
                AND details ->> 'task_id' = $4 AND details ->> 'outcome' = 'no_action')";
    let task = task.to_string();
    Ok(on_conn!(conn, |c| sqlx::query_scalar(SQL)
        .bind(issue)
        .bind(agent)
        .bind(since)
        .bind(&task)
        .fetch_one(c)
        .await)?)
}

/// Whether a squad's leader recorded that this very run needs no word.
pub async fn chose_silence(conn: &mut Conn, issue: IssueId, task: TaskId) -> Result<bool, StoreError> {
    const SQL: &str = "SELECT 1 FROM activity_log
        WHERE issue_id = $1 AND action = 'squad_leader_evaluated'
            AND details ->> 'task_id' = $2 AND details ->> 'outcome' = 'no_action' LIMIT 1";
    let task = task.to_string();
    let row: Option<i32> =
        on_conn!(conn, |c| sqlx::query_scalar(SQL).bind(issue).bind(&task).fetch_optional(c).await)?;
    Ok(row.is_some())
}

/// What follows from the end of a task for those around it.
pub struct Aftermath {
    /// Whether nothing was completed on its issue before.
    pub is_first: bool,
    /// The runtimes on which its agent has queued work, as [`list_waiting_runtimes`] gives them.
    pub waiting: Vec<RuntimeId>,
}

/// Takes the task's tokens, and notes the first completion on its issue; later ones change
/// nothing. One statement on PostgreSQL.
pub async fn complete_around(conn: &mut Conn, task: &Task, now: Time) -> Result<Aftermath, StoreError> {
    const FIRST: &str = "UPDATE issue SET first_executed_at = $2 WHERE id = $1 AND first_executed_at IS NULL";
    const POSTGRES: &str = "WITH revoked AS (DELETE FROM task_token WHERE task_id = $1),
        first AS (UPDATE issue SET first_executed_at = $3 WHERE id = $2 AND first_executed_at IS NULL RETURNING id)
        SELECT EXISTS (SELECT 1 FROM first) AS is_first, ARRAY (SELECT DISTINCT runtime_id FROM agent_task_queue
            WHERE status = 'queued' AND agent_id = $4
                AND runtime_id IN ($5, (SELECT runtime_id FROM agent WHERE id = $4))) AS waiting";
    match conn {
        Conn::Sqlite(_) => {
            let mut is_first = false;
            if let Some(issue) = task.issue_id {
                let stamped = on_conn!(conn, |c| sqlx::query(FIRST)
                    .bind(issue)
                    .bind(now)
                    .execute(c)
                    .await
                    .map(|done| done.rows_affected()))?;
                is_first = stamped > 0;
            }
            tokens::delete_of_task(conn, task.id).await?;
            let waiting = list_waiting_runtimes(conn, task.agent_id, task.runtime_id).await?;
            Ok(Aftermath { is_first, waiting })
        }
        Conn::Postgres(c) => {
            metrics::db_statement();
            let (is_first, waiting) = sqlx::query_as(POSTGRES)
                .bind(task.id)
                .bind(task.issue_id)
                .bind(now)
                .bind(task.agent_id)
                .bind(task.runtime_id)
                .fetch_one(&mut **c)
                .await?;
            Ok(Aftermath { is_first, waiting })
        }
    }
}

/// In progress becomes to do, unless something still works on the issue or is about to.
/// Says whether it happened.
pub async fn put_back_issue(conn: &mut Conn, issue: IssueId, now: Time) -> Result<bool, StoreError> {
    const SQL: &str = "UPDATE issue SET status = 'todo', updated_at = $2
        WHERE id = $1 AND status = 'in_progress' AND NOT EXISTS (SELECT 1 FROM agent_task_queue t
            WHERE t.issue_id = issue.id
                AND t.status IN ('queued', 'dispatched', 'running', 'waiting_local_directory'))
        RETURNING id";
    let row: Option<IssueId> =
        on_conn!(conn, |c| sqlx::query_scalar(SQL).bind(issue).bind(now).fetch_optional(c).await)?;
    Ok(row.is_some())
}
