//! Who follows an issue.

use uuid::Uuid;

use super::{Conn, StoreError};
use crate::model::ids::IssueId;
use crate::model::subscriber::Subscriber;
use crate::model::time::Time;

from_row!(Subscriber { issue_id, user_type, user_id, reason, created_at });

/// Adds a person or an agent. `None` when they follow the issue already, or are neither a
/// member nor an agent of its workspace.
pub async fn insert(
    conn: &mut Conn,
    issue: IssueId,
    user_type: &str,
    user_id: Uuid,
    reason: &str,
    now: Time,
) -> Result<Option<Subscriber>, StoreError> {
    const SQL: &str = "INSERT INTO issue_subscriber (issue_id, user_type, user_id, reason, created_at)
        SELECT i.id, $2, $3, $4, $5 FROM issue i WHERE i.id = $1
            AND (($2 = 'member' AND EXISTS (SELECT 1 FROM member m
                    WHERE m.workspace_id = i.workspace_id AND m.user_id = $3))
                OR ($2 = 'agent' AND EXISTS (SELECT 1 FROM agent a
                    WHERE a.workspace_id = i.workspace_id AND a.id = $3)))
        ON CONFLICT (issue_id, user_type, user_id) DO NOTHING
        RETURNING issue_id, user_type, user_id, reason, created_at";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL)
        .bind(issue)
        .bind(user_type)
        .bind(user_id)
        .bind(reason)
        .bind(now)
        .fetch_optional(c)
        .await)?)
}

/// Everyone who follows the issue, in the order they began.
pub async fn list(conn: &mut Conn, issue: IssueId) -> Result<Vec<Subscriber>, StoreError> {
    const SQL: &str = "SELECT issue_id, user_type, user_id, reason, created_at FROM issue_subscriber
        WHERE issue_id = $1 ORDER BY created_at, CASE reason WHEN 'creator' THEN 0 WHEN 'assignee' THEN 1 ELSE 2 END,
            user_type, user_id";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(issue).fetch_all(c).await)?)
}

/// Lets somebody follow the issue no more. Says whether they did.
pub async fn delete(
    conn: &mut Conn,
    issue: IssueId,
    user_type: &str,
    user_id: Uuid,
) -> Result<bool, StoreError> {
    const SQL: &str = "DELETE FROM issue_subscriber WHERE issue_id = $1 AND user_type = $2 AND user_id = $3
        RETURNING user_id";
    let row: Option<Uuid> = on_conn!(conn, |c| sqlx::query_scalar(SQL)
        .bind(issue)
        .bind(user_type)
        .bind(user_id)
        .fetch_optional(c)
        .await)?;
    Ok(row.is_some())
}
