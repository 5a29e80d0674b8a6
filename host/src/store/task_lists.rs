//! The tasks of an issue, and what they used.

use super::tasks::task_columns;
use super::{Conn, StoreError};
use crate::model::ids::IssueId;
use crate::model::task::Task;

/// Every task of an issue, newest first.
pub async fn list_of_issue(conn: &mut Conn, issue: IssueId) -> Result<Vec<Task>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        task_columns!(),
        " FROM agent_task_queue WHERE issue_id = $1 ORDER BY created_at DESC, id DESC"
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(issue).fetch_all(c).await)?)
}

/// Those that wait for a daemon or are with one, newest first.
pub async fn list_live_of_issue(conn: &mut Conn, issue: IssueId) -> Result<Vec<Task>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        task_columns!(),
        " FROM agent_task_queue WHERE issue_id = $1
            AND status IN ('queued', 'dispatched', 'running', 'waiting_local_directory')
        ORDER BY created_at DESC, id DESC"
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(issue).fetch_all(c).await)?)
}

/// Tokens that the tasks of an issue used. Sums are floating, so that no report of a
/// daemon can make one overflow.
#[derive(Clone, Copy, Debug)]
pub struct UsageSum {
    pub task_count: i64,
    pub input_tokens: f64,
    pub output_tokens: f64,
    pub cache_read_tokens: f64,
    pub cache_write_tokens: f64,
}

from_row!(UsageSum { task_count, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens });

pub async fn sum_usage_of_issue(conn: &mut Conn, issue: IssueId) -> Result<UsageSum, StoreError> {
    const SQL: &str = "SELECT count(DISTINCT u.task_id) AS task_count,
            COALESCE(sum(CAST(u.input_tokens AS DOUBLE PRECISION)), 0.0) AS input_tokens,
            COALESCE(sum(CAST(u.output_tokens AS DOUBLE PRECISION)), 0.0) AS output_tokens,
            COALESCE(sum(CAST(u.cache_read_tokens AS DOUBLE PRECISION)), 0.0) AS cache_read_tokens,
            COALESCE(sum(CAST(u.cache_write_tokens AS DOUBLE PRECISION)), 0.0) AS cache_write_tokens
        FROM task_usage u JOIN agent_task_queue t ON t.id = u.task_id WHERE t.issue_id = $1";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(issue).fetch_one(c).await)?)
}
