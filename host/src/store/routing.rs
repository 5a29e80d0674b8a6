//! What routing a comment has to know, in few questions.

use super::batch::Ids;
use super::{Conn, StoreError};
use crate::model::ids::{AgentId, CommentId, IssueId, SquadId, WorkspaceId};

/// A squad and who leads it.
#[derive(Clone, Copy, Debug)]
pub struct Leader {
    pub squad_id: SquadId,
    pub agent_id: AgentId,
}

from_row!(Leader { squad_id = "id", agent_id = "leader_id" });

/// Those of the squads that the workspace has.
pub async fn list_leaders(
    conn: &mut Conn,
    workspace: WorkspaceId,
    squads: &Ids,
) -> Result<Vec<Leader>, StoreError> {
    const SQLITE: &str = "SELECT id, leader_id FROM squad
        WHERE workspace_id = $1 AND id IN (SELECT unhex(value) FROM json_each($2))";
    const POSTGRES: &str = "SELECT id, leader_id FROM squad WHERE workspace_id = $1 AND id = ANY($2)";
    let sql = by_engine!(conn, sqlite: SQLITE, postgres: POSTGRES);
    Ok(on_conn!(conn, |c| sqlx::query_as(sql).bind(workspace).bind(squads).fetch_all(c).await)?)
}

/// Those of the agents that the workspace has and that are not archived.
pub async fn list_ready(
    conn: &mut Conn,
    workspace: WorkspaceId,
    agents: &Ids,
) -> Result<Vec<AgentId>, StoreError> {
    const SQLITE: &str = "SELECT id FROM agent WHERE workspace_id = $1 AND archived_at IS NULL
        AND id IN (SELECT unhex(value) FROM json_each($2))";
    const POSTGRES: &str =
        "SELECT id FROM agent WHERE workspace_id = $1 AND archived_at IS NULL AND id = ANY($2)";
    let sql = by_engine!(conn, sqlite: SQLITE, postgres: POSTGRES);
    Ok(on_conn!(conn, |c| sqlx::query_scalar(sql).bind(workspace).bind(agents).fetch_all(c).await)?)
}

/// Whether the agent's latest task on the issue was a leader's; no when it had none.
pub async fn led_last(conn: &mut Conn, issue: IssueId, agent: AgentId) -> Result<bool, StoreError> {
    const SQL: &str = "SELECT is_leader_task FROM agent_task_queue
        WHERE issue_id = $1 AND agent_id = $2 ORDER BY created_at DESC, id DESC LIMIT 1";
    let led: Option<bool> =
        on_conn!(conn, |c| sqlx::query_scalar(SQL).bind(issue).bind(agent).fetch_optional(c).await)?;
    Ok(led.unwrap_or_default())
}

/// A task that a comment started.
#[derive(Clone, Copy, Debug)]
pub struct Started {
    pub agent_id: AgentId,
    pub squad_id: Option<SquadId>,
}

from_row!(Started { agent_id, squad_id });

/// The tasks of the issue that the comment started, oldest first.
pub async fn list_started(
    conn: &mut Conn,
    issue: IssueId,
    comment: CommentId,
) -> Result<Vec<Started>, StoreError> {
    const SQL: &str = "SELECT agent_id, squad_id FROM agent_task_queue
        WHERE trigger_comment_id = $1 AND issue_id = $2 ORDER BY created_at, id";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(comment).bind(issue).fetch_all(c).await)?)
}

/// The agents with a queued or dispatched task on the issue that the comment did not start.
pub async fn list_pending_agents(
    conn: &mut Conn,
    issue: IssueId,
    comment: Option<CommentId>,
) -> Result<Vec<AgentId>, StoreError> {
    const SQL: &str = "SELECT agent_id FROM agent_task_queue
        WHERE issue_id = $1 AND status IN ('queued', 'dispatched')
            AND ($2 IS NULL OR trigger_comment_id IS NULL OR trigger_comment_id <> $2)";
    Ok(on_conn!(conn, |c| sqlx::query_scalar(SQL).bind(issue).bind(comment).fetch_all(c).await)?)
}
