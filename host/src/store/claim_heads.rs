//! Claims that wait at the same time share statements: each of several runtimes is given the
//! head of its queue, and its token, as one.
//!
//! The head is the first of a runtime's queue that may leave. A runtime whose queue has no such
//! task is told so; one whose head needs a closer look is told nothing, and claims alone
//! ([`super::queue`]).

use serde_json::json;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row, ValueRef};
use uuid::Uuid;

use super::batch::Ids;
use super::queue::{first_by_agent, has_room, lane_is_free, may_leave, waiting_agents};
use super::tasks::task_columns;
use super::{Conn, StoreError};
use crate::model::ids::{RuntimeId, UserId, WorkspaceId};
use crate::model::task::Task;
use crate::model::time::Time;
use crate::telemetry::metrics;

/// How far into a queue a head is looked for. When all of these are blocked it is looked for agent
/// by agent, so that what waits behind a full one is not read. That is a part of the same statement
/// on SQLite, and several more within the function on PostgreSQL.
const DEPTH: i32 = 3;

/// A runtime that claims, and the hash of the token that its task would get.
#[derive(Clone, Debug)]
pub struct Ask {
    pub runtime: RuntimeId,
    pub token_hash: String,
}

/// The times that a claim writes and compares with.
#[derive(Clone, Copy, Debug)]
pub struct Moments {
    pub now: Time,
    /// What was dispatched before and never started was lost.
    pub lost_before: Time,
    /// Until when the daemon may prepare.
    pub lease: Time,
    /// When the token ends.
    pub expires: Time,
}

/// A task that left the queue with its token.
#[derive(Clone, Debug)]
pub struct Head {
    pub task: Task,
    pub workspace_id: WorkspaceId,
    /// The owner of the runtime.
    pub owner_id: UserId,
}

from_row!(Head { workspace_id, owner_id; task });

/// What a group of claims came to.
#[derive(Debug, Default)]
pub struct Shared {
    pub heads: Vec<Head>,
    /// Runtimes that have nothing which may leave now, however much is queued.
    pub idle: Vec<RuntimeId>,
}

/// A row of PostgreSQL's answer: a task that left, or a runtime without one.
enum Said {
    Head(Box<Head>),
    Idle(RuntimeId),
}

impl<'r> FromRow<'r, PgRow> for Said {
    fn from_row(row: &'r PgRow) -> Result<Self, sqlx::Error> {
        if row.try_get_raw("id")?.is_null() {
            return Ok(Self::Idle(row.try_get("runtime_id")?));
        }
        Ok(Self::Head(Box::new(Head::from_row(row)?)))
    }
}

/// Each runtime is asked for once, and each agent gives one task at the most. All or
/// nothing: an error takes back every claim of the group.
pub async fn claim(conn: &mut Conn, asks: &[Ask], at: Moments) -> Result<Shared, StoreError> {
    match conn {
        Conn::Sqlite(_) => claim_sqlite(conn, asks, at).await,
        Conn::Postgres(c) => {
            const SQL: &str = concat!(
                "SELECT ",
                task_columns!(),
                ", workspace_id, owner_id FROM claim_heads_or_nothing($1, $2, $3, $4, $5, $6, $7)"
            );
            let runtimes: Vec<RuntimeId> = asks.iter().map(|ask| ask.runtime).collect();
            let hashes: Vec<&str> = asks.iter().map(|ask| ask.token_hash.as_str()).collect();
            metrics::db_statement();
            let said: Vec<Said> = sqlx::query_as(SQL)
                .bind(runtimes)
                .bind(hashes)
                .bind(DEPTH)
                .bind(at.lost_before)
                .bind(at.now)
                .bind(at.lease)
                .bind(at.expires)
                .fetch_all(&mut **c)
                .await?;
            let mut shared = Shared::default();
            for said in said {
                match said {
                    Said::Head(head) => shared.heads.push(*head),
                    Said::Idle(runtime) => shared.idle.push(runtime),
                }
            }
            Ok(shared)
        }
    }
}

async fn claim_sqlite(conn: &mut Conn, asks: &[Ask], at: Moments) -> Result<Shared, StoreError> {
    let heads = take(conn, asks, at).await?;
    if !heads.is_empty() {
        mint(conn, asks, &heads, at).await?;
        set_working(conn, &heads, at.now).await?;
    }
    let others = asks.iter().map(|ask| ask.runtime);
    let others: Vec<RuntimeId> =
        others.filter(|id| heads.iter().all(|head| head.task.runtime_id != *id)).collect();
    let idle = if others.is_empty() { Vec::new() } else { list_idle(conn, &others, at).await? };
    Ok(Shared { heads, idle })
}

/// The claimants with the heads of their queues. Looks at one after another in a queue's order, and
/// no further than the first that may leave: SQLite gives a limited subquery row by row, as it is
/// ordered, and asks agent by agent only when that came to nothing.
macro_rules! heads_of {
    () => {
        concat!(
            "SELECT r.key AS place, r.id AS runtime_id, r.workspace_id, coalesce((SELECT t.id FROM (
                SELECT q.id, q.agent_id, q.issue_id, q.chat_session_id, q.autopilot_run_id, q.priority, q.created_at
                FROM agent_task_queue q WHERE q.runtime_id = r.id AND q.status = 'queued'
                ORDER BY q.priority DESC, q.created_at, q.id LIMIT $2) t
                WHERE ",
            may_leave!(sqlite),
            " LIMIT 1), (",
            first_by_agent!(sqlite, "r.id", ""),
            ")) AS id
            FROM (SELECT j.key, rt.id, rt.workspace_id FROM json_each($1) j
                JOIN agent_runtime rt ON rt.id = unhex(j.value) WHERE rt.owner_id IS NOT NULL) r
            WHERE NOT EXISTS (SELECT 1 FROM agent_task_queue d
                    WHERE d.runtime_id = r.id AND d.status = 'deferred' AND d.fire_at <= $4)
                AND NOT EXISTS (SELECT 1 FROM agent_task_queue l
                    WHERE l.runtime_id = r.id AND l.status = 'dispatched' AND l.started_at IS NULL
                        AND l.dispatched_at < $3
                        AND (l.prepare_lease_expires_at IS NULL OR l.prepare_lease_expires_at < $4))"
        )
    };
}

async fn take(conn: &mut Conn, asks: &[Ask], at: Moments) -> Result<Vec<Head>, StoreError> {
    const SQL: &str = concat!(
        "WITH heads AS MATERIALIZED (",
        heads_of!(),
        "),
        chosen AS (
            SELECT h.id, row_number() OVER (PARTITION BY t.agent_id ORDER BY h.place) AS nth
            FROM heads h JOIN agent_task_queue t ON t.id = h.id
            WHERE h.workspace_id = COALESCE(
                (SELECT i.workspace_id FROM issue i WHERE i.id = t.issue_id),
                (SELECT c.workspace_id FROM chat_session c WHERE c.id = t.chat_session_id),
                (SELECT p.workspace_id FROM autopilot_run x JOIN autopilot p ON p.id = x.autopilot_id
                    WHERE x.id = t.autopilot_run_id))
        )
        UPDATE agent_task_queue SET status = 'dispatched', dispatched_at = $4, prepare_lease_expires_at = $5,
            claim_epoch = claim_epoch + 1, error = NULL
        WHERE id IN (SELECT id FROM chosen WHERE nth = 1)
        RETURNING ",
        task_columns!(),
        ", (SELECT rt.workspace_id FROM agent_runtime rt WHERE rt.id = agent_task_queue.runtime_id) AS workspace_id,
            (SELECT rt.owner_id FROM agent_runtime rt WHERE rt.id = agent_task_queue.runtime_id) AS owner_id"
    );
    let Conn::Sqlite(c) = conn else { return Ok(Vec::new()) };
    metrics::db_statement();
    Ok(sqlx::query_as(SQL)
        .bind(Ids::of(asks.iter().map(|ask| ask.runtime.0)))
        .bind(DEPTH)
        .bind(at.lost_before)
        .bind(at.now)
        .bind(at.lease)
        .fetch_all(&mut **c)
        .await?)
}

/// Of those that got nothing, the ones for which nothing may leave. What others took a moment ago
/// counts, so this is asked after it.
async fn list_idle(
    conn: &mut Conn,
    runtimes: &[RuntimeId],
    at: Moments,
) -> Result<Vec<RuntimeId>, StoreError> {
    const SQL: &str = concat!("SELECT h.runtime_id FROM (", heads_of!(), ") h WHERE h.id IS NULL");
    let Conn::Sqlite(c) = conn else { return Ok(Vec::new()) };
    metrics::db_statement();
    Ok(sqlx::query_scalar(SQL)
        .bind(Ids::of(runtimes.iter().map(|runtime| runtime.0)))
        .bind(DEPTH)
        .bind(at.lost_before)
        .bind(at.now)
        .fetch_all(&mut **c)
        .await?)
}

async fn mint(conn: &mut Conn, asks: &[Ask], heads: &[Head], at: Moments) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO task_token
            (id, token_hash, task_id, agent_id, workspace_id, user_id, expires_at, created_at)
        SELECT unhex(value ->> 0), value ->> 1, unhex(value ->> 2), unhex(value ->> 3), unhex(value ->> 4),
            unhex(value ->> 5), $2, $3
        FROM json_each($1)";
    let hex = |id: Uuid| id.simple().to_string();
    let tokens = heads.iter().filter_map(|head| {
        let ask = asks.iter().find(|ask| ask.runtime == head.task.runtime_id)?;
        Some(json!([
            hex(Uuid::now_v7()),
            ask.token_hash,
            hex(head.task.id.0),
            hex(head.task.agent_id.0),
            hex(head.workspace_id.0),
            hex(head.owner_id.0),
        ]))
    });
    let tokens = serde_json::Value::Array(tokens.collect()).to_string();
    let Conn::Sqlite(c) = conn else { return Ok(()) };
    metrics::db_statement();
    sqlx::query(SQL).bind(tokens).bind(at.expires).bind(at.now).execute(&mut **c).await?;
    Ok(())
}

/// Something is in flight now, so there is nothing to count.
async fn set_working(conn: &mut Conn, heads: &[Head], now: Time) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE agent SET status = 'working', updated_at = $2
        WHERE id IN (SELECT unhex(value) FROM json_each($1))";
    let Conn::Sqlite(c) = conn else { return Ok(()) };
    metrics::db_statement();
    let agents = Ids::of(heads.iter().map(|head| head.task.agent_id.0));
    sqlx::query(SQL).bind(agents).bind(now).execute(&mut **c).await?;
    Ok(())
}
