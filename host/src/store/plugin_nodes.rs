//! What each node runs, as it said last.

use uuid::Uuid;

use super::{Conn, StoreError};
use crate::model::time::Time;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeRow {
    pub id: Uuid,
    pub name: String,
    pub generation: i64,
    pub digest: String,
    pub since: Time,
    pub last_seen_at: Time,
    /// A newer set that does not run there, with its faults as JSON.
    pub stuck_at: Option<i64>,
    pub faults: Option<String>,
}

from_row!(NodeRow { id, name, generation, digest, since, last_seen_at, stuck_at, faults });

/// Those that were seen since.
pub async fn list(conn: &mut Conn, since: Time) -> Result<Vec<NodeRow>, StoreError> {
    const SQL: &str = "SELECT id, name, generation, digest, since, last_seen_at, stuck_at, faults
        FROM plugin_node WHERE last_seen_at >= $1";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(since).fetch_all(c).await)?)
}

/// How many were seen since.
pub async fn count(conn: &mut Conn, since: Time) -> Result<usize, StoreError> {
    const SQL: &str = "SELECT count(*) FROM plugin_node WHERE last_seen_at >= $1";
    let count: i64 = on_conn!(conn, |c| sqlx::query_scalar(SQL).bind(since).fetch_one(c).await)?;
    Ok(usize::try_from(count).unwrap_or_default())
}

pub async fn upsert(conn: &mut Conn, row: &NodeRow) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO plugin_node
        (id, name, generation, digest, since, last_seen_at, stuck_at, faults)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO UPDATE SET
        name = excluded.name, generation = excluded.generation, digest = excluded.digest,
        since = excluded.since, last_seen_at = excluded.last_seen_at, stuck_at = excluded.stuck_at,
        faults = excluded.faults";
    on_conn!(conn, |c| sqlx::query(SQL)
        .bind(row.id)
        .bind(&row.name)
        .bind(row.generation)
        .bind(&row.digest)
        .bind(row.since)
        .bind(row.last_seen_at)
        .bind(row.stuck_at)
        .bind(&row.faults)
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

pub async fn delete(conn: &mut Conn, id: Uuid) -> Result<(), StoreError> {
    const SQL: &str = "DELETE FROM plugin_node WHERE id = $1";
    on_conn!(conn, |c| sqlx::query(SQL).bind(id).execute(c).await.map(drop))?;
    Ok(())
}

/// Forgets those that were not seen since.
pub async fn delete_unseen(conn: &mut Conn, since: Time) -> Result<(), StoreError> {
    const SQL: &str = "DELETE FROM plugin_node WHERE last_seen_at < $1";
    on_conn!(conn, |c| sqlx::query(SQL).bind(since).execute(c).await.map(drop))?;
    Ok(())
}
