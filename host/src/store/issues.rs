//! Issues.

use super::{Conn, StoreError};
use crate::model::ids::{IssueId, ProjectId, WorkspaceId};
use crate::model::issue::{Issue, title_digest};

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

/// The columns of an [`Issue`], for every query that gives one.
macro_rules! issue_columns {
    () => {
        "id, workspace_id, number, title, description, status, priority, assignee_type, assignee_id, creator_type, \
         creator_id, parent_issue_id, project_id, origin_type, origin_id, position, stage, start_date, due_date, \
         metadata, first_executed_at, created_at, updated_at"
    };
}
pub(in crate::store) use issue_columns;

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

/// As [`find`], and nobody else changes the issue until the transaction ends.
pub async fn find_for_update(conn: &mut Conn, id: IssueId) -> Result<Option<Issue>, StoreError> {
    const SQLITE: &str = concat!("SELECT ", issue_columns!(), " FROM issue WHERE id = $1");
    const POSTGRES: &str =
        concat!("SELECT ", issue_columns!(), " FROM issue WHERE id = $1 FOR NO KEY UPDATE");
    let sql = by_engine!(conn, sqlite: SQLITE, postgres: POSTGRES);
    Ok(on_conn!(conn, |c| sqlx::query_as(sql).bind(id).fetch_optional(c).await)?)
}

/// The place above everything else in a column of the board.
pub async fn next_position(conn: &mut Conn, workspace: WorkspaceId, status: &str) -> Result<f64, StoreError> {
    const SQL: &str =
        "SELECT COALESCE(min(position), 0.0) FROM issue WHERE workspace_id = $1 AND status = $2";
    let lowest: f64 =
        on_conn!(conn, |c| sqlx::query_scalar(SQL).bind(workspace).bind(status).fetch_one(c).await)?;
    Ok(lowest - 1.0)
}

/// The oldest issue that is not over, in the same project and below the same parent, whose
/// title says the same.
pub async fn find_duplicate(
    conn: &mut Conn,
    workspace: WorkspaceId,
    project: Option<ProjectId>,
    parent: Option<IssueId>,
    title: &str,
) -> Result<Option<Issue>, StoreError> {
    // Rows that were put in by other means have no digest and are compared here.
    const SQL: &str = concat!(
        "SELECT ",
        issue_columns!(),
        " FROM issue WHERE workspace_id = $1 AND (title_digest = $2 OR title_digest IS NULL)
            AND status NOT IN ('done', 'cancelled')
            AND project_id IS NOT DISTINCT FROM $3 AND parent_issue_id IS NOT DISTINCT FROM $4
        ORDER BY created_at, id"
    );
    let digest = title_digest(title);
    if digest.is_empty() {
        return Ok(None);
    }
    let alike: Vec<Issue> = on_conn!(conn, |c| sqlx::query_as(SQL)
        .bind(workspace)
        .bind(&digest)
        .bind(project)
        .bind(parent)
        .fetch_all(c)
        .await)?;
    Ok(alike.into_iter().find(|issue| title_digest(&issue.title) == digest))
}

pub async fn insert(conn: &mut Conn, issue: &Issue) -> Result<(), StoreError> {
    const SQL: &str =
        "INSERT INTO issue (id, workspace_id, number, title, title_digest, description, status, priority,
            assignee_type, assignee_id, creator_type, creator_id, parent_issue_id, project_id, origin_type, origin_id,
            position, stage, start_date, due_date, metadata, first_executed_at, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22,
            $23, $24)";
    on_conn!(conn, |c| sqlx::query(SQL)
        .bind(issue.id)
        .bind(issue.workspace_id)
        .bind(issue.number)
        .bind(&issue.title)
        .bind(title_digest(&issue.title))
        .bind(&issue.description)
        .bind(&issue.status)
        .bind(&issue.priority)
        .bind(&issue.assignee_type)
        .bind(issue.assignee_id)
        .bind(&issue.creator_type)
        .bind(issue.creator_id)
        .bind(issue.parent_issue_id)
        .bind(issue.project_id)
        .bind(&issue.origin_type)
        .bind(issue.origin_id)
        .bind(issue.position)
        .bind(issue.stage)
        .bind(issue.start_date)
        .bind(issue.due_date)
        .bind(&issue.metadata)
        .bind(issue.first_executed_at)
        .bind(issue.created_at)
        .bind(issue.updated_at)
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// Writes everything that people may change about an issue.
pub async fn update(conn: &mut Conn, issue: &Issue) -> Result<(), StoreError> {
    const SQL: &str =
        "UPDATE issue SET title = $2, title_digest = $3, description = $4, status = $5, priority = $6,
            assignee_type = $7, assignee_id = $8, parent_issue_id = $9, project_id = $10, position = $11,
            stage = $12, start_date = $13, due_date = $14, updated_at = $15
        WHERE id = $1";
    on_conn!(conn, |c| sqlx::query(SQL)
        .bind(issue.id)
        .bind(&issue.title)
        .bind(title_digest(&issue.title))
        .bind(&issue.description)
        .bind(&issue.status)
        .bind(&issue.priority)
        .bind(&issue.assignee_type)
        .bind(issue.assignee_id)
        .bind(issue.parent_issue_id)
        .bind(issue.project_id)
        .bind(issue.position)
        .bind(issue.stage)
        .bind(issue.start_date)
        .bind(issue.due_date)
        .bind(issue.updated_at)
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// Takes the issue away with its comments and tasks; its children stay, without a parent.
/// Says whether there was one.
pub async fn delete(conn: &mut Conn, id: IssueId) -> Result<bool, StoreError> {
    const SQL: &str = "DELETE FROM issue WHERE id = $1 RETURNING id";
    let row: Option<IssueId> = on_conn!(conn, |c| sqlx::query_scalar(SQL).bind(id).fetch_optional(c).await)?;
    Ok(row.is_some())
}

/// Whether `above` is the issue or one of those it hangs below. A loop, if there is one,
/// is walked once.
pub async fn hangs_below(conn: &mut Conn, id: IssueId, above: IssueId) -> Result<bool, StoreError> {
    const SQL: &str = "WITH RECURSIVE up (id) AS (
            SELECT id FROM issue WHERE id = $1
            UNION SELECT i.parent_issue_id FROM issue i JOIN up ON i.id = up.id
                WHERE i.parent_issue_id IS NOT NULL)
        SELECT 1 FROM up WHERE id = $2 LIMIT 1";
    let row: Option<i32> =
        on_conn!(conn, |c| sqlx::query_scalar(SQL).bind(id).bind(above).fetch_optional(c).await)?;
    Ok(row.is_some())
}
