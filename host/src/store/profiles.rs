//! Runtime profiles.

use serde_json::Value;
use uuid::Uuid;

use super::{Conn, StoreError};
use crate::model::ids::WorkspaceId;
use crate::model::profile::Profile;
use crate::model::time::Time;

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

/// All of them, oldest first.
pub async fn list(conn: &mut Conn, workspace: WorkspaceId) -> Result<Vec<Profile>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        profile_columns!(),
        " FROM runtime_profile WHERE workspace_id = $1 ORDER BY created_at, id"
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(workspace).fetch_all(c).await)?)
}

pub async fn insert(conn: &mut Conn, new: &Profile) -> Result<(), StoreError> {
    const SQL: &str =
        "INSERT INTO runtime_profile (id, workspace_id, display_name, protocol_family, command_name,
            description, fixed_args, visibility, created_by, enabled, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
    on_conn!(conn, |c| sqlx::query(SQL)
        .bind(new.id)
        .bind(new.workspace_id)
        .bind(&new.display_name)
        .bind(&new.protocol_family)
        .bind(&new.command_name)
        .bind(&new.description)
        .bind(&new.fixed_args)
        .bind(&new.visibility)
        .bind(new.created_by)
        .bind(new.enabled)
        .bind(new.created_at)
        .bind(new.updated_at)
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// What an admin changes about a profile; `None` leaves a column as it is.
#[derive(Clone, Debug, Default)]
pub struct ProfileChange {
    pub display_name: Option<String>,
    pub command_name: Option<String>,
    pub description: Option<String>,
    pub fixed_args: Option<Value>,
    pub enabled: Option<bool>,
}

pub async fn update(
    conn: &mut Conn,
    workspace: WorkspaceId,
    id: Uuid,
    change: &ProfileChange,
    now: Time,
) -> Result<Option<Profile>, StoreError> {
    const SQL: &str = concat!(
        "UPDATE runtime_profile SET display_name = COALESCE($3, display_name),
            command_name = COALESCE($4, command_name), description = COALESCE($5, description),
            fixed_args = COALESCE($6, fixed_args), enabled = COALESCE($7, enabled), updated_at = $8
        WHERE workspace_id = $1 AND id = $2 RETURNING ",
        profile_columns!()
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL)
        .bind(workspace)
        .bind(id)
        .bind(&change.display_name)
        .bind(&change.command_name)
        .bind(&change.description)
        .bind(&change.fixed_args)
        .bind(change.enabled)
        .bind(now)
        .fetch_optional(c)
        .await)?)
}

/// Says whether there was one.
pub async fn delete(conn: &mut Conn, workspace: WorkspaceId, id: Uuid) -> Result<bool, StoreError> {
    const SQL: &str = "DELETE FROM runtime_profile WHERE workspace_id = $1 AND id = $2 RETURNING id";
    let row: Option<Uuid> =
        on_conn!(conn, |c| sqlx::query_scalar(SQL).bind(workspace).bind(id).fetch_optional(c).await)?;
    Ok(row.is_some())
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
