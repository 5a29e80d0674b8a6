//! Comments.

use super::{Conn, StoreError};
use crate::model::ids::CommentId;
use crate::model::issue::Comment;

from_row!(Comment {
    id,
    issue_id,
    workspace_id,
    author_type,
    author_id,
    content,
    kind = "type",
    parent_id,
    source_task_id,
    resolved_at,
    resolved_by_type,
    resolved_by_id,
    created_at,
    updated_at,
});

macro_rules! comment_columns {
    () => {
        "id, issue_id, workspace_id, author_type, author_id, content, type, parent_id, source_task_id, resolved_at, \
         resolved_by_type, resolved_by_id, created_at, updated_at"
    };
}

pub async fn find(conn: &mut Conn, id: CommentId) -> Result<Option<Comment>, StoreError> {
    const SQL: &str = concat!("SELECT ", comment_columns!(), " FROM comment WHERE id = $1");
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(id).fetch_optional(c).await)?)
}

pub async fn insert(conn: &mut Conn, comment: &Comment) -> Result<(), StoreError> {
    const SQL: &str =
        "INSERT INTO comment (id, issue_id, workspace_id, author_type, author_id, content, type, parent_id,
        source_task_id, resolved_at, resolved_by_type, resolved_by_id, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
    on_conn!(conn, |c| sqlx::query(SQL)
        .bind(comment.id)
        .bind(comment.issue_id)
        .bind(comment.workspace_id)
        .bind(&comment.author_type)
        .bind(comment.author_id)
        .bind(&comment.content)
        .bind(&comment.kind)
        .bind(comment.parent_id)
        .bind(comment.source_task_id)
        .bind(comment.resolved_at)
        .bind(&comment.resolved_by_type)
        .bind(comment.resolved_by_id)
        .bind(comment.created_at)
        .bind(comment.updated_at)
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// A reply opens a resolved thread again: the root that holds the resolution loses it.
/// Gives that root, if there was one.
pub async fn reopen_thread(
    conn: &mut Conn,
    reply: CommentId,
    now: crate::model::time::Time,
) -> Result<Option<Comment>, StoreError> {
    const SQL: &str = concat!(
        "WITH RECURSIVE up (id, parent_id) AS (
            SELECT id, parent_id FROM comment WHERE id = $1
            UNION ALL SELECT c.id, c.parent_id FROM comment c JOIN up ON c.id = up.parent_id)
        UPDATE comment SET resolved_at = NULL, resolved_by_type = NULL, resolved_by_id = NULL, updated_at = $2
        WHERE id = (SELECT id FROM up WHERE parent_id IS NULL) AND resolved_at IS NOT NULL RETURNING ",
        comment_columns!()
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(reply).bind(now).fetch_optional(c).await)?)
}
