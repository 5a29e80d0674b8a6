//! Tasks: reading them, queueing them, and each transition as one guarded statement that
//! says by its answer whether it happened.
//!
//! A guard beside a task's id is written `status || ''`, so that PostgreSQL takes no partial index
//! for it: while little is in flight such an index looks as good as the key, and a plan that has it
//! goes on to read all of it when much is.

use serde_json::Value;

use super::conn::count_more;
use super::queue_versions::Entered;
use super::{Conn, StoreError};
use crate::model::ids::{AgentId, IssueId, RuntimeId, TaskId, WorkspaceId};
use crate::model::status::TaskStatus;
use crate::model::task::{NewTask, Task};
use crate::model::time::Time;

from_row!(Task {
    id,
    agent_id,
    runtime_id,
    issue_id,
    chat_session_id,
    autopilot_run_id,
    status,
    priority,
    claim_epoch,
    dispatched_at,
    started_at,
    completed_at,
    prepare_lease_expires_at,
    wait_reason,
    result,
    error,
    failure_reason,
    context,
    session_id,
    work_dir,
    trigger_comment_id,
    trigger_summary,
    attempt,
    max_attempts,
    parent_task_id,
    force_fresh_session,
    is_leader_task,
    squad_id,
    handoff_note,
    initiator_user_id,
    originator_user_id,
    escalation_for_task_id,
    fire_at,
    created_at,
});

/// The columns of a [`Task`], for every query that gives one.
macro_rules! task_columns {
    () => {
        "id, agent_id, runtime_id, issue_id, chat_session_id, autopilot_run_id, status, priority, claim_epoch, \
         dispatched_at, started_at, completed_at, prepare_lease_expires_at, wait_reason, result, error, \
         failure_reason, context, session_id, work_dir, trigger_comment_id, trigger_summary, attempt, \
         max_attempts, parent_task_id, force_fresh_session, is_leader_task, squad_id, handoff_note, \
         initiator_user_id, originator_user_id, escalation_for_task_id, fire_at, created_at"
    };
}
pub(in crate::store) use task_columns;

pub async fn find(conn: &mut Conn, id: TaskId) -> Result<Option<Task>, StoreError> {
    const SQL: &str = concat!("SELECT ", task_columns!(), " FROM agent_task_queue WHERE id = $1");
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(id).fetch_optional(c).await)?)
}

/// A task, and the workspace that its own source names; see [`find_workspace`].
pub async fn find_placed(
    conn: &mut Conn,
    id: TaskId,
) -> Result<Option<(Task, Option<WorkspaceId>)>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        task_columns!(),
        ", COALESCE((SELECT i.workspace_id FROM issue i WHERE i.id = agent_task_queue.issue_id),
                (SELECT c.workspace_id FROM chat_session c WHERE c.id = agent_task_queue.chat_session_id),
                (SELECT a.workspace_id FROM autopilot_run r JOIN autopilot a ON a.id = r.autopilot_id
                    WHERE r.id = agent_task_queue.autopilot_run_id)) AS source_workspace_id
        FROM agent_task_queue WHERE id = $1"
    );
    let found: Option<Placed> = on_conn!(conn, |c| sqlx::query_as(SQL).bind(id).fetch_optional(c).await)?;
    Ok(found.map(|Placed { task, source }| {
        let named = || task.quick_create().and_then(|document| document.workspace_id).map(WorkspaceId);
        let workspace = source.or_else(named);
        (task, workspace)
    }))
}

struct Placed {
    task: Task,
    source: Option<WorkspaceId>,
}

from_row!(Placed { source = "source_workspace_id"; task });

/// The workspace that a task's own source names: its issue, its chat session, its
/// autopilot, or its quick-create document. `None` when none of them does.
pub async fn find_workspace(conn: &mut Conn, task: &Task) -> Result<Option<WorkspaceId>, StoreError> {
    const SQL: &str = "SELECT COALESCE(
            (SELECT workspace_id FROM issue WHERE id = $1),
            (SELECT workspace_id FROM chat_session WHERE id = $2),
            (SELECT a.workspace_id FROM autopilot_run r JOIN autopilot a ON a.id = r.autopilot_id WHERE r.id = $3))";
    let bound = task.issue_id.is_some() || task.chat_session_id.is_some() || task.autopilot_run_id.is_some();
    if !bound {
        return Ok(task.quick_create().and_then(|document| document.workspace_id).map(WorkspaceId));
    }
    let found: Option<WorkspaceId> = on_conn!(conn, |c| sqlx::query_scalar(SQL)
        .bind(task.issue_id)
        .bind(task.chat_session_id)
        .bind(task.autopilot_run_id)
        .fetch_one(c)
        .await)?;
    Ok(found)
}

/// Adds a task. `None` when the pending slot of its issue and agent is taken.
pub async fn insert(conn: &mut Conn, new: NewTask) -> Result<Option<Task>, StoreError> {
    const SQL: &str = concat!(
        "INSERT INTO agent_task_queue (id, agent_id, runtime_id, issue_id, chat_session_id, autopilot_run_id, status,
            priority, context, session_id, work_dir, trigger_comment_id, trigger_summary, attempt, max_attempts,
            parent_task_id, force_fresh_session, is_leader_task, squad_id, handoff_note, initiator_user_id,
            originator_user_id, escalation_for_task_id, fire_at, runtime_mcp_overlay, runtime_connected_apps,
            created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22,
            $23, $24, $25, $26, $27)
        ON CONFLICT (issue_id, agent_id) WHERE status IN ('queued', 'dispatched') DO NOTHING
        RETURNING ",
        task_columns!()
    );
    let task: Option<Task> = on_conn!(conn, |c| sqlx::query_as(SQL)
        .bind(new.id)
        .bind(new.agent_id)
        .bind(new.runtime_id)
        .bind(new.issue_id)
        .bind(new.chat_session_id)
        .bind(new.autopilot_run_id)
        .bind(new.status)
        .bind(new.priority)
        .bind(&new.context)
        .bind(&new.session_id)
        .bind(&new.work_dir)
        .bind(new.trigger_comment_id)
        .bind(&new.trigger_summary)
        .bind(new.attempt)
        .bind(new.max_attempts)
        .bind(new.parent_task_id)
        .bind(new.force_fresh_session)
        .bind(new.is_leader_task)
        .bind(new.squad_id)
        .bind(&new.handoff_note)
        .bind(new.initiator_user_id)
        .bind(new.originator_user_id)
        .bind(new.escalation_for_task_id)
        .bind(new.fire_at)
        .bind(&new.runtime_mcp_overlay)
        .bind(&new.runtime_connected_apps)
        .bind(new.created_at)
        .fetch_optional(c)
        .await)?;
    if let Some(task) = &task {
        conn.note(Entered::task(task));
    }
    Ok(task)
}

/// Keeps an overlay with a task that has not ended; the end takes it away.
pub async fn set_overlay(conn: &mut Conn, id: TaskId, overlay: &Value) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE agent_task_queue SET runtime_mcp_overlay = $2
        WHERE id = $1 AND status NOT IN ('completed', 'failed', 'cancelled')";
    on_conn!(conn, |c| sqlx::query(SQL).bind(id).bind(overlay).execute(c).await.map(drop))?;
    Ok(())
}

/// Binds a task that was bound to nothing to the issue that it made.
pub async fn bind_issue(conn: &mut Conn, id: TaskId, issue: IssueId) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE agent_task_queue SET issue_id = $2 WHERE id = $1 AND issue_id IS NULL";
    on_conn!(conn, |c| sqlx::query(SQL).bind(id).bind(issue).execute(c).await.map(drop))?;
    Ok(())
}

/// Queued and dispatched tasks of a runtime, as a claim would take them.
pub async fn list_pending(conn: &mut Conn, runtime: RuntimeId) -> Result<Vec<Task>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        task_columns!(),
        " FROM agent_task_queue WHERE runtime_id = $1 AND status IN ('queued', 'dispatched')
        ORDER BY priority DESC, created_at, id"
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(runtime).fetch_all(c).await)?)
}

/// Whether a queued or dispatched task of the pair exists.
pub async fn has_pending(conn: &mut Conn, issue: IssueId, agent: AgentId) -> Result<bool, StoreError> {
    const SQL: &str = "SELECT 1 FROM agent_task_queue
        WHERE issue_id = $1 AND agent_id = $2 AND status IN ('queued', 'dispatched') LIMIT 1";
    let row: Option<i32> =
        on_conn!(conn, |c| sqlx::query_scalar(SQL).bind(issue).bind(agent).fetch_optional(c).await)?;
    Ok(row.is_some())
}

/// Dispatched or waiting becomes running, and what stood by for it ends with its tokens: all that
/// stands by in case the task never starts, or in case the one never did that it is a retry of.
/// What stands by and runs already goes on. One round trip. `None` when it was
/// neither; else also who provides the runtime.
pub async fn start(
    conn: &mut Conn,
    id: TaskId,
    now: Time,
) -> Result<Option<(Task, Option<String>)>, StoreError> {
    const SQLITE: &str = concat!(
        begin!(),
        " RETURNING ",
        task_columns!(),
        ", ",
        provider!(),
        "; DELETE FROM task_token WHERE task_id IN (SELECT id FROM agent_task_queue WHERE ",
        stands_by!(),
        ") AND ",
        has_begun!(),
        "; ",
        stand_down!(),
        " AND ",
        has_begun!()
    );
    const POSTGRES: &str = concat!(
        "WITH started AS (",
        begin!(),
        " RETURNING ",
        task_columns!(),
        ", ",
        provider!(),
        "), stood_by AS (",
        stand_down!(),
        " AND EXISTS (SELECT 1 FROM started) RETURNING id
        ), revoked AS (DELETE FROM task_token WHERE task_id IN (SELECT s.id FROM stood_by s))
        SELECT ",
        task_columns!(),
        ", provider FROM started"
    );
    let sql = by_engine!(conn, sqlite: SQLITE, postgres: POSTGRES);
    count_more(sql);
    // All rows, because SQLite goes no further than what is asked for.
    let mut started: Vec<Started> =
        on_conn!(conn, |c| sqlx::query_as(sql).bind(id).bind(now).fetch_all(c).await)?;
    Ok(started.pop().map(|Started { task, provider }| (task, provider)))
}

macro_rules! begin {
    () => {
        "UPDATE agent_task_queue SET status = 'running', started_at = $2, wait_reason = NULL,
            prepare_lease_expires_at = NULL
        WHERE id = $1 AND status || '' IN ('dispatched', 'waiting_local_directory')"
    };
}
use begin;

macro_rules! provider {
    () => {
        "(SELECT r.provider FROM agent_runtime r WHERE r.id = agent_task_queue.runtime_id) AS provider"
    };
}
use provider;

macro_rules! stands_by {
    () => {
        "escalation_for_task_id IN ($1, (SELECT p.parent_task_id FROM agent_task_queue p WHERE p.id = $1))
            AND status IN ('deferred', 'queued', 'dispatched', 'waiting_local_directory')"
    };
}
use stands_by;

macro_rules! stand_down {
    () => {
        concat!(
            "UPDATE agent_task_queue SET status = 'cancelled', completed_at = $2, prepare_lease_expires_at = NULL
            WHERE ",
            stands_by!()
        )
    };
}
use stand_down;

/// Whether the statement before made it run.
macro_rules! has_begun {
    () => {
        "EXISTS (SELECT 1 FROM agent_task_queue b WHERE b.id = $1 AND b.status || '' = 'running'
            AND b.started_at = $2)"
    };
}
use has_begun;

struct Started {
    task: Task,
    provider: Option<String>,
}

from_row!(Started { provider; task });

/// A task that was completed just now.
pub struct Completed {
    pub task: Task,
    /// Whether the agent itself wrote on the issue since the run began, or recorded as a squad's
    /// leader that this very run needs no word.
    pub has_answered: bool,
}

from_row!(Completed { has_answered; task });

/// Running becomes completed, with the task's agent locked. A pinned session or directory survives an
/// empty one. `None` when it was not running.
pub async fn complete(
    conn: &mut Conn,
    id: TaskId,
    result: &Value,
    session_id: Option<&str>,
    work_dir: Option<&str>,
    now: Time,
) -> Result<Option<Completed>, StoreError> {
    const SQLITE: &str = concat!(set_completed!(""), "WHERE id = $1 ", if_running!());
    // The agent before the task, as whoever claims locks them. What is said of answers is of before
    // the wait for the lock: whoever ends a run has answered before.
    const POSTGRES: &str = concat!(
        "WITH held AS MATERIALIZED (SELECT a.id AS held_id FROM agent a
            WHERE a.id = (SELECT t.agent_id FROM agent_task_queue t WHERE t.id = $1) FOR NO KEY UPDATE OF a) ",
        set_completed!(" FROM held"),
        "WHERE id = $1 AND agent_id = held_id ",
        if_running!()
    );
    let sql = by_engine!(conn, sqlite: SQLITE, postgres: POSTGRES);
    let text = id.to_string();
    Ok(on_conn!(conn, |c| sqlx::query_as(sql)
        .bind(id)
        .bind(now)
        .bind(result)
        .bind(session_id)
        .bind(work_dir)
        .bind(&text)
        .fetch_optional(c)
        .await)?)
}

macro_rules! set_completed {
    ($from:literal) => {
        concat!(
            "UPDATE agent_task_queue SET status = 'completed', completed_at = $2, result = $3,
            session_id = COALESCE($4, session_id), work_dir = COALESCE($5, work_dir),
            prepare_lease_expires_at = NULL",
            $from,
            " "
        )
    };
}
use set_completed;

macro_rules! if_running {
    () => {
        concat!(
            "AND status || '' = 'running' RETURNING ",
            task_columns!(),
            ", EXISTS (SELECT 1 FROM comment c WHERE c.issue_id = agent_task_queue.issue_id AND c.author_type = 'agent'
                AND c.author_id = agent_task_queue.agent_id
                AND c.created_at >= COALESCE(agent_task_queue.started_at, agent_task_queue.created_at))
            OR EXISTS (SELECT 1 FROM activity_log l WHERE l.issue_id = agent_task_queue.issue_id
                AND l.action = 'squad_leader_evaluated' AND l.details ->> 'task_id' = $6
                AND l.details ->> 'outcome' = 'no_action') AS has_answered"
        )
    };
}
use if_running;

/// In flight becomes failed. `None` when it was not in flight.
pub async fn fail(
    conn: &mut Conn,
    id: TaskId,
    error: &str,
    reason: &str,
    session_id: Option<&str>,
    work_dir: Option<&str>,
    now: Time,
) -> Result<Option<Task>, StoreError> {
    const SQL: &str = concat!(
        "UPDATE agent_task_queue SET status = 'failed', completed_at = $2, error = $3, failure_reason = $4,
            session_id = COALESCE($5, session_id), work_dir = COALESCE($6, work_dir),
            wait_reason = NULL, prepare_lease_expires_at = NULL
        WHERE id = $1 AND status || '' IN ('dispatched', 'running', 'waiting_local_directory') RETURNING ",
        task_columns!()
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL)
        .bind(id)
        .bind(now)
        .bind(error)
        .bind(reason)
        .bind(session_id)
        .bind(work_dir)
        .fetch_optional(c)
        .await)?)
}

/// Active becomes cancelled. `None` when it was over already.
pub async fn cancel(conn: &mut Conn, id: TaskId, now: Time) -> Result<Option<Task>, StoreError> {
    const SQL: &str = concat!(
        "UPDATE agent_task_queue SET status = 'cancelled', completed_at = $2, prepare_lease_expires_at = NULL
        WHERE id = $1 AND status || '' IN ('deferred', 'queued', 'dispatched', 'waiting_local_directory', 'running')
        RETURNING ",
        task_columns!()
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(id).bind(now).fetch_optional(c).await)?)
}

/// Only the status, for a daemon that asks whether it may go on.
pub async fn find_status(conn: &mut Conn, id: TaskId) -> Result<Option<TaskStatus>, StoreError> {
    const SQL: &str = "SELECT status FROM agent_task_queue WHERE id = $1";
    Ok(on_conn!(conn, |c| sqlx::query_scalar(SQL).bind(id).fetch_optional(c).await)?)
}
