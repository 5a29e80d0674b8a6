//! Chats as people see them: their sessions, their messages, and what is under way.

use uuid::Uuid;

use super::{Conn, StoreError};
use crate::model::chat::{ChatMessage, ChatSession};
use crate::model::ids::{ChatSessionId, RuntimeId, TaskId, UserId, WorkspaceId};
use crate::model::status::TaskStatus;
use crate::model::time::Time;

from_row!(ChatSession {
    id,
    workspace_id,
    agent_id,
    creator_id,
    title,
    status,
    unread_since,
    created_at,
    updated_at,
});

from_row!(ChatMessage {
    id,
    chat_session_id,
    role,
    content,
    task_id,
    failure_reason,
    elapsed_ms,
    created_at
});

macro_rules! session_columns {
    () => {
        "id, workspace_id, agent_id, creator_id, title, status, unread_since, created_at, updated_at"
    };
}

macro_rules! message_columns {
    () => {
        "id, chat_session_id, role, content, task_id, failure_reason, elapsed_ms, created_at"
    };
}

pub async fn find(conn: &mut Conn, id: ChatSessionId) -> Result<Option<ChatSession>, StoreError> {
    const SQL: &str = concat!("SELECT ", session_columns!(), " FROM chat_session WHERE id = $1");
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(id).fetch_optional(c).await)?)
}

/// A person's sessions in a workspace, the last to change first.
pub async fn list_of_user(
    conn: &mut Conn,
    workspace: WorkspaceId,
    user: UserId,
    archived_too: bool,
) -> Result<Vec<ChatSession>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        session_columns!(),
        " FROM chat_session WHERE workspace_id = $1 AND creator_id = $2 AND ($3 OR status = 'active')
        ORDER BY updated_at DESC, id DESC"
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL)
        .bind(workspace)
        .bind(user)
        .bind(archived_too)
        .fetch_all(c)
        .await)?)
}

/// Adds a session, bound to the runtime that its agent has now.
pub async fn insert(conn: &mut Conn, session: &ChatSession, runtime: RuntimeId) -> Result<(), StoreError> {
    const SQL: &str =
        "INSERT INTO chat_session (id, workspace_id, agent_id, creator_id, title, runtime_id, status,
            created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    on_conn!(conn, |c| sqlx::query(SQL)
        .bind(session.id)
        .bind(session.workspace_id)
        .bind(session.agent_id)
        .bind(session.creator_id)
        .bind(&session.title)
        .bind(runtime)
        .bind(&session.status)
        .bind(session.created_at)
        .bind(session.updated_at)
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

pub async fn rename(
    conn: &mut Conn,
    id: ChatSessionId,
    title: &str,
    now: Time,
) -> Result<Option<ChatSession>, StoreError> {
    const SQL: &str = concat!(
        "UPDATE chat_session SET title = $2, updated_at = $3 WHERE id = $1 RETURNING ",
        session_columns!()
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(id).bind(title).bind(now).fetch_optional(c).await)?)
}

/// Something was said.
pub async fn touch(conn: &mut Conn, id: ChatSessionId, now: Time) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE chat_session SET updated_at = $2 WHERE id = $1";
    on_conn!(conn, |c| sqlx::query(SQL).bind(id).bind(now).execute(c).await.map(drop))?;
    Ok(())
}

/// Its creator has seen everything.
pub async fn mark_read(conn: &mut Conn, id: ChatSessionId) -> Result<(), StoreError> {
    const SQL: &str =
        "UPDATE chat_session SET unread_since = NULL WHERE id = $1 AND unread_since IS NOT NULL";
    on_conn!(conn, |c| sqlx::query(SQL).bind(id).execute(c).await.map(drop))?;
    Ok(())
}

/// Keeps everybody else from adding to the session until the transaction ends. `false` when
/// it is gone.
pub async fn lock(conn: &mut Conn, id: ChatSessionId) -> Result<bool, StoreError> {
    let sql = by_engine!(conn,
        sqlite: "SELECT id FROM chat_session WHERE id = $1",
        postgres: "SELECT id FROM chat_session WHERE id = $1 FOR UPDATE",
    );
    let row: Option<Uuid> = on_conn!(conn, |c| sqlx::query_scalar(sql).bind(id).fetch_optional(c).await)?;
    Ok(row.is_some())
}

/// Forgets the channel that a session is held in.
pub async fn delete_binding(conn: &mut Conn, id: ChatSessionId) -> Result<(), StoreError> {
    const SQL: &str = "DELETE FROM channel_chat_session_binding WHERE chat_session_id = $1";
    on_conn!(conn, |c| sqlx::query(SQL).bind(id).execute(c).await.map(drop))?;
    Ok(())
}

pub async fn delete(conn: &mut Conn, id: ChatSessionId) -> Result<(), StoreError> {
    const SQL: &str = "DELETE FROM chat_session WHERE id = $1";
    on_conn!(conn, |c| sqlx::query(SQL).bind(id).execute(c).await.map(drop))?;
    Ok(())
}

pub async fn insert_message(conn: &mut Conn, message: &ChatMessage) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO chat_message (id, chat_session_id, role, content, task_id, failure_reason,
            elapsed_ms, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    on_conn!(conn, |c| sqlx::query(SQL)
        .bind(message.id)
        .bind(message.chat_session_id)
        .bind(&message.role)
        .bind(&message.content)
        .bind(message.task_id)
        .bind(&message.failure_reason)
        .bind(message.elapsed_ms)
        .bind(message.created_at)
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// Everything that was said, oldest first.
pub async fn list_messages(conn: &mut Conn, id: ChatSessionId) -> Result<Vec<ChatMessage>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        message_columns!(),
        " FROM chat_message WHERE chat_session_id = $1 ORDER BY created_at, id"
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(id).fetch_all(c).await)?)
}

/// Up to `limit` messages before the given one, or the last ones; newest first.
pub async fn list_messages_before(
    conn: &mut Conn,
    id: ChatSessionId,
    before: Option<(Time, Uuid)>,
    limit: i64,
) -> Result<Vec<ChatMessage>, StoreError> {
    const LAST: &str = concat!(
        "SELECT ",
        message_columns!(),
        " FROM chat_message WHERE chat_session_id = $1 ORDER BY created_at DESC, id DESC LIMIT $2"
    );
    const BEFORE: &str = concat!(
        "SELECT ",
        message_columns!(),
        " FROM chat_message WHERE chat_session_id = $1 AND (created_at, id) < ($3, $4)
        ORDER BY created_at DESC, id DESC LIMIT $2"
    );
    Ok(match before {
        None => on_conn!(conn, |c| sqlx::query_as(LAST).bind(id).bind(limit).fetch_all(c).await),
        Some((at, message)) => on_conn!(conn, |c| sqlx::query_as(BEFORE)
            .bind(id)
            .bind(limit)
            .bind(at)
            .bind(message)
            .fetch_all(c)
            .await),
    }?)
}

/// A chat's task that has not ended.
#[derive(Clone, Debug)]
pub struct PendingTask {
    pub id: TaskId,
    pub status: TaskStatus,
    pub chat_session_id: ChatSessionId,
    pub created_at: Time,
}

from_row!(PendingTask { id, status, chat_session_id, created_at });

/// The newest of a session.
pub async fn find_pending(conn: &mut Conn, id: ChatSessionId) -> Result<Option<PendingTask>, StoreError> {
    const SQL: &str = "SELECT id, status, chat_session_id, created_at FROM agent_task_queue
        WHERE chat_session_id = $1
            AND status IN ('deferred', 'queued', 'dispatched', 'waiting_local_directory', 'running')
        ORDER BY created_at DESC, id DESC LIMIT 1";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(id).fetch_optional(c).await)?)
}

/// All of a person's chats in a workspace, newest first.
pub async fn list_pending_of_user(
    conn: &mut Conn,
    workspace: WorkspaceId,
    user: UserId,
) -> Result<Vec<PendingTask>, StoreError> {
    const SQL: &str = "SELECT t.id, t.status, t.chat_session_id, t.created_at
        FROM chat_session s JOIN agent_task_queue t ON t.chat_session_id = s.id
        WHERE s.workspace_id = $1 AND s.creator_id = $2
            AND t.status IN ('deferred', 'queued', 'dispatched', 'waiting_local_directory', 'running')
        ORDER BY t.created_at DESC, t.id DESC";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(workspace).bind(user).fetch_all(c).await)?)
}
