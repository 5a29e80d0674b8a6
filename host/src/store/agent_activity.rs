//! What agents did and do: for the lists and charts about them.

use chrono::NaiveDate;

use super::tasks::task_columns;
use super::{Conn, StoreError};
use crate::model::ids::{AgentId, WorkspaceId};
use crate::model::task::Task;
use crate::model::time::Time;

/// Every task of an agent, newest first.
pub async fn list_tasks(conn: &mut Conn, agent: AgentId) -> Result<Vec<Task>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        task_columns!(),
        " FROM agent_task_queue WHERE agent_id = $1 ORDER BY created_at DESC, id DESC"
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(agent).fetch_all(c).await)?)
}

/// What the workspace's agents have to do now, and of each what it finished last.
pub async fn list_snapshot(conn: &mut Conn, workspace: WorkspaceId) -> Result<Vec<Task>, StoreError> {
    // The second half counts on `agent_task_queue_ended`.
    const SQL: &str = concat!(
        "SELECT ",
        task_columns!(),
        " FROM agent_task_queue WHERE agent_id IN (SELECT id FROM agent WHERE workspace_id = $1)
            AND status IN ('queued', 'dispatched', 'running', 'waiting_local_directory')
        UNION ALL SELECT ",
        task_columns!(),
        " FROM agent_task_queue WHERE id IN (SELECT (SELECT t.id FROM agent_task_queue t
            WHERE t.agent_id = a.id AND t.status IN ('completed', 'failed')
            ORDER BY t.completed_at DESC LIMIT 1) FROM agent a WHERE a.workspace_id = $1)"
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(workspace).fetch_all(c).await)?)
}

/// How many tasks each agent of the workspace was given since then. Agents without any are
/// not listed.
pub async fn count_runs(
    conn: &mut Conn,
    workspace: WorkspaceId,
    since: Time,
) -> Result<Vec<(AgentId, i64)>, StoreError> {
    const SQL: &str = "SELECT t.agent_id, count(*) FROM agent_task_queue t JOIN agent a ON a.id = t.agent_id
        WHERE a.workspace_id = $1 AND t.created_at >= $2 GROUP BY t.agent_id ORDER BY t.agent_id";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(workspace).bind(since).fetch_all(c).await)?)
}

/// What one agent finished on one day, UTC.
#[derive(Clone, Debug)]
pub struct DayRow {
    pub agent_id: AgentId,
    pub day: NaiveDate,
    pub task_count: i64,
    pub failed_count: i64,
}

from_row!(DayRow { agent_id, day, task_count, failed_count });

/// What each agent of the workspace finished since then, by day.
pub async fn list_days(
    conn: &mut Conn,
    workspace: WorkspaceId,
    since: Time,
) -> Result<Vec<DayRow>, StoreError> {
    macro_rules! days {
        ($day:literal) => {
            concat!(
                "SELECT t.agent_id, ",
                $day,
                " AS day, count(*) AS task_count,
                    count(CASE WHEN t.status = 'failed' THEN 1 END) AS failed_count
                FROM agent_task_queue t JOIN agent a ON a.id = t.agent_id
                WHERE a.workspace_id = $1 AND t.status IN ('completed', 'failed') AND t.completed_at >= $2
                GROUP BY t.agent_id, ",
                $day,
                " ORDER BY t.agent_id, ",
                $day
            )
        };
    }
    let sql = by_engine!(conn,
        sqlite: days!("substr(t.completed_at, 1, 10)"),
        postgres: days!("CAST(t.completed_at AT TIME ZONE 'UTC' AS date)"),
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(sql).bind(workspace).bind(since).fetch_all(c).await)?)
}
