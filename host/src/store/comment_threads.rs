//! Comments by thread. What a thread is follows from who answers whom; nothing of it is
//! kept.

use super::batch::Ids;
use super::comments::comment_columns;
use super::{Conn, StoreError};
use crate::model::ids::{CommentId, IssueId};
use crate::model::issue::Comment;
use crate::model::time::Time;

/// A thread, as a list of threads knows it.
#[derive(Clone, Copy, Debug)]
pub struct Thread {
    pub root_id: CommentId,
    pub reply_count: i64,
    pub last_activity_at: Time,
}

from_row!(Thread { root_id, reply_count, last_activity_at });

/// Where a page of threads or replies ended: the next one is older than this.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Before {
    pub at: Time,
    pub id: CommentId,
}

/// The threads of an issue as rows `thread (root_id, reply_count, last_activity_at)`.
macro_rules! threads {
    () => {
        "WITH RECURSIVE tree (root_id, node_id, node_at) AS (
            SELECT id, id, created_at FROM comment WHERE issue_id = $1 AND parent_id IS NULL
            UNION ALL SELECT t.root_id, c.id, c.created_at FROM comment c JOIN tree t ON c.parent_id = t.node_id),
        thread (root_id, reply_count, last_activity_at) AS (
            SELECT root_id, count(*) - 1, max(node_at) FROM tree GROUP BY root_id) "
    };
}

/// Every thread of the issue, in no order.
pub async fn list_threads(conn: &mut Conn, issue: IssueId) -> Result<Vec<Thread>, StoreError> {
    const SQL: &str = concat!(threads!(), "SELECT root_id, reply_count, last_activity_at FROM thread");
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(issue).fetch_all(c).await)?)
}

/// The threads with the latest activity, the latest first.
pub async fn list_recent(
    conn: &mut Conn,
    issue: IssueId,
    before: Option<Before>,
    limit: i64,
) -> Result<Vec<Thread>, StoreError> {
    const FIRST: &str = concat!(
        threads!(),
        "SELECT root_id, reply_count, last_activity_at FROM thread
        ORDER BY last_activity_at DESC, root_id DESC LIMIT $2"
    );
    const NEXT: &str = concat!(
        threads!(),
        "SELECT root_id, reply_count, last_activity_at FROM thread
        WHERE (last_activity_at, root_id) < ($3, $4) ORDER BY last_activity_at DESC, root_id DESC LIMIT $2"
    );
    Ok(match before {
        None => on_conn!(conn, |c| sqlx::query_as(FIRST).bind(issue).bind(limit).fetch_all(c).await),
        Some(Before { at, id }) => on_conn!(conn, |c| sqlx::query_as(NEXT)
            .bind(issue)
            .bind(limit)
            .bind(at)
            .bind(id)
            .fetch_all(c)
            .await),
    }?)
}

/// The roots of the issue's threads, oldest first, or those that are newer than `since`.
pub async fn list_roots(
    conn: &mut Conn,
    issue: IssueId,
    since: Option<Time>,
    limit: i64,
) -> Result<Vec<Comment>, StoreError> {
    const ALL: &str = concat!(
        "SELECT ",
        comment_columns!(),
        " FROM comment WHERE issue_id = $1 AND parent_id IS NULL ORDER BY created_at, id LIMIT $2"
    );
    const SINCE: &str = concat!(
        "SELECT ",
        comment_columns!(),
        " FROM comment WHERE issue_id = $1 AND parent_id IS NULL AND created_at > $3
        ORDER BY created_at, id LIMIT $2"
    );
    Ok(match since {
        None => on_conn!(conn, |c| sqlx::query_as(ALL).bind(issue).bind(limit).fetch_all(c).await),
        Some(since) => {
            on_conn!(conn, |c| sqlx::query_as(SINCE).bind(issue).bind(limit).bind(since).fetch_all(c).await)
        }
    }?)
}

/// Everything below and including these roots, oldest first.
pub async fn list_whole(conn: &mut Conn, roots: &Ids) -> Result<Vec<Comment>, StoreError> {
    const SQLITE: &str = concat!(
        "WITH RECURSIVE tree (node_id) AS (
            SELECT id FROM comment WHERE id IN (SELECT unhex(value) FROM json_each($1))
            UNION ALL SELECT c.id FROM comment c JOIN tree t ON c.parent_id = t.node_id)
        SELECT ",
        comment_columns!(),
        " FROM comment WHERE id IN (SELECT node_id FROM tree) ORDER BY created_at, id"
    );
    const POSTGRES: &str = concat!(
        "WITH RECURSIVE tree (node_id) AS (
            SELECT id FROM comment WHERE id = ANY($1)
            UNION ALL SELECT c.id FROM comment c JOIN tree t ON c.parent_id = t.node_id)
        SELECT ",
        comment_columns!(),
        " FROM comment WHERE id IN (SELECT node_id FROM tree) ORDER BY created_at, id"
    );
    let sql = by_engine!(conn, sqlite: SQLITE, postgres: POSTGRES);
    Ok(on_conn!(conn, |c| sqlx::query_as(sql).bind(roots).fetch_all(c).await)?)
}

/// The latest replies below a root, the latest first.
pub async fn list_replies(
    conn: &mut Conn,
    root: CommentId,
    before: Option<Before>,
    limit: i64,
) -> Result<Vec<Comment>, StoreError> {
    const FIRST: &str = concat!(
        "WITH RECURSIVE tree (node_id) AS (
            SELECT id FROM comment WHERE parent_id = $1
            UNION ALL SELECT c.id FROM comment c JOIN tree t ON c.parent_id = t.node_id)
        SELECT ",
        comment_columns!(),
        " FROM comment WHERE id IN (SELECT node_id FROM tree) ORDER BY created_at DESC, id DESC LIMIT $2"
    );
    const NEXT: &str = concat!(
        "WITH RECURSIVE tree (node_id) AS (
            SELECT id FROM comment WHERE parent_id = $1
            UNION ALL SELECT c.id FROM comment c JOIN tree t ON c.parent_id = t.node_id)
        SELECT ",
        comment_columns!(),
        " FROM comment WHERE id IN (SELECT node_id FROM tree) AND (created_at, id) < ($3, $4)
        ORDER BY created_at DESC, id DESC LIMIT $2"
    );
    Ok(match before {
        None => on_conn!(conn, |c| sqlx::query_as(FIRST).bind(root).bind(limit).fetch_all(c).await),
        Some(Before { at, id }) => on_conn!(conn, |c| sqlx::query_as(NEXT)
            .bind(root)
            .bind(limit)
            .bind(at)
            .bind(id)
            .fetch_all(c)
            .await),
    }?)
}
