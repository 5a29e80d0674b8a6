//! What is attached to projects.

use super::{Conn, StoreError};
use crate::model::ids::{ProjectId, ResourceId};
use crate::model::project::ProjectResource;

from_row!(ProjectResource {
    id,
    project_id,
    workspace_id,
    resource_type,
    resource_ref,
    label,
    position,
    created_by,
    created_at,
});

/// The resource of this project; `None` when it has no such one.
pub async fn find(
    conn: &mut Conn,
    project: ProjectId,
    id: ResourceId,
) -> Result<Option<ProjectResource>, StoreError> {
    const SQL: &str =
        "SELECT id, project_id, workspace_id, resource_type, resource_ref, label, position, created_by,
        created_at FROM project_resource WHERE project_id = $1 AND id = $2";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(project).bind(id).fetch_optional(c).await)?)
}

/// Attaches a resource. A conflict means that it is attached already.
pub async fn insert(conn: &mut Conn, resource: &ProjectResource) -> Result<(), StoreError> {
    const SQL: &str =
        "INSERT INTO project_resource (id, project_id, workspace_id, resource_type, resource_ref,
        label, position, created_by, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    on_conn!(conn, |c| sqlx::query(SQL)
        .bind(resource.id)
        .bind(resource.project_id)
        .bind(resource.workspace_id)
        .bind(&resource.resource_type)
        .bind(&resource.resource_ref)
        .bind(&resource.label)
        .bind(resource.position)
        .bind(resource.created_by)
        .bind(resource.created_at)
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// Writes back what an edit may change. A conflict means that it is attached already.
pub async fn update(conn: &mut Conn, resource: &ProjectResource) -> Result<(), StoreError> {
    const SQL: &str =
        "UPDATE project_resource SET resource_ref = $2, label = $3, position = $4 WHERE id = $1";
    on_conn!(conn, |c| sqlx::query(SQL)
        .bind(resource.id)
        .bind(&resource.resource_ref)
        .bind(&resource.label)
        .bind(resource.position)
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// Says whether the project had such a resource.
pub async fn delete(conn: &mut Conn, project: ProjectId, id: ResourceId) -> Result<bool, StoreError> {
    const SQL: &str = "DELETE FROM project_resource WHERE project_id = $1 AND id = $2 RETURNING id";
    let row: Option<ResourceId> =
        on_conn!(conn, |c| sqlx::query_scalar(SQL).bind(project).bind(id).fetch_optional(c).await)?;
    Ok(row.is_some())
}
