//! Projects and what is attached to them.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::ids::{ProjectId, ResourceId, UserId, WorkspaceId};
use super::time::Time;

pub const PROJECT_STATUSES: [&str; 5] = ["planned", "in_progress", "paused", "completed", "cancelled"];

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

/// The project as answers and events show it: with how much belongs to it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ProjectBody {
    pub id: ProjectId,
    pub workspace_id: WorkspaceId,
    pub title: String,
    pub description: Option<String>,
    pub icon: Option<String>,
    /// `planned`, `in_progress`, `paused`, `completed` or `cancelled`.
    pub status: String,
    /// `urgent`, `high`, `medium`, `low` or `none`.
    pub priority: String,
    /// `member` or `agent`.
    pub lead_type: Option<String>,
    pub lead_id: Option<Uuid>,
    #[serde(serialize_with = "super::time::as_seconds::serialize")]
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Time,
    #[serde(serialize_with = "super::time::as_seconds::serialize")]
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Time,
    pub issue_count: i64,
    pub done_count: i64,
    pub resource_count: i64,
}

/// A row of `project_resource`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ProjectResource {
    pub id: ResourceId,
    pub project_id: ProjectId,
    pub workspace_id: WorkspaceId,
    /// `github_repo` or `local_directory`.
    pub resource_type: String,
    /// What it is, by its type.
    pub resource_ref: Value,
    pub label: Option<String>,
    pub position: i32,
    #[serde(serialize_with = "super::time::as_seconds::serialize")]
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Time,
    pub created_by: Option<UserId>,
}
