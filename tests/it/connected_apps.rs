//! What a task is given of its agent's connected apps, and when: made before the task can be
//! seen, of the owner's accounts and no others, and never what stops it.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::composio_service::{SESSION, Service};
use crate::harness::{Engine, Gateway, World, ahead, check_members, id_of};
use crate::plugins_scene::{BUILT_IN, plugin, step};

pub async fn allow(gateway: &Gateway, agent: Uuid, list: &[&str]) {
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

pub async fn connect(gateway: &Gateway, user: Uuid, slug: &str, account: &str, age: i64) -> Uuid {
    let row = json!({
        "user_id": user, "toolkit_slug": slug, "auth_config_id": "ac", "connected_account_id": account,
        "composio_user_id": user, "connected_at": ahead(-age),
    });
    gateway.seed("user_composio_connection", row, json!({})).await
}

/// Gives the agent an issue; gives the task's row.
pub async fn assign(gateway: &Gateway, world: &World, agent: Uuid) -> Value {
    const ROW: &str =
        "SELECT id, runtime_mcp_overlay, runtime_connected_apps FROM agent_task_queue WHERE issue_id = $1";
    let issue =
        json!({"title": format!("New {}", Uuid::new_v4()), "assignee_type": "agent", "assignee_id": agent});
    let issue = id_of(&world.b.post("/api/issues", issue).await.expect(201));
    gateway.row(ROW, json!([issue])).await
}

pub fn overlay() -> Value {
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
    let long = format!(r#"{{"mcp": {{"url": "http://mcp.example/{}"}}}}"#, "x".repeat(2 << 20));
    for (status, body, code) in [
        (302, "", Some("failed")),
        (404, "{}", Some("failed")),
        (409, r#"{"error": {"message": "twice"}}"#, Some("failed")),
        (429, r#"{"error": {"message": "slow down"}}"#, Some("failed")),
        (500, r#"{"error": {"message": "down"}}"#, Some("failed")),
        (503, "<html>", Some("failed")),
        (200, "", Some("failed")),
        (200, "what", Some("failed")),
        (200, r#"{"mcp": {"url": 5}}"#, Some("failed")),
        (200, &long, Some("failed")),
        (200, "{}", None),
        (200, r#"{"mcp": {"url": ""}}"#, None),
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
        // The trace says what was wrong, and so does the log.
        let prepared = step(&gateway.admin().trace(id_of(&task)).await, "mcp-overlay");
        assert_eq!((&prepared["stage"], prepared["code"].as_str()), (&json!("prepare"), code), "{prepared}");
        if code.is_some() {
            gateway.logged(&format!("task.id=\"{}\"", id_of(&task)), 1).await;
        }
        world.a.start(id_of(&task)).await;
        world.a.complete(id_of(&task), json!({"output": "done"})).await;
    }
    gateway.finish().await;
}

/// An integrator's plugin of the same stage adds to what the built-in one makes, and neither
/// takes anything from the other when it fails.
#[apply(on_both)]
async fn an_integrators_plugin_works_beside_connected_apps(engine: Engine) {
    let service = Service::start().await;
    let gateway = service.setup(engine).start().await;
    let world = gateway.world().await;
    connect(&gateway, world.a.id, "notion", "mine", 10).await;
    allow(&gateway, world.g1, &["notion"]).await;
    let servers = async |config: &str| {
        let document = format!("{BUILT_IN}{}", plugin("attach", "test-prepare", config));
        gateway.admin().apply(&document).await.expect(200);
        let task = assign(&gateway, &world, world.g1).await;
        let servers = task["runtime_mcp_overlay"]["mcpServers"].as_object().cloned().unwrap_or_default();
        let apps = task["runtime_connected_apps"].as_array().cloned().unwrap_or_default();
        let providers: Vec<Value> = apps.iter().map(|app| app["provider"].clone()).collect();
        let claimed = world.a.claim_one(world.r1).await;
        let merged = claimed["agent"]["mcp_config"]["mcpServers"].as_object().cloned().unwrap_or_default();
        assert_eq!(merged, servers);
        world.a.start(id_of(&task)).await;
        world.a.complete(id_of(&task), json!({"output": "done"})).await;
        (servers.keys().cloned().collect::<Vec<_>>(), providers)
    };
    let both = (vec!["composio".to_owned(), "seen".to_owned()], vec![json!("composio"), json!("test")]);
    assert_eq!(servers("config = { app = \"notion\" }").await, both);
    let ours = (vec!["composio".to_owned()], vec![json!("composio")]);
    assert_eq!(servers("config = { fail = \"trap\" }").await, ours);
    // Further down in the document, it has the last word.
    let own = "config = { overlay = '{\"mcpServers\":{\"composio\":{\"command\":\"x\"}}}' }";
    assert_eq!(servers(own).await, (vec!["composio".to_owned()], vec![]));
    service.says(SESSION, 500, json!({}));
    let theirs = (vec!["seen".to_owned()], vec![json!("test")]);
    assert_eq!(servers("config = { app = \"notion\" }").await, theirs);
    gateway.finish().await;
}

/// What the plugin may do is what the settings say: one address, one method, one secret, and
/// without the settings nothing. No document gives it more of that, or less.
#[apply(on_both)]
async fn the_plugin_is_granted_what_the_settings_say(engine: Engine) {
    let overlay_of = |plugins: Value| {
        let list = plugins["plugins"].as_array().unwrap().clone();
        list.into_iter().find(|plugin| plugin["name"] == "mcp-overlay").unwrap()
    };
    let service = Service::start().await;
    let gateway = service.setup(engine).start().await;
    let shown = overlay_of(gateway.admin().plugins().await);
    assert_eq!(shown["stages"], json!(["prepare", "mcp-overlay"]));
    let http = shown["grants"]["http"].as_array().unwrap();
    assert_eq!(http.len(), 1, "{shown}");
    check_members(
        &http[0],
        &json!({"scheme": "http", "host": "127.0.0.1", "path": "/v3/tool_router/session", "methods": ["POST"]}),
    );
    let secret = json!({"from": "setting:COMPOSIO_API_KEY", "hosts": ["127.0.0.1"], "overlay": true});
    assert_eq!(shown["grants"]["secrets"], json!({"composio-api-key": secret}));
    let own = format!(
        "{BUILT_IN}\n[[plugin]]\nname = \"b\"\nsource = \"builtin:mcp-overlay\"\nenabled = false\n\
        config = {{ composio = {{ base_url = \"http://elsewhere.example\", api_key = \"composio-api-key\" }} }}\n"
    );
    let refused = gateway.admin().apply(&own).await.expect(422);
    assert_eq!(refused["faults"][0]["pointer"], "/plugin/3/config/composio", "{refused}");
    gateway.finish().await;

    let gateway = service.setup(engine).env("FF_COMPOSIO_MCP_APPS", "off").start().await;
    let shown = overlay_of(gateway.admin().plugins().await);
    assert_eq!(shown["stages"], json!(["mcp-overlay"]));
    assert_eq!((&shown["grants"]["http"], &shown["grants"]["secrets"]), (&json!([]), &json!({})));
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
    service.hold_sessions();
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

/// The rest of the ways into the queue: squads, what comments lead to, children that end, and
/// autopilots that somebody else sets off.
#[apply(on_both)]
async fn squads_children_and_hooks_are_given_their_apps(engine: Engine) {
    let service = Service::start().await;
    let gateway = service.setup(engine).start().await;
    let world = gateway.world().await;
    connect(&gateway, world.a.id, "notion", "mine", 10).await;
    allow(&gateway, world.g1, &["notion"]).await;
    let squad = gateway.seed_squad(world.w1, "Core", world.g1, json!({})).await;
    let equipped = async |what: &str| {
        let sql = "SELECT runtime_mcp_overlay FROM agent_task_queue WHERE status = 'queued'";
        assert_eq!(
            gateway.rows(sql, Value::Null).await,
            [json!({"runtime_mcp_overlay": overlay()})],
            "{what}"
        );
        gateway.execute("DELETE FROM agent_task_queue", Value::Null).await;
    };
    let issue = async |kind: &str, id: Uuid| {
        let new = json!({"title": format!("Of {kind}"), "assignee_type": kind, "assignee_id": id});
        id_of(&world.a.post("/api/issues", new).await.expect(201))
    };
    let comment = async |issue: Uuid, content: String, parent: Option<Uuid>| {
        let body = json!({"content": content, "parent_id": parent});
        id_of(&world.a.post(format!("/api/issues/{issue}/comments"), body).await.expect(201))
    };
    for (kind, id) in [("agent", world.g1), ("squad", squad)] {
        let given = issue(kind, id).await;
        equipped(&format!("an issue of the {kind}'s")).await;
        comment(given, "And now?".to_owned(), None).await;
        equipped(&format!("a comment for the {kind} that has the issue")).await;
        comment(world.i1, format!("[@x](mention://{kind}/{id})"), None).await;
        equipped(&format!("a comment that names the {kind}")).await;
        let said = comment(world.i1, "Nothing yet".to_owned(), None).await;
        let edited = json!({"content": format!("[@x](mention://{kind}/{id})")});
        world.a.put(format!("/api/comments/{said}"), edited).await.expect(200);
        equipped(&format!("a comment that is changed to name the {kind}")).await;

        let child = json!({"title": "Part", "parent_issue_id": given});
        let child = id_of(&world.a.post("/api/issues", child).await.expect(201));
        world
            .a
            .put(format!("/api/issues/{given}"), json!({"status": "in_progress", "suppress_run": true}))
            .await
            .expect(200);
        world.a.put(format!("/api/issues/{child}"), json!({"status": "done"})).await.expect(200);
        equipped(&format!("the last child of an issue of the {kind}'s")).await;

        let more = json!({"assignee_type": kind});
        let autopilot = crate::autopilots::make(&world.a, id, more).await;
        world.a.post(format!("/api/autopilots/{autopilot}/trigger"), ()).await.expect(200);
        equipped(&format!("an autopilot of the {kind}'s")).await;
        let hook = json!({"kind": "webhook"});
        let hook = world.a.post(format!("/api/autopilots/{autopilot}/triggers"), hook).await.expect(201);
        gateway.anonymous().post(hook["webhook_path"].as_str().unwrap(), json!({"x": 1})).await.ok();
        equipped(&format!("a call from outside for the {kind}")).await;
    }
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
