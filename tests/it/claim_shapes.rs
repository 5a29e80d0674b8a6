//! What a claimed task carries, in which form: settings, skills, paths, kinds; and what is
//! left out when it cannot be read.

use macro_rules_attribute::apply;
use serde_json::{Value, json};

use crate::harness::{Engine, Gateway, World, ahead, check_members, id_of, over};

/// Queues a task of the world's agent, claims it and ends it.
async fn claim(gateway: &Gateway, world: &World, more: Value) -> Value {
    let task = gateway.seed_issue_task(world.g1, more).await;
    let claimed = world.a.claim_one(world.r1).await;
    assert_eq!(id_of(&claimed), task);
    world.a.fail(task, json!({"failure_reason": "agent_blocked"})).await;
    claimed
}

/// Domain item 250.
#[apply(on_both)]
async fn skills_come_in_one_of_two_forms(gateway: &Gateway) {
    let world = gateway.world().await;
    gateway.seed_skill(world.g1, "review", "Look twice.", &[]).await;
    for (capabilities, bundled) in [(Some("a, skill-bundles-v1"), true), (Some("a"), false), (None, false)] {
        gateway.seed_issue_task(world.g1, json!({})).await;
        let call = world.a.claiming(world.r1);
        let call = match capabilities {
            Some(capabilities) => call.header("x-client-capabilities", capabilities),
            None => call,
        };
        let agent = call.await.expect(200)["task"]["agent"].clone();
        let (there, absent) = if bundled { ("skill_refs", "skills") } else { ("skills", "skill_refs") };
        assert_eq!(agent[there][0]["name"], "review", "{capabilities:?}");
        assert_eq!(agent.get(absent), None, "{capabilities:?}");
    }
}

/// Domain item 252: the digest is of what a skill is, and not of how its files lie.
#[apply(on_both)]
async fn a_digest_is_of_what_a_skill_is(gateway: &Gateway) {
    let world = gateway.world().await;
    gateway.change("agent", world.g1, "max_concurrent_tasks", json!(20)).await;
    let files = [("a.md", "a"), ("b.md", "b")];
    let skill = gateway.seed_skill(world.g1, "review", "Look twice.", &files).await;
    let digest = async || {
        gateway.seed_issue_task(world.g1, json!({})).await;
        let call = world.a.claiming(world.r1).header("x-client-capabilities", "skill-bundles-v1");
        let references = call.await.expect(200)["task"]["agent"]["skill_refs"].clone();
        references[0]["hash"].as_str().unwrap().to_owned()
    };
    let first = digest().await;
    gateway.execute("DELETE FROM skill_file", Value::Null).await;
    for (path, content) in files.into_iter().rev() {
        let row = json!({"skill_id": skill, "path": path, "content": content});
        gateway.seed("skill_file", row, json!({})).await;
    }
    assert_eq!(digest().await, first, "in another order");
    let mut seen = vec![first];
    for change in [
        "UPDATE skill SET name = 'reviews'",
        "UPDATE skill SET description = 'How to look'",
        "UPDATE skill SET content = 'Look thrice.'",
        "UPDATE skill_file SET content = 'c' WHERE path = 'a.md'",
        "UPDATE skill_file SET path = 'c.md' WHERE path = 'a.md'",
    ] {
        gateway.execute(change, Value::Null).await;
        seen.push(digest().await);
    }
    // The same under another id.
    let row = gateway.row("SELECT name, description, content FROM skill", Value::Null).await;
    let kept = gateway.rows("SELECT path, content FROM skill_file", Value::Null).await;
    gateway.execute("DELETE FROM skill", Value::Null).await;
    let again = gateway.seed("skill", over(row, json!({"workspace_id": world.w1})), json!({})).await;
    for file in kept {
        gateway.seed("skill_file", over(file, json!({"skill_id": again})), json!({})).await;
    }
    gateway.insert("agent_skill", json!({"agent_id": world.g1, "skill_id": again})).await;
    seen.push(digest().await);
    let count = seen.len();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), count, "each is another's");
}

/// Domain item 254.
#[apply(on_both)]
async fn an_empty_runtime_config_is_left_out(gateway: &Gateway) {
    let world = gateway.world().await;
    for (stored, shown) in [
        ("{}", Value::Null),
        (" {} ", Value::Null),
        ("null", Value::Null),
        (r#"{"mode": "x"}"#, json!({"mode": "x"})),
    ] {
        let sql = match gateway.engine {
            Engine::Sqlite => format!("UPDATE agent SET runtime_config = '{stored}'"),
            Engine::Postgres => format!("UPDATE agent SET runtime_config = '{stored}'::jsonb"),
        };
        gateway.execute(&sql, Value::Null).await;
        let claimed = claim(gateway, &world, json!({})).await;
        check_members(&claimed["agent"], &json!({"runtime_config": shown}));
    }
}

/// Domain item 204: what was stored of apps is delivered only when it is a list of them.
#[apply(on_both)]
async fn apps_that_cannot_be_read_are_left_out(engine: Engine) {
    let gateway = Gateway::setup(engine).env("FF_COMPOSIO_MCP_APPS", "on").start().await;
    let world = gateway.world().await;
    for (stored, shown) in [
        (r#""text""#, Value::Null),
        (r#"{"toolkit_slug": "notion"}"#, Value::Null),
        ("null", Value::Null),
        ("7", Value::Null),
        (
            r#"[{"provider": "composio", "server_name": "composio", "toolkit_slug": "notion"}]"#,
            json!([{"provider": "composio", "server_name": "composio", "toolkit_slug": "notion"}]),
        ),
    ] {
        let task = gateway.seed_issue_task(world.g1, json!({})).await;
        let sql = match engine {
            Engine::Sqlite => {
                format!("UPDATE agent_task_queue SET runtime_connected_apps = '{stored}' WHERE id = $1")
            }
            Engine::Postgres => {
                format!(
                    "UPDATE agent_task_queue SET runtime_connected_apps = '{stored}'::jsonb WHERE id = $1"
                )
            }
        };
        gateway.execute(&sql, json!([task])).await;
        let claimed = world.a.claim_one(world.r1).await;
        check_members(&claimed, &json!({"id": task, "connected_apps": shown}));
    }
    gateway.finish().await;
}

/// Domain items 194 and 195, as far as the flag goes: off, nothing is stored at an enqueue, and
/// what is stored is not delivered.
#[apply(on_both)]
async fn without_its_flag_an_overlay_neither_comes_nor_goes(gateway: &Gateway) {
    let world = gateway.world().await;
    let own = json!({"mcpServers": {"db": {"url": "http://db"}}});
    gateway.change("agent", world.g1, "mcp_config", own.clone()).await;
    let allowed = json!(["notion"]);
    if gateway.engine == Engine::Sqlite {
        gateway.change("agent", world.g1, "composio_toolkit_allowlist", allowed).await;
    } else {
        gateway.execute("UPDATE agent SET composio_toolkit_allowlist = '{notion}'", Value::Null).await;
    }
    let issue = json!({"title": "New", "assignee_type": "agent", "assignee_id": world.g1});
    world.a.post("/api/issues", issue).await.expect(201);
    const STORED: &str = "SELECT runtime_mcp_overlay, runtime_connected_apps FROM agent_task_queue";
    let nothing = json!({"runtime_mcp_overlay": null, "runtime_connected_apps": null});
    assert_eq!(gateway.row(STORED, Value::Null).await, nothing);
    gateway
        .execute(
            "UPDATE agent_task_queue SET runtime_mcp_overlay = $1, runtime_connected_apps = $2",
            json!([{"mcpServers": {"composio": {"url": "http://x"}}}, [{"toolkit_slug": "notion"}]]),
        )
        .await;
    let claimed = world.a.claim_one(world.r1).await;
    assert_eq!(claimed["agent"]["mcp_config"], own);
    check_members(&claimed, &json!({"connected_apps": null}));
}

/// Domain item 256.
#[apply(on_both)]
async fn a_directory_is_shown_without_whose_it_is(gateway: &Gateway) {
    let world = gateway.world().await;
    let task = gateway.seed_issue_task(world.g1, json!({})).await;
    let short = &task.simple().to_string()[..8];
    let path = format!("{}/{short}", world.w1);
    for (stored, shown) in [
        (format!("/Users/ann/multica/{path}/workdir"), format!("{path}/workdir")),
        (format!("C:\\multica\\{}\\{short}\\workdir", world.w1), format!("{path}/workdir")),
        ("/Users/ann/dev/app".to_owned(), "dev/app".to_owned()),
        ("/home/ann/dev/app".to_owned(), "dev/app".to_owned()),
        ("C:\\Users\\ann\\dev\\app".to_owned(), "dev/app".to_owned()),
        ("/HOME/Ann/dev".to_owned(), "dev".to_owned()),
        ("/home/ann".to_owned(), String::new()),
        ("/Users/ann/".to_owned(), String::new()),
        ("/srv/build/app".to_owned(), "app".to_owned()),
        ("D:\\build\\app\\".to_owned(), "app".to_owned()),
    ] {
        gateway.change("agent_task_queue", task, "work_dir", json!(stored)).await;
        let pending = format!("/api/daemon/runtimes/{}/tasks/pending", world.r1);
        let listed = world.a.get(pending).await.expect(200);
        let shown = (!shown.is_empty()).then_some(shown);
        check_members(&listed[0], &json!({"work_dir": stored, "relative_work_dir": shown}));
    }
}

/// Domain item 257.
#[apply(on_both)]
async fn a_task_is_of_one_of_five_kinds(gateway: &Gateway) {
    let world = gateway.world().await;
    let chat = gateway.seed_chat(world.g1, json!({})).await;
    let run = gateway.seed_autopilot_run(world.g1, "Nightly", json!({})).await;
    let comment = gateway.seed_comment(world.i1, "member", world.b.id, "Please", json!({})).await;
    let prompt = json!({"type": "quick_create", "prompt": "p", "workspace_id": world.w1});
    for (more, kind) in [
        (json!({"chat_session_id": chat}), "chat"),
        (json!({"autopilot_run_id": run}), "autopilot"),
        (json!({"context": prompt}), "quick_create"),
        (json!({"issue_id": world.i1, "trigger_comment_id": comment}), "comment"),
        (json!({"issue_id": world.i1}), "direct"),
    ] {
        let task = gateway.seed_task(world.g1, more).await;
        assert_eq!(world.a.claim_one(world.r1).await["kind"], kind);
        world.a.fail(task, json!({"failure_reason": "agent_blocked"})).await;
    }
}

/// Domain item 255: a task whose agent went while it was on its way is delivered again without
/// one.
#[apply(on_both)]
async fn a_task_without_its_agent_is_still_answered(gateway: &Gateway) {
    let world = gateway.world().await;
    let task = gateway.seed_task(world.g1, json!({"issue_id": world.i1})).await;
    world.a.claim_one(world.r1).await;
    let sql = "UPDATE agent_task_queue SET dispatched_at = $2, prepare_lease_expires_at = $2 WHERE id = $1";
    gateway.execute(sql, json!([task, ahead(-100)])).await;
    // Only a database that forgets its own rules comes to this.
    match gateway.engine {
        Engine::Sqlite => {
            const LOOSE: &str = "CREATE TABLE task_token (id BLOB PRIMARY KEY, token_hash TEXT, task_id BLOB,
                agent_id BLOB, workspace_id BLOB, user_id BLOB, expires_at TEXT, created_at TEXT)";
            gateway.execute("PRAGMA foreign_keys = OFF", Value::Null).await;
            gateway.execute("DROP TABLE task_token", Value::Null).await;
            gateway.execute(LOOSE, Value::Null).await;
        }
        Engine::Postgres => {
            for table in ["agent_task_queue", "task_token"] {
                let sql = format!("ALTER TABLE {table} DROP CONSTRAINT {table}_agent_id_fkey");
                gateway.execute(&sql, Value::Null).await;
            }
        }
    }
    gateway.execute("DELETE FROM agent WHERE id = $1", json!([world.g1])).await;
    let answer = world.a.claiming(world.r1).await.expect(200);
    check_members(&answer["task"], &json!({"id": task, "agent": null}));
}
