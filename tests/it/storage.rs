//! What the database holds to, whoever writes to it: the slot, the wipe, the closed lists of
//! words; and what is kept of tokens and of reports that come twice.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Gateway, ahead, hash, id_of};

/// Domain items 1 and 2.
#[apply(on_both)]
async fn an_agent_has_one_pending_task_an_issue(gateway: &Gateway) {
    const ADD: &str = "INSERT INTO agent_task_queue (id, agent_id, runtime_id, issue_id, created_at)
        VALUES ($1, $2, $3, $4, $5)";
    const RUN: &str = "UPDATE agent_task_queue SET status = 'running', started_at = $2,
        prepare_lease_expires_at = NULL WHERE id = $1";
    let world = gateway.world().await;
    let other = gateway.seed_agent(world.r1, "Other", json!({})).await;
    let add = async |agent: Uuid| {
        gateway.attempt(ADD, json!([Uuid::now_v7(), agent, world.r1, world.i1, ahead(0)])).await
    };
    let first = gateway.seed_task(world.g1, json!({"issue_id": world.i1})).await;
    let refused = add(world.g1).await.unwrap_err();
    assert!(refused.to_lowercase().contains("unique"), "{refused}");
    assert_eq!(add(other).await, Ok(1));
    world.a.claim_one(world.r1).await;
    let refused = add(world.g1).await.unwrap_err();
    assert!(refused.to_lowercase().contains("unique"), "a dispatched task holds the slot too: {refused}");
    gateway.execute(RUN, json!([first, ahead(0)])).await;
    assert_eq!(add(world.g1).await, Ok(1));
    for prompt in ["one", "two"] {
        gateway.seed_quick_create(world.g1, prompt, json!({})).await;
    }
}

const KEPT: &str = "SELECT runtime_mcp_overlay, runtime_connected_apps FROM agent_task_queue WHERE id = $1";

/// Domain items 3, 4, 5 and 6.
#[apply(on_both)]
async fn an_end_wipes_the_overlay_whoever_writes_it(gateway: &Gateway) {
    const END: &str =
        "UPDATE agent_task_queue SET status = $1, completed_at = $2, prepare_lease_expires_at = NULL";
    let world = gateway.world().await;
    let secrets = json!({
        "runtime_mcp_overlay": {"mcpServers": {"composio": {"url": "http://x"}}},
        "runtime_connected_apps": [{"toolkit_slug": "notion"}],
    });
    let wiped = json!({"runtime_mcp_overlay": null, "runtime_connected_apps": null});
    for status in ["completed", "failed", "cancelled"] {
        let mut tasks = Vec::new();
        for _ in 0..3 {
            tasks.push(gateway.seed_issue_task(world.g1, secrets.clone()).await);
        }
        gateway.change("agent_task_queue", tasks[0], "status", json!("dispatched")).await;
        assert_eq!(gateway.row(KEPT, json!([tasks[0]])).await, secrets, "on its way it keeps them");
        // All of them in one statement.
        assert_eq!(gateway.execute(END, json!([status, ahead(0)])).await, 3);
        for task in &tasks {
            assert_eq!(gateway.row(KEPT, json!([task])).await, wiped, "{status}");
        }
        // A row that has ended is only touched: nothing is wiped again.
        let touched = "UPDATE agent_task_queue SET runtime_mcp_overlay = $2, status = $3 WHERE id = $1";
        gateway.execute(touched, json!([tasks[0], {"x": 1}, status])).await;
        assert_eq!(gateway.row(KEPT, json!([tasks[0]])).await["runtime_mcp_overlay"], json!({"x": 1}));
        gateway.execute("DELETE FROM agent_task_queue", Value::Null).await;
    }
}

/// Domain items 7 and 8.
#[apply(on_both)]
async fn a_word_outside_its_list_is_refused_by_the_database(gateway: &Gateway) {
    let world = gateway.world().await;
    let task = gateway.seed_issue_task(world.g1, json!({})).await;
    for (table, id, column, known, unknown) in [
        ("agent_task_queue", task, "status", "deferred", "paused"),
        ("agent", world.g1, "permission_mode", "private", "public"),
    ] {
        let sql = format!("UPDATE {table} SET {column} = $2 WHERE id = $1");
        let refused = gateway.attempt(&sql, json!([id, unknown])).await.unwrap_err();
        assert!(refused.to_lowercase().contains("check"), "{refused}");
        assert_eq!(gateway.attempt(&sql, json!([id, known])).await, Ok(1));
    }
}

/// Domain item 9.
#[apply(on_both)]
async fn a_target_is_kept_once_with_who_named_it_last(gateway: &Gateway) {
    const ROW: &str =
        "SELECT target_id, created_by, created_at FROM agent_invocation_target WHERE agent_id = $1";
    let (ada, bea) = (gateway.user(), gateway.join("Bea", "member").await);
    let runtime = ada.register("dm", "claude").await;
    let target = json!({"target_type": "member", "target_id": bea.id});
    let shared = json!({"permission_mode": "public_to", "invocation_targets": [target, target]});
    let new = crate::harness::over(json!({"name": "Gus", "runtime_id": runtime}), shared.clone());
    let agent = id_of(&ada.post("/api/agents", new).await.expect(201));
    let old = ahead(-3600);
    let sql = "UPDATE agent_invocation_target SET created_by = $1, created_at = $2";
    assert_eq!(gateway.execute(sql, json!([bea.id, old])).await, 1);
    ada.put(format!("/api/agents/{agent}"), shared).await.expect(200);
    let row = gateway.row(ROW, json!([agent])).await;
    assert_eq!((&row["target_id"], &row["created_by"]), (&json!(bea.id), &json!(ada.id)));
    assert!(row["created_at"].as_str() > Some(old.as_str()), "{row}");
    let sql = "INSERT INTO agent_invocation_target (id, agent_id, target_type, target_id) VALUES ($1, $2, 'member', $3)";
    let refused = gateway.attempt(sql, json!([Uuid::now_v7(), agent, bea.id])).await.unwrap_err();
    assert!(refused.to_lowercase().contains("unique"), "{refused}");
}

/// Domain items 11, 12 and 13.
#[apply(on_both)]
async fn a_runtime_is_one_row_with_the_owner_it_has(gateway: &Gateway) {
    const ROW: &str = "SELECT owner_id, provider FROM agent_runtime WHERE id = $1";
    let world = gateway.world().await;
    let runtime = world.a.register("dm-1", "codex").await;
    // A daemon's own token names nobody.
    assert_eq!(world.m1.register("dm-1", "codex").await, runtime);
    let expected = json!({"owner_id": world.a.id, "provider": "codex"});
    assert_eq!(gateway.row(ROW, json!([runtime])).await, expected);

    let second = gateway.seed_profile(world.w1, json!({"display_name": "Another"})).await;
    let mut rows = vec![world.r1];
    for profile in [world.p1, second] {
        let custom = async |kind: &str| {
            let registered = world.a.register_with(json!({
                "daemon_id": "dm-1", "device_name": "mac",
                "runtimes": [{"type": kind, "name": "custom", "profile_id": profile}],
            }));
            id_of(&registered.await.ok()["runtimes"][0])
        };
        // Whatever the daemon calls it, it is of its profile's family.
        let row = custom("codex").await;
        assert_eq!(gateway.row(ROW, json!([row])).await["provider"], "claude");
        assert_eq!(custom("claude").await, row);
        rows.push(row);
    }
    rows.sort_unstable();
    rows.dedup();
    assert_eq!(rows.len(), 3, "one beside the two profiles' rows");
}

/// Domain items 15 and 16.
#[apply(on_both)]
async fn of_a_token_only_its_digest_is_kept(gateway: &Gateway) {
    let world = gateway.world().await;
    let made = world.a.post("/api/tokens", json!({"name": "laptop"})).await.expect(201);
    gateway.seed_issue_task(world.g1, json!({})).await;
    let claimed = world.a.claim_one(world.r1).await;
    for (table, token) in [("personal_access_token", &made["token"]), ("task_token", &claimed["auth_token"])]
    {
        let token = token.as_str().unwrap();
        let rows = gateway.rows(&format!("SELECT * FROM {table}"), Value::Null).await;
        assert_eq!(rows.iter().filter(|row| row["token_hash"] == hash(token)).count(), 1, "{table}");
        let everything = json!(rows).to_string();
        assert!(!everything.contains(token) && !everything.contains(&token[14..]), "{everything}");
    }
    gateway.execute("UPDATE task_token SET expires_at = $1", json!([ahead(-1)])).await;
    let agent = gateway.bearer(claimed["auth_token"].as_str().unwrap());
    agent.get("/api/me").await.refused(401, "invalid token");
}

/// Domain item 17.
#[apply(on_both)]
async fn a_second_report_replaces_the_first(gateway: &Gateway) {
    const ROW: &str = "SELECT input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, updated_at
        FROM task_usage";
    let world = gateway.world().await;
    let task = gateway.seed_issue_task(world.g1, json!({})).await;
    let report = async |count: i64| {
        let counters = json!({
            "input_tokens": count, "output_tokens": count, "cache_read_tokens": count, "cache_write_tokens": count,
        });
        let entry = crate::harness::over(counters.clone(), json!({"provider": "claude", "model": "m"}));
        let path = format!("/api/daemon/tasks/{task}/usage");
        world.a.post(path, json!({"usage": [entry]})).await.expect(200);
        let mut row = gateway.row(ROW, Value::Null).await;
        let at = row.as_object_mut().unwrap().remove("updated_at").unwrap();
        assert_eq!(row, counters);
        at.as_str().unwrap().to_owned()
    };
    let first = report(10).await;
    assert!(report(4).await > first);
}
