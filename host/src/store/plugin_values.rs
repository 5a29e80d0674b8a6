//! Values that plugins keep between their calls.

use super::{Conn, StoreError};
use crate::model::time::Time;

/// A value with its end, as it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ValueRow {
    pub value: Vec<u8>,
    pub expires_at: Option<Time>,
}

from_row!(ValueRow { value, expires_at });

pub async fn find(
    conn: &mut Conn,
    plugin: &str,
    key: &str,
    now: Time,
) -> Result<Option<Vec<u8>>, StoreError> {
    const SQL: &str = "SELECT value FROM plugin_value
        WHERE plugin = $1 AND key = $2 AND (expires_at IS NULL OR expires_at > $3)";
    Ok(on_conn!(conn, |c| sqlx::query_scalar(SQL).bind(plugin).bind(key).bind(now).fetch_optional(c).await)?)
}

/// The value under a key, which is made with this one when there is none. Nobody else changes
/// it before the transaction ends.
pub async fn find_or_insert_locked(
    conn: &mut Conn,
    plugin: &str,
    key: &str,
    row: &ValueRow,
) -> Result<ValueRow, StoreError> {
    const SQL: &str = "INSERT INTO plugin_value (plugin, key, value, size, expires_at)
        VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (plugin, key) DO UPDATE SET size = plugin_value.size
        RETURNING value, expires_at";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL)
        .bind(plugin)
        .bind(key)
        .bind(&row.value)
        .bind(size(key, &row.value))
        .bind(row.expires_at)
        .fetch_one(c)
        .await)?)
}

pub async fn upsert(conn: &mut Conn, plugin: &str, key: &str, row: &ValueRow) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO plugin_value (plugin, key, value, size, expires_at)
        VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (plugin, key) DO UPDATE
        SET value = excluded.value, size = excluded.size, expires_at = excluded.expires_at";
    on_conn!(conn, |c| sqlx::query(SQL)
        .bind(plugin)
        .bind(key)
        .bind(&row.value)
        .bind(size(key, &row.value))
        .bind(row.expires_at)
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// Whether there was one.
pub async fn delete(conn: &mut Conn, plugin: &str, key: &str, now: Time) -> Result<bool, StoreError> {
    const SQL: &str = "DELETE FROM plugin_value WHERE plugin = $1 AND key = $2
        AND (expires_at IS NULL OR expires_at > $3)";
    let deleted = on_conn!(conn, |c| sqlx::query(SQL)
        .bind(plugin)
        .bind(key)
        .bind(now)
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?;
    Ok(deleted > 0)
}

/// Forgets what has come to its end.
pub async fn delete_expired(conn: &mut Conn, plugin: &str, now: Time) -> Result<(), StoreError> {
    const SQL: &str = "DELETE FROM plugin_value WHERE plugin = $1 AND expires_at <= $2";
    on_conn!(conn, |c| sqlx::query(SQL).bind(plugin).bind(now).execute(c).await.map(drop))?;
    Ok(())
}

/// How many values a plugin keeps beside this one, and their bytes.
pub async fn measure(conn: &mut Conn, plugin: &str, beside: &str) -> Result<(i64, i64), StoreError> {
    const SQL: &str =
        "SELECT count(*), coalesce(sum(size), 0) FROM plugin_value WHERE plugin = $1 AND key <> $2";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(plugin).bind(beside).fetch_one(c).await)?)
}

/// Keys that begin so, in the order of their bytes, after the one given.
pub async fn list_keys(
    conn: &mut Conn,
    plugin: &str,
    (prefix, after): (&str, &str),
    now: Time,
    limit: i64,
) -> Result<Vec<String>, StoreError> {
    const SQL: &str = "SELECT key FROM plugin_value
        WHERE plugin = $1 AND key >= $2 AND substr(key, 1, $3) = $2 AND key > $4
        AND (expires_at IS NULL OR expires_at > $5)
        ORDER BY key LIMIT $6";
    let length = i32::try_from(prefix.chars().count()).unwrap_or(i32::MAX);
    Ok(on_conn!(conn, |c| sqlx::query_scalar(SQL)
        .bind(plugin)
        .bind(prefix)
        .bind(length)
        .bind(after)
        .bind(now)
        .bind(limit)
        .fetch_all(c)
        .await)?)
}

fn size(key: &str, value: &[u8]) -> i32 {
    i32::try_from(key.len() + value.len()).unwrap_or(i32::MAX)
}
