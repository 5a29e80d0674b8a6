//! The input of a stage as a JSON file says it. What is JSON text in the contract is plain
//! JSON here.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::stage::{
    BriefingInput, ConnectedAccount, Kind, McpInput, Member, MemberKind, PrepareInput, Repo, RepoInput,
    Resource,
};

#[derive(Clone, Copy, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum KindText {
    #[default]
    Direct,
    Comment,
    Chat,
    Autopilot,
    QuickCreate,
}

/// Of `prepare`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prepare {
    #[serde(default)]
    kind: KindText,
    agent_id: String,
    owner_id: Option<String>,
    #[serde(default)]
    allowlist: Vec<String>,
    #[serde(default)]
    accounts: Vec<AccountText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountText {
    toolkit: String,
    account_id: String,
}

/// Of `repo-resolution`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepoResolution {
    #[serde(default)]
    kind: KindText,
    #[serde(default)]
    resources: Vec<ResourceText>,
    #[serde(default)]
    workspace_repos: Vec<RepoText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResourceText {
    #[serde(default)]
    id: String,
    resource_type: String,
    #[serde(default)]
    resource_ref: Value,
    label: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RepoText {
    url: String,
    description: Option<String>,
    #[serde(rename = "ref")]
    reference: Option<String>,
}

/// Of `mcp-overlay`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mcp {
    agent_config: Option<Value>,
    overlay: Option<Value>,
}

/// Of `squad-briefing`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Briefing {
    #[serde(default)]
    kind: KindText,
    #[serde(default)]
    squad_id: String,
    squad_name: String,
    #[serde(default)]
    squad_instructions: String,
    leader_id: String,
    leader_name: Option<String>,
    #[serde(default)]
    members: Vec<MemberText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MemberText {
    kind: MemberKindText,
    id: String,
    name: String,
    #[serde(default)]
    role: String,
    #[serde(default)]
    archived: bool,
    skills: Option<Vec<String>>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum MemberKindText {
    Agent,
    Human,
}

/// The input of `prepare`, as it is read.
pub fn of_prepare(input: &PrepareInput) -> Value {
    let accounts = input
        .accounts
        .iter()
        .map(|account| json!({"toolkit": account.toolkit, "account_id": account.account_id}));
    json!({
        "kind": KindText::from(input.kind),
        "agent_id": input.agent_id,
        "owner_id": input.owner_id,
        "allowlist": input.allowlist,
        "accounts": accounts.collect::<Vec<_>>(),
    })
}

/// The input of `repo-resolution`, as it is read.
pub fn of_repos(input: &RepoInput) -> Value {
    let resources = input.resources.iter().map(|resource| {
        json!({
            "id": resource.id,
            "resource_type": resource.resource_type,
            "resource_ref": serde_json::from_str::<Value>(&resource.resource_ref).unwrap_or_default(),
            "label": resource.label,
        })
    });
    let repos = input
        .workspace_repos
        .iter()
        .map(|repo| json!({"url": repo.url, "description": repo.description, "ref": repo.reference}));
    json!({
        "kind": KindText::from(input.kind),
        "resources": resources.collect::<Vec<_>>(),
        "workspace_repos": repos.collect::<Vec<_>>(),
    })
}

/// The input of `squad-briefing`, as it is read.
pub fn of_briefing(input: &BriefingInput) -> Value {
    let members = input.members.iter().map(|member| {
        json!({
            "kind": if member.kind == MemberKind::Agent { "agent" } else { "human" },
            "id": member.id,
            "name": member.name,
            "role": member.role,
            "archived": member.archived,
            "skills": member.skills,
        })
    });
    json!({
        "kind": KindText::from(input.kind),
        "squad_id": input.squad_id,
        "squad_name": input.squad_name,
        "squad_instructions": input.squad_instructions,
        "leader_id": input.leader_id,
        "leader_name": input.leader_name,
        "members": members.collect::<Vec<_>>(),
    })
}

impl From<Kind> for KindText {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Direct => Self::Direct,
            Kind::Comment => Self::Comment,
            Kind::Chat => Self::Chat,
            Kind::Autopilot => Self::Autopilot,
            Kind::QuickCreate => Self::QuickCreate,
        }
    }
}

impl From<KindText> for Kind {
    fn from(kind: KindText) -> Self {
        match kind {
            KindText::Direct => Self::Direct,
            KindText::Comment => Self::Comment,
            KindText::Chat => Self::Chat,
            KindText::Autopilot => Self::Autopilot,
            KindText::QuickCreate => Self::QuickCreate,
        }
    }
}

impl From<Prepare> for PrepareInput {
    fn from(given: Prepare) -> Self {
        let account =
            |given: AccountText| ConnectedAccount { toolkit: given.toolkit, account_id: given.account_id };
        Self {
            kind: given.kind.into(),
            agent_id: given.agent_id,
            owner_id: given.owner_id,
            allowlist: given.allowlist,
            accounts: given.accounts.into_iter().map(account).collect(),
        }
    }
}

impl From<RepoResolution> for RepoInput {
    fn from(given: RepoResolution) -> Self {
        let resource = |given: ResourceText| Resource {
            id: given.id,
            resource_type: given.resource_type,
            resource_ref: given.resource_ref.to_string(),
            label: given.label,
        };
        let repo = |given: RepoText| Repo {
            url: given.url,
            description: given.description,
            reference: given.reference,
        };
        Self {
            kind: given.kind.into(),
            resources: given.resources.into_iter().map(resource).collect(),
            workspace_repos: given.workspace_repos.into_iter().map(repo).collect(),
        }
    }
}

impl From<Mcp> for McpInput {
    fn from(given: Mcp) -> Self {
        let text =
            |value: Option<Value>| value.filter(|value| !value.is_null()).map(|value| value.to_string());
        Self { agent_config: text(given.agent_config), overlay: text(given.overlay) }
    }
}

impl From<Briefing> for BriefingInput {
    fn from(given: Briefing) -> Self {
        let member = |given: MemberText| Member {
            kind: match given.kind {
                MemberKindText::Agent => MemberKind::Agent,
                MemberKindText::Human => MemberKind::Human,
            },
            id: given.id,
            name: given.name,
            role: given.role,
            archived: given.archived,
            skills: given.skills,
        };
        Self {
            kind: given.kind.into(),
            squad_id: given.squad_id,
            squad_name: given.squad_name,
            squad_instructions: given.squad_instructions,
            leader_id: given.leader_id,
            leader_name: given.leader_name,
            members: given.members.into_iter().map(member).collect(),
        }
    }
}
