//! Tenants.

use super::{Conn, StoreError};
use crate::model::ids::{UserId, WorkspaceId};
use crate::model::time::Time;
use crate::model::workspace::Workspace;
use serde_json::Value;

from_row!(Workspace {
    id,
    name,
    slug,
    description,
    context,
    avatar_url,
    settings,
    repos,
    issue_prefix,
    created_at,
    updated_at,
});

macro_rules! workspace_columns {
    () => {
        "id, name, slug, description, context, avatar_url, settings, repos, issue_prefix, created_at, updated_at"
    };
}

pub async fn find(conn: &mut Conn, id: WorkspaceId) -> Result<Option<Workspace>, StoreError> {
    const SQL: &str = concat!("SELECT ", workspace_columns!(), " FROM workspace WHERE id = $1");
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(id).fetch_optional(c).await)?)
}

/// What an admin changes about a workspace; `None` leaves a column as it is.
#[derive(Clone, Debug, Default)]
pub struct WorkspaceChange {
    pub name: Option<String>,
    pub description: Option<String>,
    pub context: Option<String>,
    pub avatar_url: Option<String>,
    pub settings: Option<Value>,
    pub repos: Option<Value>,
    pub issue_prefix: Option<String>,
}

pub async fn update(
    conn: &mut Conn,
    id: WorkspaceId,
    change: &WorkspaceChange,
    now: Time,
) -> Result<Option<Workspace>, StoreError> {
    const SQL: &str = concat!(
        "UPDATE workspace SET name = COALESCE($2, name), description = COALESCE($3, description),
            context = COALESCE($4, context), avatar_url = COALESCE($5, avatar_url),
            settings = COALESCE($6, settings), repos = COALESCE($7, repos),
            issue_prefix = COALESCE($8, issue_prefix), updated_at = $9
        WHERE id = $1 RETURNING ",
        workspace_columns!()
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL)
        .bind(id)
        .bind(&change.name)
        .bind(&change.description)
        .bind(&change.context)
        .bind(&change.avatar_url)
        .bind(&change.settings)
        .bind(&change.repos)
        .bind(&change.issue_prefix)
        .bind(now)
        .fetch_optional(c)
        .await)?)
}

pub async fn find_id_by_slug(conn: &mut Conn, slug: &str) -> Result<Option<WorkspaceId>, StoreError> {
    const SQL: &str = "SELECT id FROM workspace WHERE slug = $1";
    Ok(on_conn!(conn, |c| sqlx::query_scalar(SQL).bind(slug).fetch_optional(c).await)?)
}

/// The workspaces a user belongs to, oldest first.
pub async fn list_of_user(conn: &mut Conn, user: UserId) -> Result<Vec<Workspace>, StoreError> {
    const SQL: &str =
        "SELECT w.id, w.name, w.slug, w.description, w.context, w.avatar_url, w.settings, w.repos,
        w.issue_prefix, w.created_at, w.updated_at FROM workspace w JOIN member m ON m.workspace_id = w.id
        WHERE m.user_id = $1 ORDER BY w.created_at, w.id";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(user).fetch_all(c).await)?)
}

pub async fn insert(conn: &mut Conn, workspace: &Workspace) -> Result<(), StoreError> {
    const SQL: &str =
        "INSERT INTO workspace (id, name, slug, description, context, avatar_url, settings, repos,
        issue_prefix, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    on_conn!(conn, |c| sqlx::query(SQL)
        .bind(workspace.id)
        .bind(&workspace.name)
        .bind(&workspace.slug)
        .bind(&workspace.description)
        .bind(&workspace.context)
        .bind(&workspace.avatar_url)
        .bind(&workspace.settings)
        .bind(&workspace.repos)
        .bind(&workspace.issue_prefix)
        .bind(workspace.created_at)
        .bind(workspace.updated_at)
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// What the workspace's issue numbers begin with; empty when it is gone.
pub async fn find_issue_prefix(conn: &mut Conn, id: WorkspaceId) -> Result<String, StoreError> {
    const SQL: &str = "SELECT issue_prefix FROM workspace WHERE id = $1";
    let prefix: Option<String> =
        on_conn!(conn, |c| sqlx::query_scalar(SQL).bind(id).fetch_optional(c).await)?;
    Ok(prefix.unwrap_or_default())
}

/// The number of the workspace's next issue. Whoever asks second waits until the first has
/// committed. Rows that were put in by other means never make a number come twice.
pub async fn next_issue_number(conn: &mut Conn, id: WorkspaceId) -> Result<i32, StoreError> {
    const SQL: &str = "UPDATE workspace SET issue_counter = 1 + (SELECT max(n) FROM (
            SELECT issue_counter AS n UNION ALL SELECT max(number) FROM issue WHERE workspace_id = $1) AS known)
        WHERE id = $1 RETURNING issue_counter";
    Ok(on_conn!(conn, |c| sqlx::query_scalar(SQL).bind(id).fetch_one(c).await)?)
}

/// Waits until nobody else changes how the workspace's issues hang together.
pub async fn lock(conn: &mut Conn, id: WorkspaceId) -> Result<(), StoreError> {
    // SQLite has one writer, which is the caller.
    let sql = by_engine!(conn,
        sqlite: "SELECT 1 FROM workspace WHERE id = $1",
        postgres: "SELECT 1 FROM workspace WHERE id = $1 FOR NO KEY UPDATE",
    );
    on_conn!(conn, |c| sqlx::query(sql).bind(id).execute(c).await.map(drop))?;
    Ok(())
}
