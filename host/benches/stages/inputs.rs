//! A claim of the usual size: a squad of ten, an MCP configuration of 4 KB, twenty
//! repositories of which the project's four count.

use serde_json::{Map, Value, json};
use switchyard::enrich::Draft;
use switchyard::plugin::stage::{
    BriefingInput, Kind, Member, MemberKind, Repo, RepoInput, Resource, Subject,
};

const INSTRUCTIONS: &str =
    "You maintain the payment service. Keep changes small, and write a test for each. ";

fn id(number: usize) -> String {
    format!("7c9e6679-7425-40de-944b-{number:012x}")
}

/// Ten servers, 4 KB with the overlay.
pub fn agent_config() -> String {
    let server = |number: usize| {
        let server = json!({
            "command": "npx",
            "args": ["-y", format!("@modelcontextprotocol/server-{number}"), "--root", "/srv/projects/payment"],
            "env": {"API_TOKEN": "0123456789abcdef0123456789abcdef", "REGION": "eu-central-1", "LEVEL": "debug"},
            "disabled": false,
            "timeout": 30_000,
        });
        (format!("server-{number}"), server)
    };
    let servers: Map<String, Value> = (0..10).map(server).collect();
    json!({"mcpServers": servers, "inputs": [{"id": "token", "type": "promptString", "password": true}]})
        .to_string()
}

/// Six servers over HTTP.
pub fn overlay() -> String {
    let server = |number: usize| {
        let server = json!({
            "type": "http",
            "url": format!("https://mcp.example.com/sessions/0123456789abcdef/{number}?user=42"),
            "headers": {"x-api-key": "ak_0123456789abcdef0123456789abcdef"},
        });
        (format!("server-{}", number * 3), server)
    };
    let servers: Map<String, Value> = (0..6).map(server).collect();
    json!({"mcpServers": servers}).to_string()
}

pub fn repo_input() -> RepoInput {
    let draft = draft();
    RepoInput { kind: draft.kind, resources: draft.resources, workspace_repos: draft.workspace_repos }
}

pub fn squad() -> BriefingInput {
    let member = |number: usize| Member {
        kind: if number.is_multiple_of(3) { MemberKind::Human } else { MemberKind::Agent },
        id: id(number),
        name: format!("Member {number}"),
        role: "Looks after the back end".to_owned(),
        archived: false,
        skills: (!number.is_multiple_of(3))
            .then(|| vec!["rust".to_owned(), "sql".to_owned(), "reviews".to_owned()]),
    };
    BriefingInput {
        kind: Kind::Direct,
        squad_id: id(900),
        squad_name: "Core".to_owned(),
        squad_instructions: "Ship behind a flag. Ask before a migration.\n".repeat(8),
        leader_id: id(0),
        leader_name: Some("Lea".to_owned()),
        members: (0..10).map(member).collect(),
    }
}

pub fn draft() -> Draft {
    let repo = |number: usize| Repo {
        url: format!("https://github.com/example/service-{number}"),
        description: Some("A service of the platform team".to_owned()),
        reference: number.is_multiple_of(2).then(|| "main".to_owned()),
    };
    let resource = |number: usize| Resource {
        id: id(number),
        resource_type: "github_repo".to_owned(),
        resource_ref: json!({"url": format!("https://github.com/example/app-{number}"), "ref": "main"})
            .to_string(),
        label: None,
    };
    Draft {
        subject: Subject { task_id: id(1), workspace_id: id(2), agent_id: id(3), kind: Kind::Direct },
        kind: Kind::Direct,
        resources: (0..4).map(resource).collect(),
        workspace_repos: (0..16).map(repo).collect(),
        agent_mcp_config: serde_json::from_str(&agent_config()).ok(),
        overlay: serde_json::from_str(&overlay()).ok(),
        squad: Some(squad()),
        body: body(),
    }
}

fn body() -> Map<String, Value> {
    let body = json!({
        "id": id(1),
        "agent_id": id(0),
        "workspace_id": id(2),
        "kind": "direct",
        "status": "dispatched",
        "agent": {
            "id": id(0),
            "name": "Lea",
            "instructions": INSTRUCTIONS.repeat(12),
            "custom_env": {"REGION": "eu-central-1", "TOKEN": "0123456789abcdef"},
            "custom_args": ["--verbose"],
            "skills": (0..3).map(|number| json!({"name": format!("skill-{number}"), "content": INSTRUCTIONS.repeat(20)})).collect::<Vec<_>>(),
        },
        "thread_name": "Refunds are rounded the wrong way",
        "auth_token": "mat_0123456789abcdef0123456789abcdef",
    });
    body.as_object().cloned().unwrap_or_default()
}
