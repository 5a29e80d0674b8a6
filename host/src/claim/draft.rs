//! From what was loaded to what the stages take.

use serde_json::{Map, Value};

use super::context::{Context, SquadContext};
use crate::dispatch::claim::Claimed;
use crate::enrich::Draft;
use crate::model::ids::AgentId;
use crate::model::project::ProjectResource;
use crate::model::status::TaskKind;
use crate::model::workspace::stored_repos;
use crate::plugin::stage::{BriefingInput, Kind, Member, MemberKind, Repo, Resource, Subject};

pub fn of(claimed: &Claimed, context: Context, body: Map<String, Value>) -> Draft {
    let kind = kind(claimed.task.kind());
    let repos = context.around.as_ref().map(|around| stored_repos(&around.workspace_repos));
    let (leader_name, mcp_config, overlay) = match context.around.map(|around| *around) {
        Some(around) => (Some(around.agent.name), around.agent.mcp_config, around.runtime_mcp_overlay),
        None => (None, None, None),
    };
    Draft {
        subject: Subject {
            task_id: claimed.task.id.to_string(),
            workspace_id: claimed.workspace_id.to_string(),
            agent_id: claimed.task.agent_id.to_string(),
            kind,
        },
        kind,
        resources: context.resources.iter().map(resource).collect(),
        workspace_repos: repos
            .into_iter()
            .flatten()
            .map(|repo| Repo { url: repo.url, description: repo.description, reference: repo.reference })
            .collect(),
        // A stored `null` is no configuration.
        agent_mcp_config: mcp_config.filter(|config| !config.is_null()),
        overlay: overlay.filter(|overlay| !overlay.is_null()),
        squad: context.squad.map(|squad| briefing(kind, squad, leader_name)),
        body,
    }
}

/// As the stages call it.
pub fn kind(kind: TaskKind) -> Kind {
    match kind {
        TaskKind::Chat => Kind::Chat,
        TaskKind::Autopilot => Kind::Autopilot,
        TaskKind::QuickCreate => Kind::QuickCreate,
        TaskKind::Comment => Kind::Comment,
        TaskKind::Direct => Kind::Direct,
    }
}

fn resource(resource: &ProjectResource) -> Resource {
    Resource {
        id: resource.id.to_string(),
        resource_type: resource.resource_type.clone(),
        resource_ref: resource.resource_ref.to_string(),
        label: resource.label.clone(),
    }
}

fn briefing(kind: Kind, context: SquadContext, leader_name: Option<String>) -> BriefingInput {
    let SquadContext { squad, members, skills } = context;
    let skills_of = |id| {
        let names = skills.iter().filter(|(agent, _)| *agent == AgentId(id));
        names.map(|(_, name)| name.clone()).collect::<Vec<_>>()
    };
    let members = members
        .into_iter()
        .filter_map(|member| {
            let kind = match member.member_type.as_str() {
                "agent" => MemberKind::Agent,
                "member" => MemberKind::Human,
                _ => return None,
            };
            Some(Member {
                kind,
                id: member.member_id.to_string(),
                // Somebody who cannot be read any more is no member to name.
                name: member.name?,
                role: member.role,
                archived: member.archived,
                skills: (kind == MemberKind::Agent).then(|| skills_of(member.member_id)),
            })
        })
        .collect();
    BriefingInput {
        kind,
        squad_id: squad.id.to_string(),
        squad_name: squad.name,
        squad_instructions: squad.instructions,
        leader_id: squad.leader_id.to_string(),
        leader_name,
        members,
    }
}
