//! Comments.

use super::{Conn, StoreError};
use crate::model::ids::{CommentId, IssueId};
use crate::model::issue::Comment;
use crate::model::time::Time;

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

/// The columns of a [`Comment`], for every query that gives one.
macro_rules! comment_columns {
    () => {
        "id, issue_id, workspace_id, author_type, author_id, content, type, parent_id, source_task_id, resolved_at, \
         resolved_by_type, resolved_by_id, created_at, updated_at"
    };
}

pub(in crate::store) use comment_columns;

pub async fn find(conn: &mut Conn, id: CommentId) -> Result<Option<Comment>, StoreError> {
    const SQL: &str = concat!("SELECT ", comment_columns!(), " FROM comment WHERE id = $1");
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(id).fetch_optional(c).await)?)
}

/// The comment, if it is one on the issue.
pub async fn find_on(conn: &mut Conn, issue: IssueId, id: CommentId) -> Result<Option<Comment>, StoreError> {
    const SQL: &str = concat!("SELECT ", comment_columns!(), " FROM comment WHERE id = $1 AND issue_id = $2");
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(id).bind(issue).fetch_optional(c).await)?)
}

/// The comment at the top of the thread that this one is in; possibly itself.
pub async fn find_root(conn: &mut Conn, id: CommentId) -> Result<Option<Comment>, StoreError> {
    const SQL: &str = concat!(
        "WITH RECURSIVE up (up_id, up_parent) AS (
            SELECT id, parent_id FROM comment WHERE id = $1
            UNION ALL SELECT c.id, c.parent_id FROM comment c JOIN up ON c.id = up.up_parent)
        SELECT ",
        comment_columns!(),
        " FROM comment WHERE id = (SELECT up_id FROM up WHERE up_parent IS NULL)"
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(id).fetch_optional(c).await)?)
}

/// The first comments on the issue, oldest first, or the first after `since`.
pub async fn list(
    conn: &mut Conn,
    issue: IssueId,
    since: Option<Time>,
    limit: i64,
) -> Result<Vec<Comment>, StoreError> {
    const ALL: &str = concat!(
        "SELECT ",
        comment_columns!(),
        " FROM comment WHERE issue_id = $1 ORDER BY created_at, id LIMIT $2"
    );
    const SINCE: &str = concat!(
        "SELECT ",
        comment_columns!(),
        " FROM comment WHERE issue_id = $1 AND created_at > $3 ORDER BY created_at, id LIMIT $2"
    );
    Ok(match since {
        None => on_conn!(conn, |c| sqlx::query_as(ALL).bind(issue).bind(limit).fetch_all(c).await),
        Some(since) => {
            on_conn!(conn, |c| sqlx::query_as(SINCE).bind(issue).bind(limit).bind(since).fetch_all(c).await)
        }
    }?)
}

macro_rules! insert_comment {
    () => {
        "INSERT INTO comment (id, issue_id, workspace_id, author_type, author_id, content, type, parent_id, \
         source_task_id, resolved_at, resolved_by_type, resolved_by_id, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"
    };
}
pub(super) use insert_comment;

macro_rules! bind_comment {
    ($query:expr, $comment:expr) => {
        $query
            .bind($comment.id)
            .bind($comment.issue_id)
            .bind($comment.workspace_id)
            .bind(&$comment.author_type)
            .bind($comment.author_id)
            .bind(&$comment.content)
            .bind(&$comment.kind)
            .bind($comment.parent_id)
            .bind($comment.source_task_id)
            .bind($comment.resolved_at)
            .bind(&$comment.resolved_by_type)
            .bind($comment.resolved_by_id)
            .bind($comment.created_at)
            .bind($comment.updated_at)
    };
}
pub(super) use bind_comment;

pub async fn insert(conn: &mut Conn, comment: &Comment) -> Result<(), StoreError> {
    const SQL: &str = insert_comment!();
    on_conn!(conn, |c| bind_comment!(sqlx::query(SQL), comment).execute(c).await.map(drop))?;
    Ok(())
}

/// Gives the comment another text. `None` when there is no such comment.
pub async fn update_content(
    conn: &mut Conn,
    id: CommentId,
    content: &str,
    now: Time,
) -> Result<Option<Comment>, StoreError> {
    const SQL: &str = concat!(
        "UPDATE comment SET content = $2, updated_at = $3 WHERE id = $1 RETURNING ",
        comment_columns!()
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(id).bind(content).bind(now).fetch_optional(c).await)?)
}

/// Takes the comment away, and the answers to it. Says whether it was there.
pub async fn delete(conn: &mut Conn, id: CommentId) -> Result<bool, StoreError> {
    const SQL: &str = "DELETE FROM comment WHERE id = $1 RETURNING id";
    let row: Option<CommentId> =
        on_conn!(conn, |c| sqlx::query_scalar(SQL).bind(id).fetch_optional(c).await)?;
    Ok(row.is_some())
}
