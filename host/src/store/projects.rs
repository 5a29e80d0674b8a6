//! Projects.

use super::{Conn, StoreError};
use crate::model::ids::{ProjectId, WorkspaceId};
use crate::model::project::{Project, ProjectBody, ProjectResource};

from_row!(Project {
    id,
    workspace_id,
    title,
    description,
    icon,
    status,
    priority,
    lead_type,
    lead_id,
    created_at,
    updated_at,
});

from_row!(ProjectBody {
    id,
    workspace_id,
    title,
    description,
    icon,
    status,
    priority,
    lead_type,
    lead_id,
    created_at,
    updated_at,
    issue_count,
    done_count,
    resource_count,
});

macro_rules! project_columns {
    () => {
        "id, workspace_id, title, description, icon, status, priority, lead_type, lead_id, created_at, updated_at"
    };
}

/// A project with how much belongs to it.
macro_rules! project_body {
    () => {
        "SELECT id, workspace_id, title, description, icon, status, priority, lead_type, lead_id, created_at,
            updated_at, (SELECT count(*) FROM issue i WHERE i.project_id = project.id) AS issue_count,
            (SELECT count(*) FROM issue i WHERE i.project_id = project.id AND i.status = 'done') AS done_count,
            (SELECT count(*) FROM project_resource r WHERE r.project_id = project.id) AS resource_count
        FROM project "
    };
}

pub async fn find(conn: &mut Conn, id: ProjectId) -> Result<Option<Project>, StoreError> {
    const SQL: &str = concat!("SELECT ", project_columns!(), " FROM project WHERE id = $1");
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(id).fetch_optional(c).await)?)
}

/// The project, which nobody else changes until the transaction ends.
pub async fn find_locked(conn: &mut Conn, id: ProjectId) -> Result<Option<Project>, StoreError> {
    // SQLite has one writer, which is the caller.
    let sql = by_engine!(conn,
        sqlite: concat!("SELECT ", project_columns!(), " FROM project WHERE id = $1"),
        postgres: concat!("SELECT ", project_columns!(), " FROM project WHERE id = $1 FOR NO KEY UPDATE"),
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(sql).bind(id).fetch_optional(c).await)?)
}

/// As [`find`], counted.
pub async fn find_body(conn: &mut Conn, id: ProjectId) -> Result<Option<ProjectBody>, StoreError> {
    const SQL: &str = concat!(project_body!(), "WHERE id = $1");
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(id).fetch_optional(c).await)?)
}

/// The projects of a workspace, newest first.
pub async fn list(
    conn: &mut Conn,
    workspace: WorkspaceId,
    status: Option<&str>,
    priority: Option<&str>,
) -> Result<Vec<ProjectBody>, StoreError> {
    const SQL: &str = concat!(
        project_body!(),
        "WHERE workspace_id = $1 AND ($2 IS NULL OR status = $2) AND ($3 IS NULL OR priority = $3)
        ORDER BY created_at DESC, id DESC"
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL)
        .bind(workspace)
        .bind(status)
        .bind(priority)
        .fetch_all(c)
        .await)?)
}

pub async fn insert(conn: &mut Conn, project: &Project) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO project (id, workspace_id, title, description, icon, status, priority,
        lead_type, lead_id, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    on_conn!(conn, |c| sqlx::query(SQL)
        .bind(project.id)
        .bind(project.workspace_id)
        .bind(&project.title)
        .bind(&project.description)
        .bind(&project.icon)
        .bind(&project.status)
        .bind(&project.priority)
        .bind(&project.lead_type)
        .bind(project.lead_id)
        .bind(project.created_at)
        .bind(project.updated_at)
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// Writes back what an edit may change.
pub async fn update(conn: &mut Conn, project: &Project) -> Result<(), StoreError> {
    const SQL: &str =
        "UPDATE project SET title = $2, description = $3, icon = $4, status = $5, priority = $6,
        lead_type = $7, lead_id = $8, updated_at = $9 WHERE id = $1";
    on_conn!(conn, |c| sqlx::query(SQL)
        .bind(project.id)
        .bind(&project.title)
        .bind(&project.description)
        .bind(&project.icon)
        .bind(&project.status)
        .bind(&project.priority)
        .bind(&project.lead_type)
        .bind(project.lead_id)
        .bind(project.updated_at)
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// Deletes the project and what is attached; its issues stay, without a project.
pub async fn delete(conn: &mut Conn, id: ProjectId) -> Result<(), StoreError> {
    const SQL: &str = "DELETE FROM project WHERE id = $1";
    on_conn!(conn, |c| sqlx::query(SQL).bind(id).execute(c).await.map(drop))?;
    Ok(())
}

/// What is attached, in its order.
pub async fn list_resources(conn: &mut Conn, project: ProjectId) -> Result<Vec<ProjectResource>, StoreError> {
    const SQL: &str =
        "SELECT id, project_id, workspace_id, resource_type, resource_ref, label, position, created_by,
        created_at FROM project_resource WHERE project_id = $1 ORDER BY position, created_at, id";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(project).fetch_all(c).await)?)
}
