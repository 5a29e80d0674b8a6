//! Chat sessions: where the next turn resumes, and what the agent answered.

use uuid::Uuid;

use super::{Conn, StoreError};
use crate::model::ids::{ChatSessionId, RuntimeId, TaskId, UserId, WorkspaceId};
use crate::model::time::Time;

/// What a daemon asks before it cleans up after a chat.
#[derive(Clone, Debug)]
pub struct SessionState {
    pub workspace_id: WorkspaceId,
    /// `active` or `archived`.
    pub status: String,
    pub updated_at: Time,
}

/// An assistant's message about to be stored.
#[derive(Clone, Debug)]
pub struct Reply {
    pub id: Uuid,
    pub session_id: ChatSessionId,
    pub task_id: TaskId,
    pub content: String,
    pub failure_reason: Option<String>,
    pub elapsed_ms: i64,
    pub created_at: Time,
}

from_row!(SessionState { workspace_id, status, updated_at });

pub async fn find_state(conn: &mut Conn, id: ChatSessionId) -> Result<Option<SessionState>, StoreError> {
    const SQL: &str = "SELECT workspace_id, status, updated_at FROM chat_session WHERE id = $1";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(id).fetch_optional(c).await)?)
}

/// Moves the resume pointer on. What is absent stays; the runtime follows the session id.
pub async fn merge_pointer(
    conn: &mut Conn,
    id: ChatSessionId,
    session_id: Option<&str>,
    work_dir: Option<&str>,
    runtime: RuntimeId,
    now: Time,
) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE chat_session SET session_id = COALESCE($2, session_id),
            work_dir = COALESCE($3, work_dir), runtime_id = COALESCE($4, runtime_id), updated_at = $5
        WHERE id = $1";
    let runtime = session_id.map(|_| runtime);
    on_conn!(conn, |c| sqlx::query(SQL)
        .bind(id)
        .bind(session_id)
        .bind(work_dir)
        .bind(runtime)
        .bind(now)
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// Stores what the assistant says and marks the session unread since then, unless it
/// already was.
pub async fn insert_reply(conn: &mut Conn, reply: &Reply) -> Result<(), StoreError> {
    const MESSAGE: &str =
        "INSERT INTO chat_message (id, chat_session_id, role, content, task_id, failure_reason,
            elapsed_ms, created_at)
        VALUES ($1, $2, 'assistant', $3, $4, $5, $6, $7)";
    const UNREAD: &str = "UPDATE chat_session SET unread_since = $2 WHERE id = $1 AND unread_since IS NULL";
    on_conn!(conn, |c| sqlx::query(MESSAGE)
        .bind(reply.id)
        .bind(reply.session_id)
        .bind(&reply.content)
        .bind(reply.task_id)
        .bind(&reply.failure_reason)
        .bind(reply.elapsed_ms)
        .bind(reply.created_at)
        .execute(c)
        .await
        .map(drop))?;
    on_conn!(conn, |c| sqlx::query(UNREAD)
        .bind(reply.session_id)
        .bind(reply.created_at)
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// Takes a person's message, that a task was to answer, out of its chat: its id and text.
pub async fn take_prompt(conn: &mut Conn, task: TaskId) -> Result<Option<(Uuid, String)>, StoreError> {
    const SQL: &str = "DELETE FROM chat_message WHERE id = (SELECT id FROM chat_message
            WHERE task_id = $1 AND role = 'user' ORDER BY created_at DESC, id DESC LIMIT 1)
        RETURNING id, content";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(task).fetch_optional(c).await)?)
}

/// Whose chat it is.
pub async fn find_creator(conn: &mut Conn, id: ChatSessionId) -> Result<Option<UserId>, StoreError> {
    const SQL: &str = "SELECT creator_id FROM chat_session WHERE id = $1";
    Ok(on_conn!(conn, |c| sqlx::query_scalar(SQL).bind(id).fetch_optional(c).await)?)
}
