//! How much crosses the boundary: texts in bytes, lists in items. The numbers that a value
//! is made of are not counted; they are small beside its texts.

use super::stage::{
    BriefingInput, Decision, McpInput, Merged, Operation, PrepareInput, PrepareOutput, Repo, RepoInput,
    Resolution,
};

/// What a record costs beside the texts that are counted one by one: ids and names.
const RECORD: usize = 64;

pub struct Size {
    pub bytes: usize,
    pub items: usize,
}

impl Size {
    pub fn of(bytes: usize) -> Self {
        Self { bytes, items: 1 }
    }
}

pub fn of_prepare_input(input: &PrepareInput) -> usize {
    let accounts = input.accounts.iter().map(|account| account.toolkit.len() + account.account_id.len());
    input.allowlist.iter().map(String::len).sum::<usize>() + accounts.sum::<usize>() + RECORD
}

pub fn of_prepare_output(output: &PrepareOutput) -> Size {
    let apps = output.apps.iter().map(|app| {
        app.provider.len() + app.server_name.len() + app.toolkit.len() + text(app.display_name.as_ref())
    });
    Size { bytes: text(output.overlay.as_ref()) + apps.sum::<usize>(), items: output.apps.len() }
}

pub fn of_repo_input(input: &RepoInput) -> usize {
    let resource = |reference: &str, label| reference.len() + text(label) + RECORD;
    input.workspace_repos.iter().map(repo).sum::<usize>()
        + input
            .resources
            .iter()
            .map(|given| resource(&given.resource_ref, given.label.as_ref()) + given.resource_type.len())
            .sum::<usize>()
}

pub fn of_resolution(resolution: &Resolution) -> Size {
    match resolution {
        Resolution::Workspace => Size::of(0),
        Resolution::These(repos) => Size { bytes: repos.iter().map(repo).sum(), items: repos.len() },
    }
}

pub fn of_mcp_input(input: &McpInput) -> usize {
    text(input.agent_config.as_ref()) + text(input.overlay.as_ref())
}

pub fn of_merged(merged: &Merged) -> Size {
    match merged {
        Merged::Config(text) => Size::of(text.len()),
        Merged::AgentConfig | Merged::None => Size::of(0),
    }
}

pub fn of_briefing_input(input: &BriefingInput) -> usize {
    let members = input.members.iter().map(|member| {
        let skills = member.skills.iter().flatten().map(String::len).sum::<usize>();
        member.name.len() + member.role.len() + skills + RECORD
    });
    input.squad_instructions.len() + input.squad_name.len() + members.sum::<usize>()
}

pub fn of_decision(decision: &Decision) -> Size {
    match decision {
        Decision::Deny { code, reason } => Size::of(code.len() + reason.len()),
        Decision::Patch(operations) => {
            Size { bytes: operations.iter().map(of_operation).sum(), items: operations.len() }
        }
    }
}

pub fn of_operation(operation: &Operation) -> usize {
    match operation {
        Operation::AppendInstructions(text) | Operation::AppendContext(text) | Operation::AddArg(text) => {
            text.len()
        }
        Operation::AddRepo(given) => repo(given),
        Operation::PutMcpServer(name, text) | Operation::PutEnv(name, text) | Operation::Set(name, text) => {
            name.len() + text.len()
        }
    }
}

fn repo(repo: &Repo) -> usize {
    repo.url.len() + text(repo.description.as_ref()) + text(repo.reference.as_ref())
}

fn text(text: Option<&String>) -> usize {
    text.map_or(0, String::len)
}
