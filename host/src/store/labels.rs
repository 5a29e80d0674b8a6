//! Labels and the issues they are on.

use super::batch::Ids;
use super::{Conn, StoreError};
use crate::model::ids::{IssueId, LabelId, WorkspaceId};
use crate::model::label::{Label, name_key};
use crate::model::time::Time;

from_row!(Label { id, workspace_id, name, color, created_at, updated_at });

/// A label on an issue.
#[derive(Clone, Debug)]
pub struct Labelled {
    pub issue_id: IssueId,
    pub label: Label,
}

from_row!(Labelled { issue_id; label });

/// The labels of a workspace, by name.
pub async fn list(conn: &mut Conn, workspace: WorkspaceId) -> Result<Vec<Label>, StoreError> {
    const SQL: &str = "SELECT id, workspace_id, name, color, created_at, updated_at FROM issue_label
        WHERE workspace_id = $1";
    let labels = on_conn!(conn, |c| sqlx::query_as(SQL).bind(workspace).fetch_all(c).await)?;
    Ok(by_name(labels))
}

/// Databases do not agree on the order of texts.
fn by_name(mut labels: Vec<Label>) -> Vec<Label> {
    labels.sort_by_cached_key(|label| (name_key(&label.name), label.id));
    labels
}

pub async fn find(conn: &mut Conn, workspace: WorkspaceId, id: LabelId) -> Result<Option<Label>, StoreError> {
    const SQL: &str = "SELECT id, workspace_id, name, color, created_at, updated_at FROM issue_label
        WHERE id = $1 AND workspace_id = $2";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(id).bind(workspace).fetch_optional(c).await)?)
}

/// Adds a label. Says whether its name was free.
pub async fn insert(conn: &mut Conn, label: &Label) -> Result<bool, StoreError> {
    const SQL: &str =
        "INSERT INTO issue_label (id, workspace_id, name, name_key, color, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (workspace_id, name_key) DO NOTHING RETURNING id";
    let row: Option<LabelId> = on_conn!(conn, |c| sqlx::query_scalar(SQL)
        .bind(label.id)
        .bind(label.workspace_id)
        .bind(&label.name)
        .bind(name_key(&label.name))
        .bind(&label.color)
        .bind(label.created_at)
        .bind(label.updated_at)
        .fetch_optional(c)
        .await)?;
    Ok(row.is_some())
}

/// Changes what is given. A name that another label has is a conflict. `None` when there
/// is no such label.
pub async fn update(
    conn: &mut Conn,
    id: LabelId,
    name: Option<&str>,
    color: Option<&str>,
    now: Time,
) -> Result<Option<Label>, StoreError> {
    const SQL: &str = "UPDATE issue_label SET name = COALESCE($2, name), name_key = COALESCE($3, name_key),
            color = COALESCE($4, color), updated_at = $5
        WHERE id = $1 RETURNING id, workspace_id, name, color, created_at, updated_at";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL)
        .bind(id)
        .bind(name)
        .bind(name.map(name_key))
        .bind(color)
        .bind(now)
        .fetch_optional(c)
        .await)?)
}

/// Takes a label away, off every issue. Says whether it was there.
pub async fn delete(conn: &mut Conn, id: LabelId) -> Result<bool, StoreError> {
    const SQL: &str = "DELETE FROM issue_label WHERE id = $1 RETURNING id";
    let row: Option<LabelId> = on_conn!(conn, |c| sqlx::query_scalar(SQL).bind(id).fetch_optional(c).await)?;
    Ok(row.is_some())
}

/// Puts a label on an issue. Says whether it was not there before.
pub async fn attach(conn: &mut Conn, issue: IssueId, label: LabelId) -> Result<bool, StoreError> {
    const SQL: &str = "INSERT INTO issue_to_label (issue_id, label_id) VALUES ($1, $2)
        ON CONFLICT (issue_id, label_id) DO NOTHING RETURNING label_id";
    let row: Option<LabelId> =
        on_conn!(conn, |c| sqlx::query_scalar(SQL).bind(issue).bind(label).fetch_optional(c).await)?;
    Ok(row.is_some())
}

/// Takes a label off an issue. Says whether it was there.
pub async fn detach(conn: &mut Conn, issue: IssueId, label: LabelId) -> Result<bool, StoreError> {
    const SQL: &str = "DELETE FROM issue_to_label WHERE issue_id = $1 AND label_id = $2 RETURNING label_id";
    let row: Option<LabelId> =
        on_conn!(conn, |c| sqlx::query_scalar(SQL).bind(issue).bind(label).fetch_optional(c).await)?;
    Ok(row.is_some())
}

/// The labels of an issue, by name.
pub async fn list_on_issue(conn: &mut Conn, issue: IssueId) -> Result<Vec<Label>, StoreError> {
    const SQL: &str = "SELECT l.id, l.workspace_id, l.name, l.color, l.created_at, l.updated_at
        FROM issue_to_label t JOIN issue_label l ON l.id = t.label_id WHERE t.issue_id = $1";
    let labels = on_conn!(conn, |c| sqlx::query_as(SQL).bind(issue).fetch_all(c).await)?;
    Ok(by_name(labels))
}

/// The labels of several issues; each issue's by name.
pub async fn list_on_issues(conn: &mut Conn, issues: &Ids) -> Result<Vec<Labelled>, StoreError> {
    const SQLITE: &str =
        "SELECT t.issue_id, l.id, l.workspace_id, l.name, l.color, l.created_at, l.updated_at
        FROM issue_to_label t JOIN issue_label l ON l.id = t.label_id
        WHERE t.issue_id IN (SELECT unhex(value) FROM json_each($1))";
    const POSTGRES: &str =
        "SELECT t.issue_id, l.id, l.workspace_id, l.name, l.color, l.created_at, l.updated_at
        FROM issue_to_label t JOIN issue_label l ON l.id = t.label_id WHERE t.issue_id = ANY($1)";
    let sql = by_engine!(conn, sqlite: SQLITE, postgres: POSTGRES);
    let mut found: Vec<Labelled> = on_conn!(conn, |c| sqlx::query_as(sql).bind(issues).fetch_all(c).await)?;
    found.sort_by_cached_key(|found| (name_key(&found.label.name), found.label.id));
    Ok(found)
}
