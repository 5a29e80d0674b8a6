//! What a sweep looks for, and the statements by which it ends it. A look gives ids, oldest
//! first; the write that follows tests everything again, because a daemon may have come to
//! life between the two.

use uuid::Uuid;

use super::batch::Ids;
use super::tasks::task_columns;
use super::{Conn, StoreError};
use crate::model::ids::{RuntimeId, TaskId, WorkspaceId};
use crate::model::task::Task;
use crate::model::time::Time;

/// A runtime that a sweep changed.
#[derive(Clone, Debug)]
pub struct Swept {
    pub id: RuntimeId,
    pub workspace_id: WorkspaceId,
    pub provider: String,
}

from_row!(Swept { id, workspace_id, provider });

/// Online by its row, and not seen since `seen_before`.
pub async fn list_stale_runtimes(
    conn: &mut Conn,
    seen_before: Time,
    limit: i64,
) -> Result<Vec<RuntimeId>, StoreError> {
    const SQL: &str = "SELECT id FROM agent_runtime
        WHERE status = 'online' AND last_seen_at < $1 ORDER BY last_seen_at, id LIMIT $2";
    Ok(on_conn!(conn, |c| sqlx::query_scalar(SQL).bind(seen_before).bind(limit).fetch_all(c).await)?)
}

/// Takes those offline that are still online and still were not seen.
pub async fn set_stale_offline(
    conn: &mut Conn,
    ids: Ids,
    seen_before: Time,
    now: Time,
) -> Result<Vec<Swept>, StoreError> {
    let sql = by_engine!(conn,
        sqlite: "UPDATE agent_runtime SET status = 'offline', updated_at = $3
            WHERE id IN (SELECT unhex(value) FROM json_each($1)) AND status = 'online' AND last_seen_at < $2
            RETURNING id, workspace_id, provider",
        postgres: "UPDATE agent_runtime SET status = 'offline', updated_at = $3
            WHERE id = ANY($1) AND status = 'online' AND last_seen_at < $2
            RETURNING id, workspace_id, provider",
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(sql).bind(ids).bind(seen_before).bind(now).fetch_all(c).await)?)
}

/// Which tasks a sweep fails.
#[derive(Clone, Copy, Debug)]
pub enum Stuck {
    /// In flight on this runtime, whose daemon came back without them.
    Orphaned(RuntimeId),
    /// In flight on a runtime that is offline.
    Offline,
    /// Dispatched before this, never started, and no lease holds.
    NotStarted { dispatched_before: Time },
    /// Running since before this.
    NotFinished { started_before: Time },
    /// Queued since before this.
    NotClaimed { created_before: Time },
}

/// A look; nothing is locked.
pub async fn list_stuck(
    conn: &mut Conn,
    stuck: Stuck,
    now: Time,
    limit: i64,
) -> Result<Vec<TaskId>, StoreError> {
    const ORPHANED: &str = "SELECT id FROM agent_task_queue
        WHERE runtime_id = $1 AND status IN ('dispatched', 'running', 'waiting_local_directory')
        ORDER BY created_at, id LIMIT $2";
    const OFFLINE: &str = "SELECT t.id FROM agent_task_queue t JOIN agent_runtime r ON r.id = t.runtime_id
        WHERE r.status = 'offline' AND t.status IN ('dispatched', 'running', 'waiting_local_directory')
        ORDER BY t.created_at, t.id LIMIT $1";
    // Reads what is in flight, which is bounded by the agents' room: an index of its own would
    // cost every claim.
    macro_rules! not_started {
        ($by:literal) => {
            concat!(
                "SELECT id FROM agent_task_queue ",
                $by,
                " WHERE status IN ('dispatched', 'running', 'waiting_local_directory')
                    AND status = 'dispatched' AND dispatched_at < $1 AND (prepare_lease_expires_at IS NULL OR prepare_lease_expires_at < $2)
                ORDER BY dispatched_at, id LIMIT $3"
            )
        };
    }
    const NOT_FINISHED: &str = "SELECT id FROM agent_task_queue
        WHERE status = 'running' AND started_at < $1 ORDER BY started_at, id LIMIT $2";
    // Where PostgreSQL's index for it says `lower(status)`, which no claim says, so that none ever takes it.
    macro_rules! not_claimed {
        ($status:literal) => {
            concat!(
                "SELECT id FROM agent_task_queue WHERE ",
                $status,
                " = 'queued' AND created_at < $1 ORDER BY created_at, id LIMIT $2"
            )
        };
    }
    Ok(match stuck {
        Stuck::Orphaned(runtime) => {
            on_conn!(conn, |c| sqlx::query_scalar(ORPHANED).bind(runtime).bind(limit).fetch_all(c).await)
        }
        Stuck::Offline => on_conn!(conn, |c| sqlx::query_scalar(OFFLINE).bind(limit).fetch_all(c).await),
        Stuck::NotStarted { dispatched_before } => {
            let sql = by_engine!(conn,
                sqlite: not_started!("INDEXED BY agent_task_queue_in_flight"),
                postgres: not_started!(""),
            );
            on_conn!(conn, |c| sqlx::query_scalar(sql)
                .bind(dispatched_before)
                .bind(now)
                .bind(limit)
                .fetch_all(c)
                .await)
        }
        Stuck::NotFinished { started_before } => {
            on_conn!(conn, |c| sqlx::query_scalar(NOT_FINISHED)
                .bind(started_before)
                .bind(limit)
                .fetch_all(c)
                .await)
        }
        Stuck::NotClaimed { created_before } => {
            let sql = by_engine!(conn,
                sqlite: not_claimed!("status"),
                postgres: not_claimed!("lower(status)"),
            );
            on_conn!(conn, |c| sqlx::query_scalar(sql).bind(created_before).bind(limit).fetch_all(c).await)
        }
    }?)
}

/// Fails one of them, if it is still stuck in the same way. `None` when it is not, or when
/// somebody holds its row: whoever does is about to move it.
pub async fn fail_stuck(
    conn: &mut Conn,
    id: TaskId,
    stuck: Stuck,
    error: &str,
    reason: &str,
    now: Time,
) -> Result<Option<Task>, StoreError> {
    macro_rules! fail_where {
        ($guard:literal) => {
            concat!(
                "UPDATE agent_task_queue SET status = 'failed', completed_at = $2, error = $3, failure_reason = $4,
                    wait_reason = NULL, prepare_lease_expires_at = NULL
                WHERE id = $1 AND ",
                $guard,
                " RETURNING ",
                task_columns!()
            )
        };
    }
    const LOCK: &str = "SELECT id FROM agent_task_queue WHERE id = $1 FOR UPDATE SKIP LOCKED";
    const ORPHANED: &str =
        fail_where!("runtime_id = $5 AND status IN ('dispatched', 'running', 'waiting_local_directory')");
    const OFFLINE: &str = fail_where!(
        "status IN ('dispatched', 'running', 'waiting_local_directory') AND EXISTS
            (SELECT 1 FROM agent_runtime r WHERE r.id = agent_task_queue.runtime_id AND r.status = 'offline')"
    );
    const NOT_STARTED: &str = fail_where!(
        "status = 'dispatched' AND dispatched_at < $5
            AND (prepare_lease_expires_at IS NULL OR prepare_lease_expires_at < $2)"
    );
    const NOT_FINISHED: &str = fail_where!("status = 'running' AND started_at < $5");
    const NOT_CLAIMED: &str = fail_where!("status = 'queued' AND created_at < $5");

    if matches!(conn, Conn::Postgres(_)) && matches!(stuck, Stuck::NotClaimed { .. }) {
        let free: Option<Uuid> =
            on_conn!(conn, |c| sqlx::query_scalar(LOCK).bind(id).fetch_optional(c).await)?;
        if free.is_none() {
            return Ok(None);
        }
    }
    macro_rules! run {
        ($sql:expr $(, $more:expr)?) => {
            on_conn!(conn, |c| sqlx::query_as($sql)
                .bind(id)
                .bind(now)
                .bind(error)
                .bind(reason)
                $(.bind($more))?
                .fetch_optional(c)
                .await)
        };
    }
    Ok(match stuck {
        Stuck::Orphaned(runtime) => run!(ORPHANED, runtime),
        Stuck::Offline => run!(OFFLINE),
        Stuck::NotStarted { dispatched_before } => run!(NOT_STARTED, dispatched_before),
        Stuck::NotFinished { started_before } => run!(NOT_FINISHED, started_before),
        Stuck::NotClaimed { created_before } => run!(NOT_CLAIMED, created_before),
    }?)
}

/// Deletes runtimes that are offline, were last seen before this, and have no agent,
/// archived ones included.
pub async fn delete_unused_runtimes(
    conn: &mut Conn,
    seen_before: Time,
    limit: i64,
) -> Result<Vec<Swept>, StoreError> {
    const SQL: &str = "DELETE FROM agent_runtime WHERE id IN (SELECT r.id FROM agent_runtime r
            WHERE r.status = 'offline' AND r.last_seen_at < $1
                AND NOT EXISTS (SELECT 1 FROM agent a WHERE a.runtime_id = r.id)
            ORDER BY r.last_seen_at, r.id LIMIT $2)
        RETURNING id, workspace_id, provider";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(seen_before).bind(limit).fetch_all(c).await)?)
}

/// What is purged when it is past its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expired {
    TaskTokens,
    DaemonTokens,
    /// What webhooks were sent, with the bodies.
    Deliveries,
}

/// Deletes some of what expired before this and says how many.
pub async fn purge(conn: &mut Conn, what: Expired, before: Time, limit: i64) -> Result<u64, StoreError> {
    const TASK_TOKENS: &str = "DELETE FROM task_token
        WHERE id IN (SELECT id FROM task_token WHERE expires_at <= $1 LIMIT $2)";
    const DAEMON_TOKENS: &str = "DELETE FROM daemon_token
        WHERE id IN (SELECT id FROM daemon_token WHERE expires_at <= $1 LIMIT $2)";
    const DELIVERIES: &str = "DELETE FROM webhook_delivery
        WHERE id IN (SELECT id FROM webhook_delivery WHERE received_at <= $1 LIMIT $2)";
    let sql = match what {
        Expired::TaskTokens => TASK_TOKENS,
        Expired::DaemonTokens => DAEMON_TOKENS,
        Expired::Deliveries => DELIVERIES,
    };
    Ok(on_conn!(conn, |c| sqlx::query(sql)
        .bind(before)
        .bind(limit)
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?)
}

/// How many unfinished tasks stand where.
#[derive(Clone, Debug)]
pub struct Depth {
    pub source: String,
    pub status: String,
    pub count: i64,
}

from_row!(Depth { source, status, count });

/// Reads the partial indexes of unfinished tasks only, whatever the history holds.
pub async fn list_depths(conn: &mut Conn) -> Result<Vec<Depth>, StoreError> {
    macro_rules! of {
        ($status:literal) => {
            concat!(
                "SELECT CASE WHEN chat_session_id IS NOT NULL THEN 'chat'
                    WHEN autopilot_run_id IS NOT NULL THEN 'autopilot'
                    WHEN issue_id IS NULL THEN 'quick_create' ELSE 'issue' END AS source,
                    status, count(*) AS count
                FROM agent_task_queue WHERE ",
                $status,
                " GROUP BY 1, 2"
            )
        };
    }
    const SQL: &str = concat!(
        of!("status = 'queued'"),
        " UNION ALL ",
        of!("status IN ('dispatched', 'running', 'waiting_local_directory')"),
        " UNION ALL ",
        of!("status = 'deferred'")
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).fetch_all(c).await)?)
}
