//! What the stages cost without a sandbox.

use std::hint::black_box;

use serde_json::Value;
use switchyard::plugin::stage;
use switchyard_sdk::TaskKind;
use switchyard_sdk::repo_resolution::Resource;
use switchyard_sdk::squad_briefing::{Input, Member, MemberKind};

use crate::inputs;

/// The plainest merge there is: both sides parsed to values, united, printed.
pub fn merge(agent: &str, overlay: &str) -> String {
    let mut whole: Value = serde_json::from_str(agent).unwrap();
    let mut overlay: Value = serde_json::from_str(overlay).unwrap();
    let servers = whole["mcpServers"].as_object_mut().unwrap();
    servers.append(overlay["mcpServers"].as_object_mut().unwrap());
    whole.to_string()
}

/// What the three first-party plugins are given.
pub struct Native {
    agent: String,
    overlay: String,
    resources: Vec<Resource>,
    squad: Input,
}

impl Native {
    pub fn new() -> Self {
        Self {
            agent: inputs::agent_config(),
            overlay: inputs::overlay(),
            resources: inputs::repo_input().resources.into_iter().map(resource).collect(),
            squad: squad(inputs::squad()),
        }
    }

    /// Their own code, compiled for the host.
    pub fn run(&self) {
        black_box(mcp_overlay::merge(Some(&self.agent), Some(&self.overlay)).unwrap());
        black_box(::repo_resolution::resolve(TaskKind::Direct, &self.resources));
        black_box(squad_briefing::briefing(&self.squad));
    }
}

fn resource(given: stage::Resource) -> Resource {
    Resource {
        id: given.id,
        resource_type: given.resource_type,
        resource_ref: given.resource_ref,
        label: given.label,
    }
}

fn squad(given: stage::BriefingInput) -> Input {
    let member = |given: stage::Member| Member {
        kind: match given.kind {
            stage::MemberKind::Agent => MemberKind::Agent,
            stage::MemberKind::Human => MemberKind::Human,
        },
        id: given.id,
        name: given.name,
        role: given.role,
        archived: given.archived,
        skills: given.skills,
    };
    Input {
        kind: TaskKind::Direct,
        squad_id: given.squad_id,
        squad_name: given.squad_name,
        squad_instructions: given.squad_instructions,
        leader_id: given.leader_id,
        leader_name: given.leader_name,
        members: given.members.into_iter().map(member).collect(),
        attributes: Vec::new(),
    }
}
