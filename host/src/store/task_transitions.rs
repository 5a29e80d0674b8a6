//! The smaller transitions of a task, and what ending one needs to know.

use sqlx::Row as _;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::types::Json;
use uuid::Uuid;

use super::agents::{agent_columns, status_from_queue};
use super::conn::count_more;
use super::tasks::task_columns;
use super::{Conn, StoreError};
use crate::model::agent::Agent;
use crate::model::ids::{AgentId, IssueId, RuntimeId, TaskId};
use crate::model::task::Task;
use crate::model::time::Time;

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
            AND status || '' IN ('dispatched', 'waiting_local_directory') RETURNING ",
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
        WHERE id = $1 AND status || '' = 'dispatched' RETURNING ",
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
        WHERE id = $1 AND status || '' IN ('dispatched', 'running')";
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
#[derive(Default)]
pub struct Aftermath {
    /// Whether nothing was completed on its issue before.
    pub is_first: bool,
    /// The runtimes on which its agent has queued work, as [`list_waiting_runtimes`] gives them.
    pub waiting: Vec<RuntimeId>,
    /// Its agent, with the status that is left.
    pub agent: Option<Agent>,
}

impl<'r> sqlx::FromRow<'r, PgRow> for Aftermath {
    fn from_row(row: &'r PgRow) -> Result<Self, sqlx::Error> {
        let (is_first, waiting) = (row.try_get("is_first")?, row.try_get("waiting")?);
        Ok(Self { is_first, waiting, agent: Some(Agent::from_row(row)?) })
    }
}

impl<'r> sqlx::FromRow<'r, SqliteRow> for Aftermath {
    fn from_row(row: &'r SqliteRow) -> Result<Self, sqlx::Error> {
        let waiting: Json<Vec<Uuid>> = row.try_get("waiting")?;
        let waiting = waiting.0.into_iter().map(RuntimeId).collect();
        Ok(Self { is_first: row.try_get("is_first")?, waiting, agent: Some(Agent::from_row(row)?) })
    }
}

/// Takes the task's tokens, sets the status of its agent, whose row must be locked, and notes the
/// first completion on its issue; later ones change nothing. One round trip.
pub async fn complete_around(conn: &mut Conn, task: &Task, now: Time) -> Result<Aftermath, StoreError> {
    const SQLITE: &str = concat!(
        revoke!(),
        "; ",
        status_from_queue!(),
        "; ",
        stamp_first!(),
        "; SELECT ",
        agent_columns!(),
        ", changes() > 0 AS is_first, (SELECT json_group_array(DISTINCT lower(hex(q.runtime_id))) ",
        still_waiting!("agent.runtime_id"),
        ") AS waiting FROM agent WHERE id = $1"
    );
    const POSTGRES: &str = concat!(
        "WITH revoked AS (",
        revoke!(),
        "), first AS (",
        stamp_first!(),
        " RETURNING id), around AS (",
        status_from_queue!(),
        " RETURNING ",
        agent_columns!(),
        ") SELECT ",
        agent_columns!(),
        ", EXISTS (SELECT 1 FROM first) AS is_first, ARRAY (SELECT DISTINCT q.runtime_id ",
        still_waiting!("around.runtime_id"),
        ") AS waiting FROM around"
    );
    let sql = by_engine!(conn, sqlite: SQLITE, postgres: POSTGRES);
    count_more(sql);
    // All rows, because SQLite goes no further than what is asked for.
    let mut around: Vec<Aftermath> = on_conn!(conn, |c| sqlx::query_as(sql)
        .bind(task.agent_id)
        .bind(now)
        .bind(task.id)
        .bind(task.issue_id)
        .bind(task.runtime_id)
        .fetch_all(c)
        .await)?;
    Ok(around.pop().unwrap_or_default())
}

macro_rules! revoke {
    () => {
        "DELETE FROM task_token WHERE task_id = $3"
    };
}
use revoke;

macro_rules! stamp_first {
    () => {
        "UPDATE issue SET first_executed_at = $2 WHERE id = $4 AND first_executed_at IS NULL"
    };
}
use stamp_first;

macro_rules! still_waiting {
    ($bound_to:literal) => {
        concat!(
            "FROM agent_task_queue q WHERE q.status = 'queued' AND q.agent_id = $1 AND q.runtime_id IN ($5, ",
            $bound_to,
            ")"
        )
    };
}
use still_waiting;

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
