//! What the members of a squad are doing.

use uuid::Uuid;

use super::{Conn, StoreError};
use crate::model::ids::{AgentId, IssueId, SquadId};
use crate::model::time::Time;

/// A member, and what is known of it if it is an agent.
#[derive(Clone, Debug)]
pub struct MemberState {
    pub member_type: String,
    pub member_id: Uuid,
    pub archived: bool,
    /// Has a task that waits or runs.
    pub busy: bool,
    pub runtime_status: Option<String>,
    pub last_seen_at: Option<Time>,
    /// When a task of its last moved.
    pub last_active_at: Option<Time>,
}

from_row!(MemberState {
    member_type,
    member_id,
    archived,
    busy,
    runtime_status,
    last_seen_at,
    last_active_at
});

/// Everyone in a squad, in the order they joined.
pub async fn list(conn: &mut Conn, squad: SquadId) -> Result<Vec<MemberState>, StoreError> {
    const SQL: &str = "SELECT m.member_type, m.member_id, a.archived_at IS NOT NULL AS archived,
            EXISTS (SELECT 1 FROM agent_task_queue t WHERE t.agent_id = a.id
                AND t.status IN ('queued', 'dispatched', 'running', 'waiting_local_directory')) AS busy,
            r.status AS runtime_status, r.last_seen_at,
            (SELECT max(COALESCE(t.completed_at, t.started_at, t.dispatched_at))
                FROM agent_task_queue t WHERE t.agent_id = a.id) AS last_active_at
        FROM squad_member m
        LEFT JOIN agent a ON m.member_type = 'agent' AND a.id = m.member_id
        LEFT JOIN agent_runtime r ON r.id = a.runtime_id
        WHERE m.squad_id = $1 ORDER BY m.created_at, m.id";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(squad).fetch_all(c).await)?)
}

/// An issue that an agent of a squad has a task on.
#[derive(Clone, Debug)]
pub struct ActiveIssue {
    pub agent_id: AgentId,
    pub issue_id: IssueId,
    pub number: i32,
    pub title: String,
    pub status: String,
}

from_row!(ActiveIssue { agent_id, issue_id, number, title, status });

/// The issues that a squad's agents have tasks on, by number.
pub async fn list_issues(conn: &mut Conn, squad: SquadId) -> Result<Vec<ActiveIssue>, StoreError> {
    const SQL: &str = "SELECT DISTINCT t.agent_id, i.id AS issue_id, i.number, i.title, i.status
        FROM squad_member m
        JOIN agent_task_queue t ON t.agent_id = m.member_id
        JOIN issue i ON i.id = t.issue_id
        WHERE m.squad_id = $1 AND m.member_type = 'agent'
            AND t.status IN ('queued', 'dispatched', 'running', 'waiting_local_directory')
        ORDER BY i.number, t.agent_id";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(squad).fetch_all(c).await)?)
}
