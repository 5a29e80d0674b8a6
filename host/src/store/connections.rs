//! Apps that people connected.

use super::{Conn, StoreError};
use crate::model::connection::Connection;
use crate::model::ids::{ConnectionId, UserId};
use crate::model::time::Time;

from_row!(Connection {
    id,
    user_id,
    toolkit_slug,
    auth_config_id,
    connected_account_id,
    status,
    connected_at,
    last_used_at,
});

macro_rules! connection_columns {
    () => {
        "id, user_id, toolkit_slug, auth_config_id, connected_account_id, status, connected_at, last_used_at"
    };
}

/// Adds an account, or makes one that is known active again; it stays connected since when it
/// first was.
pub async fn upsert(conn: &mut Conn, connection: &Connection, now: Time) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO user_composio_connection (id, user_id, toolkit_slug, auth_config_id,
            connected_account_id, composio_user_id, status, connected_at, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, 'active', $7, $7, $7)
        ON CONFLICT (user_id, connected_account_id) DO UPDATE SET status = 'active',
            toolkit_slug = excluded.toolkit_slug, auth_config_id = excluded.auth_config_id,
            updated_at = excluded.updated_at";
    on_conn!(conn, |c| sqlx::query(SQL)
        .bind(connection.id)
        .bind(connection.user_id)
        .bind(&connection.toolkit_slug)
        .bind(&connection.auth_config_id)
        .bind(&connection.connected_account_id)
        .bind(connection.user_id.to_string())
        .bind(now)
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// Newest first.
pub async fn list_active(conn: &mut Conn, user: UserId) -> Result<Vec<Connection>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        connection_columns!(),
        " FROM user_composio_connection WHERE user_id = $1 AND status = 'active'
        ORDER BY connected_at DESC, id DESC"
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(user).fetch_all(c).await)?)
}

pub async fn find(conn: &mut Conn, id: ConnectionId, user: UserId) -> Result<Option<Connection>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        connection_columns!(),
        " FROM user_composio_connection WHERE id = $1 AND user_id = $2"
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(id).bind(user).fetch_optional(c).await)?)
}

pub async fn set_revoked(conn: &mut Conn, id: ConnectionId, now: Time) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE user_composio_connection SET status = 'revoked', updated_at = $2 WHERE id = $1";
    on_conn!(conn, |c| sqlx::query(SQL).bind(id).bind(now).execute(c).await.map(drop))?;
    Ok(())
}
