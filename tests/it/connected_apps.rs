//! What a task is given of its agent's connected apps, and when: made before the task can be
//! seen, of the owner's accounts and no others, and never what stops it.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::composio_service::Service;
use crate::harness::{Engine, Gateway, World, ahead, check_members, id_of};

const SESSION: &str = "POST /tool_router/session";

async fn allow(gateway: &Gateway, agent: Uuid, list: &[&str]) {
    let sql = match gateway.engine {
        Engine::Sqlite => {
            let text = json!(list).to_string().replace('\'', "''");
            format!("UPDATE agent SET composio_toolkit_allowlist = '{text}' WHERE id = $1")
        }
        Engine::Postgres => {
            let items: Vec<String> = list.iter().map(|item| format!("'{item}'")).collect();
            format!(
                "UPDATE agent SET composio_toolkit_allowlist = ARRAY[{}]::text[] WHERE id = $1",
                items.join(",")
            )
        }
    };
    gateway.execute(&sql, json!([agent])).await;
}

async fn connect(gateway: &Gateway, user: Uuid, slug: &str, account: &str, age: i64) -> Uuid {
    let row = json!({
        "user_id": user, "toolkit_slug": slug, "auth_config_id": "ac", "connected_account_id": account,
        "composio_user_id": user, "connected_at": ahead(-age),
    });
    gateway.seed("user_composio_connection", row, json!({})).await
}

/// Gives the agent an issue; gives the task's row.
async fn assign(gateway: &Gateway, world: &World, agent: Uuid) -> Value {
    const ROW: &str =
        "SELECT id, runtime_mcp_overlay, runtime_connected_apps FROM agent_task_queue WHERE issue_id = $1";
    let issue =
        json!({"title": format!("New {}", Uuid::new_v4()), "assignee_type": "agent", "assignee_id": agent});
    let issue = id_of(&world.b.post("/api/issues", issue).await.expect(201));
    gateway.row(ROW, json!([issue])).await
}

fn overlay() -> Value {
    json!({"mcpServers": {"composio": {
        "type": "http", "url": "http://mcp.example/s", "headers": {"x-api-key": "project-key"},
    }}})
}

/// Domain items 197, 198, 199, 200 and 203: the newest account of each app that is on the list,
/// of the agent's owner, whoever asks.
#[apply(on_both)]
async fn a_task_reaches_its_owners_accounts_and_no_others(engine: Engine) {
    let service = Service::start().await;
    let gateway = service.setup(engine).start().await;
    let world = gateway.world().await;
    let own = json!({"mcpServers": {"db": {"url": "http://db"}}});
    gateway.change("agent", world.g1, "mcp_config", own).await;
    allow(
        &gateway,
        world.g1,
        &["slack-bot", " Notion ", "google_drive", "github", "gmail", "linkedin", "__"],
    )
    .await;
    for (slug, account, age) in [
        ("notion", "old", 60),
        ("notion", "new", 10),
        ("google_drive", "drive", 20),
        ("github", "hub", 20),
        ("gmail", "mail", 20),
        ("linkedin", "in", 20),
        ("slack-bot", "bot", 20),
        ("__", "odd", 20),
        ("jira", "not-on-the-list", 5),
    ] {
        connect(&gateway, world.a.id, slug, account, age).await;
    }
    // Bea asks, and her own apps stay hers.
    connect(&gateway, world.b.id, "notion", "beas", 1).await;
    let task = assign(&gateway, &world, world.g1).await;
    let asked = service.asked(SESSION);
    assert_eq!(asked.len(), 1);
    let expected = json!({
        "user_id": world.a.id,
        "toolkits": {"enable": ["__", "github", "gmail", "google_drive", "linkedin", "notion", "slack-bot"]},
        "connected_accounts": {
            "__": ["odd"], "github": ["hub"], "gmail": ["mail"], "google_drive": ["drive"], "linkedin": ["in"],
            "notion": ["new"], "slack-bot": ["bot"],
        },
    });
    assert_eq!(asked[0]["body"], expected);
    let app = |slug: &str, name: &str| json!({"provider": "composio", "server_name": "composio", "toolkit_slug": slug, "toolkit_name": name});
    let apps = json!([
        app("__", "__"),
        app("github", "GitHub"),
        app("gmail", "Gmail"),
        app("google_drive", "Google Drive"),
        app("linkedin", "LinkedIn"),
        app("notion", "Notion"),
        app("slack-bot", "Slack Bot"),
    ]);
    assert_eq!((&task["runtime_mcp_overlay"], &task["runtime_connected_apps"]), (&overlay(), &apps));
    let claimed = world.a.claim_one(world.r1).await;
    check_members(&claimed, &json!({"id": task["id"], "connected_apps": apps}));
    let servers = &claimed["agent"]["mcp_config"]["mcpServers"];
    assert_eq!(servers["composio"], overlay()["mcpServers"]["composio"]);
    assert_eq!(servers["db"]["url"], "http://db");
    gateway.finish().await;
}

/// Domain item 196.
#[apply(on_both)]
async fn where_there_is_nothing_to_reach_nobody_is_asked(engine: Engine) {
    let service = Service::start().await;
    let gateway = service.setup(engine).start().await;
    let world = gateway.world().await;
    connect(&gateway, world.a.id, "notion", "mine", 10).await;
    let gone = connect(&gateway, world.a.id, "gmail", "gone", 10).await;
    gateway.change("user_composio_connection", gone, "status", json!("revoked")).await;
    let without = async |agent: Uuid| {
        let task = assign(&gateway, &world, agent).await;
        assert_eq!(
            (&task["runtime_mcp_overlay"], &task["runtime_connected_apps"]),
            (&Value::Null, &Value::Null)
        );
    };
    without(world.g1).await;
    for list in [&[][..], &["", "  "], &["jira"], &["gmail"]] {
        allow(&gateway, world.g1, list).await;
        without(world.g1).await;
    }
    let orphan = gateway.seed_agent(world.r1, "Orphan", json!({})).await;
    allow(&gateway, orphan, &["notion"]).await;
    gateway.execute("UPDATE agent SET owner_id = NULL WHERE id = $1", json!([orphan])).await;
    without(orphan).await;
    assert_eq!(service.count(), 0);
    gateway.finish().await;
}

/// Domain item 194.
#[apply(on_both)]
async fn with_the_flag_off_nobody_is_asked(engine: Engine) {
    let service = Service::start().await;
    let gateway = service.setup(engine).env("FF_COMPOSIO_MCP_APPS", "off").start().await;
    let world = gateway.world().await;
    connect(&gateway, world.a.id, "notion", "mine", 10).await;
    allow(&gateway, world.g1, &["notion"]).await;
    let task = assign(&gateway, &world, world.g1).await;
    assert_eq!((&task["runtime_mcp_overlay"], &task["runtime_connected_apps"]), (&Value::Null, &Value::Null));
    assert_eq!(service.count(), 0);
    gateway.finish().await;
}

/// Domain item 201.
#[apply(on_both)]
async fn a_service_that_fails_stops_no_task(engine: Engine) {
    let service = Service::start().await;
    let gateway = service.setup(engine).start().await;
    let world = gateway.world().await;
    connect(&gateway, world.a.id, "notion", "mine", 10).await;
    allow(&gateway, world.g1, &["notion"]).await;
    for (status, body) in [
        (500, json!({"error": {"message": "down"}})),
        (200, json!("what")),
        (200, json!({})),
        (200, json!({"mcp": {"url": ""}})),
    ] {
        service.says(SESSION, status, body);
        let task = assign(&gateway, &world, world.g1).await;
        assert_eq!(
            (&task["runtime_mcp_overlay"], &task["runtime_connected_apps"]),
            (&Value::Null, &Value::Null)
        );
        assert_eq!(service.asked(SESSION).len(), 1);
        let claimed = world.a.claim_one(world.r1).await;
        check_members(&claimed, &json!({"id": task["id"], "connected_apps": null}));
    }
    gateway.finish().await;
}

/// Domain item 202: while the service is asked there is no task yet; when there is one, it has
/// all.
#[apply(on_both)]
async fn no_task_is_seen_before_it_has_its_apps(engine: Engine) {
    let service = Service::start().await;
    let gateway = service.setup(engine).start().await;
    let world = gateway.world().await;
    connect(&gateway, world.a.id, "notion", "mine", 10).await;
    allow(&gateway, world.g1, &["notion"]).await;
    service.hold_sessions().await;
    let look = async {
        service.session_asked().await;
        assert_eq!(world.a.claim(world.r1).await, None);
        assert_eq!(gateway.value("SELECT count(*) FROM agent_task_queue", Value::Null).await, 0);
        service.let_go();
    };
    let (task, ()) = tokio::join!(assign(&gateway, &world, world.g1), look);
    let claimed = world.a.claim_one(world.r1).await;
    assert_eq!(claimed["id"], task["id"]);
    assert_eq!(claimed["agent"]["mcp_config"], overlay());
    gateway.finish().await;
}

/// Every way into the queue, but for those that are given nothing.
#[apply(on_both)]
async fn every_way_into_the_queue_is_given_its_apps(engine: Engine) {
    let service = Service::start().await;
    let gateway = service.setup(engine).start().await;
    let world = gateway.world().await;
    gateway.change("agent", world.g1, "max_concurrent_tasks", json!(50)).await;
    connect(&gateway, world.a.id, "notion", "mine", 10).await;
    allow(&gateway, world.g1, &["notion"]).await;
    let equipped = async |what: &str, expected: bool| {
        let sql = "SELECT runtime_mcp_overlay FROM agent_task_queue WHERE status = 'queued'";
        let rows = gateway.rows(sql, Value::Null).await;
        assert_eq!(rows.len(), 1, "{what}");
        let found = &rows[0]["runtime_mcp_overlay"];
        assert_eq!(found, &if expected { overlay() } else { Value::Null }, "{what}");
        assert_eq!(service.asked(SESSION).len(), usize::from(expected), "{what}");
        gateway.execute("DELETE FROM agent_task_queue", Value::Null).await;
    };
    let mention = json!({"content": format!("[@Gus](mention://agent/{})", world.g1)});
    world.a.post(format!("/api/issues/{}/comments", world.i1), mention).await.expect(201);
    equipped("a comment", true).await;
    world.a.post("/api/issues/quick-create", json!({"prompt": "p", "agent_id": world.g1})).await.expect(202);
    equipped("a prompt", true).await;
    let chat = id_of(&world.a.post("/api/chat/sessions", json!({"agent_id": world.g1})).await.expect(201));
    let path = format!("/api/chat/sessions/{chat}/messages");
    world.a.post(path, json!({"content": "Hi"})).await.expect(201);
    equipped("a chat", true).await;
    for (mode, expected) in [("create_issue", true), ("run_only", false)] {
        let autopilot = crate::autopilots::make(&world.a, world.g1, json!({"execution_mode": mode})).await;
        world.a.post(format!("/api/autopilots/{autopilot}/trigger"), ()).await.expect(200);
        equipped(mode, expected).await;
    }
    // Given away, and out of the backlog.
    let new = json!({"title": "New", "status": "backlog", "assignee_type": "agent", "assignee_id": world.g1});
    let waiting = id_of(&world.a.post("/api/issues", new).await.expect(201));
    assert_eq!(service.count(), 0);
    let path = format!("/api/issues/{waiting}");
    world.a.put(&path, json!({"status": "todo", "title": "Newer"})).await.expect(200);
    equipped("a promotion", true).await;
    let other = gateway.seed_agent(world.r1, "Other", json!({})).await;
    world.a.put(&path, json!({"assignee_id": other})).await.expect(200);
    equipped("another agent", false).await;
    let silent = json!({"assignee_id": world.g1, "suppress_run": true});
    world.a.put(&path, silent).await.expect(200);
    assert_eq!(service.count(), 0);
    world.a.put(&path, json!({"assignee_id": other})).await.expect(200);
    equipped("another agent again", false).await;
    let batch =
        json!({"issue_ids": [waiting], "updates": {"assignee_type": "agent", "assignee_id": world.g1}});
    world.a.post("/api/issues/batch-update", batch).await.expect(200);
    equipped("a batch", true).await;
    let done = json!({"issue_id": world.i1, "status": "completed", "completed_at": ahead(0)});
    let source = gateway.seed_task(world.g1, done).await;
    let path = format!("/api/issues/{}/rerun", world.i1);
    world.a.post(path, json!({"task_id": source})).await.expect(202);
    equipped("a rerun", true).await;
    gateway.finish().await;
}

/// Domain item 103: the next attempt is given what there is to give now, by whatever way it
/// comes, and never what the first one had.
#[apply(on_both)]
async fn a_second_attempt_is_given_what_there_is_now(engine: Engine) {
    let service = Service::start().await;
    let gateway = service.setup(engine).start().await;
    let world = gateway.world().await;
    let connection = connect(&gateway, world.a.id, "notion", "mine", 10).await;
    allow(&gateway, world.g1, &["notion"]).await;
    let session = |url: &str| service.says(SESSION, 200, json!({"mcp": {"url": url}}));
    let lose = async |swept: bool| {
        let task = assign(&gateway, &world, world.g1).await;
        let id = world.a.run_one(world.r1).await;
        assert_eq!(json!(id), task["id"]);
        session("http://mcp.example/second");
        if swept {
            gateway.change("agent_task_queue", id, "started_at", json!(ahead(-9100))).await;
            gateway.admin().post("/admin/sweep", ()).await.expect(200);
        } else {
            world.a.fail(id, json!({"error": "gone", "failure_reason": "timeout"})).await;
        }
        let claimed = world.a.claim_one(world.r1).await;
        assert_eq!(claimed["parent_task_id"], json!(id));
        world.a.fail(id_of(&claimed), json!({"failure_reason": "agent_blocked"})).await;
        session("http://mcp.example/s");
        let servers = &claimed["agent"]["mcp_config"]["mcpServers"];
        (servers["composio"]["url"].clone(), claimed.get("connected_apps").is_some())
    };
    for swept in [false, true] {
        assert_eq!(lose(swept).await, (json!("http://mcp.example/second"), true), "{swept}");
    }
    // Taken away while the first attempt ran.
    let task = assign(&gateway, &world, world.g1).await;
    assert_eq!(task["runtime_mcp_overlay"], overlay());
    let id = world.a.run_one(world.r1).await;
    gateway.change("user_composio_connection", connection, "status", json!("revoked")).await;
    world.a.fail(id, json!({"error": "gone", "failure_reason": "timeout"})).await;
    let claimed = world.a.claim_one(world.r1).await;
    check_members(&claimed, &json!({"connected_apps": null}));
    check_members(&claimed["agent"], &json!({"mcp_config": null}));
    gateway.finish().await;
}

/// Many that are lost at once do not wait for each other, whether or not the service answers.
#[apply(on_both)]
async fn many_second_attempts_are_made_at_once(engine: Engine) {
    let service = Service::start().await;
    let gateway = service.setup(engine).start().await;
    let world = gateway.world().await;
    connect(&gateway, world.a.id, "notion", "mine", 10).await;
    allow(&gateway, world.g1, &["notion"]).await;
    gateway.change("agent", world.g1, "max_concurrent_tasks", json!(100)).await;
    for _ in 0..40 {
        let lost = json!({"status": "running", "dispatched_at": ahead(-9), "started_at": ahead(-9)});
        gateway.seed_issue_task(world.g1, lost).await;
    }
    let path = format!("/api/daemon/runtimes/{}/recover-orphans", world.r1);
    let recovered = world.a.post(path, ()).await.expect(200);
    assert_eq!(recovered, json!({"orphaned": 40, "retried": 40}));
    assert_eq!(service.asked(SESSION).len(), 40);
    const EQUIPPED: &str = "SELECT count(*) FROM agent_task_queue WHERE status = 'queued'
        AND runtime_mcp_overlay IS NOT NULL";
    assert_eq!(gateway.value(EQUIPPED, Value::Null).await, 40);
    gateway.finish().await;
}
