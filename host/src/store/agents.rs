//! Agents and with whom they are shared.

use uuid::Uuid;

use super::{Conn, StoreError};
use crate::model::agent::{Agent, InvocationTarget};
use crate::model::ids::{AgentId, RuntimeId};
use crate::model::time::Time;
use crate::telemetry::metrics;

from_row!(Agent {
    id,
    workspace_id,
    name,
    description,
    instructions,
    avatar_url,
    runtime_mode,
    runtime_config,
    runtime_id,
    visibility,
    permission_mode,
    status,
    max_concurrent_tasks,
    owner_id,
    custom_env,
    custom_args,
    mcp_config,
    model,
    thinking_level,
    archived_at,
    archived_by,
    created_at,
    updated_at,
});

from_row!(InvocationTarget { agent_id, target_type, target_id });

macro_rules! agent_columns {
    () => {
        "id, workspace_id, name, description, instructions, avatar_url, runtime_mode, runtime_config, runtime_id, \
         visibility, permission_mode, status, max_concurrent_tasks, owner_id, custom_env, custom_args, \
         mcp_config, model, thinking_level, archived_at, archived_by, created_at, updated_at"
    };
}

pub async fn find(conn: &mut Conn, id: AgentId) -> Result<Option<Agent>, StoreError> {
    const SQL: &str = concat!("SELECT ", agent_columns!(), " FROM agent WHERE id = $1");
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(id).fetch_optional(c).await)?)
}

/// With whom the agent is shared, by type and then age.
pub async fn list_targets(conn: &mut Conn, agent: AgentId) -> Result<Vec<InvocationTarget>, StoreError> {
    const SQL: &str = "SELECT agent_id, target_type, target_id FROM agent_invocation_target
        WHERE agent_id = $1 ORDER BY target_type, created_at, id";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(agent).fetch_all(c).await)?)
}

/// Where an agent runs, and whether that is reachable.
#[derive(Clone, Debug)]
pub struct Readiness {
    pub runtime_id: RuntimeId,
    pub runtime_status: String,
    pub archived: bool,
}

from_row!(Readiness { runtime_id, runtime_status, archived });

pub async fn find_readiness(conn: &mut Conn, id: AgentId) -> Result<Option<Readiness>, StoreError> {
    const SQL: &str = "SELECT a.runtime_id, r.status AS runtime_status, a.archived_at IS NOT NULL AS archived
        FROM agent a JOIN agent_runtime r ON r.id = a.runtime_id WHERE a.id = $1";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(id).fetch_optional(c).await)?)
}

/// Holds the agent's row until the transaction ends. A statement that counts an agent's
/// tasks after this one sees everything that whoever held the row before has committed;
/// one that waited for the row itself would count as of before its wait. Whatever takes
/// both takes the agent before its tasks.
pub async fn lock(conn: &mut Conn, id: AgentId) -> Result<(), StoreError> {
    const SQL: &str = "SELECT id FROM agent WHERE id = $1 FOR NO KEY UPDATE";
    if let Conn::Postgres(c) = conn {
        metrics::db_statement();
        sqlx::query(SQL).bind(id).execute(&mut **c).await?;
    }
    Ok(())
}

/// Sets the status from the queue: `working` while anything is in flight, else `idle`.
/// Gives the agent as it is now. Needs the row locked.
pub async fn reconcile_status(conn: &mut Conn, id: AgentId, now: Time) -> Result<Option<Agent>, StoreError> {
    const SQL: &str = concat!(
        "UPDATE agent SET updated_at = $2, status = CASE WHEN EXISTS (SELECT 1 FROM agent_task_queue t
            WHERE t.agent_id = agent.id AND t.status IN ('dispatched', 'running', 'waiting_local_directory'))
            THEN 'working' ELSE 'idle' END
        WHERE id = $1 RETURNING ",
        agent_columns!()
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(id).bind(now).fetch_optional(c).await)?)
}

/// The display name behind an actor's type and id; `None` for the system or somebody gone.
pub async fn find_name(conn: &mut Conn, id: Uuid) -> Result<Option<String>, StoreError> {
    const SQL: &str = "SELECT name FROM agent WHERE id = $1";
    Ok(on_conn!(conn, |c| sqlx::query_scalar(SQL).bind(id).fetch_optional(c).await)?)
}
