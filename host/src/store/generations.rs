//! Sets of plugins that were applied, and the components they are made of.

use super::{Conn, StoreError};
use crate::model::time::Time;

/// A set as it was applied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GenerationRow {
    pub number: i64,
    pub digest: String,
    /// JSON text.
    pub document: String,
    /// `built_in`, `file`, `api` or `rollback`.
    pub origin: String,
    pub applied_at: Time,
    pub reason: Option<String>,
    pub gave_up: Option<String>,
}

from_row!(GenerationRow { number, digest, document, origin, applied_at, reason, gave_up });

/// A plugin of a set, in the set's order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemberRow {
    pub generation: i64,
    pub position: i32,
    pub name: String,
    pub version: String,
    pub sha256: String,
}

from_row!(MemberRow { generation, position, name, version, sha256 });

pub async fn find_latest(conn: &mut Conn) -> Result<Option<GenerationRow>, StoreError> {
    const SQL: &str = "SELECT number, digest, document, origin, applied_at, reason, gave_up
        FROM plugin_generation
        ORDER BY number DESC LIMIT 1";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).fetch_optional(c).await)?)
}

/// The digest of the last document that came from a file.
pub async fn find_file_digest(conn: &mut Conn) -> Result<Option<String>, StoreError> {
    const SQL: &str =
        "SELECT digest FROM plugin_generation WHERE origin = 'file' ORDER BY number DESC LIMIT 1";
    Ok(on_conn!(conn, |c| sqlx::query_scalar(SQL).fetch_optional(c).await)?)
}

pub async fn find_latest_number(conn: &mut Conn) -> Result<Option<i64>, StoreError> {
    const SQL: &str = "SELECT max(number) FROM plugin_generation";
    Ok(on_conn!(conn, |c| sqlx::query_scalar(SQL).fetch_one(c).await)?)
}

pub async fn find(conn: &mut Conn, number: i64) -> Result<Option<GenerationRow>, StoreError> {
    const SQL: &str = "SELECT number, digest, document, origin, applied_at, reason, gave_up
        FROM plugin_generation WHERE number = $1";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(number).fetch_optional(c).await)?)
}

/// Newest first.
pub async fn list(conn: &mut Conn) -> Result<Vec<GenerationRow>, StoreError> {
    const SQL: &str = "SELECT number, digest, document, origin, applied_at, reason, gave_up
        FROM plugin_generation
        ORDER BY number DESC";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).fetch_all(c).await)?)
}

/// Of one set, or of all.
pub async fn list_members(conn: &mut Conn, number: Option<i64>) -> Result<Vec<MemberRow>, StoreError> {
    const SQL: &str = "SELECT generation, position, name, version, sha256 FROM plugin_generation_member
        WHERE $1 IS NULL OR generation = $1 ORDER BY generation, position";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(number).fetch_all(c).await)?)
}

/// Whether the number was free.
pub async fn insert(conn: &mut Conn, row: &GenerationRow) -> Result<bool, StoreError> {
    const SQL: &str =
        "INSERT INTO plugin_generation (number, digest, document, origin, applied_at, reason, gave_up)
        VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (number) DO NOTHING";
    let inserted = on_conn!(conn, |c| sqlx::query(SQL)
        .bind(row.number)
        .bind(&row.digest)
        .bind(&row.document)
        .bind(&row.origin)
        .bind(row.applied_at)
        .bind(&row.reason)
        .bind(&row.gave_up)
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?;
    Ok(inserted > 0)
}

pub async fn insert_member(conn: &mut Conn, row: &MemberRow) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO plugin_generation_member (generation, position, name, version, sha256)
        VALUES ($1, $2, $3, $4, $5)";
    on_conn!(conn, |c| sqlx::query(SQL)
        .bind(row.generation)
        .bind(row.position)
        .bind(&row.name)
        .bind(&row.version)
        .bind(&row.sha256)
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

pub async fn find_component(conn: &mut Conn, sha256: &str) -> Result<Option<Vec<u8>>, StoreError> {
    const SQL: &str = "SELECT bytes FROM plugin_component WHERE sha256 = $1";
    Ok(on_conn!(conn, |c| sqlx::query_scalar(SQL).bind(sha256).fetch_optional(c).await)?)
}

/// One that is there already is the same.
pub async fn insert_component(conn: &mut Conn, sha256: &str, bytes: &[u8]) -> Result<(), StoreError> {
    const SQL: &str =
        "INSERT INTO plugin_component (sha256, bytes) VALUES ($1, $2) ON CONFLICT (sha256) DO NOTHING";
    on_conn!(conn, |c| sqlx::query(SQL).bind(sha256).bind(bytes).execute(c).await.map(drop))?;
    Ok(())
}

/// Forgets sets up to this one, but for the last that came from a file: a restart compares
/// the file with it.
pub async fn delete_up_to(conn: &mut Conn, number: i64) -> Result<(), StoreError> {
    const SQL: &str = "DELETE FROM plugin_generation WHERE number <= $1
        AND number <> COALESCE((SELECT max(number) FROM plugin_generation WHERE origin = 'file'), 0)";
    on_conn!(conn, |c| sqlx::query(SQL).bind(number).execute(c).await.map(drop))?;
    Ok(())
}

/// Forgets components that no set is made of any more.
pub async fn delete_unused_components(conn: &mut Conn) -> Result<(), StoreError> {
    const SQL: &str = "DELETE FROM plugin_component
        WHERE NOT EXISTS (SELECT 1 FROM plugin_generation_member m WHERE m.sha256 = plugin_component.sha256)";
    on_conn!(conn, |c| sqlx::query(SQL).execute(c).await.map(drop))?;
    Ok(())
}
