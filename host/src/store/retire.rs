//! What goes when a runtime, a member or a workspace does. Children go first, because some
//! of them refer to their parents without a foreign key and others forbid the deletion.

use uuid::Uuid;

use super::agents::agent_columns;
use super::batch::Ids;
use super::{Conn, StoreError};
use crate::model::agent::Agent;
use crate::model::ids::{RuntimeId, UserId, WorkspaceId};
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

/// Archives the agents at work on any of these runtimes and gives them as they are then.
pub async fn archive_agents(
    conn: &mut Conn,
    runtimes: &Ids,
    by: UserId,
    now: Time,
) -> Result<Vec<Agent>, StoreError> {
    let sql = by_engine!(conn,
        sqlite: concat!(
            "UPDATE agent SET archived_at = $2, archived_by = $3, updated_at = $2 WHERE archived_at IS NULL
                AND runtime_id IN (SELECT unhex(value) FROM json_each($1)) RETURNING ",
            agent_columns!()
        ),
        postgres: concat!(
            "UPDATE agent SET archived_at = $2, archived_by = $3, updated_at = $2 WHERE archived_at IS NULL
                AND runtime_id = ANY($1) RETURNING ",
            agent_columns!()
        ),
    );
    let mut agents: Vec<Agent> =
        on_conn!(conn, |c| sqlx::query_as(sql).bind(runtimes.clone()).bind(now).bind(by).fetch_all(c).await)?;
    agents.sort_by_key(|agent| (agent.created_at, agent.id));
    Ok(agents)
}

/// A member's runtimes in a workspace, with the daemon of each.
pub async fn list_runtimes_of(
    conn: &mut Conn,
    workspace: WorkspaceId,
    owner: UserId,
) -> Result<Vec<(RuntimeId, Option<String>)>, StoreError> {
    const SQL: &str = "SELECT id, daemon_id FROM agent_runtime WHERE workspace_id = $1 AND owner_id = $2";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(workspace).bind(owner).fetch_all(c).await)?)
}

/// The runtimes of a profile.
pub async fn list_runtimes_of_profile(conn: &mut Conn, profile: Uuid) -> Result<Vec<RuntimeId>, StoreError> {
    const SQL: &str = "SELECT id FROM agent_runtime WHERE profile_id = $1";
    Ok(on_conn!(conn, |c| sqlx::query_scalar(SQL).bind(profile).fetch_all(c).await)?)
}

/// Takes back what one daemon has for the workspace and gives the hashes.
pub async fn delete_tokens_of_daemon(
    conn: &mut Conn,
    workspace: WorkspaceId,
    daemon_id: &str,
) -> Result<Vec<String>, StoreError> {
    const SQL: &str =
        "DELETE FROM daemon_token WHERE workspace_id = $1 AND daemon_id = $2 RETURNING token_hash";
    Ok(on_conn!(conn, |c| sqlx::query_scalar(SQL).bind(workspace).bind(daemon_id).fetch_all(c).await)?)
}

/// No agent of the workspace is shared with the user any more.
pub async fn delete_targets_of_member(
    conn: &mut Conn,
    workspace: WorkspaceId,
    user: UserId,
) -> Result<(), StoreError> {
    const SQL: &str = "DELETE FROM agent_invocation_target WHERE target_type = 'member' AND target_id = $2
        AND agent_id IN (SELECT id FROM agent WHERE workspace_id = $1)";
    on_conn!(conn, |c| sqlx::query(SQL).bind(workspace).bind(user).execute(c).await.map(drop))?;
    Ok(())
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
