//! Tokens of every kind. Only hashes are kept: the lower-case hex SHA-256 of the whole
//! token.

use super::{Conn, StoreError};
use crate::model::ids::{AgentId, TaskId, UserId, WorkspaceId};
use crate::model::time::Time;

/// Whose personal access token it is, and until when.
#[derive(Clone, Debug)]
pub struct PersonalToken {
    pub user_id: UserId,
    pub expires_at: Option<Time>,
}

/// What a daemon token opens.
#[derive(Clone, Debug)]
pub struct DaemonToken {
    pub workspace_id: WorkspaceId,
    pub daemon_id: String,
    pub expires_at: Time,
}

/// What a task token stands for.
#[derive(Clone, Copy, Debug)]
pub struct TaskToken {
    pub task_id: TaskId,
    pub agent_id: AgentId,
    pub workspace_id: WorkspaceId,
    /// The owner of the runtime that claimed the task.
    pub user_id: UserId,
}

from_row!(PersonalToken { user_id, expires_at });
from_row!(DaemonToken { workspace_id, daemon_id, expires_at });
from_row!(TaskToken { task_id, agent_id, workspace_id, user_id });

/// A personal token that is neither revoked nor expired.
pub async fn find_personal(
    conn: &mut Conn,
    hash: &str,
    now: Time,
) -> Result<Option<PersonalToken>, StoreError> {
    const SQL: &str = "SELECT user_id, expires_at FROM personal_access_token
        WHERE token_hash = $1 AND NOT revoked AND (expires_at IS NULL OR expires_at > $2)";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(hash).bind(now).fetch_optional(c).await)?)
}

pub async fn touch_personal(conn: &mut Conn, hash: &str, now: Time) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE personal_access_token SET last_used_at = $2 WHERE token_hash = $1";
    on_conn!(conn, |c| sqlx::query(SQL).bind(hash).bind(now).execute(c).await.map(drop))?;
    Ok(())
}

/// `prefix` is the first twelve characters of the token, for lists.
pub async fn insert_personal(
    conn: &mut Conn,
    user: UserId,
    name: &str,
    hash: &str,
    prefix: &str,
    expires_at: Option<Time>,
    now: Time,
) -> Result<uuid::Uuid, StoreError> {
    const SQL: &str = "INSERT INTO personal_access_token (id, user_id, name, token_hash, token_prefix, expires_at, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let id = uuid::Uuid::now_v7();
    on_conn!(conn, |c| sqlx::query(SQL)
        .bind(id)
        .bind(user)
        .bind(name)
        .bind(hash)
        .bind(prefix)
        .bind(expires_at)
        .bind(now)
        .execute(c)
        .await
        .map(drop))?;
    Ok(id)
}

/// A personal token as its owner sees it in a list.
#[derive(Clone, Debug)]
pub struct ListedToken {
    pub id: uuid::Uuid,
    pub name: String,
    pub token_prefix: String,
    pub expires_at: Option<Time>,
    pub last_used_at: Option<Time>,
    pub created_at: Time,
}

from_row!(ListedToken { id, name, token_prefix, expires_at, last_used_at, created_at });

/// A user's tokens that are not revoked, expired ones among them, newest first.
pub async fn list_personal(conn: &mut Conn, user: UserId) -> Result<Vec<ListedToken>, StoreError> {
    const SQL: &str =
        "SELECT id, name, token_prefix, expires_at, last_used_at, created_at FROM personal_access_token
        WHERE user_id = $1 AND NOT revoked ORDER BY created_at DESC, id DESC";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(user).fetch_all(c).await)?)
}

/// Gives a token a longer life, unless it is over or has more left than `within`. Says
/// whether it happened.
pub async fn renew_personal(
    conn: &mut Conn,
    hash: &str,
    now: Time,
    within: Time,
    until: Time,
) -> Result<bool, StoreError> {
    const SQL: &str = "UPDATE personal_access_token SET expires_at = $4
        WHERE token_hash = $1 AND NOT revoked AND expires_at > $2 AND expires_at <= $3 RETURNING id";
    let row: Option<uuid::Uuid> = on_conn!(conn, |c| sqlx::query_scalar(SQL)
        .bind(hash)
        .bind(now)
        .bind(within)
        .bind(until)
        .fetch_optional(c)
        .await)?;
    Ok(row.is_some())
}

/// Revokes a token of the user's and gives its hash; `None` when they have none of that id.
pub async fn revoke_personal(
    conn: &mut Conn,
    user: UserId,
    id: uuid::Uuid,
) -> Result<Option<String>, StoreError> {
    const SQL: &str = "UPDATE personal_access_token SET revoked = TRUE
        WHERE id = $1 AND user_id = $2 RETURNING token_hash";
    Ok(on_conn!(conn, |c| sqlx::query_scalar(SQL).bind(id).bind(user).fetch_optional(c).await)?)
}

pub async fn find_daemon(conn: &mut Conn, hash: &str, now: Time) -> Result<Option<DaemonToken>, StoreError> {
    const SQL: &str = "SELECT workspace_id, daemon_id, expires_at FROM daemon_token WHERE token_hash = $1 AND expires_at > $2";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(hash).bind(now).fetch_optional(c).await)?)
}

pub async fn insert_daemon(
    conn: &mut Conn,
    workspace: WorkspaceId,
    daemon_id: &str,
    hash: &str,
    expires_at: Time,
    now: Time,
) -> Result<(), StoreError> {
    const SQL: &str =
        "INSERT INTO daemon_token (id, token_hash, workspace_id, daemon_id, expires_at, created_at)
        VALUES ($1, $2, $3, $4, $5, $6)";
    let id = uuid::Uuid::now_v7();
    on_conn!(conn, |c| sqlx::query(SQL)
        .bind(id)
        .bind(hash)
        .bind(workspace)
        .bind(daemon_id)
        .bind(expires_at)
        .bind(now)
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

pub async fn find_task(conn: &mut Conn, hash: &str, now: Time) -> Result<Option<TaskToken>, StoreError> {
    const SQL: &str = "SELECT task_id, agent_id, workspace_id, user_id FROM task_token WHERE token_hash = $1 AND expires_at > $2";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(hash).bind(now).fetch_optional(c).await)?)
}

pub async fn insert_task(
    conn: &mut Conn,
    token: TaskToken,
    hash: &str,
    expires_at: Time,
    now: Time,
) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO task_token (id, token_hash, task_id, agent_id, workspace_id, user_id, expires_at, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let id = uuid::Uuid::now_v7();
    on_conn!(conn, |c| sqlx::query(SQL)
        .bind(id)
        .bind(hash)
        .bind(token.task_id)
        .bind(token.agent_id)
        .bind(token.workspace_id)
        .bind(token.user_id)
        .bind(expires_at)
        .bind(now)
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// Revokes every token of a task; the agent's calls fail from now on.
pub async fn delete_of_task(conn: &mut Conn, task: TaskId) -> Result<(), StoreError> {
    const SQL: &str = "DELETE FROM task_token WHERE task_id = $1";
    on_conn!(conn, |c| sqlx::query(SQL).bind(task).execute(c).await.map(drop))?;
    Ok(())
}

pub async fn insert_admin(conn: &mut Conn, hash: &str, now: Time) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO admin_token (id, token_hash, created_at) VALUES ($1, $2, $3)";
    let id = uuid::Uuid::now_v7();
    on_conn!(conn, |c| sqlx::query(SQL).bind(id).bind(hash).bind(now).execute(c).await.map(drop))?;
    Ok(())
}

pub async fn is_admin(conn: &mut Conn, hash: &str) -> Result<bool, StoreError> {
    const SQL: &str = "SELECT 1 FROM admin_token WHERE token_hash = $1";
    let row: Option<i32> = on_conn!(conn, |c| sqlx::query_scalar(SQL).bind(hash).fetch_optional(c).await)?;
    Ok(row.is_some())
}
