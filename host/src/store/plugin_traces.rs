//! Traces on their way from the node that has one to the node that was asked for it.

use super::{Conn, StoreError};
use crate::model::ids::TaskId;
use crate::model::time::Time;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TraceRow {
    pub task_id: TaskId,
    pub claimed_at: Time,
    pub stored_at: Time,
    /// The name of the node that has it.
    pub node: String,
    /// As the API shows it.
    pub trace: String,
}

from_row!(TraceRow { task_id, claimed_at, stored_at, node, trace });

/// One that was stored since.
pub async fn find(conn: &mut Conn, task: TaskId, since: Time) -> Result<Option<TraceRow>, StoreError> {
    const SQL: &str = "SELECT task_id, claimed_at, stored_at, node, trace FROM plugin_trace
        WHERE task_id = $1 AND stored_at >= $2";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(task).bind(since).fetch_optional(c).await)?)
}

/// Of two nodes that each had the task once, the later claim counts.
pub async fn upsert(conn: &mut Conn, row: &TraceRow) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO plugin_trace (task_id, claimed_at, stored_at, node, trace)
        VALUES ($1, $2, $3, $4, $5) ON CONFLICT (task_id) DO UPDATE SET
        claimed_at = excluded.claimed_at, stored_at = excluded.stored_at, node = excluded.node,
        trace = excluded.trace
        WHERE plugin_trace.claimed_at <= excluded.claimed_at";
    on_conn!(conn, |c| sqlx::query(SQL)
        .bind(row.task_id)
        .bind(row.claimed_at)
        .bind(row.stored_at)
        .bind(&row.node)
        .bind(&row.trace)
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

pub async fn delete_before(conn: &mut Conn, at: Time) -> Result<(), StoreError> {
    const SQL: &str = "DELETE FROM plugin_trace WHERE stored_at < $1";
    on_conn!(conn, |c| sqlx::query(SQL).bind(at).execute(c).await.map(drop))?;
    Ok(())
}
