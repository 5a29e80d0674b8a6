//! With whom agents are shared.

use super::{Conn, StoreError};
use crate::model::agent::InvocationTarget;
use crate::model::ids::{AgentId, UserId, WorkspaceId};
use crate::model::time::Time;
use uuid::Uuid;

from_row!(InvocationTarget { agent_id, target_type, target_id });

/// Those of one agent, by type and then age.
pub async fn list(conn: &mut Conn, agent: AgentId) -> Result<Vec<InvocationTarget>, StoreError> {
    const SQL: &str = "SELECT agent_id, target_type, target_id FROM agent_invocation_target
        WHERE agent_id = $1 ORDER BY target_type, created_at, id";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(agent).fetch_all(c).await)?)
}

/// Those of all agents of a workspace, each agent's by type and then age.
pub async fn list_of_workspace(
    conn: &mut Conn,
    workspace: WorkspaceId,
) -> Result<Vec<InvocationTarget>, StoreError> {
    const SQL: &str = "SELECT t.agent_id, t.target_type, t.target_id
        FROM agent_invocation_target t JOIN agent a ON a.id = t.agent_id
        WHERE a.workspace_id = $1 ORDER BY t.target_type, t.created_at, t.id";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(workspace).fetch_all(c).await)?)
}

pub async fn delete_all(conn: &mut Conn, agent: AgentId) -> Result<(), StoreError> {
    const SQL: &str = "DELETE FROM agent_invocation_target WHERE agent_id = $1";
    on_conn!(conn, |c| sqlx::query(SQL).bind(agent).execute(c).await.map(drop))?;
    Ok(())
}

/// Adds a target, or notes who named it last and when.
pub async fn insert(
    conn: &mut Conn,
    agent: AgentId,
    (target_type, target_id): (&str, Uuid),
    created_by: UserId,
    now: Time,
) -> Result<(), StoreError> {
    const SQL: &str =
        "INSERT INTO agent_invocation_target (id, agent_id, target_type, target_id, created_by, created_at)
        VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (agent_id, target_type, target_id)
        DO UPDATE SET created_by = excluded.created_by, created_at = excluded.created_at";
    on_conn!(conn, |c| sqlx::query(SQL)
        .bind(Uuid::now_v7())
        .bind(agent)
        .bind(target_type)
        .bind(target_id)
        .bind(created_by)
        .bind(now)
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}
