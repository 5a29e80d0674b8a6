//! A workspace as answers and events show it.

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::ids::WorkspaceId;
use super::time::seconds;
use super::workspace::Workspace;

#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(title = "Workspace")]
pub struct WorkspaceBody {
    pub id: WorkspaceId,
    pub name: String,
    pub slug: String,
    pub description: Option<String>,
    /// Goes into every claim.
    pub context: Option<String>,
    /// Free-form.
    pub settings: Value,
    /// A list of `{url, description?}`.
    pub repos: Value,
    pub issue_prefix: String,
    pub avatar_url: Option<String>,
    #[schema(format = DateTime)]
    pub created_at: String,
    #[schema(format = DateTime)]
    pub updated_at: String,
}

impl From<Workspace> for WorkspaceBody {
    fn from(row: Workspace) -> Self {
        Self {
            id: row.id,
            name: row.name,
            slug: row.slug,
            description: row.description,
            context: row.context,
            settings: if row.settings.is_null() { Value::Object(Map::new()) } else { row.settings },
            repos: if row.repos.is_null() { Value::Array(Vec::new()) } else { row.repos },
            issue_prefix: row.issue_prefix,
            avatar_url: row.avatar_url,
            created_at: seconds(row.created_at),
            updated_at: seconds(row.updated_at),
        }
    }
}
