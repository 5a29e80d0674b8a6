//! Runtimes: registration, liveness, lists.

use uuid::Uuid;

use super::batch::Ids;
use super::queue_versions::Entered;
use super::{Conn, StoreError};
use crate::model::ids::{RuntimeId, UserId, WorkspaceId};
use crate::model::runtime::{NewRuntime, Runtime, RuntimeState};
use crate::model::time::Time;

from_row!(Runtime {
    id,
    workspace_id,
    daemon_id,
    name,
    runtime_mode,
    provider,
    status,
    device_info,
    metadata,
    last_seen_at,
    owner_id,
    visibility,
    profile_id,
    created_at,
    updated_at,
});

from_row!(RuntimeState { id, workspace_id, daemon_id, status, last_seen_at });

macro_rules! runtime_columns {
    () => {
        "id, workspace_id, daemon_id, name, runtime_mode, provider, status, device_info, metadata, last_seen_at, \
         owner_id, visibility, profile_id, created_at, updated_at"
    };
}

pub async fn find(conn: &mut Conn, id: RuntimeId) -> Result<Option<Runtime>, StoreError> {
    const SQL: &str = concat!("SELECT ", runtime_columns!(), " FROM agent_runtime WHERE id = $1");
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(id).fetch_optional(c).await)?)
}

/// A workspace's runtimes, oldest first; those of one owner if `owner` is given.
pub async fn list(
    conn: &mut Conn,
    workspace: WorkspaceId,
    owner: Option<UserId>,
) -> Result<Vec<Runtime>, StoreError> {
    const ALL: &str = concat!(
        "SELECT ",
        runtime_columns!(),
        " FROM agent_runtime WHERE workspace_id = $1 ORDER BY created_at, id"
    );
    const OWNED: &str = concat!(
        "SELECT ",
        runtime_columns!(),
        " FROM agent_runtime WHERE workspace_id = $1 AND owner_id = $2 ORDER BY created_at, id"
    );
    Ok(match owner {
        None => on_conn!(conn, |c| sqlx::query_as(ALL).bind(workspace).fetch_all(c).await)?,
        Some(owner) => {
            on_conn!(conn, |c| sqlx::query_as(OWNED).bind(workspace).bind(owner).fetch_all(c).await)?
        }
    })
}

/// Says who may bind agents to the runtime. `None` when it says that already, or is gone.
pub async fn set_visibility(
    conn: &mut Conn,
    id: RuntimeId,
    visibility: &str,
    now: Time,
) -> Result<Option<Runtime>, StoreError> {
    const SQL: &str = concat!(
        "UPDATE agent_runtime SET visibility = $2, updated_at = $3 WHERE id = $1 AND visibility <> $2 RETURNING ",
        runtime_columns!()
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(id).bind(visibility).bind(now).fetch_optional(c).await)?)
}

/// The runtime, which nobody binds an agent to or deletes until this transaction ends.
pub async fn lock(conn: &mut Conn, id: RuntimeId) -> Result<Option<Runtime>, StoreError> {
    // SQLite has one writer, which is the caller.
    let sql = by_engine!(conn,
        sqlite: concat!("SELECT ", runtime_columns!(), " FROM agent_runtime WHERE id = $1"),
        postgres: concat!("SELECT ", runtime_columns!(), " FROM agent_runtime WHERE id = $1 FOR UPDATE"),
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(sql).bind(id).fetch_optional(c).await)?)
}

/// Adds the runtime, or brings the row of the same daemon and provider (or profile) up to
/// date. A row keeps its id, visibility and age, and its owner unless a new one is named.
pub async fn upsert(conn: &mut Conn, new: NewRuntime) -> Result<Runtime, StoreError> {
    const BUILT_IN: &str = concat!(
        "INSERT INTO agent_runtime (id, workspace_id, daemon_id, name, runtime_mode, provider, status, device_info,
            metadata, owner_id, profile_id, last_seen_at, created_at, updated_at)
        VALUES ($1, $2, $3, $4, 'local', $5, $6, $7, $8, $9, $10, $11, $11, $11)
        ON CONFLICT (workspace_id, daemon_id, provider) WHERE profile_id IS NULL DO UPDATE SET
            name = excluded.name, runtime_mode = excluded.runtime_mode, status = excluded.status,
            device_info = excluded.device_info, metadata = excluded.metadata,
            owner_id = COALESCE(excluded.owner_id, agent_runtime.owner_id),
            last_seen_at = excluded.last_seen_at, updated_at = excluded.updated_at
        RETURNING ",
        runtime_columns!()
    );
    const CUSTOM: &str = concat!(
        "INSERT INTO agent_runtime (id, workspace_id, daemon_id, name, runtime_mode, provider, status, device_info,
            metadata, owner_id, profile_id, last_seen_at, created_at, updated_at)
        VALUES ($1, $2, $3, $4, 'local', $5, $6, $7, $8, $9, $10, $11, $11, $11)
        ON CONFLICT (workspace_id, daemon_id, profile_id) WHERE profile_id IS NOT NULL DO UPDATE SET
            name = excluded.name, runtime_mode = excluded.runtime_mode, provider = excluded.provider,
            status = excluded.status, device_info = excluded.device_info, metadata = excluded.metadata,
            owner_id = COALESCE(excluded.owner_id, agent_runtime.owner_id),
            last_seen_at = excluded.last_seen_at, updated_at = excluded.updated_at
        RETURNING ",
        runtime_columns!()
    );
    let sql = if new.profile_id.is_some() { CUSTOM } else { BUILT_IN };
    Ok(on_conn!(conn, |c| sqlx::query_as(sql)
        .bind(new.id)
        .bind(new.workspace_id)
        .bind(&new.daemon_id)
        .bind(&new.name)
        .bind(&new.provider)
        .bind(new.status)
        .bind(&new.device_info)
        .bind(&new.metadata)
        .bind(new.owner_id)
        .bind(new.profile_id)
        .bind(new.now)
        .fetch_one(c)
        .await)?)
}

/// The built-in runtimes of one provider in a workspace, with the daemon each belongs to.
pub async fn list_daemons(
    conn: &mut Conn,
    workspace: WorkspaceId,
    provider: &str,
) -> Result<Vec<(RuntimeId, String)>, StoreError> {
    const SQL: &str = "SELECT id, daemon_id FROM agent_runtime
        WHERE workspace_id = $1 AND provider = $2 AND profile_id IS NULL AND daemon_id IS NOT NULL
        ORDER BY created_at, id";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(workspace).bind(provider).fetch_all(c).await)?)
}

/// Gives everything that hangs on `old` to `new`; its agents first, then its tasks, which
/// would go with the row when that is deleted.
pub async fn repoint(conn: &mut Conn, old: RuntimeId, new: RuntimeId) -> Result<(), StoreError> {
    const AGENTS: &str = "UPDATE agent SET runtime_id = $2 WHERE runtime_id = $1";
    const TASKS: &str = "UPDATE agent_task_queue SET runtime_id = $2 WHERE runtime_id = $1";
    for sql in [AGENTS, TASKS] {
        on_conn!(conn, |c| sqlx::query(sql).bind(old).bind(new).execute(c).await.map(drop))?;
    }
    conn.note(Entered::runtime(new));
    Ok(())
}

/// Records under which id the runtime was known before; the first record stays.
pub async fn record_legacy(conn: &mut Conn, id: RuntimeId, daemon_id: &str) -> Result<(), StoreError> {
    const SQL: &str =
        "UPDATE agent_runtime SET legacy_daemon_id = $2 WHERE id = $1 AND legacy_daemon_id IS NULL";
    on_conn!(conn, |c| sqlx::query(SQL).bind(id).bind(daemon_id).execute(c).await.map(drop))?;
    Ok(())
}

pub async fn delete(conn: &mut Conn, id: RuntimeId) -> Result<(), StoreError> {
    const SQL: &str = "DELETE FROM agent_runtime WHERE id = $1";
    on_conn!(conn, |c| sqlx::query(SQL).bind(id).execute(c).await.map(drop))?;
    Ok(())
}

/// A beat of a runtime that was offline or never seen. Says whether the row exists.
pub async fn set_online(conn: &mut Conn, id: RuntimeId, now: Time) -> Result<bool, StoreError> {
    const SQL: &str = "UPDATE agent_runtime SET status = 'online', last_seen_at = $2, updated_at = $2
        WHERE id = $1 RETURNING id";
    let row: Option<Uuid> =
        on_conn!(conn, |c| sqlx::query_scalar(SQL).bind(id).bind(now).fetch_optional(c).await)?;
    Ok(row.is_some())
}

/// The daemon said goodbye. When it was last seen stays as it is.
pub async fn set_offline(conn: &mut Conn, ids: Ids, now: Time) -> Result<(), StoreError> {
    let sql = by_engine!(conn,
        sqlite: "UPDATE agent_runtime SET status = 'offline', updated_at = $2
            WHERE id IN (SELECT unhex(value) FROM json_each($1))",
        postgres: "UPDATE agent_runtime SET status = 'offline', updated_at = $2 WHERE id = ANY($1)",
    );
    on_conn!(conn, |c| sqlx::query(sql).bind(ids).bind(now).execute(c).await.map(drop))?;
    Ok(())
}

/// Notes that these were seen, unless they were taken offline meanwhile, and says which
/// were not. `updated_at` is not touched: being alive changes nothing about a runtime.
pub async fn touch(conn: &mut Conn, ids: Ids, now: Time) -> Result<Vec<RuntimeId>, StoreError> {
    let sql = by_engine!(conn,
        sqlite: "UPDATE agent_runtime SET last_seen_at = $2
            WHERE status = 'online' AND id IN (SELECT unhex(value) FROM json_each($1)) RETURNING id",
        postgres: "UPDATE agent_runtime SET last_seen_at = $2 WHERE status = 'online' AND id = ANY($1)
            RETURNING id",
    );
    Ok(on_conn!(conn, |c| sqlx::query_scalar(sql).bind(ids).bind(now).fetch_all(c).await)?)
}

/// As much of these rows as a beat looks at, in no order.
pub async fn list_states(conn: &mut Conn, ids: Ids) -> Result<Vec<RuntimeState>, StoreError> {
    let sql = by_engine!(conn,
        sqlite: "SELECT id, workspace_id, daemon_id, status, last_seen_at FROM agent_runtime
            WHERE id IN (SELECT unhex(value) FROM json_each($1))",
        postgres: "SELECT id, workspace_id, daemon_id, status, last_seen_at FROM agent_runtime
            WHERE id = ANY($1)",
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(sql).bind(ids).fetch_all(c).await)?)
}
