//! What was uploaded and what it hangs on. The bytes are not here.

use uuid::Uuid;

use super::batch::Ids;
use super::{Conn, StoreError};
use crate::model::attachment::Attachment;
use crate::model::ids::{AttachmentId, ChatSessionId, CommentId, IssueId, TaskId, WorkspaceId};

from_row!(Attachment {
    id,
    workspace_id,
    issue_id,
    comment_id,
    chat_session_id,
    chat_message_id,
    uploader_type,
    uploader_id,
    filename,
    url,
    content_type,
    size_bytes,
    created_at,
});

macro_rules! columns {
    () => {
        "id, workspace_id, issue_id, comment_id, chat_session_id, chat_message_id, uploader_type, uploader_id, \
         filename, url, content_type, size_bytes, created_at"
    };
}

pub async fn insert(conn: &mut Conn, new: &Attachment) -> Result<(), StoreError> {
    const SQL: &str = concat!(
        "INSERT INTO attachment (",
        columns!(),
        ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
    );
    on_conn!(conn, |c| sqlx::query(SQL)
        .bind(new.id)
        .bind(new.workspace_id)
        .bind(new.issue_id)
        .bind(new.comment_id)
        .bind(new.chat_session_id)
        .bind(new.chat_message_id)
        .bind(&new.uploader_type)
        .bind(new.uploader_id)
        .bind(&new.filename)
        .bind(&new.url)
        .bind(&new.content_type)
        .bind(new.size_bytes)
        .bind(new.created_at)
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

pub async fn find(conn: &mut Conn, id: AttachmentId) -> Result<Option<Attachment>, StoreError> {
    const SQL: &str = concat!("SELECT ", columns!(), " FROM attachment WHERE id = $1");
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(id).fetch_optional(c).await)?)
}

/// Says whether it was there.
pub async fn delete(conn: &mut Conn, id: AttachmentId) -> Result<bool, StoreError> {
    const SQL: &str = "DELETE FROM attachment WHERE id = $1 RETURNING id";
    let row: Option<Uuid> = on_conn!(conn, |c| sqlx::query_scalar(SQL).bind(id).fetch_optional(c).await)?;
    Ok(row.is_some())
}

/// Those on the issue, and those on its comments that name the issue too; oldest first.
pub async fn list_on_issue(conn: &mut Conn, issue: IssueId) -> Result<Vec<Attachment>, StoreError> {
    const SQL: &str =
        concat!("SELECT ", columns!(), " FROM attachment WHERE issue_id = $1 ORDER BY created_at, id");
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(issue).fetch_all(c).await)?)
}

/// Those on these comments, oldest first.
pub async fn list_on_comments(conn: &mut Conn, comments: &Ids) -> Result<Vec<Attachment>, StoreError> {
    const SQLITE: &str = concat!(
        "SELECT ",
        columns!(),
        " FROM attachment WHERE comment_id IN (SELECT unhex(value) FROM json_each($1)) ORDER BY created_at, id"
    );
    const POSTGRES: &str =
        concat!("SELECT ", columns!(), " FROM attachment WHERE comment_id = ANY($1) ORDER BY created_at, id");
    let sql = by_engine!(conn, sqlite: SQLITE, postgres: POSTGRES);
    Ok(on_conn!(conn, |c| sqlx::query_as(sql).bind(comments).fetch_all(c).await)?)
}

/// Those of these chat messages, oldest first.
pub async fn list_on_messages(conn: &mut Conn, messages: &Ids) -> Result<Vec<Attachment>, StoreError> {
    const SQLITE: &str = concat!(
        "SELECT ",
        columns!(),
        " FROM attachment WHERE chat_message_id IN (SELECT unhex(value) FROM json_each($1))
        ORDER BY created_at, id"
    );
    const POSTGRES: &str = concat!(
        "SELECT ",
        columns!(),
        " FROM attachment WHERE chat_message_id = ANY($1) ORDER BY created_at, id"
    );
    let sql = by_engine!(conn, sqlite: SQLITE, postgres: POSTGRES);
    Ok(on_conn!(conn, |c| sqlx::query_as(sql).bind(messages).fetch_all(c).await)?)
}

/// Puts those on the issue that are of its workspace and on none yet.
pub async fn bind_to_issue(
    conn: &mut Conn,
    workspace: WorkspaceId,
    issue: IssueId,
    ids: &Ids,
) -> Result<(), StoreError> {
    const SQLITE: &str = "UPDATE attachment SET issue_id = $1 WHERE workspace_id = $2 AND issue_id IS NULL
            AND id IN (SELECT unhex(value) FROM json_each($3))";
    const POSTGRES: &str = "UPDATE attachment SET issue_id = $1 WHERE workspace_id = $2 AND issue_id IS NULL
            AND id = ANY($3)";
    let sql = by_engine!(conn, sqlite: SQLITE, postgres: POSTGRES);
    on_conn!(conn, |c| sqlx::query(sql).bind(issue).bind(workspace).bind(ids).execute(c).await.map(drop))?;
    Ok(())
}

/// Puts those on the comment that are on its issue and on no comment yet.
pub async fn bind_to_comment(
    conn: &mut Conn,
    comment: CommentId,
    issue: IssueId,
    ids: &Ids,
) -> Result<(), StoreError> {
    const SQLITE: &str = "UPDATE attachment SET comment_id = $1 WHERE issue_id = $2 AND comment_id IS NULL
            AND id IN (SELECT unhex(value) FROM json_each($3))";
    const POSTGRES: &str = "UPDATE attachment SET comment_id = $1 WHERE issue_id = $2 AND comment_id IS NULL
            AND id = ANY($3)";
    let sql = by_engine!(conn, sqlite: SQLITE, postgres: POSTGRES);
    on_conn!(conn, |c| sqlx::query(sql).bind(comment).bind(issue).bind(ids).execute(c).await.map(drop))?;
    Ok(())
}

/// Takes everything off the comment; it stays on the issue.
pub async fn unbind_from_comment(
    conn: &mut Conn,
    comment: CommentId,
    issue: IssueId,
) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE attachment SET comment_id = NULL WHERE comment_id = $1 AND issue_id = $2";
    on_conn!(conn, |c| sqlx::query(SQL).bind(comment).bind(issue).execute(c).await.map(drop))?;
    Ok(())
}

/// A chat message, and who wrote it.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    pub id: Uuid,
    pub session: ChatSessionId,
    pub workspace: WorkspaceId,
    pub uploader_type: &'a str,
    pub uploader_id: Uuid,
}

/// Puts those on the message that its author uploaded, for this chat or for nothing yet.
/// Gives the ids of those.
pub async fn bind_to_message(
    conn: &mut Conn,
    message: Message<'_>,
    ids: &Ids,
) -> Result<Vec<AttachmentId>, StoreError> {
    const SQLITE: &str = "UPDATE attachment SET chat_message_id = $1, chat_session_id = $2
        WHERE workspace_id = $3 AND uploader_type = $4 AND uploader_id = $5
            AND issue_id IS NULL AND comment_id IS NULL AND chat_message_id IS NULL
            AND (chat_session_id IS NULL OR chat_session_id = $2)
            AND id IN (SELECT unhex(value) FROM json_each($6))
        RETURNING id";
    const POSTGRES: &str = "UPDATE attachment SET chat_message_id = $1, chat_session_id = $2
        WHERE workspace_id = $3 AND uploader_type = $4 AND uploader_id = $5
            AND issue_id IS NULL AND comment_id IS NULL AND chat_message_id IS NULL
            AND (chat_session_id IS NULL OR chat_session_id = $2)
            AND id = ANY($6)
        RETURNING id";
    let sql = by_engine!(conn, sqlite: SQLITE, postgres: POSTGRES);
    Ok(on_conn!(conn, |c| sqlx::query_scalar(sql)
        .bind(message.id)
        .bind(message.session)
        .bind(message.workspace)
        .bind(message.uploader_type)
        .bind(message.uploader_id)
        .bind(ids)
        .fetch_all(c)
        .await)?)
}

/// Takes everything off the person's message that a task was to answer; it stays with the
/// chat, where it can be sent again.
pub async fn unbind_from_prompt(conn: &mut Conn, task: TaskId) -> Result<Vec<Attachment>, StoreError> {
    const SQL: &str = concat!(
        "UPDATE attachment SET chat_message_id = NULL WHERE chat_message_id IN (SELECT id FROM chat_message
            WHERE task_id = $1 AND role = 'user') RETURNING ",
        columns!()
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(task).fetch_all(c).await)?)
}

/// Where the bytes are of all that goes with an issue.
pub async fn list_urls_of_issue(conn: &mut Conn, issue: IssueId) -> Result<Vec<String>, StoreError> {
    const SQL: &str = "SELECT url FROM attachment WHERE issue_id = $1
        UNION ALL SELECT a.url FROM comment c JOIN attachment a ON a.comment_id = c.id
        WHERE c.issue_id = $1 AND a.issue_id IS NULL";
    Ok(on_conn!(conn, |c| sqlx::query_scalar(SQL).bind(issue).fetch_all(c).await)?)
}

/// Where the bytes are of all that goes with a comment and the answers to it.
pub async fn list_urls_of_comment(conn: &mut Conn, comment: CommentId) -> Result<Vec<String>, StoreError> {
    const SQL: &str = "WITH RECURSIVE gone (id) AS (SELECT id FROM comment WHERE id = $1
            UNION SELECT c.id FROM gone g JOIN comment c ON c.parent_id = g.id)
        SELECT a.url FROM gone g JOIN attachment a ON a.comment_id = g.id";
    Ok(on_conn!(conn, |c| sqlx::query_scalar(SQL).bind(comment).fetch_all(c).await)?)
}

/// Where the bytes are of all that goes with a chat.
pub async fn list_urls_of_chat(conn: &mut Conn, chat: ChatSessionId) -> Result<Vec<String>, StoreError> {
    const SQL: &str = "SELECT url FROM attachment WHERE chat_session_id = $1";
    Ok(on_conn!(conn, |c| sqlx::query_scalar(SQL).bind(chat).fetch_all(c).await)?)
}
