//! Who looked at secrets, and who changed them.

use serde_json::Value;
use uuid::Uuid;

use super::{Conn, StoreError};
use crate::model::ids::{UserId, WorkspaceId};
use crate::model::time::Time;

/// Records what a person did.
pub async fn insert(
    conn: &mut Conn,
    workspace: WorkspaceId,
    user: UserId,
    action: &str,
    details: &Value,
    now: Time,
) -> Result<(), StoreError> {
    const SQL: &str =
        "INSERT INTO activity_log (id, workspace_id, actor_type, actor_id, action, details, created_at)
        VALUES ($1, $2, 'member', $3, $4, $5, $6)";
    on_conn!(conn, |c| sqlx::query(SQL)
        .bind(Uuid::now_v7())
        .bind(workspace)
        .bind(user)
        .bind(action)
        .bind(details)
        .bind(now)
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}
