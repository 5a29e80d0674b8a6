//! Short commands to daemons, and what came of them.

use serde_json::Value;

use super::{Conn, StoreError};
use crate::model::ids::{RuntimeId, UserId};
use crate::model::pending_request::{KINDS, Kind, PendingRequest, RequestStatus};
use crate::model::time::Time;

/// The columns of `pending_request`.
struct Row {
    seq: i64,
    id: String,
    runtime_id: RuntimeId,
    kind: String,
    status: String,
    requested_by: Option<UserId>,
    input: Value,
    output: Value,
    error: Option<String>,
    run_started_at: Option<Time>,
    created_at: Time,
    updated_at: Time,
}

from_row!(Row {
    seq,
    id,
    runtime_id,
    kind,
    status,
    requested_by,
    input,
    output,
    error,
    run_started_at,
    created_at,
    updated_at,
});

macro_rules! request_columns {
    () => {
        "seq, id, runtime_id, kind, status, requested_by, input, output, error, run_started_at, created_at, updated_at"
    };
}

impl TryFrom<Row> for PendingRequest {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let unknown = |column: &str, text: &str| {
            let id = &row.id;
            sqlx::Error::Decode(format!("pending_request {id} has the unknown {column} `{text}`").into())
        };
        Ok(Self {
            kind: Kind::parse(&row.kind).ok_or_else(|| unknown("kind", &row.kind))?,
            status: RequestStatus::parse(&row.status).ok_or_else(|| unknown("status", &row.status))?,
            id: row.id,
            runtime_id: row.runtime_id,
            requested_by: row.requested_by,
            input: row.input,
            output: row.output,
            error: row.error,
            run_started_at: row.run_started_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

pub async fn find(conn: &mut Conn, id: &str) -> Result<Option<PendingRequest>, StoreError> {
    const SQL: &str = concat!("SELECT ", request_columns!(), " FROM pending_request WHERE id = $1");
    let row: Option<Row> = on_conn!(conn, |c| sqlx::query_as(SQL).bind(id).fetch_optional(c).await)?;
    row.map(PendingRequest::try_from).transpose()
}

/// Adds a request. `false` when it is an update and the runtime has one under way.
pub async fn insert(conn: &mut Conn, new: &PendingRequest) -> Result<bool, StoreError> {
    const SQL: &str = "INSERT INTO pending_request (id, runtime_id, kind, status, requested_by, input, created_at, updated_at)
        VALUES ($1, $2, $3, 'pending', $4, $5, $6, $6)
        ON CONFLICT (runtime_id) WHERE kind = 'update' AND status IN ('pending', 'running') DO NOTHING
        RETURNING id";
    let row: Option<String> = on_conn!(conn, |c| sqlx::query_scalar(SQL)
        .bind(&new.id)
        .bind(new.runtime_id)
        .bind(new.kind.as_str())
        .bind(new.requested_by)
        .bind(&new.input)
        .bind(new.created_at)
        .fetch_optional(c)
        .await)?;
    Ok(row.is_some())
}

/// How many requests of the kind wait for the runtime.
pub async fn count_pending(
    conn: &mut Conn,
    runtime: RuntimeId,
    kind: Kind,
    now: Time,
) -> Result<i64, StoreError> {
    const SQL: &str = "SELECT count(*) FROM pending_request
        WHERE runtime_id = $1 AND kind = $2 AND status = 'pending' AND created_at >= $3";
    Ok(on_conn!(conn, |c| sqlx::query_scalar(SQL)
        .bind(runtime)
        .bind(kind.as_str())
        .bind(kind.oldest_pending(now))
        .fetch_one(c)
        .await)?)
}

/// Writes down that the runtime's update took too long, if it did, so that another may be
/// asked for.
pub async fn expire_update(conn: &mut Conn, runtime: RuntimeId, now: Time) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE pending_request SET status = 'timeout', updated_at = $2,
            error = CASE status WHEN 'pending' THEN $5 ELSE $6 END
        WHERE runtime_id = $1 AND kind = 'update'
            AND ((status = 'pending' AND created_at < $3) OR (status = 'running' AND run_started_at < $4))";
    let patience = Kind::Update.patience();
    let (pending_text, running_text) = patience.texts();
    on_conn!(conn, |c| sqlx::query(SQL)
        .bind(runtime)
        .bind(now)
        .bind(now - patience.pending)
        .bind(now - patience.running)
        .bind(pending_text)
        .bind(running_text)
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// Whether a request of the kind waits for the runtime.
pub async fn is_pending(
    conn: &mut Conn,
    runtime: RuntimeId,
    kind: Kind,
    now: Time,
) -> Result<bool, StoreError> {
    // Counts on `pending_request_next`.
    const SQL: &str = "SELECT EXISTS (SELECT 1 FROM pending_request
        WHERE runtime_id = $1 AND kind = $2 AND status = 'pending' AND created_at >= $3)";
    Ok(on_conn!(conn, |c| sqlx::query_scalar(SQL)
        .bind(runtime)
        .bind(kind.as_str())
        .bind(kind.oldest_pending(now))
        .fetch_one(c)
        .await)?)
}

/// Which runtimes have requests of which kind waiting.
pub async fn list_pending(conn: &mut Conn, now: Time) -> Result<Vec<(RuntimeId, Kind)>, StoreError> {
    const SQL: &str = "SELECT DISTINCT runtime_id, kind FROM pending_request
        WHERE status = 'pending' AND created_at >= $1";
    let oldest = KINDS.into_iter().map(|kind| kind.oldest_pending(now)).min().unwrap_or(now);
    let rows: Vec<(RuntimeId, String)> =
        on_conn!(conn, |c| sqlx::query_as(SQL).bind(oldest).fetch_all(c).await)?;
    Ok(rows.into_iter().filter_map(|(runtime, kind)| Some((runtime, Kind::parse(&kind)?))).collect())
}

/// Hands over the oldest requests of the kind, at most `limit`, oldest first. Each is
/// handed over once, whoever asks at the same time.
pub async fn take(
    conn: &mut Conn,
    runtime: RuntimeId,
    kind: Kind,
    limit: i32,
    now: Time,
) -> Result<Vec<PendingRequest>, StoreError> {
    const SQLITE: &str = concat!(
        "UPDATE pending_request SET status = 'running', run_started_at = $4, updated_at = $4
        WHERE seq IN (SELECT seq FROM pending_request
            WHERE runtime_id = $1 AND kind = $2 AND status = 'pending' AND created_at >= $3 ORDER BY seq LIMIT $5)
        RETURNING ",
        request_columns!()
    );
    const POSTGRES: &str = concat!(
        "UPDATE pending_request SET status = 'running', run_started_at = $4, updated_at = $4
        WHERE seq = ANY(ARRAY(SELECT seq FROM pending_request
            WHERE runtime_id = $1 AND kind = $2 AND status = 'pending' AND created_at >= $3 ORDER BY seq LIMIT $5
            FOR UPDATE SKIP LOCKED))
        RETURNING ",
        request_columns!()
    );
    let sql = by_engine!(conn, sqlite: SQLITE, postgres: POSTGRES);
    let mut rows: Vec<Row> = on_conn!(conn, |c| sqlx::query_as(sql)
        .bind(runtime)
        .bind(kind.as_str())
        .bind(kind.oldest_pending(now))
        .bind(now)
        .bind(limit)
        .fetch_all(c)
        .await)?;
    // The rows of an update come back in no order.
    rows.sort_by_key(|row| row.seq);
    rows.into_iter().map(PendingRequest::try_from).collect()
}

/// What a daemon reports. `false` when the request was over already.
pub async fn finish(
    conn: &mut Conn,
    id: &str,
    status: RequestStatus,
    output: &Value,
    error: Option<&str>,
    now: Time,
) -> Result<bool, StoreError> {
    const SQL: &str = "UPDATE pending_request SET status = $2, output = $3, error = $4, updated_at = $5
        WHERE id = $1 AND status IN ('pending', 'running') RETURNING id";
    let row: Option<String> = on_conn!(conn, |c| sqlx::query_scalar(SQL)
        .bind(id)
        .bind(status.as_str())
        .bind(output)
        .bind(error)
        .bind(now)
        .fetch_optional(c)
        .await)?;
    Ok(row.is_some())
}

/// Removes what nobody can be waiting for any more.
pub async fn purge(conn: &mut Conn, now: Time) -> Result<(), StoreError> {
    const SQL: &str = "DELETE FROM pending_request WHERE updated_at < $1";
    let lives = KINDS.into_iter().map(|kind| {
        let patience = kind.patience();
        patience.pending + patience.running + patience.retention
    });
    let oldest = now - lives.max().unwrap_or_default();
    on_conn!(conn, |c| sqlx::query(SQL).bind(oldest).execute(c).await.map(drop))?;
    Ok(())
}
