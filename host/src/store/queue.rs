//! The claim: the next task of a runtime whose agent has room and whose lane is free.
//!
//! On SQLite every claim runs in the one writer, so what a statement counts cannot change
//! under it. On PostgreSQL the agents are locked first and counted in a second statement:
//! a single statement that locks and counts together counts on a snapshot from before it
//! got the lock, and breaks the cap.

use super::batch::Ids;
use super::queue_versions::Entered;
use super::tasks::task_columns;
use super::{Conn, StoreError};
use crate::model::ids::{AgentId, IssueId, RuntimeId, TaskId};
use crate::model::task::Task;
use crate::model::time::Time;
use crate::telemetry::metrics;

/// A deferred task whose time has come.
#[derive(Clone, Copy, Debug)]
pub struct Due {
    pub id: TaskId,
    pub agent_id: AgentId,
    pub issue_id: Option<IssueId>,
}

from_row!(Due { id, agent_id, issue_id });

/// Uses the index on a runtime's deferred tasks; nearly always empty.
pub async fn list_due(conn: &mut Conn, runtime: RuntimeId, now: Time) -> Result<Vec<Due>, StoreError> {
    const SQLITE: &str = "SELECT id, agent_id, issue_id FROM agent_task_queue
        WHERE runtime_id = $1 AND status = 'deferred' AND fire_at <= $2 ORDER BY fire_at, id LIMIT 100";
    const POSTGRES: &str = "SELECT id, agent_id, issue_id FROM agent_task_queue
        WHERE runtime_id = $1 AND status = 'deferred' AND fire_at <= $2 ORDER BY fire_at, id LIMIT 100
        FOR UPDATE SKIP LOCKED";
    let sql = by_engine!(conn, sqlite: SQLITE, postgres: POSTGRES);
    Ok(on_conn!(conn, |c| sqlx::query_as(sql).bind(runtime).bind(now).fetch_all(c).await)?)
}

/// Deferred becomes queued, unless the pending slot of its issue and agent is taken.
pub async fn promote(conn: &mut Conn, id: TaskId) -> Result<Option<Task>, StoreError> {
    const SQL: &str = concat!(
        "UPDATE agent_task_queue SET status = 'queued' WHERE id = $1 AND status || '' = 'deferred'
            AND NOT EXISTS (SELECT 1 FROM agent_task_queue p WHERE p.issue_id = agent_task_queue.issue_id
                AND p.agent_id = agent_task_queue.agent_id AND p.status IN ('queued', 'dispatched'))
        RETURNING ",
        task_columns!()
    );
    let task: Option<Task> = on_conn!(conn, |c| sqlx::query_as(SQL).bind(id).fetch_optional(c).await)?;
    if let Some(task) = &task {
        conn.note(Entered::runtime(task.runtime_id));
    }
    Ok(task)
}

/// Hands out again what was dispatched before `lost_before`, never started, and holds no
/// lease: the answer to its claim was lost.
pub async fn redeliver(
    conn: &mut Conn,
    runtime: RuntimeId,
    lost_before: Time,
    now: Time,
    lease: Time,
) -> Result<Option<Task>, StoreError> {
    const SQLITE: &str = concat!(
        "UPDATE agent_task_queue SET dispatched_at = $3, prepare_lease_expires_at = $4, claim_epoch = claim_epoch + 1
        WHERE id = (SELECT id FROM agent_task_queue
            WHERE runtime_id = $1 AND status = 'dispatched' AND started_at IS NULL AND dispatched_at < $2
                AND (prepare_lease_expires_at IS NULL OR prepare_lease_expires_at < $3)
            ORDER BY priority DESC, dispatched_at, id LIMIT 1)
        RETURNING ",
        task_columns!()
    );
    const POSTGRES: &str = concat!(
        "UPDATE agent_task_queue SET dispatched_at = $3, prepare_lease_expires_at = $4, claim_epoch = claim_epoch + 1
        WHERE id = (SELECT id FROM agent_task_queue
            WHERE runtime_id = $1 AND status = 'dispatched' AND started_at IS NULL AND dispatched_at < $2
                AND (prepare_lease_expires_at IS NULL OR prepare_lease_expires_at < $3)
            ORDER BY priority DESC, dispatched_at, id LIMIT 1 FOR UPDATE SKIP LOCKED)
        RETURNING ",
        task_columns!()
    );
    let sql = by_engine!(conn, sqlite: SQLITE, postgres: POSTGRES);
    Ok(on_conn!(conn, |c| sqlx::query_as(sql)
        .bind(runtime)
        .bind(lost_before)
        .bind(now)
        .bind(lease)
        .fetch_optional(c)
        .await)?)
}

/// What a queued task `t` needs before it may leave: room for its agent, and a free lane.
macro_rules! may_leave {
    ($engine:ident) => {
        concat!(has_room!($engine, "t.agent_id"), " AND ", lane_is_free!($engine))
    };
}
pub(super) use may_leave;

/// Counts what is in flight, never what was. SQLite is told by which index, because without
/// statistics it takes any that begins with the agent; so it is below.
macro_rules! has_room {
    (sqlite, $agent:literal) => {
        has_room!(@ "INDEXED BY agent_task_queue_in_flight", $agent)
    };
    (postgres, $agent:literal) => {
        has_room!(@ "", $agent)
    };
    (@ $by:literal, $agent:literal) => {
        concat!(
            "(SELECT count(*) FROM agent_task_queue f ",
            $by,
            " WHERE f.agent_id = ",
            $agent,
            " AND f.status IN ('dispatched', 'running', 'waiting_local_directory'))
            < (SELECT a.max_concurrent_tasks FROM agent a WHERE a.id = ",
            $agent,
            ")"
        )
    };
}
pub(super) use has_room;

/// One question a lane, because each lane has an index that answers it. On PostgreSQL a fence
/// keeps the planner from turning the test into a join that reads every active task there is.
macro_rules! lane_is_free {
    (sqlite) => {
        lane_is_free!(@ "INDEXED BY agent_task_queue_lane_issue", "INDEXED BY agent_task_queue_lane_chat",
            "INDEXED BY agent_task_queue_lane_quick", "")
    };
    (postgres) => {
        lane_is_free!(@ "", "", "", "OFFSET 0")
    };
    (@ $issue:literal, $chat:literal, $quick:literal, $fence:literal) => {
        concat!(
            "NOT EXISTS (SELECT 1 FROM agent_task_queue f ",
            $issue,
            " WHERE f.agent_id = t.agent_id AND f.issue_id = t.issue_id
                AND f.status IN ('dispatched', 'running', 'waiting_local_directory') ",
            $fence,
            ") AND NOT EXISTS (SELECT 1 FROM agent_task_queue f ",
            $chat,
            " WHERE f.agent_id = t.agent_id AND f.chat_session_id = t.chat_session_id
                AND f.status IN ('dispatched', 'running', 'waiting_local_directory') ",
            $fence,
            ") AND (t.issue_id IS NOT NULL OR t.chat_session_id IS NOT NULL OR t.autopilot_run_id IS NOT NULL
                OR NOT EXISTS (SELECT 1 FROM agent_task_queue f ",
            $quick,
            " WHERE f.agent_id = t.agent_id AND f.issue_id IS NULL AND f.chat_session_id IS NULL
                    AND f.autopilot_run_id IS NULL
                    AND f.status IN ('dispatched', 'running', 'waiting_local_directory') ",
            $fence,
            "))"
        )
    };
}
pub(super) use lane_is_free;

/// Picks the first task that may leave of each agent with room, and of those the runtime's next.
/// Goes from agent to agent along an index, so that what waits behind a full agent is not read. That
/// index alone has the agent in its order, so it alone is asked for, which an equality would not do:
/// PostgreSQL would read a runtime's queue in its order until the agent comes.
macro_rules! first_by_agent {
    ($engine:ident, $runtime:literal, $locked:literal) => {
        concat!(
            waiting_agents!($runtime),
            " SELECT n.id FROM (
                SELECT (SELECT t.id FROM agent_task_queue t WHERE t.runtime_id = ",
            $runtime,
            " AND t.agent_id BETWEEN w.agent_id AND w.agent_id AND t.status = 'queued' AND ",
            lane_is_free!($engine),
            " ORDER BY t.agent_id, t.priority DESC, t.created_at, t.id LIMIT 1) AS id
                FROM waiting w WHERE w.agent_id IS NOT NULL ",
            $locked,
            " AND ",
            has_room!($engine, "w.agent_id"),
            ") s JOIN agent_task_queue n ON n.id = s.id ORDER BY n.priority DESC, n.created_at, n.id LIMIT 1"
        )
    };
}
pub(super) use first_by_agent;

/// The agents that have something queued on a runtime, and in the end one that is `NULL`.
macro_rules! waiting_agents {
    ($runtime:literal) => {
        concat!(
            "WITH RECURSIVE waiting (agent_id) AS (
                SELECT (SELECT q.agent_id FROM agent_task_queue q WHERE q.runtime_id = ",
            $runtime,
            " AND q.status = 'queued' ORDER BY q.agent_id LIMIT 1)
                UNION ALL
                SELECT (SELECT q.agent_id FROM agent_task_queue q WHERE q.runtime_id = ",
            $runtime,
            " AND q.status = 'queued' AND q.agent_id > w.agent_id ORDER BY q.agent_id LIMIT 1)
                FROM waiting w WHERE w.agent_id IS NOT NULL
            )"
        )
    };
}
pub(super) use waiting_agents;

macro_rules! next_of_runtime {
    ($engine:ident, $locked:literal) => {
        concat!(
            "UPDATE agent_task_queue SET status = 'dispatched', dispatched_at = $2, prepare_lease_expires_at = $3,
                claim_epoch = claim_epoch + 1, error = NULL
            WHERE status || '' = 'queued' AND id = (",
            first_by_agent!($engine, "$1", $locked),
            ") RETURNING ",
            task_columns!()
        )
    };
}

/// What a claim does about an agent that another transaction holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Held {
    /// Waits for it, for a moment.
    Wait,
    /// Takes a task of another one.
    PassOver,
}

/// Takes the runtime's next task: highest priority, then oldest.
pub async fn claim(
    conn: &mut Conn,
    runtime: RuntimeId,
    held: Held,
    now: Time,
    lease: Time,
) -> Result<Option<Task>, StoreError> {
    const SQLITE: &str = next_of_runtime!(sqlite, "");
    // Locks that do not stand in the way of an enqueue, which only refers to the agent. In
    // one order, so that two claims cannot wait for each other.
    const LOCK: &str = concat!(
        waiting_agents!("$1"),
        " SELECT id FROM agent WHERE id IN (SELECT agent_id FROM waiting) ORDER BY id FOR NO KEY UPDATE"
    );
    const LOCK_FREE: &str = concat!(
        waiting_agents!("$1"),
        " SELECT id FROM agent WHERE id IN (SELECT agent_id FROM waiting) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED"
    );
    // Each that waits holds a connection, so nobody waits for long.
    const PATIENCE: &str = "SET LOCAL lock_timeout = '1s'";
    const POSTGRES: &str = next_of_runtime!(postgres, "AND w.agent_id = ANY ($4)");
    metrics::db_statement();
    match conn {
        Conn::Sqlite(c) => {
            let claimed = sqlx::query_as(SQLITE).bind(runtime).bind(now).bind(lease);
            Ok(claimed.fetch_optional(&mut **c).await?)
        }
        Conn::Postgres(c) => {
            metrics::db_statement();
            sqlx::raw_sql(PATIENCE).execute(&mut **c).await?;
            let lock = if held == Held::Wait { LOCK } else { LOCK_FREE };
            let locked: Vec<AgentId> = sqlx::query_scalar(lock).bind(runtime).fetch_all(&mut **c).await?;
            if locked.is_empty() {
                return Ok(None);
            }
            metrics::db_statement();
            let claimed = sqlx::query_as(POSTGRES).bind(runtime).bind(now).bind(lease).bind(&locked);
            Ok(claimed.fetch_optional(&mut **c).await?)
        }
    }
}

/// What a look at a runtime's queue promises a claim.
#[derive(Clone, Copy, Debug)]
pub struct Prospect {
    /// Something is queued, due, or lost.
    pub claimable: bool,
    /// Nothing is queued, deferred, or dispatched and not started: until something new
    /// enters, no passing of time makes anything claimable.
    pub at_rest: bool,
}

from_row!(Prospect { claimable, at_rest });

struct Looked {
    runtime_id: RuntimeId,
    prospect: Prospect,
}

from_row!(Looked { runtime_id; prospect });

/// The fence keeps PostgreSQL from reading a whole index once instead of a runtime's part of it
/// a few times; an order, which means nothing, from another index than the one that has it.
macro_rules! prospects_of {
    ($runtimes:literal, $fence:literal, $by_age:literal) => {
        concat!(
            "SELECT r.id AS runtime_id,
                EXISTS (SELECT 1 FROM agent_task_queue q WHERE q.runtime_id = r.id AND q.status = 'queued' ",
            $fence,
            ")
                    OR EXISTS (SELECT 1 FROM agent_task_queue q
                        WHERE q.runtime_id = r.id AND q.status = 'deferred' AND q.fire_at <= $3 ",
            $fence,
            ")
                    OR EXISTS (SELECT 1 FROM agent_task_queue q WHERE q.runtime_id = r.id
                        AND q.status = 'dispatched' AND q.started_at IS NULL AND q.dispatched_at < $2
                        AND (q.prepare_lease_expires_at IS NULL OR q.prepare_lease_expires_at < $3) ",
            $by_age,
            ") AS claimable,
                NOT EXISTS (SELECT 1 FROM agent_task_queue q WHERE q.runtime_id = r.id AND q.status = 'queued' ",
            $fence,
            ")
                    AND NOT EXISTS (SELECT 1 FROM agent_task_queue q
                        WHERE q.runtime_id = r.id AND q.status = 'deferred' ",
            $fence,
            ")
                    AND NOT EXISTS (SELECT 1 FROM agent_task_queue q WHERE q.runtime_id = r.id
                        AND q.status = 'dispatched' AND q.started_at IS NULL ",
            $by_age,
            ") AS at_rest
            FROM ",
            $runtimes
        )
    };
}

/// Reads indexes only, so that a poll for nothing writes nothing.
pub async fn list_prospects(
    conn: &mut Conn,
    runtimes: impl IntoIterator<Item = RuntimeId>,
    lost_before: Time,
    now: Time,
) -> Result<Vec<(RuntimeId, Prospect)>, StoreError> {
    let sql = by_engine!(conn,
        sqlite: prospects_of!("(SELECT unhex(value) AS id FROM json_each($1)) r", "", ""),
        postgres: prospects_of!("unnest($1) r (id)", "OFFSET 0", "ORDER BY q.dispatched_at OFFSET 0"),
    );
    let runtimes = Ids::of(runtimes.into_iter().map(|runtime| runtime.0));
    let looked: Vec<Looked> = on_conn!(conn, |c| sqlx::query_as(sql)
        .bind(runtimes)
        .bind(lost_before)
        .bind(now)
        .fetch_all(c)
        .await)?;
    Ok(looked.into_iter().map(|Looked { runtime_id, prospect }| (runtime_id, prospect)).collect())
}

/// Dispatched becomes queued again, with the reason for people to read. `None` when it was
/// not dispatched any more.
pub async fn put_back(
    conn: &mut Conn,
    id: TaskId,
    epoch: i32,
    reason: &str,
) -> Result<Option<Task>, StoreError> {
    const SQL: &str = concat!(
        "UPDATE agent_task_queue SET status = 'queued', dispatched_at = NULL, prepare_lease_expires_at = NULL, error = $3
        WHERE id = $1 AND claim_epoch = $2 AND status || '' = 'dispatched' RETURNING ",
        task_columns!()
    );
    let task: Option<Task> =
        on_conn!(conn, |c| sqlx::query_as(SQL).bind(id).bind(epoch).bind(reason).fetch_optional(c).await)?;
    if let Some(task) = &task {
        conn.note(Entered::runtime(task.runtime_id));
    }
    Ok(task)
}
