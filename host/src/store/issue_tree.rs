//! Issues below issues.

use super::batch::Ids;
use super::issues::issue_columns;
use super::{Conn, StoreError};
use crate::model::ids::{IssueId, TaskId, WorkspaceId};
use crate::model::issue::Issue;

/// What hangs below these, by number.
pub async fn list_children(
    conn: &mut Conn,
    workspace: WorkspaceId,
    parents: Ids,
) -> Result<Vec<Issue>, StoreError> {
    const SQLITE: &str = concat!(
        "SELECT ",
        issue_columns!(),
        " FROM issue WHERE workspace_id = $1 AND parent_issue_id IN (SELECT unhex(value) FROM json_each($2))
        ORDER BY number"
    );
    const POSTGRES: &str = concat!(
        "SELECT ",
        issue_columns!(),
        " FROM issue WHERE workspace_id = $1 AND parent_issue_id = ANY($2) ORDER BY number"
    );
    let sql = by_engine!(conn, sqlite: SQLITE, postgres: POSTGRES);
    Ok(on_conn!(conn, |c| sqlx::query_as(sql).bind(workspace).bind(parents).fetch_all(c).await)?)
}

/// How far the children of one issue are.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    pub parent_issue_id: IssueId,
    pub total: i64,
    /// Done or cancelled.
    pub done: i64,
}

from_row!(Progress { parent_issue_id, total, done });

/// For every issue of the workspace that has children.
pub async fn list_progress(conn: &mut Conn, workspace: WorkspaceId) -> Result<Vec<Progress>, StoreError> {
    const SQL: &str = "SELECT parent_issue_id, count(*) AS total,
            count(CASE WHEN status IN ('done', 'cancelled') THEN 1 END) AS done
        FROM issue WHERE workspace_id = $1 AND parent_issue_id IS NOT NULL
        GROUP BY parent_issue_id ORDER BY parent_issue_id";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(workspace).fetch_all(c).await)?)
}

/// One of the issues below another, as far as a barrier cares.
#[derive(Clone, Debug)]
pub struct Sibling {
    pub stage: Option<i32>,
    pub status: String,
}

from_row!(Sibling { stage, status });

pub async fn list_siblings(conn: &mut Conn, parent: IssueId) -> Result<Vec<Sibling>, StoreError> {
    const SQL: &str = "SELECT stage, status FROM issue WHERE parent_issue_id = $1";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(parent).fetch_all(c).await)?)
}

/// The issue that a quick-create task made; the oldest if it made several.
pub async fn find_by_origin(
    conn: &mut Conn,
    workspace: WorkspaceId,
    task: TaskId,
) -> Result<Option<Issue>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        issue_columns!(),
        " FROM issue WHERE origin_type = 'quick_create' AND origin_id = $2 AND workspace_id = $1
        ORDER BY created_at, id LIMIT 1"
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(workspace).bind(task).fetch_optional(c).await)?)
}
