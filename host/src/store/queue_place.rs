//! What stands between a queued task and its daemon.

use super::{Conn, StoreError};
use crate::model::ids::{AgentId, TaskId};
use crate::model::task::Task;
use crate::model::time::Time;

/// How many tasks the agent has in flight, and how many it may have.
#[derive(Clone, Copy, Debug)]
pub struct Capacity {
    pub in_flight: i64,
    pub most: i32,
}

from_row!(Capacity { in_flight, most });

pub async fn find_capacity(conn: &mut Conn, agent: AgentId) -> Result<Option<Capacity>, StoreError> {
    const SQL: &str = "SELECT (SELECT count(*) FROM agent_task_queue f WHERE f.agent_id = a.id
            AND f.status IN ('dispatched', 'running', 'waiting_local_directory')) AS in_flight,
            a.max_concurrent_tasks AS most
        FROM agent a WHERE a.id = $1";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(agent).fetch_optional(c).await)?)
}

/// A task in flight that holds what another waits for.
#[derive(Clone, Debug)]
pub struct Holder {
    pub id: TaskId,
    pub status: String,
    pub dispatched_at: Option<Time>,
    pub started_at: Option<Time>,
}

from_row!(Holder { id, status, dispatched_at, started_at });

/// The task in flight that holds this one's lane: of the same agent, on the same issue or
/// chat, or a prompt for an issue like this one.
pub async fn find_lane_holder(conn: &mut Conn, task: &Task) -> Result<Option<Holder>, StoreError> {
    const SQL: &str = "SELECT id, status, dispatched_at, started_at FROM agent_task_queue
        WHERE agent_id = $1 AND status IN ('dispatched', 'running', 'waiting_local_directory')
            AND (issue_id = $2 OR chat_session_id = $3
                OR ($4 AND issue_id IS NULL AND chat_session_id IS NULL AND autopilot_run_id IS NULL))
        ORDER BY dispatched_at, id LIMIT 1";
    let unbound =
        task.issue_id.is_none() && task.chat_session_id.is_none() && task.autopilot_run_id.is_none();
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL)
        .bind(task.agent_id)
        .bind(task.issue_id)
        .bind(task.chat_session_id)
        .bind(unbound)
        .fetch_optional(c)
        .await)?)
}

/// How many queued tasks of the runtime go before this one.
pub async fn count_ahead(conn: &mut Conn, task: &Task) -> Result<i64, StoreError> {
    const SQL: &str = "SELECT count(*) FROM agent_task_queue WHERE runtime_id = $1 AND status = 'queued'
        AND (priority > $2 OR (priority = $2 AND (created_at < $3 OR (created_at = $3 AND id < $4))))";
    Ok(on_conn!(conn, |c| sqlx::query_scalar(SQL)
        .bind(task.runtime_id)
        .bind(task.priority)
        .bind(task.created_at)
        .bind(task.id)
        .fetch_one(c)
        .await)?)
}
