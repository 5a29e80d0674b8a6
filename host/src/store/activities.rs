//! What happened to issues.

use super::{Conn, StoreError};
use crate::model::activity::Activity;

pub async fn insert(conn: &mut Conn, activity: &Activity) -> Result<(), StoreError> {
    const SQL: &str =
        "INSERT INTO activity_log (id, workspace_id, issue_id, actor_type, actor_id, action, details, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    on_conn!(conn, |c| sqlx::query(SQL)
        .bind(activity.id)
        .bind(activity.workspace_id)
        .bind(activity.issue_id)
        .bind(&activity.actor_type)
        .bind(activity.actor_id)
        .bind(&activity.action)
        .bind(&activity.details)
        .bind(activity.created_at)
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}
