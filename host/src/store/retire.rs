//! What goes when a runtime, a member or a workspace does. Children go first, because some
//! of them refer to their parents without a foreign key and others forbid the deletion.

use super::agents::agent_columns;
use super::batch::Ids;
use super::{Conn, StoreError};
use crate::model::agent::Agent;
use crate::model::ids::{RuntimeId, WorkspaceId};
use crate::model::time::Time;

/// A query about what is bound to any of the runtimes in `$1`.
macro_rules! of_runtimes {
    ($conn:expr, $before:expr, $after:literal) => {
        by_engine!($conn,
            sqlite: concat!($before, "runtime_id IN (SELECT unhex(value) FROM json_each($1))", $after),
            postgres: concat!($before, "runtime_id = ANY($1)", $after),
        )
    };
}

/// The agents at work on any of these runtimes, oldest first.
pub async fn list_active_agents(conn: &mut Conn, runtimes: &Ids) -> Result<Vec<Agent>, StoreError> {
    let sql = of_runtimes!(
        conn,
        concat!("SELECT ", agent_columns!(), " FROM agent WHERE archived_at IS NULL AND "),
        " ORDER BY created_at, id"
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(sql).bind(runtimes.clone()).fetch_all(c).await)?)
}

/// Whether a squad that is not archived is led by an archived agent of these runtimes.
pub async fn leads_active_squad(conn: &mut Conn, runtimes: &Ids) -> Result<bool, StoreError> {
    let sql = of_runtimes!(
        conn,
        "SELECT 1 FROM squad s JOIN agent a ON a.id = s.leader_id
        WHERE s.archived_at IS NULL AND a.archived_at IS NOT NULL AND a.",
        " LIMIT 1"
    );
    let row: Option<i32> =
        on_conn!(conn, |c| sqlx::query_scalar(sql).bind(runtimes.clone()).fetch_optional(c).await)?;
    Ok(row.is_some())
}

/// Deletes the runtimes with their archived agents and what hangs on those. Agents at work
/// and squads they lead must be out of the way.
pub async fn delete_runtimes(conn: &mut Conn, runtimes: &Ids, now: Time) -> Result<(), StoreError> {
    let pause_autopilots = of_runtimes!(
        conn,
        "UPDATE autopilot SET status = 'paused', updated_at = $2
        WHERE status = 'active' AND assignee_type = 'agent'
            AND assignee_id IN (SELECT id FROM agent WHERE archived_at IS NOT NULL AND ",
        ")"
    );
    let archived_squads = of_runtimes!(
        conn,
        "DELETE FROM squad WHERE archived_at IS NOT NULL
            AND leader_id IN (SELECT id FROM agent WHERE archived_at IS NOT NULL AND ",
        ")"
    );
    let targets = of_runtimes!(
        conn,
        "DELETE FROM agent_invocation_target
        WHERE agent_id IN (SELECT id FROM agent WHERE archived_at IS NOT NULL AND ",
        ")"
    );
    let agents = of_runtimes!(conn, "DELETE FROM agent WHERE archived_at IS NOT NULL AND ", "");
    let rows = by_engine!(conn,
        sqlite: "DELETE FROM agent_runtime WHERE id IN (SELECT unhex(value) FROM json_each($1))",
        postgres: "DELETE FROM agent_runtime WHERE id = ANY($1)",
    );
    let ids = runtimes.clone();
    on_conn!(conn, |c| sqlx::query(pause_autopilots).bind(ids).bind(now).execute(c).await.map(drop))?;
    for sql in [archived_squads, targets, agents, rows] {
        let ids = runtimes.clone();
        on_conn!(conn, |c| sqlx::query(sql).bind(ids).execute(c).await.map(drop))?;
    }
    Ok(())
}

/// Deletes the workspace with everything in it.
pub async fn delete_workspace(conn: &mut Conn, id: WorkspaceId) -> Result<(), StoreError> {
    // An agent forbids the deletion of its runtime and a squad that of its leader, and
    // nothing says in which order a cascade goes.
    const TARGETS: &str = "DELETE FROM agent_invocation_target
        WHERE agent_id IN (SELECT id FROM agent WHERE workspace_id = $1)";
    const SQUADS: &str = "DELETE FROM squad WHERE workspace_id = $1";
    const AGENTS: &str = "DELETE FROM agent WHERE workspace_id = $1";
    const RUNTIMES: &str = "DELETE FROM agent_runtime WHERE workspace_id = $1";
    const PROFILES: &str = "DELETE FROM runtime_profile WHERE workspace_id = $1";
    const WORKSPACE: &str = "DELETE FROM workspace WHERE id = $1";
    for sql in [TARGETS, SQUADS, AGENTS, RUNTIMES, PROFILES, WORKSPACE] {
        on_conn!(conn, |c| sqlx::query(sql).bind(id).execute(c).await.map(drop))?;
    }
    Ok(())
}

/// Takes back every token that daemons have for the workspace and gives their hashes.
pub async fn delete_daemon_tokens(conn: &mut Conn, id: WorkspaceId) -> Result<Vec<String>, StoreError> {
    const SQL: &str = "DELETE FROM daemon_token WHERE workspace_id = $1 RETURNING token_hash";
    Ok(on_conn!(conn, |c| sqlx::query_scalar(SQL).bind(id).fetch_all(c).await)?)
}

/// The ids of a workspace's runtimes.
pub async fn list_runtime_ids(conn: &mut Conn, id: WorkspaceId) -> Result<Vec<RuntimeId>, StoreError> {
    const SQL: &str = "SELECT id FROM agent_runtime WHERE workspace_id = $1";
    Ok(on_conn!(conn, |c| sqlx::query_scalar(SQL).bind(id).fetch_all(c).await)?)
}
