//! Tokens used.

use super::{Conn, StoreError};
use crate::model::ids::TaskId;
use crate::model::message::Usage;
use crate::model::time::Time;

/// Sets the counters of a task, provider and model; a second report replaces the first.
pub async fn upsert(conn: &mut Conn, task: TaskId, usage: &Usage, now: Time) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO task_usage (id, task_id, provider, model, input_tokens, output_tokens,
            cache_read_tokens, cache_write_tokens, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)
        ON CONFLICT (task_id, provider, model) DO UPDATE SET input_tokens = excluded.input_tokens,
            output_tokens = excluded.output_tokens, cache_read_tokens = excluded.cache_read_tokens,
            cache_write_tokens = excluded.cache_write_tokens, updated_at = excluded.updated_at";
    let id = uuid::Uuid::now_v7();
    on_conn!(conn, |c| sqlx::query(SQL)
        .bind(id)
        .bind(task)
        .bind(&usage.provider)
        .bind(&usage.model)
        .bind(usage.input_tokens)
        .bind(usage.output_tokens)
        .bind(usage.cache_read_tokens)
        .bind(usage.cache_write_tokens)
        .bind(now)
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}
