//! Squads: a group of agents and people with one leader agent.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::ids::{AgentId, SquadId, UserId, WorkspaceId};
use super::time::{Time, seconds};

/// The role of the agent that leads.
pub const LEADER: &str = "leader";
/// How many members a list of squads names for each.
const PREVIEW: usize = 3;

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

/// A row of `squad_member`.
#[derive(Clone, Debug)]
pub struct SquadMember {
    pub id: Uuid,
    pub squad_id: SquadId,
    /// `agent`, or `member` for a person.
    pub member_type: String,
    /// The agent, or the user.
    pub member_id: Uuid,
    pub role: String,
    pub created_at: Time,
}

/// The squad as answers and events show it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SquadBody {
    pub id: SquadId,
    pub workspace_id: WorkspaceId,
    pub name: String,
    pub description: String,
    pub instructions: String,
    pub avatar_url: Option<String>,
    pub leader_id: AgentId,
    pub creator_id: Uuid,
    #[schema(format = DateTime)]
    pub created_at: String,
    #[schema(format = DateTime)]
    pub updated_at: String,
    #[schema(format = DateTime)]
    pub archived_at: Option<String>,
    pub archived_by: Option<UserId>,
    pub member_count: usize,
    /// At most three, the leader first.
    pub member_preview: Vec<MemberTag>,
}

/// A member, in short.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct MemberTag {
    /// `agent`, or `member` for a person.
    pub member_type: String,
    pub member_id: Uuid,
    pub role: String,
}

/// A member as answers show it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SquadMemberBody {
    pub id: Uuid,
    pub squad_id: SquadId,
    /// `agent`, or `member` for a person.
    pub member_type: String,
    /// The agent, or the user.
    pub member_id: Uuid,
    pub role: String,
    #[schema(format = DateTime)]
    pub created_at: String,
}

impl SquadBody {
    /// `members` are all of the squad's, oldest first.
    pub fn new(squad: Squad, members: &[SquadMember]) -> Self {
        let leads =
            |member: &&SquadMember| member.member_type == "agent" && member.member_id == squad.leader_id.0;
        let leader = members.iter().filter(leads);
        let others = members.iter().filter(|member| !leads(member));
        let preview = leader.chain(others).take(PREVIEW).map(|member| MemberTag {
            member_type: member.member_type.clone(),
            member_id: member.member_id,
            role: member.role.clone(),
        });
        Self {
            member_count: members.len(),
            member_preview: preview.collect(),
            id: squad.id,
            workspace_id: squad.workspace_id,
            name: squad.name,
            description: squad.description,
            instructions: squad.instructions,
            avatar_url: squad.avatar_url,
            leader_id: squad.leader_id,
            creator_id: squad.creator_id,
            created_at: seconds(squad.created_at),
            updated_at: seconds(squad.updated_at),
            archived_at: squad.archived_at.map(seconds),
            archived_by: squad.archived_by,
        }
    }
}

impl From<SquadMember> for SquadMemberBody {
    fn from(row: SquadMember) -> Self {
        Self {
            id: row.id,
            squad_id: row.squad_id,
            member_type: row.member_type,
            member_id: row.member_id,
            role: row.role,
            created_at: seconds(row.created_at),
        }
    }
}
