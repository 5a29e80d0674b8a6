//! What the first-party plugins make of a claim, and what it is without them.

use std::sync::atomic::{AtomicBool, Ordering};

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Client, Engine, Gateway, id_of};
use crate::plugins_scene::{BUILT_IN, instructions};

/// A squad with an issue in a project: everything that the three plugins work on.
struct Cast {
    runtime: Uuid,
    leader: Uuid,
    worker: Uuid,
    idle: Uuid,
    person: Client,
    squad: Uuid,
    issue: Uuid,
}

const INSTRUCTIONS: &str = "You lead the payment team.";

async fn seed(gateway: &Gateway) -> Cast {
    let user = gateway.user();
    let runtime = user.register("dm-1", "claude").await;
    let config = json!({"mcpServers": {"fetch": {"command": "uvx"}, "shared": {"url": "https://own.example"}}, "x": 1});
    let leader = gateway
        .seed_agent(
            runtime,
            "Lea",
            json!({"instructions": INSTRUCTIONS, "mcp_config": config, "max_concurrent_tasks": 50}),
        )
        .await;
    let worker = gateway.seed_agent(runtime, "Ben", json!({})).await;
    for skill in ["sql", "rust"] {
        gateway.seed_skill(worker, skill, "How to.", &[]).await;
    }
    let idle = gateway.seed_agent(runtime, "Cem", json!({})).await;
    let gone = gateway.seed_agent(runtime, "Gone", json!({"archived_at": crate::harness::ahead(0)})).await;
    let person = gateway.join("Pia", "member").await;
    let squad = gateway
        .seed_squad(gateway.workspace, "Core", leader, json!({"instructions": "\nShip small.\n"}))
        .await;
    gateway.seed_squad_member(squad, "agent", worker, " back end ").await;
    gateway.seed_squad_member(squad, "agent", gone, "").await;
    gateway.seed_squad_member(squad, "agent", idle, "").await;
    gateway.seed_squad_member(squad, "member", person.id, "").await;
    let shared = json!([{"url": "https://git.example/shared", "description": "everybody's"}]);
    gateway
        .execute("UPDATE workspace SET repos = $2 WHERE id = $1", json!([gateway.workspace, shared]))
        .await;
    let project = gateway.seed_project(gateway.workspace, "Payments", json!({})).await;
    let repo = |name: &str| json!({"url": format!("https://git.example/{name}"), "ref": " main "});
    for (position, name) in ["api", "web"].into_iter().enumerate() {
        gateway.seed_resource(project, "github_repo", repo(name), json!({"position": position})).await;
    }
    let issue = gateway.seed_issue(gateway.workspace, "Refunds", json!({"project_id": project})).await;
    Cast { runtime, leader, worker, idle, person, squad, issue }
}

impl Cast {
    /// A leader's task with an overlay, on an issue of the same project.
    async fn queue(&self, gateway: &Gateway, issue: Uuid) -> Uuid {
        let overlay = json!({"mcpServers": {
            "composio": {"type": "http", "url": "https://mcp.example/s", "headers": {"x-api-key": "k"}},
            "shared": {"url": "https://overlay.example"},
        }});
        let task = json!({
            "issue_id": issue, "is_leader_task": true, "squad_id": self.squad, "runtime_mcp_overlay": overlay,
        });
        gateway.seed_task(self.leader, task).await
    }

    fn briefing(&self) -> String {
        let (leader, worker, idle, person) = (self.leader, self.worker, self.idle, self.person.id);
        format!(
            "\n\n## Squad Roster\n\n\
             Leader (you):\n\
             - Lea — agent — `[@Lea](mention://agent/{leader})`\n\n\
             Members:\n\
             - Ben — agent, role: \"back end\" — skills: rust, sql — `[@Ben](mention://agent/{worker})`\n\
             - Cem — agent — no skills assigned — `[@Cem](mention://agent/{idle})`\n\
             - Pia — member (human) — `[@Pia](mention://member/{person})`\n\
             \n\n## Squad Instructions (Core)\n\nShip small."
        )
    }
}

async fn start(engine: Engine) -> Gateway {
    Gateway::setup(engine).env("FF_COMPOSIO_MCP_APPS", "on").start().await
}

fn merged() -> Value {
    json!({"x": 1, "mcpServers": {
        "fetch": {"command": "uvx"},
        "shared": {"url": "https://overlay.example"},
        "composio": {"type": "http", "url": "https://mcp.example/s", "headers": {"x-api-key": "k"}},
    }})
}

fn of_project() -> Value {
    json!([{"url": "https://git.example/api", "ref": "main"}, {"url": "https://git.example/web", "ref": "main"}])
}

/// Domain items 193, 214, 221 and 227, together.
#[apply(on_both)]
async fn a_leaders_claim_holds_briefing_overlay_and_the_projects_repositories(engine: Engine) {
    let gateway = start(engine).await;
    let squad = seed(&gateway).await;
    squad.queue(&gateway, squad.issue).await;
    let task = gateway.user().claim_one(squad.runtime).await;
    let text = instructions(&task);
    let rest = text.strip_prefix(INSTRUCTIONS).and_then(|rest| rest.strip_prefix("\n\n"));
    let rest = rest.unwrap_or_else(|| panic!("one blank line behind the agent's own text: {text}"));
    assert!(rest.starts_with("## Squad Operating Protocol\n"), "{rest}");
    assert!(rest.ends_with(&squad.briefing()), "{rest}\nshould end with\n{}", squad.briefing());
    assert_eq!(task["agent"]["mcp_config"], merged());
    assert_eq!(task["repos"], of_project());
    assert_eq!(task["project_resources"].as_array().map(Vec::len), Some(2));
    // Only the answer is extended.
    let stored = gateway.value("SELECT instructions FROM agent WHERE id = $1", json!([squad.leader])).await;
    assert_eq!(stored, INSTRUCTIONS);
    gateway.finish().await;
}

#[apply(on_both)]
async fn without_a_plugin_its_part_is_as_stored_and_the_others_stay(engine: Engine) {
    let gateway = start(engine).await;
    let squad = seed(&gateway).await;
    let own = json!({"mcpServers": {"fetch": {"command": "uvx"}, "shared": {"url": "https://own.example"}}, "x": 1});
    let shared = json!([{"url": "https://git.example/shared", "description": "everybody's"}]);
    for missing in ["repo-resolution", "mcp-overlay", "squad-briefing"] {
        let document = BUILT_IN
            .replace(&format!("[[plugin]]\nname = \"{missing}\"\nsource = \"builtin:{missing}\"\n"), "");
        assert_ne!(document, BUILT_IN);
        gateway.admin().apply(&document).await.expect(200);
        squad.queue(&gateway, squad.issue).await;
        let task = gateway.user().claim_one(squad.runtime).await;
        let is = |name: &str| missing == name;
        assert_eq!(
            task["repos"],
            if is("repo-resolution") { shared.clone() } else { of_project() },
            "{missing}"
        );
        assert_eq!(
            task["agent"]["mcp_config"],
            if is("mcp-overlay") { own.clone() } else { merged() },
            "{missing}"
        );
        assert_eq!(instructions(&task) == INSTRUCTIONS, is("squad-briefing"), "{missing}");
        let id = id_of(&task);
        gateway.user().start(id).await;
        gateway.user().complete(id, json!({"output": "done"})).await;
    }
    gateway.finish().await;
}

/// Domain item 195.
#[apply(on_both)]
async fn with_the_flag_off_the_overlay_stays_behind(gateway: &Gateway) {
    let squad = seed(gateway).await;
    squad.queue(gateway, squad.issue).await;
    let task = gateway.user().claim_one(squad.runtime).await;
    assert_eq!(task["agent"]["mcp_config"]["mcpServers"].get("composio"), None);
    assert_eq!(task["agent"]["mcp_config"]["mcpServers"]["shared"]["url"], "https://own.example");
}

/// Domain items 215, 216, 217, 222 and 225.
#[apply(on_both)]
async fn the_briefing_is_for_who_leads_now(gateway: &Gateway) {
    let squad = seed(gateway).await;
    let user = gateway.user();
    let claim = async |more: Value| {
        let issue = gateway.seed_issue(gateway.workspace, "Another", json!({})).await;
        gateway.seed_task(squad.leader, crate::harness::over(json!({"issue_id": issue}), more)).await;
        user.claim_one(squad.runtime).await
    };
    let leads = json!({"is_leader_task": true, "squad_id": squad.squad});
    assert_ne!(instructions(&claim(leads.clone()).await), INSTRUCTIONS);
    let works = json!({"is_leader_task": false, "squad_id": squad.squad});
    assert_eq!(instructions(&claim(works).await), INSTRUCTIONS, "a worker's task");

    gateway.execute("DELETE FROM squad_member WHERE squad_id = $1", json!([squad.squad])).await;
    gateway.execute("UPDATE squad SET instructions = ' ' WHERE id = $1", json!([squad.squad])).await;
    let alone = claim(leads.clone()).await;
    let ending = "\n\nMembers: (none — you are the only member of this squad)\n";
    assert!(instructions(&alone).ends_with(ending), "{}", instructions(&alone));

    let sql = "UPDATE agent SET instructions = '' WHERE id = $1";
    gateway.execute(sql, json!([squad.leader])).await;
    assert!(instructions(&claim(leads.clone()).await).starts_with("## Squad Operating Protocol\n"));

    let sql = "UPDATE squad SET leader_id = $2 WHERE id = $1";
    gateway.execute(sql, json!([squad.squad, squad.worker])).await;
    assert_eq!(instructions(&claim(leads).await), "", "another leads now");
    let dangling = json!({"is_leader_task": true, "squad_id": Uuid::new_v4()});
    assert_eq!(instructions(&claim(dangling).await), "");
}

/// Four daemons claim without a pause while a plugin goes and comes. No claim fails, each is
/// of one set, and the first that begins after the change has it.
#[apply(on_both)]
async fn a_plugin_is_removed_under_load(engine: Engine) {
    let gateway = start(engine).await;
    let squad = seed(&gateway).await;
    let user = gateway.user();
    for _ in 0..120 {
        let issue = gateway.seed_issue(gateway.workspace, "Load", json!({})).await;
        squad.queue(&gateway, issue).await;
    }
    let without =
        BUILT_IN.replace("[[plugin]]\nname = \"squad-briefing\"\nsource = \"builtin:squad-briefing\"\n", "");
    let done = AtomicBool::new(false);
    let worker = async || {
        let mut seen = Vec::new();
        loop {
            let stop = done.load(Ordering::SeqCst);
            match user.claim(squad.runtime).await {
                Some(task) => {
                    assert_eq!(task["agent"]["mcp_config"], merged());
                    let id = id_of(&task);
                    user.start(id).await;
                    user.complete(id, json!({"output": "done"})).await;
                    seen.push(id);
                }
                None if stop => return seen,
                None => tokio::task::yield_now().await,
            }
        }
    };
    let operator = async {
        for document in [&without, BUILT_IN, &without, BUILT_IN, &without] {
            gateway.admin().apply(document).await.expect(200);
            if let Some(task) = user.claim(squad.runtime).await {
                let is_briefed = instructions(&task) != INSTRUCTIONS;
                assert_eq!(is_briefed, document.contains("squad-briefing"), "the next claim has the new set");
                let id = id_of(&task);
                user.start(id).await;
                user.complete(id, json!({"output": "done"})).await;
            }
        }
        done.store(true, Ordering::SeqCst);
    };
    let (a, b, c, d, ()) = tokio::join!(worker(), worker(), worker(), worker(), operator);
    let claimed: Vec<Uuid> = [a, b, c, d].concat();
    assert!(claimed.len() >= 100, "{} claims", claimed.len());
    for id in claimed {
        let trace = gateway.admin().trace(id).await;
        let briefed =
            trace["steps"].as_array().unwrap().iter().any(|step| step["plugin"] == "squad-briefing");
        // Odd generations have the briefing: the first, and each that put it back.
        assert_eq!(briefed, trace["generation"].as_u64().unwrap() % 2 == 1, "{trace}");
    }
    gateway.assert_settled().await;
    gateway.finish().await;
}
