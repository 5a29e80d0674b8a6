//! Projects and what is attached to them.

use super::{Conn, StoreError};
use crate::model::ids::ProjectId;
use crate::model::project::{Project, ProjectResource};

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

pub async fn find(conn: &mut Conn, id: ProjectId) -> Result<Option<Project>, StoreError> {
    const SQL: &str =
        "SELECT id, workspace_id, title, description, icon, status, priority, lead_type, lead_id,
        created_at, updated_at FROM project WHERE id = $1";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(id).fetch_optional(c).await)?)
}

/// What is attached, in its order.
pub async fn list_resources(conn: &mut Conn, project: ProjectId) -> Result<Vec<ProjectResource>, StoreError> {
    const SQL: &str =
        "SELECT id, project_id, workspace_id, resource_type, resource_ref, label, position, created_by,
        created_at FROM project_resource WHERE project_id = $1 ORDER BY position, created_at, id";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(project).fetch_all(c).await)?)
}
