//! Runtime profiles.

use uuid::Uuid;

use super::{Conn, StoreError};
use crate::model::ids::WorkspaceId;
use crate::model::profile::Profile;

from_row!(Profile {
    id,
    workspace_id,
    display_name,
    protocol_family,
    command_name,
    description,
    fixed_args,
    visibility,
    created_by,
    enabled,
    created_at,
    updated_at,
});

macro_rules! profile_columns {
    () => {
        "id, workspace_id, display_name, protocol_family, command_name, description, fixed_args, visibility, \
         created_by, enabled, created_at, updated_at"
    };
}

pub async fn find(conn: &mut Conn, workspace: WorkspaceId, id: Uuid) -> Result<Option<Profile>, StoreError> {
    const SQL: &str =
        concat!("SELECT ", profile_columns!(), " FROM runtime_profile WHERE workspace_id = $1 AND id = $2");
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(workspace).bind(id).fetch_optional(c).await)?)
}

/// The enabled ones, oldest first.
pub async fn list_enabled(conn: &mut Conn, workspace: WorkspaceId) -> Result<Vec<Profile>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        profile_columns!(),
        " FROM runtime_profile WHERE workspace_id = $1 AND enabled ORDER BY created_at, id"
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(workspace).fetch_all(c).await)?)
}
