//! An autopilot's runs: what set each off, and what came of it.

use serde_json::Value;

use super::autopilots::EndedRun;
use super::{Conn, StoreError};
use crate::model::autopilot::Run;
use crate::model::ids::{AutopilotId, AutopilotRunId, IssueId, SquadId};
use crate::model::time::Time;

from_row!(Run {
    id,
    autopilot_id,
    trigger_id,
    source,
    status,
    issue_id,
    task_id,
    triggered_at,
    completed_at,
    failure_reason,
    trigger_payload,
    result,
    created_at,
});

macro_rules! run_columns {
    () => {
        "id, autopilot_id, trigger_id, source, status, issue_id, task_id, triggered_at, completed_at, \
         failure_reason, trigger_payload, result, created_at"
    };
}

/// Adds a run. `None` when its trigger already ran for the planned time.
pub async fn insert(
    conn: &mut Conn,
    run: &Run,
    squad: Option<SquadId>,
    planned_at: Option<Time>,
) -> Result<Option<AutopilotRunId>, StoreError> {
    const SQL: &str = "INSERT INTO autopilot_run (id, autopilot_id, trigger_id, source, status, issue_id, task_id,
            squad_id, planned_at, trigger_payload, failure_reason, triggered_at, completed_at, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
        ON CONFLICT (trigger_id, planned_at) WHERE trigger_id IS NOT NULL AND planned_at IS NOT NULL DO NOTHING
        RETURNING id";
    Ok(on_conn!(conn, |c| sqlx::query_scalar(SQL)
        .bind(run.id)
        .bind(run.autopilot_id)
        .bind(run.trigger_id)
        .bind(&run.source)
        .bind(&run.status)
        .bind(run.issue_id)
        .bind(run.task_id)
        .bind(squad)
        .bind(planned_at)
        .bind(&run.trigger_payload)
        .bind(&run.failure_reason)
        .bind(run.triggered_at)
        .bind(run.completed_at)
        .bind(run.created_at)
        .fetch_optional(c)
        .await)?)
}

pub async fn find(
    conn: &mut Conn,
    autopilot: AutopilotId,
    id: AutopilotRunId,
) -> Result<Option<Run>, StoreError> {
    const SQL: &str =
        concat!("SELECT ", run_columns!(), " FROM autopilot_run WHERE id = $1 AND autopilot_id = $2");
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(id).bind(autopilot).fetch_optional(c).await)?)
}

/// A page, newest first.
pub async fn list(
    conn: &mut Conn,
    autopilot: AutopilotId,
    limit: i64,
    offset: i64,
) -> Result<Vec<Run>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        run_columns!(),
        " FROM autopilot_run WHERE autopilot_id = $1
        ORDER BY triggered_at DESC, id DESC LIMIT $2 OFFSET $3"
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(autopilot).bind(limit).bind(offset).fetch_all(c).await)?)
}

/// Ends a run that follows a task. `None` when it has ended.
pub async fn end(
    conn: &mut Conn,
    id: AutopilotRunId,
    status: &str,
    result: Option<&Value>,
    failure_reason: Option<&str>,
    now: Time,
) -> Result<Option<EndedRun>, StoreError> {
    const SQL: &str =
        "UPDATE autopilot_run SET status = $2, result = $3, failure_reason = $4, completed_at = $5
        WHERE id = $1 AND status = 'running' RETURNING id, autopilot_id";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL)
        .bind(id)
        .bind(status)
        .bind(result)
        .bind(failure_reason)
        .bind(now)
        .fetch_optional(c)
        .await)?)
}

/// Whether any task of the issue waits or is in flight.
pub async fn has_live_task(conn: &mut Conn, issue: IssueId) -> Result<bool, StoreError> {
    const SQL: &str = "SELECT 1 FROM agent_task_queue WHERE issue_id = $1
        AND status IN ('queued', 'dispatched', 'running', 'waiting_local_directory') LIMIT 1";
    let row: Option<i32> = on_conn!(conn, |c| sqlx::query_scalar(SQL).bind(issue).fetch_optional(c).await)?;
    Ok(row.is_some())
}
