//! Sampled calls of plugins.

use uuid::Uuid;

use super::{Conn, StoreError};
use crate::model::time::Time;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordingRow {
    pub id: Uuid,
    pub at: Time,
    pub plugin: String,
    pub stage: String,
    pub task_id: String,
    pub generation: i64,
    /// `ok`, or the code of a failure.
    pub outcome: String,
    pub bytes: i64,
    /// All of it, as JSON; empty in a list.
    pub recording: String,
}

from_row!(RecordingRow { id, at, plugin, stage, task_id, generation, outcome, bytes, recording });

pub async fn insert(conn: &mut Conn, row: &RecordingRow) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO plugin_recording
        (id, at, plugin, stage, task_id, generation, outcome, bytes, recording)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    on_conn!(conn, |c| sqlx::query(SQL)
        .bind(row.id)
        .bind(row.at)
        .bind(&row.plugin)
        .bind(&row.stage)
        .bind(&row.task_id)
        .bind(row.generation)
        .bind(&row.outcome)
        .bind(row.bytes)
        .bind(&row.recording)
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// Forgets the oldest, until no more than so many are left and so many bytes. Ids are made in
/// order of time.
pub async fn delete_over(conn: &mut Conn, keep: i64, bytes: i64) -> Result<(), StoreError> {
    const SQL: &str = "DELETE FROM plugin_recording WHERE id IN (
        SELECT id FROM (SELECT id, row_number() OVER (ORDER BY id DESC) AS place,
            sum(bytes) OVER (ORDER BY id DESC) AS total FROM plugin_recording) AS ranked
        WHERE place > $1 OR total > $2)";
    on_conn!(conn, |c| sqlx::query(SQL).bind(keep).bind(bytes).execute(c).await.map(drop))?;
    Ok(())
}

/// Newest first, without what they hold.
pub async fn list(
    conn: &mut Conn,
    plugin: Option<&str>,
    stage: Option<&str>,
    limit: i64,
) -> Result<Vec<RecordingRow>, StoreError> {
    const SQL: &str = "SELECT id, at, plugin, stage, task_id, generation, outcome, bytes, '' AS recording
        FROM plugin_recording WHERE ($1 IS NULL OR plugin = $1) AND ($2 IS NULL OR stage = $2)
        ORDER BY id DESC LIMIT $3";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(plugin).bind(stage).bind(limit).fetch_all(c).await)?)
}

/// The JSON text of one.
pub async fn find(conn: &mut Conn, id: Uuid) -> Result<Option<String>, StoreError> {
    const SQL: &str = "SELECT recording FROM plugin_recording WHERE id = $1";
    Ok(on_conn!(conn, |c| sqlx::query_scalar(SQL).bind(id).fetch_optional(c).await)?)
}
