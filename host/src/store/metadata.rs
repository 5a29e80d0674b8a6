//! What scripts keep with an issue.

use serde_json::Value;

use super::{Conn, StoreError};
use crate::model::ids::{IssueId, WorkspaceId};
use crate::model::time::Time;

/// The document, kept from others who would change it until the transaction ends. `None`
/// when the workspace has no such issue.
pub async fn find_for_update(
    conn: &mut Conn,
    workspace: WorkspaceId,
    issue: IssueId,
) -> Result<Option<Value>, StoreError> {
    // SQLite has one writer.
    const SQLITE: &str = "SELECT metadata FROM issue WHERE id = $1 AND workspace_id = $2";
    const POSTGRES: &str = "SELECT metadata FROM issue WHERE id = $1 AND workspace_id = $2 FOR NO KEY UPDATE";
    let sql = by_engine!(conn, sqlite: SQLITE, postgres: POSTGRES);
    Ok(on_conn!(conn, |c| sqlx::query_scalar(sql).bind(issue).bind(workspace).fetch_optional(c).await)?)
}

pub async fn update(conn: &mut Conn, issue: IssueId, metadata: &Value, now: Time) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE issue SET metadata = $2, updated_at = $3 WHERE id = $1";
    on_conn!(conn, |c| sqlx::query(SQL).bind(issue).bind(metadata).bind(now).execute(c).await.map(drop))?;
    Ok(())
}
