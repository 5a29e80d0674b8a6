//! Projects and what is attached to them.

use serde_json::Value;
use uuid::Uuid;

use super::ids::{ProjectId, ResourceId, UserId, WorkspaceId};
use super::time::Time;

/// A row of `project`.
#[derive(Clone, Debug)]
pub struct Project {
    pub id: ProjectId,
    pub workspace_id: WorkspaceId,
    pub title: String,
    pub description: Option<String>,
    pub icon: Option<String>,
    pub status: String,
    pub priority: String,
    pub lead_type: Option<String>,
    pub lead_id: Option<Uuid>,
    pub created_at: Time,
    pub updated_at: Time,
}

/// A row of `project_resource`.
#[derive(Clone, Debug)]
pub struct ProjectResource {
    pub id: ResourceId,
    pub project_id: ProjectId,
    pub workspace_id: WorkspaceId,
    pub resource_type: String,
    pub resource_ref: Value,
    pub label: Option<String>,
    pub position: i32,
    pub created_by: Option<UserId>,
    pub created_at: Time,
}
