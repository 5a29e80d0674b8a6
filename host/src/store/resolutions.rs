//! Which comment of a thread settles it; at most one does. A resolution is not an edit and
//! leaves `updated_at` alone.

use uuid::Uuid;

use super::comments::comment_columns;
use super::{Conn, StoreError};
use crate::model::ids::CommentId;
use crate::model::issue::Comment;
use crate::model::time::Time;

/// Lets one caller at a time change the resolution of a thread.
pub async fn lock_thread(conn: &mut Conn, root: CommentId) -> Result<(), StoreError> {
    // SQLite has one writer.
    const POSTGRES: &str = "SELECT id FROM comment WHERE id = $1 FOR NO KEY UPDATE";
    match conn {
        Conn::Sqlite(_) => {}
        Conn::Postgres(c) => {
            sqlx::query(POSTGRES).bind(root).execute(&mut **c).await?;
        }
    }
    Ok(())
}

/// Makes the comment what settles its thread. `None` when it is that already.
pub async fn set(
    conn: &mut Conn,
    id: CommentId,
    by: (&str, Uuid),
    now: Time,
) -> Result<Option<Comment>, StoreError> {
    const SQL: &str = concat!(
        "UPDATE comment SET resolved_at = $2, resolved_by_type = $3, resolved_by_id = $4
        WHERE id = $1 AND resolved_at IS NULL RETURNING ",
        comment_columns!()
    );
    let (kind, by) = by;
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL)
        .bind(id)
        .bind(now)
        .bind(kind)
        .bind(by)
        .fetch_optional(c)
        .await)?)
}

/// The comment settles nothing any more. `None` when it did not before.
pub async fn clear(conn: &mut Conn, id: CommentId) -> Result<Option<Comment>, StoreError> {
    const SQL: &str = concat!(
        "UPDATE comment SET resolved_at = NULL, resolved_by_type = NULL, resolved_by_id = NULL
        WHERE id = $1 AND resolved_at IS NOT NULL RETURNING ",
        comment_columns!()
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(id).fetch_optional(c).await)?)
}

/// The same for every other comment of the thread below `root`. Gives those that changed.
pub async fn clear_others(
    conn: &mut Conn,
    root: CommentId,
    but: CommentId,
) -> Result<Vec<Comment>, StoreError> {
    const SQL: &str = concat!(
        "WITH RECURSIVE tree (node_id) AS (
            SELECT id FROM comment WHERE id = $1
            UNION ALL SELECT c.id FROM comment c JOIN tree t ON c.parent_id = t.node_id)
        UPDATE comment SET resolved_at = NULL, resolved_by_type = NULL, resolved_by_id = NULL
        WHERE id IN (SELECT node_id FROM tree) AND id <> $2 AND resolved_at IS NOT NULL RETURNING ",
        comment_columns!()
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(root).bind(but).fetch_all(c).await)?)
}
