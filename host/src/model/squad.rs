//! Squads: a group of agents and people with one leader agent.

use uuid::Uuid;

use super::ids::{AgentId, SquadId, UserId, WorkspaceId};
use super::time::Time;

/// A row of `squad`.
#[derive(Clone, Debug)]
pub struct Squad {
    pub id: SquadId,
    pub workspace_id: WorkspaceId,
    pub name: String,
    pub description: String,
    pub instructions: String,
    pub avatar_url: Option<String>,
    pub leader_id: AgentId,
    pub creator_id: Uuid,
    pub archived_at: Option<Time>,
    pub archived_by: Option<UserId>,
    pub created_at: Time,
    pub updated_at: Time,
}
