//! Issues.

use super::{Conn, StoreError};
use crate::model::ids::{IssueId, WorkspaceId};
use crate::model::issue::Issue;

from_row!(Issue {
    id,
    workspace_id,
    number,
    title,
    description,
    status,
    priority,
    assignee_type,
    assignee_id,
    creator_type,
    creator_id,
    parent_issue_id,
    project_id,
    origin_type,
    origin_id,
    position,
    stage,
    start_date,
    due_date,
    metadata,
    first_executed_at,
    created_at,
    updated_at,
});

macro_rules! issue_columns {
    () => {
        "id, workspace_id, number, title, description, status, priority, assignee_type, assignee_id, creator_type, \
         creator_id, parent_issue_id, project_id, origin_type, origin_id, position, stage, start_date, due_date, \
         metadata, first_executed_at, created_at, updated_at"
    };
}

pub async fn find(conn: &mut Conn, id: IssueId) -> Result<Option<Issue>, StoreError> {
    const SQL: &str = concat!("SELECT ", issue_columns!(), " FROM issue WHERE id = $1");
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(id).fetch_optional(c).await)?)
}

pub async fn find_in(
    conn: &mut Conn,
    workspace: WorkspaceId,
    id: IssueId,
) -> Result<Option<Issue>, StoreError> {
    const SQL: &str = concat!("SELECT ", issue_columns!(), " FROM issue WHERE id = $1 AND workspace_id = $2");
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(id).bind(workspace).fetch_optional(c).await)?)
}

pub async fn find_by_number(
    conn: &mut Conn,
    workspace: WorkspaceId,
    number: i32,
) -> Result<Option<Issue>, StoreError> {
    const SQL: &str =
        concat!("SELECT ", issue_columns!(), " FROM issue WHERE workspace_id = $1 AND number = $2");
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(workspace).bind(number).fetch_optional(c).await)?)
}
