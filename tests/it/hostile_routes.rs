//! Every route there is, with real ids in its path, for the hostile test: the user plane's as
//! the OpenAPI document lists them, the daemon plane's as the harness does.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::harness::{DAEMON_ROUTES, Gateway, World};

pub struct Route {
    pub method: Method,
    pub template: String,
    /// With ids of things that exist.
    pub path: String,
    pub queries: Vec<String>,
    pub has_body: bool,
    /// The members of its body.
    pub members: Vec<String>,
    /// What would do for a body.
    plain: Map<String, Value>,
}

impl Route {
    /// The path with each of the segments in place of each id in turn.
    pub fn hostile_paths(&self, segments: &[&str]) -> Vec<String> {
        let template: Vec<&str> = self.template.split('/').collect();
        let path: Vec<&str> = self.path.split('/').collect();
        let ids = template.iter().enumerate().filter(|(_, segment)| segment.starts_with('{'));
        let mut paths = Vec::new();
        for (place, _) in ids {
            for segment in segments {
                let mut hostile = path.clone();
                hostile[place] = segment;
                paths.push(hostile.join("/"));
            }
        }
        paths
    }

    pub fn plain_body(&self) -> String {
        Value::Object(self.plain.clone()).to_string()
    }

    /// The plain body, with raw text as the value of one member.
    pub fn body_with(&self, member: &str, raw: &str) -> String {
        let others = self.plain.iter().filter(|(name, _)| *name != member);
        let mut members: Vec<String> =
            others.map(|(name, value)| format!("{}:{value}", json!(name))).collect();
        members.push(format!("{}:{raw}", json!(member)));
        format!("{{{}}}", members.join(","))
    }
}

/// Stands in a body for something that no other call sends.
pub const UNIQUE: &str = "%unique%";

/// Calls that would take away what the other calls need: they get ids of nothing.
const TAKES_AWAY: [&str; 7] = [
    "/archive",
    "/archive-agents-and-delete",
    "/leave",
    "/auth/logout",
    "/members/{memberId}",
    "/cancel-tasks",
    "/batch-delete",
];

/// Members of the daemon plane's bodies, which no document lists.
const DAEMON_MEMBERS: [(&str, &[&str]); 14] = [
    (
        "/register",
        &[
            "workspace_id",
            "daemon_id",
            "legacy_daemon_ids",
            "device_name",
            "cli_version",
            "launched_by",
            "runtimes",
            "failed_profiles",
        ],
    ),
    ("/deregister", &["runtime_ids"]),
    ("/heartbeat", &["runtime_id", "supports_batch_import"]),
    ("/resolve", &["skills"]),
    ("/wait-local-directory", &["reason"]),
    ("/progress", &["summary", "step", "total"]),
    ("/usage", &["usage"]),
    ("/complete", &["output", "pr_url", "session_id", "work_dir"]),
    ("/fail", &["error", "session_id", "work_dir", "failure_reason"]),
    ("/messages", &["messages"]),
    ("/session", &["session_id", "work_dir"]),
    ("/update/{updateId}/result", &["status", "output", "error"]),
    ("/models/{requestId}/result", &["status", "models", "supported", "error"]),
    ("/{requestId}/result", &["status", "skills", "skill", "supported", "error"]),
];

pub async fn routes(gateway: &Gateway, world: &World) -> Vec<Route> {
    let cast = Cast::seed(gateway, world).await;
    let document = gateway.anonymous().get("/api/openapi.json").await.expect(200);
    let mut routes = Vec::new();
    for (template, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            if method != "parameters" {
                routes.push(user_route(&document, &cast, template, method, operation));
            }
        }
    }
    assert!(routes.len() > 100, "the document lists {} routes", routes.len());
    for (method, template, has_body) in DAEMON_ROUTES {
        let members = DAEMON_MEMBERS.iter().find(|(end, _)| template.ends_with(end));
        let members = members.filter(|_| has_body).map_or(&[] as &[&str], |(_, members)| members);
        let plain = members.iter().filter_map(|name| Some(((*name).to_owned(), cast.member(name)?)));
        routes.push(Route {
            method: method.parse().unwrap(),
            template: template.to_owned(),
            path: cast.path(template, false),
            queries: vec!["runtime_ids".to_owned()],
            has_body,
            members: members.iter().map(|name| (*name).to_owned()).collect(),
            plain: plain.collect(),
        });
    }
    routes
}

fn user_route(document: &Value, cast: &Cast, template: &str, method: &str, operation: &Value) -> Route {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let queries = parameters.filter(|parameter| parameter["in"] == "query");
    let mut properties = Map::new();
    let body = operation["requestBody"]["content"].as_object();
    for content in body.into_iter().flat_map(Map::values) {
        collect(document, &content["schema"], &mut properties);
    }
    let spare = method == "delete" || TAKES_AWAY.iter().any(|end| template.ends_with(end));
    Route {
        method: method.to_uppercase().parse().unwrap(),
        template: template.to_owned(),
        path: cast.path(template, spare),
        queries: queries.map(|parameter| parameter["name"].as_str().unwrap().to_owned()).collect(),
        // A body that nobody asked for is no harm either.
        has_body: method != "get",
        members: properties.keys().cloned().collect(),
        plain: properties.keys().filter_map(|name| Some((name.clone(), cast.member(name)?))).collect(),
    }
}

/// The properties of a schema, through references and compositions.
fn collect(document: &Value, schema: &Value, properties: &mut Map<String, Value>) {
    if let Some(name) = schema["$ref"].as_str() {
        collect(document, &document.pointer(&name[1..]).cloned().unwrap_or_default(), properties);
    }
    for part in ["allOf", "oneOf", "anyOf"] {
        for schema in schema[part].as_array().into_iter().flatten() {
            collect(document, schema, properties);
        }
    }
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        properties.insert(name.clone(), schema.clone());
    }
}

/// What exists, by the word that stands before its id in a path or ends its member's name.
struct Cast(BTreeMap<&'static str, String>);

impl Cast {
    async fn seed(gateway: &Gateway, world: &World) -> Self {
        let chat = gateway.seed_chat(world.g1, json!({})).await;
        let run = gateway.seed_autopilot_run(world.g1, "Nightly", json!({})).await;
        let autopilot = gateway.value("SELECT id FROM autopilot", json!([])).await;
        let task = gateway.seed_task(world.g1, json!({"issue_id": world.i1})).await;
        let project = gateway.seed_project(world.w1, "Site", json!({})).await;
        let skill = gateway.seed_skill(world.g1, "review", "Look twice.", &[("a.md", "a")]).await;
        let file = gateway.value("SELECT id FROM skill_file", json!([])).await;
        let squad = gateway.seed_squad(world.w1, "Core", world.g1, json!({})).await;
        let comment = gateway.seed_comment(world.i1, "member", world.b.id, "Hello", json!({})).await;
        let reference = json!({"url": "https://github.com/acme/a"});
        let resource = gateway.seed_resource(project, "github_repo", reference, json!({})).await;
        let member = gateway.value("SELECT id FROM member WHERE user_id = $1", json!([world.b.id])).await;
        let text = |value: Value| value.as_str().unwrap().to_owned();
        Self(BTreeMap::from([
            ("agents", world.g1.to_string()),
            ("runtimes", world.r1.to_string()),
            ("issues", world.i1.to_string()),
            ("workspaces", world.w1.to_string()),
            ("squads", squad.to_string()),
            ("skills", skill.to_string()),
            ("files", text(file)),
            ("projects", project.to_string()),
            ("resources", resource.to_string()),
            ("comments", comment.to_string()),
            ("tasks", task.to_string()),
            ("sessions", chat.to_string()),
            ("chat-sessions", chat.to_string()),
            ("autopilots", text(autopilot)),
            ("runs", run.to_string()),
            ("autopilot-runs", run.to_string()),
            ("runtime-profiles", world.p1.to_string()),
            ("members", text(member)),
            ("collaborators", world.b.id.to_string()),
            ("metadata", "key".to_owned()),
        ]))
    }

    /// The template with ids in it; `spare` puts ids of nothing.
    fn path(&self, template: &str, spare: bool) -> String {
        let mut before = "";
        let mut path = Vec::new();
        for segment in template.split('/') {
            let nothing = || Uuid::new_v4().to_string();
            path.push(match self.0.get(before) {
                _ if !segment.starts_with('{') => segment.to_owned(),
                Some(id) if !spare => id.clone(),
                _ => nothing(),
            });
            before = segment;
        }
        path.join("/")
    }

    /// What a member of this name could hold; nothing where it may as well be left out.
    fn member(&self, name: &str) -> Option<Value> {
        let kind = match name {
            "assignee_id" | "leader_id" | "member_id" => "agents".to_owned(),
            _ => name.strip_suffix("_id").map(|stem| format!("{stem}s")).unwrap_or_default(),
        };
        if let Some(id) = self.0.get(kind.as_str()) {
            return Some(id.clone().into());
        }
        Some(match name {
            "name" | "title" | "display_name" | "slug" | "daemon_id" => {
                // Unique, so that a name that is taken does not hide what comes after it.
                format!("n-{UNIQUE}").into()
            }
            "content" | "prompt" | "summary" | "reason" | "body" | "value" | "session_id" => "x".into(),
            "email" => format!("{UNIQUE}@example.com").into(),
            "color" => "#ff00ff".into(),
            "emoji" => "+1".into(),
            "role" => "member".into(),
            "assignee_type" | "member_type" => "agent".into(),
            "execution_mode" => "run_only".into(),
            "protocol_family" => "claude".into(),
            "command_name" | "skill_key" => "c".into(),
            "resource_type" => "github_repo".into(),
            "resource_ref" => json!({"url": format!("https://github.com/acme/{UNIQUE}")}),
            "target_version" => "v1.0.0".into(),
            "kind" => "webhook".into(),
            "outcome" => "no_action".into(),
            "path" => format!("{UNIQUE}.md").into(),
            "runtime_ids" => json!([self.0["runtimes"]]),
            "runtimes" => json!([{"type": "claude"}]),
            "messages" => json!([{"seq": 1, "type": "text", "content": "x"}]),
            "usage" => json!([{"provider": "claude", "model": "m", "input_tokens": 1}]),
            "custom_env" => json!({}),
            "agent_ids" | "skill_ids" | "issue_ids" => json!([]),
            _ => return None,
        })
    }
}
