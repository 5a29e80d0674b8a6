//! Emojis on comments and issues: each actor puts each of them once.

use uuid::Uuid;

use super::batch::Ids;
use super::{Conn, StoreError};
use crate::model::ids::{CommentId, IssueId};
use crate::model::reaction::{CommentReaction, IssueReaction};
use crate::model::time::Time;

from_row!(CommentReaction { id, comment_id, actor_type, actor_id, emoji, created_at });
from_row!(IssueReaction { id, issue_id, actor_type, actor_id, emoji, created_at });

/// Who reacts with what.
#[derive(Clone, Copy, Debug)]
pub struct By<'a> {
    pub actor_type: &'a str,
    pub actor_id: Uuid,
    pub emoji: &'a str,
}

/// Adds a reaction to a comment. `None` when it is there already.
pub async fn insert_on_comment(
    conn: &mut Conn,
    comment: CommentId,
    by: By<'_>,
    now: Time,
) -> Result<Option<CommentReaction>, StoreError> {
    const SQL: &str = "INSERT INTO comment_reaction (id, comment_id, actor_type, actor_id, emoji, created_at)
        VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (comment_id, actor_type, actor_id, emoji) DO NOTHING
        RETURNING id, comment_id, actor_type, actor_id, emoji, created_at";
    let id = Uuid::now_v7();
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL)
        .bind(id)
        .bind(comment)
        .bind(by.actor_type)
        .bind(by.actor_id)
        .bind(by.emoji)
        .bind(now)
        .fetch_optional(c)
        .await)?)
}

pub async fn find_on_comment(
    conn: &mut Conn,
    comment: CommentId,
    by: By<'_>,
) -> Result<Option<CommentReaction>, StoreError> {
    const SQL: &str = "SELECT id, comment_id, actor_type, actor_id, emoji, created_at FROM comment_reaction
        WHERE comment_id = $1 AND actor_type = $2 AND actor_id = $3 AND emoji = $4";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL)
        .bind(comment)
        .bind(by.actor_type)
        .bind(by.actor_id)
        .bind(by.emoji)
        .fetch_optional(c)
        .await)?)
}

/// Takes a reaction off a comment. Says whether it was there.
pub async fn delete_on_comment(conn: &mut Conn, comment: CommentId, by: By<'_>) -> Result<bool, StoreError> {
    const SQL: &str = "DELETE FROM comment_reaction
        WHERE comment_id = $1 AND actor_type = $2 AND actor_id = $3 AND emoji = $4 RETURNING id";
    let row: Option<Uuid> = on_conn!(conn, |c| sqlx::query_scalar(SQL)
        .bind(comment)
        .bind(by.actor_type)
        .bind(by.actor_id)
        .bind(by.emoji)
        .fetch_optional(c)
        .await)?;
    Ok(row.is_some())
}

/// The reactions on these comments, oldest first.
pub async fn list_on_comments(conn: &mut Conn, comments: &Ids) -> Result<Vec<CommentReaction>, StoreError> {
    const SQLITE: &str =
        "SELECT id, comment_id, actor_type, actor_id, emoji, created_at FROM comment_reaction
        WHERE comment_id IN (SELECT unhex(value) FROM json_each($1)) ORDER BY created_at, id";
    const POSTGRES: &str =
        "SELECT id, comment_id, actor_type, actor_id, emoji, created_at FROM comment_reaction
        WHERE comment_id = ANY($1) ORDER BY created_at, id";
    let sql = by_engine!(conn, sqlite: SQLITE, postgres: POSTGRES);
    Ok(on_conn!(conn, |c| sqlx::query_as(sql).bind(comments).fetch_all(c).await)?)
}

/// Adds a reaction to an issue. `None` when it is there already.
pub async fn insert_on_issue(
    conn: &mut Conn,
    issue: IssueId,
    by: By<'_>,
    now: Time,
) -> Result<Option<IssueReaction>, StoreError> {
    const SQL: &str = "INSERT INTO issue_reaction (id, issue_id, actor_type, actor_id, emoji, created_at)
        VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (issue_id, actor_type, actor_id, emoji) DO NOTHING
        RETURNING id, issue_id, actor_type, actor_id, emoji, created_at";
    let id = Uuid::now_v7();
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL)
        .bind(id)
        .bind(issue)
        .bind(by.actor_type)
        .bind(by.actor_id)
        .bind(by.emoji)
        .bind(now)
        .fetch_optional(c)
        .await)?)
}

pub async fn find_on_issue(
    conn: &mut Conn,
    issue: IssueId,
    by: By<'_>,
) -> Result<Option<IssueReaction>, StoreError> {
    const SQL: &str = "SELECT id, issue_id, actor_type, actor_id, emoji, created_at FROM issue_reaction
        WHERE issue_id = $1 AND actor_type = $2 AND actor_id = $3 AND emoji = $4";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL)
        .bind(issue)
        .bind(by.actor_type)
        .bind(by.actor_id)
        .bind(by.emoji)
        .fetch_optional(c)
        .await)?)
}

/// Takes a reaction off an issue. Says whether it was there.
pub async fn delete_on_issue(conn: &mut Conn, issue: IssueId, by: By<'_>) -> Result<bool, StoreError> {
    const SQL: &str = "DELETE FROM issue_reaction
        WHERE issue_id = $1 AND actor_type = $2 AND actor_id = $3 AND emoji = $4 RETURNING id";
    let row: Option<Uuid> = on_conn!(conn, |c| sqlx::query_scalar(SQL)
        .bind(issue)
        .bind(by.actor_type)
        .bind(by.actor_id)
        .bind(by.emoji)
        .fetch_optional(c)
        .await)?;
    Ok(row.is_some())
}

/// The reactions on the issue itself, oldest first.
pub async fn list_on_issue(conn: &mut Conn, issue: IssueId) -> Result<Vec<IssueReaction>, StoreError> {
    const SQL: &str = "SELECT id, issue_id, actor_type, actor_id, emoji, created_at FROM issue_reaction
        WHERE issue_id = $1 ORDER BY created_at, id";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(issue).fetch_all(c).await)?)
}
