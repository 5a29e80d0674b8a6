//! Between the stages' plain values and the encoding of `wit/`. Pure.

use super::bindings::exports::switchyard::plugin::{
    enrichment, mcp_overlay, prepare, repo_resolution, squad_briefing,
};
use super::bindings::switchyard::plugin::types;
use super::stage::{
    BriefingInput, ConnectedAccount, ConnectedApp, Decision, Kind, McpInput, Member, MemberKind, Merged,
    Operation, PrepareInput, PrepareOutput, Repo, RepoInput, Resolution, Subject,
};

pub fn call(subject: &Subject, config: &str, deadline_ms: u64) -> types::Call {
    types::Call {
        task_id: subject.task_id.clone(),
        workspace_id: subject.workspace_id.clone(),
        config: config.to_owned(),
        deadline_ms: u32::try_from(deadline_ms).unwrap_or(u32::MAX),
        attributes: Vec::new(),
    }
}

pub fn prepare_input(input: &PrepareInput) -> prepare::Input {
    let account = |account: &ConnectedAccount| prepare::ConnectedAccount {
        toolkit: account.toolkit.clone(),
        account_id: account.account_id.clone(),
    };
    prepare::Input {
        kind: kind(input.kind),
        agent_id: input.agent_id.clone(),
        owner_id: input.owner_id.clone(),
        allowlist: input.allowlist.clone(),
        accounts: input.accounts.iter().map(account).collect(),
        attributes: Vec::new(),
    }
}

pub fn prepared(output: prepare::Output) -> PrepareOutput {
    let app = |app: prepare::ConnectedApp| ConnectedApp {
        provider: app.provider,
        server_name: app.server_name,
        toolkit: app.toolkit,
        display_name: app.display_name,
    };
    PrepareOutput { overlay: output.overlay, apps: output.apps.into_iter().map(app).collect() }
}

pub fn repo_input(input: &RepoInput) -> repo_resolution::Input {
    repo_resolution::Input {
        kind: kind(input.kind),
        resources: input
            .resources
            .iter()
            .map(|resource| repo_resolution::Resource {
                id: resource.id.clone(),
                resource_type: resource.resource_type.clone(),
                resource_ref: resource.resource_ref.clone(),
                label: resource.label.clone(),
            })
            .collect(),
        workspace_repos: input.workspace_repos.iter().map(repo_in).collect(),
        attributes: Vec::new(),
    }
}

pub fn resolution(resolution: repo_resolution::Resolution) -> Resolution {
    match resolution {
        repo_resolution::Resolution::Workspace => Resolution::Workspace,
        repo_resolution::Resolution::These(repos) => {
            Resolution::These(repos.into_iter().map(repo_out).collect())
        }
    }
}

pub fn mcp_input(input: &McpInput) -> mcp_overlay::Input {
    mcp_overlay::Input {
        agent_config: input.agent_config.clone(),
        overlay: input.overlay.clone(),
        attributes: Vec::new(),
    }
}

pub fn merged(merged: mcp_overlay::Merged) -> Merged {
    match merged {
        mcp_overlay::Merged::AgentConfig => Merged::AgentConfig,
        mcp_overlay::Merged::Config(text) => Merged::Config(text),
        mcp_overlay::Merged::None => Merged::None,
    }
}

pub fn briefing_input(input: &BriefingInput) -> squad_briefing::Input {
    squad_briefing::Input {
        kind: kind(input.kind),
        squad_id: input.squad_id.clone(),
        squad_name: input.squad_name.clone(),
        squad_instructions: input.squad_instructions.clone(),
        leader_id: input.leader_id.clone(),
        leader_name: input.leader_name.clone(),
        members: input.members.iter().map(member).collect(),
        attributes: Vec::new(),
    }
}

pub fn enrichment_input(claim: String) -> enrichment::Input {
    enrichment::Input { claim, attributes: Vec::new() }
}

pub fn decision(decision: enrichment::Decision) -> Decision {
    match decision {
        enrichment::Decision::Patch(operations) => {
            Decision::Patch(operations.into_iter().map(operation).collect())
        }
        enrichment::Decision::Deny(denial) => Decision::Deny { code: denial.code, reason: denial.reason },
    }
}

fn kind(kind: Kind) -> types::TaskKind {
    match kind {
        Kind::Direct => types::TaskKind::Direct,
        Kind::Comment => types::TaskKind::Comment,
        Kind::Chat => types::TaskKind::Chat,
        Kind::Autopilot => types::TaskKind::Autopilot,
        Kind::QuickCreate => types::TaskKind::QuickCreate,
    }
}

fn member(member: &Member) -> squad_briefing::Member {
    squad_briefing::Member {
        kind: match member.kind {
            MemberKind::Agent => squad_briefing::MemberKind::Agent,
            MemberKind::Human => squad_briefing::MemberKind::Human,
        },
        id: member.id.clone(),
        name: member.name.clone(),
        role: member.role.clone(),
        archived: member.archived,
        skills: member.skills.clone(),
    }
}

fn operation(operation: enrichment::Operation) -> Operation {
    use enrichment::Operation as Wit;
    match operation {
        Wit::AppendInstructions(text) => Operation::AppendInstructions(text),
        Wit::AppendContext(text) => Operation::AppendContext(text),
        Wit::AddRepo(repo) => Operation::AddRepo(repo_out(repo)),
        Wit::AddArg(text) => Operation::AddArg(text),
        Wit::PutMcpServer(entry) => Operation::PutMcpServer(entry.name, entry.value),
        Wit::PutEnv(entry) => Operation::PutEnv(entry.name, entry.value),
        Wit::Set(entry) => Operation::Set(entry.name, entry.value),
    }
}

fn repo_in(repo: &Repo) -> types::Repo {
    types::Repo { url: repo.url.clone(), description: repo.description.clone(), ref_: repo.reference.clone() }
}

fn repo_out(repo: types::Repo) -> Repo {
    Repo { url: repo.url, description: repo.description, reference: repo.ref_ }
}
