//! What a runtime's tasks used, and when it was busy. Sums are per quarter of an hour of
//! UTC, from which a reader makes the days and hours of any time zone.

use super::{Conn, StoreError};
use crate::model::ids::RuntimeId;
use crate::model::time::Time;

/// The length of what is summed up.
pub const QUARTER_SECONDS: i64 = 900;

/// Tokens of one provider's model in one quarter of an hour.
#[derive(Clone, Debug)]
pub struct UsageRow {
    /// Quarters since 1970.
    pub quarter: i64,
    pub provider: String,
    pub model: String,
    pub input_tokens: i64,
    pub output_tokens: i64,
    pub cache_read_tokens: i64,
    pub cache_write_tokens: i64,
}

from_row!(UsageRow {
    quarter,
    provider,
    model,
    input_tokens,
    output_tokens,
    cache_read_tokens,
    cache_write_tokens,
});

macro_rules! usage {
    ($quarter:literal) => {
        concat!(
            "SELECT ",
            $quarter,
            " AS quarter, u.provider, u.model,
                CAST(sum(u.input_tokens) AS BIGINT) AS input_tokens,
                CAST(sum(u.output_tokens) AS BIGINT) AS output_tokens,
                CAST(sum(u.cache_read_tokens) AS BIGINT) AS cache_read_tokens,
                CAST(sum(u.cache_write_tokens) AS BIGINT) AS cache_write_tokens
            FROM task_usage u JOIN agent_task_queue t ON t.id = u.task_id
            WHERE t.runtime_id = $1 AND u.created_at >= $2 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
        )
    };
}

/// Everything used since then.
pub async fn list(conn: &mut Conn, runtime: RuntimeId, since: Time) -> Result<Vec<UsageRow>, StoreError> {
    let sql = by_engine!(conn,
        sqlite: usage!("CAST(strftime('%s', u.created_at) AS INTEGER) / 900"),
        postgres: usage!("CAST(floor(extract(epoch FROM u.created_at) / 900) AS BIGINT)"),
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(sql).bind(runtime).bind(since).fetch_all(c).await)?)
}

/// How many tasks began in each quarter of the day, of which there are 96.
pub async fn count_starts(conn: &mut Conn, runtime: RuntimeId) -> Result<Vec<(i64, i64)>, StoreError> {
    let sql = by_engine!(conn,
        sqlite: "SELECT CAST(strftime('%s', started_at) AS INTEGER) % 86400 / 900 AS quarter, count(*)
            FROM agent_task_queue WHERE runtime_id = $1 AND started_at IS NOT NULL GROUP BY 1",
        postgres: "SELECT CAST(floor(extract(epoch FROM started_at) / 900) AS BIGINT) % 96 AS quarter, count(*)
            FROM agent_task_queue WHERE runtime_id = $1 AND started_at IS NOT NULL GROUP BY 1",
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(sql).bind(runtime).fetch_all(c).await)?)
}
