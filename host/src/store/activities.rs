//! What happened to issues.

use super::{Conn, StoreError};
use crate::model::activity::Activity;
use crate::model::ids::IssueId;

from_row!(Activity { id, workspace_id, issue_id, actor_type, actor_id, action, details, created_at });

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

/// The first things that happened to the issue, oldest first.
pub async fn list_of_issue(conn: &mut Conn, issue: IssueId, limit: i64) -> Result<Vec<Activity>, StoreError> {
    const SQL: &str =
        "SELECT id, workspace_id, issue_id, actor_type, actor_id, action, details, created_at FROM activity_log
        WHERE issue_id = $1 ORDER BY created_at, id LIMIT $2";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(issue).bind(limit).fetch_all(c).await)?)
}
