//! What people are told.

use super::{Conn, StoreError};
use crate::model::inbox::InboxItem;

pub async fn insert(conn: &mut Conn, item: &InboxItem) -> Result<(), StoreError> {
    const SQL: &str =
        "INSERT INTO inbox_item (id, workspace_id, recipient_type, recipient_id, type, severity,
            issue_id, title, body, actor_type, actor_id, details, created_at)
        VALUES ($1, $2, 'member', $3, $4, $5, $6, $7, $8, 'agent', $9, $10, $11)";
    on_conn!(conn, |c| sqlx::query(SQL)
        .bind(item.id)
        .bind(item.workspace_id)
        .bind(item.recipient_id)
        .bind(item.kind)
        .bind(item.severity)
        .bind(item.issue_id)
        .bind(&item.title)
        .bind(&item.body)
        .bind(item.agent_id)
        .bind(&item.details)
        .bind(item.created_at)
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}
