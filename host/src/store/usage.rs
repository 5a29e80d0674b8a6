//! Tokens used.

use std::collections::HashSet;

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Conn, StoreError};
use crate::model::ids::TaskId;
use crate::model::message::Usage;
use crate::model::time::Time;

/// Sets the counters of a task for each provider and model, as one statement; what was reported
/// before is replaced. Of two entries for one model the later counts.
pub async fn upsert(conn: &mut Conn, task: TaskId, entries: &[Usage], now: Time) -> Result<(), StoreError> {
    const SQLITE: &str = concat!(
        "INSERT INTO task_usage (id, task_id, provider, model, input_tokens, output_tokens, cache_read_tokens,
            cache_write_tokens, created_at, updated_at)
        SELECT unhex(value ->> 0), $2, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
            $3, $3
        FROM json_each($1) WHERE true ",
        replacing!()
    );
    const POSTGRES: &str = concat!(
        "INSERT INTO task_usage (id, task_id, provider, model, input_tokens, output_tokens, cache_read_tokens,
            cache_write_tokens, created_at, updated_at)
        SELECT (value ->> 0)::uuid, $2, value ->> 1, value ->> 2, (value ->> 3)::bigint, (value ->> 4)::bigint,
            (value ->> 5)::bigint, (value ->> 6)::bigint, $3, $3
        FROM jsonb_array_elements($1) ",
        replacing!()
    );
    let sql = by_engine!(conn, sqlite: SQLITE, postgres: POSTGRES);
    let mut seen = HashSet::new();
    let last = entries.iter().rev().filter(|entry| seen.insert((&entry.provider, &entry.model)));
    let rows = last.map(|entry| {
        json!([
            Uuid::now_v7().simple().to_string(),
            entry.provider,
            entry.model,
            entry.input_tokens,
            entry.output_tokens,
            entry.cache_read_tokens,
            entry.cache_write_tokens,
        ])
    });
    let rows = Value::Array(rows.collect());
    on_conn!(conn, |c| sqlx::query(sql).bind(rows).bind(task).bind(now).execute(c).await.map(drop))?;
    Ok(())
}

macro_rules! replacing {
    () => {
        "ON CONFLICT (task_id, provider, model) DO UPDATE SET input_tokens = excluded.input_tokens,
            output_tokens = excluded.output_tokens, cache_read_tokens = excluded.cache_read_tokens,
            cache_write_tokens = excluded.cache_write_tokens, updated_at = excluded.updated_at"
    };
}
use replacing;
