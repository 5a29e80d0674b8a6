//! Agents.

use serde_json::Value;
use uuid::Uuid;

use super::{Conn, StoreError};
use crate::model::agent::Agent;
use crate::model::ids::{AgentId, RuntimeId, UserId, WorkspaceId};
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
    composio_toolkit_allowlist,
    archived_at,
    archived_by,
    created_at,
    updated_at,
});

macro_rules! agent_columns {
    () => {
        "id, workspace_id, name, description, instructions, avatar_url, runtime_mode, runtime_config, runtime_id, \
         visibility, permission_mode, status, max_concurrent_tasks, owner_id, custom_env, custom_args, \
         mcp_config, model, thinking_level, composio_toolkit_allowlist, archived_at, archived_by, created_at, updated_at"
    };
}
pub(super) use agent_columns;

pub async fn find(conn: &mut Conn, id: AgentId) -> Result<Option<Agent>, StoreError> {
    const SQL: &str = concat!("SELECT ", agent_columns!(), " FROM agent WHERE id = $1");
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(id).fetch_optional(c).await)?)
}

/// The agents of a workspace, oldest first.
pub async fn list(
    conn: &mut Conn,
    workspace: WorkspaceId,
    archived_too: bool,
) -> Result<Vec<Agent>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        agent_columns!(),
        " FROM agent WHERE workspace_id = $1 AND (archived_at IS NULL OR $2) ORDER BY created_at, id"
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(workspace).bind(archived_too).fetch_all(c).await)?)
}

/// The agent, which nobody else changes until the transaction ends.
pub async fn find_locked(conn: &mut Conn, id: AgentId) -> Result<Option<Agent>, StoreError> {
    // SQLite has one writer, which is the caller.
    let sql = by_engine!(conn,
        sqlite: concat!("SELECT ", agent_columns!(), " FROM agent WHERE id = $1"),
        postgres: concat!("SELECT ", agent_columns!(), " FROM agent WHERE id = $1 FOR NO KEY UPDATE"),
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(sql).bind(id).fetch_optional(c).await)?)
}

/// Adds the agent. A conflict means that its name is taken.
pub async fn insert(conn: &mut Conn, agent: &Agent) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO agent (id, workspace_id, name, description, instructions, avatar_url,
            runtime_mode, runtime_config, runtime_id, visibility, permission_mode, status, max_concurrent_tasks,
            owner_id, custom_env, custom_args, mcp_config, model, thinking_level, composio_toolkit_allowlist,
            created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)";
    on_conn!(conn, |c| sqlx::query(SQL)
        .bind(agent.id)
        .bind(agent.workspace_id)
        .bind(&agent.name)
        .bind(&agent.description)
        .bind(&agent.instructions)
        .bind(&agent.avatar_url)
        .bind(&agent.runtime_mode)
        .bind(&agent.runtime_config)
        .bind(agent.runtime_id)
        .bind(&agent.visibility)
        .bind(&agent.permission_mode)
        .bind(&agent.status)
        .bind(agent.max_concurrent_tasks)
        .bind(agent.owner_id)
        .bind(&agent.custom_env)
        .bind(&agent.custom_args)
        .bind(&agent.mcp_config)
        .bind(&agent.model)
        .bind(&agent.thinking_level)
        .bind(&agent.composio_toolkit_allowlist)
        .bind(agent.created_at)
        .bind(agent.updated_at)
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// Writes back what an edit may change. A conflict means that the name is taken.
pub async fn update(conn: &mut Conn, agent: &Agent) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE agent SET name = $2, description = $3, instructions = $4, avatar_url = $5,
            runtime_mode = $6, runtime_config = $7, runtime_id = $8, visibility = $9, permission_mode = $10,
            status = $11, max_concurrent_tasks = $12, custom_args = $13, mcp_config = $14, model = $15,
            thinking_level = $16, composio_toolkit_allowlist = $17, updated_at = $18
        WHERE id = $1";
    on_conn!(conn, |c| sqlx::query(SQL)
        .bind(agent.id)
        .bind(&agent.name)
        .bind(&agent.description)
        .bind(&agent.instructions)
        .bind(&agent.avatar_url)
        .bind(&agent.runtime_mode)
        .bind(&agent.runtime_config)
        .bind(agent.runtime_id)
        .bind(&agent.visibility)
        .bind(&agent.permission_mode)
        .bind(&agent.status)
        .bind(agent.max_concurrent_tasks)
        .bind(&agent.custom_args)
        .bind(&agent.mcp_config)
        .bind(&agent.model)
        .bind(&agent.thinking_level)
        .bind(&agent.composio_toolkit_allowlist)
        .bind(agent.updated_at)
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// Archives the agent, or takes it back. Gives it as it is now.
pub async fn set_archived(
    conn: &mut Conn,
    id: AgentId,
    by: Option<UserId>,
    now: Time,
) -> Result<Option<Agent>, StoreError> {
    const SQL: &str = concat!(
        "UPDATE agent SET archived_at = $2, archived_by = $3, updated_at = $4 WHERE id = $1 RETURNING ",
        agent_columns!()
    );
    let at = by.map(|_| now);
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(id).bind(at).bind(by).bind(now).fetch_optional(c).await)?)
}

/// Replaces the whole environment.
pub async fn set_custom_env(conn: &mut Conn, id: AgentId, env: &Value, now: Time) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE agent SET custom_env = $2, updated_at = $3 WHERE id = $1";
    on_conn!(conn, |c| sqlx::query(SQL).bind(id).bind(env).bind(now).execute(c).await.map(drop))?;
    Ok(())
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

/// Sets the status of agent `$1` from the queue at `$2`.
macro_rules! status_from_queue {
    () => {
        "UPDATE agent SET updated_at = $2, status = CASE WHEN EXISTS (SELECT 1 FROM agent_task_queue t
            WHERE t.agent_id = agent.id AND t.status IN ('dispatched', 'running', 'waiting_local_directory'))
            THEN 'working' ELSE 'idle' END
        WHERE id = $1"
    };
}
pub(super) use status_from_queue;

/// Sets the status from the queue: `working` while anything is in flight, else `idle`.
/// Gives the agent as it is now. Needs the row locked.
pub async fn reconcile_status(conn: &mut Conn, id: AgentId, now: Time) -> Result<Option<Agent>, StoreError> {
    const SQL: &str = concat!(status_from_queue!(), " RETURNING ", agent_columns!());
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(id).bind(now).fetch_optional(c).await)?)
}

/// The display name behind an actor's type and id; `None` for the system or somebody gone.
pub async fn find_name(conn: &mut Conn, id: Uuid) -> Result<Option<String>, StoreError> {
    const SQL: &str = "SELECT name FROM agent WHERE id = $1";
    Ok(on_conn!(conn, |c| sqlx::query_scalar(SQL).bind(id).fetch_optional(c).await)?)
}
