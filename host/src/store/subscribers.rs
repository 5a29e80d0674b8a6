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
