//! Runtimes and their profiles as people see them: listed, shared, counted, and taken away.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Client, Gateway, ahead, id_of};

/// User items 49, 50 and 51.
#[apply(on_both)]
async fn runtimes_are_seen_by_all_and_shared_by_their_owner(gateway: &Gateway) {
    let owner = gateway.user();
    let (member, admin) = (gateway.join("Bea", "member").await, gateway.join("Adi", "admin").await);
    let mine = owner.register("dm-1", "codex").await;
    let theirs = member.register("dm-2", "claude").await;
    let listed = member.get("/api/runtimes").await.expect(200);
    assert_eq!(listed.as_array().unwrap().len(), 2);
    assert_eq!((&listed[0]["id"], &listed[1]["id"]), (&json!(mine), &json!(theirs)));
    assert_eq!(listed[0]["launch_header"], json!("codex app-server"));
    assert_eq!((&listed[0]["status"], &listed[0]["owner_id"]), (&json!("online"), &json!(owner.id)));
    assert_eq!(listed[0]["metadata"]["cli_version"], json!("1.0.0"));
    let own = member.get("/api/runtimes/?owner=me").await.expect(200);
    assert_eq!(own.as_array().unwrap().iter().map(|row| &row["id"]).collect::<Vec<_>>(), [&json!(theirs)]);

    let share =
        |client: &Client, runtime: Uuid, body: Value| client.patch(format!("/api/runtimes/{runtime}"), body);
    let public = || json!({"visibility": "public"});
    share(&member, mine, public()).await.refused(403, "you can only edit your own runtimes");
    let bad = share(&member, theirs, json!({"visibility": "secret"})).await;
    bad.refused(400, "visibility must be 'private' or 'public'");
    share(&member, theirs, json!({"visibility": 5})).await.refused(400, "invalid JSON body");
    assert_eq!(share(&member, theirs, public()).await.expect(200)["visibility"], json!("public"));
    assert_eq!(share(&member, theirs, json!({})).await.expect(200)["visibility"], json!("public"));
    assert_eq!(share(&admin, mine, public()).await.expect(200)["visibility"], json!("public"));
    member.patch("/api/runtimes/x", public()).await.refused(400, "invalid runtime_id");
    share(&member, Uuid::new_v4(), public()).await.refused(404, "runtime not found");
    let stranger = gateway.stranger("Cyn").await;
    share(&stranger, mine, public()).await.refused(404, "runtime not found");
    // The workspace that is named need not be the runtime's, for a person.
    gateway.seed_member(stranger.workspace, owner.id, "member").await;
    let away = owner.in_workspace(stranger.workspace);
    assert_eq!(
        share(&away, mine, json!({"visibility": "private"})).await.expect(200)["visibility"],
        json!("private")
    );
}

/// User item 52, and what else stands in the way of a deletion.
#[apply(on_both)]
async fn a_runtime_goes_when_nothing_hangs_on_it(gateway: &Gateway) {
    let owner = gateway.user();
    let member = gateway.join("Bea", "member").await;
    let runtime = owner.register("dm-1", "claude").await;
    let path = format!("/api/runtimes/{runtime}");
    let agent = gateway
        .seed_agent(runtime, "Gus", json!({"mcp_config": {"mcpServers": {"a": {"env": {"K": "hidden"}}}}}))
        .await;
    member.delete(&path).await.refused(403, "you can only delete your own runtimes");
    let busy = owner.delete(&path).await;
    assert!(!busy.text.contains("hidden"), "{busy}");
    let busy = busy.expect(409);
    assert_eq!(busy["code"], json!("runtime_has_active_agents"));
    assert_eq!(
        busy["error"],
        json!(
            "cannot delete runtime: it has active agents bound to it. Archive or reassign the agents first."
        )
    );
    assert_eq!(busy["active_agents"][0]["id"], json!(agent));
    assert_eq!(busy["active_agents"][0]["mcp_config_redacted"], json!(true));

    gateway.change("agent", agent, "archived_at", json!(ahead(0))).await;
    let squad = gateway.seed_squad(gateway.workspace, "Squad", agent, json!({})).await;
    let led = owner.delete(&path).await;
    led.refused(
        409,
        "cannot delete runtime: it has active squads led by archived agents. Archive those squads or assign them \
         a new leader first.",
    );
    gateway.change("squad", squad, "archived_at", json!(ahead(0))).await;
    let run = gateway.seed_autopilot_run(agent, "Nightly", json!({})).await;
    let autopilot = gateway.value("SELECT autopilot_id FROM autopilot_run WHERE id = $1", json!([run])).await;
    owner.beat(runtime).await;
    assert_eq!(owner.delete(&path).await.expect(200), json!({"status": "ok"}));

    let paused = gateway.value("SELECT status FROM autopilot WHERE id = $1", json!([autopilot])).await;
    assert_eq!(paused, json!("paused"));
    for (table, column, id) in [
        ("squad", "id", squad),
        ("agent", "id", agent),
        ("agent_invocation_target", "agent_id", agent),
        ("agent_runtime", "id", runtime),
    ] {
        let sql = format!("SELECT count(*) AS n FROM {table} WHERE {column} = $1");
        assert_eq!(gateway.value(&sql, json!([id])).await, json!(0), "{table}");
    }
    owner.delete(&path).await.refused(404, "runtime not found");
    // Its daemon hears of it at the next beat, whatever was remembered of the runtime.
    let beat = owner.post("/api/daemon/heartbeat", json!({"runtime_id": runtime})).await;
    beat.refused(404, "runtime not found");
}

/// User item 53.
#[apply(on_both)]
async fn a_runtime_goes_with_just_the_agents_that_were_seen(gateway: &Gateway) {
    let owner = gateway.user();
    let member = gateway.join("Bea", "member").await;
    let runtime = owner.register("dm-1", "claude").await;
    let path = format!("/api/runtimes/{runtime}/archive-agents-and-delete");
    let one = gateway.seed_agent(runtime, "One", json!({})).await;
    let two = gateway.seed_agent(runtime, "Two", json!({})).await;
    let other = owner.register("dm-2", "claude").await;
    let away = gateway.seed_agent(other, "Away", json!({})).await;
    gateway.seed_issue_task(one, json!({})).await;
    let token = owner.claim_one(runtime).await["auth_token"].as_str().unwrap().to_owned();
    gateway.seed_issue_task(two, json!({})).await;
    let safe = gateway.seed_issue_task(away, json!({})).await;
    let plan = |agents: Value| json!({"expected_active_agent_ids": agents});

    owner.post(&path, plan(json!("x"))).await.refused(400, "invalid request body");
    let malformed = owner.post(&path, plan(json!(["x"]))).await;
    malformed.refused(400, "expected_active_agent_ids must be a list of valid UUIDs");
    member.post(&path, plan(json!([one, two]))).await.refused(403, "you can only delete your own runtimes");
    for wrong in [json!([]), json!([one]), json!([one, two, away]), json!([one, away])] {
        let changed = owner.post(&path, plan(wrong)).await.expect(409);
        assert_eq!(changed["code"], json!("runtime_delete_plan_changed"));
        assert_eq!(changed["error"], json!("the active agent set changed; please review and confirm again."));
        let seen: Vec<&Value> =
            changed["active_agents"].as_array().unwrap().iter().map(|agent| &agent["id"]).collect();
        assert_eq!(seen, [&json!(one), &json!(two)]);
        assert_eq!(changed["active_agents"][0]["archived_at"], Value::Null);
    }
    let active = "SELECT count(*) AS n FROM agent WHERE archived_at IS NULL AND runtime_id = $1";
    assert_eq!(gateway.value(active, json!([runtime])).await, json!(2));
    // An agent that leads a squad keeps its runtime.
    let squad = gateway.seed_squad(gateway.workspace, "Squad", one, json!({})).await;
    let led = owner.post(&path, plan(json!([one, two]))).await.expect(409);
    assert!(led["error"].as_str().unwrap().starts_with("cannot delete runtime: it has active squads"));
    gateway.change("squad", squad, "archived_at", json!(ahead(0))).await;

    let gone = owner.post(&path, plan(json!([two, one]))).await.expect(200);
    assert_eq!(gone, json!({"agents_archived": 2, "status": "ok", "tasks_cancelled": 2}));
    assert_eq!(gateway.value(active, json!([runtime])).await, json!(0));
    assert_eq!(gateway.bearer(&token).get("/api/me").await.status, 401);
    let status = "SELECT status FROM agent_task_queue WHERE id = $1";
    assert_eq!(gateway.value(status, json!([safe])).await, json!("queued"));
}

#[apply(on_both)]
async fn usage_and_activity_are_those_of_the_readers_zone(gateway: &Gateway) {
    let owner = gateway.user();
    let runtime = owner.register("dm-1", "claude").await;
    let agent = gateway.seed_agent(runtime, "Gus", json!({})).await;
    let busy = json!({"status": "completed", "started_at": "2026-01-02T23:50:00Z", "completed_at": "2026-01-03T00:10:00Z"});
    let task = gateway.seed_issue_task(agent, busy).await;
    let used = |model: &str, at: String, tokens: i64| {
        json!({
            "task_id": task, "provider": "claude", "model": model, "input_tokens": tokens, "output_tokens": 1,
            "cache_read_tokens": 2, "cache_write_tokens": 3, "created_at": at,
        })
    };
    // This very moment, yesterday, and before anybody asked.
    for row in [used("a", ahead(0), 5), used("b", ahead(0), 7), used("c", ahead(-86_400 * 200), 9)] {
        gateway.seed("task_usage", row, json!({})).await;
    }
    let usage = owner.get(format!("/api/runtimes/{runtime}/usage?tz=Asia/Kathmandu")).await.expect(200);
    let rows = usage.as_array().unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!((&rows[0]["model"], &rows[0]["input_tokens"]), (&json!("a"), &json!(5)));
    assert_eq!(rows[1]["cache_write_tokens"], json!(3));
    assert_eq!(rows[0]["runtime_id"], json!(runtime));
    assert_eq!(rows[0]["date"].as_str().unwrap().len(), 10);
    for query in ["?days=365", "?days=365&tz=Nowhere", "?days=99999"] {
        let all = owner.get(format!("/api/runtimes/{runtime}/usage{query}")).await.expect(200);
        assert_eq!(all.as_array().unwrap().len(), 3, "{query}");
    }
    let none = owner.get(format!("/api/runtimes/{}/usage", Uuid::new_v4())).await;
    none.refused(404, "runtime not found");
    let hours =
        async |query: &str| owner.get(format!("/api/runtimes/{runtime}/activity{query}")).await.expect(200);
    assert_eq!(hours("").await, json!([{"hour": 23, "count": 1}]));
    // Nepal is five hours and three quarters ahead.
    assert_eq!(hours("?tz=Asia/Kathmandu").await, json!([{"hour": 5, "count": 1}]));
}

fn profiles(gateway: &Gateway) -> String {
    format!("/api/workspaces/{}/runtime-profiles", gateway.workspace)
}

/// User item 60.
#[apply(on_both)]
async fn a_profile_is_checked_before_it_is_made(gateway: &Gateway) {
    let good = json!({"display_name": " Mine ", "protocol_family": "codex", "command_name": " my-codex "});
    let check = |change: Value, status: u16, error: &'static str| {
        let mut body = good.clone();
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        async move { gateway.user().post(profiles(gateway), body).await.refused(status, error) }
    };
    check(json!({"display_name": " ", "protocol_family": "x"}), 400, "display_name is required").await;
    check(
        json!({"protocol_family": "vim", "command_name": ""}),
        400,
        "unsupported protocol_family: must be one of claude, codebuddy, codex, copilot, opencode, openclaw, hermes, \
         pi, cursor, kimi, kiro, antigravity",
    )
    .await;
    check(json!({"command_name": "  "}), 400, "command_name is required").await;
    let token = "command_name must be a single executable token; put arguments in fixed_args";
    for command in ["a b", "a\tb", "a\nb", "a\rb"] {
        check(json!({"command_name": command}), 400, token).await;
    }
    for args in [json!(["a", " "]), json!([null]), json!([""])] {
        check(json!({"fixed_args": args}), 400, "fixed_args entries must be non-empty").await;
    }
    check(json!({"fixed_args": "x"}), 400, "invalid request body").await;
    let member = gateway.join("Bea", "member").await;
    member.post(profiles(gateway), good.clone()).await.refused(403, "insufficient permissions");

    let made = gateway.user().post(profiles(gateway), good.clone()).await.expect(201);
    assert_eq!((&made["display_name"], &made["command_name"]), (&json!("Mine"), &json!("my-codex")));
    assert_eq!((&made["visibility"], &made["enabled"]), (&json!("workspace"), &json!(true)));
    assert_eq!((&made["fixed_args"], &made["description"]), (&json!([]), &Value::Null));
    assert_eq!(made["created_by"], json!(gateway.user().id));
    check(json!({}), 409, "a runtime profile with this display_name already exists").await;
    let listed = member.get(profiles(gateway)).await.expect(200);
    assert_eq!(listed, json!({"runtime_profiles": [made]}));
    let one = format!("{}/{}", profiles(gateway), id_of(&made));
    assert_eq!(member.get(&one).await.expect(200), made);
    member.get(format!("{}/x", profiles(gateway))).await.refused(400, "invalid profile id");
    let absent = member.get(format!("{}/{}", profiles(gateway), Uuid::new_v4())).await;
    absent.refused(404, "runtime profile not found");
}

/// User items 61 and 62.
#[apply(on_both)]
async fn a_profile_is_changed_and_goes_with_its_runtimes(gateway: &Gateway) {
    let owner = gateway.user();
    let profile = gateway.seed_profile(gateway.workspace, json!({})).await;
    let other = gateway.seed_profile(gateway.workspace, json!({"display_name": "Taken"})).await;
    let path = format!("{}/{profile}", profiles(gateway));
    let changed = owner
        .patch(
            &path,
            json!({"protocol_family": "codex", "display_name": " New ", "fixed_args": ["-x", " y "], "enabled": true}),
        )
        .await
        .expect(200);
    assert_eq!((&changed["protocol_family"], &changed["display_name"]), (&json!("claude"), &json!("New")));
    assert_eq!(changed["fixed_args"], json!(["-x", " y "]));
    let same = owner.put(&path, json!({"fixed_args": null, "description": "d"})).await.expect(200);
    assert_eq!((&same["fixed_args"], &same["description"]), (&json!(["-x", " y "]), &json!("d")));
    owner.patch(&path, json!({"display_name": " "})).await.refused(400, "display_name cannot be empty");
    owner
        .patch(&path, json!({"display_name": "Taken"}))
        .await
        .refused(409, "a runtime profile with this display_name already exists");

    let registered = owner
        .register_with(json!({
            "daemon_id": "dm-1", "device_name": "mac",
            "runtimes": [{"type": "x", "name": "custom", "profile_id": profile}],
        }))
        .await
        .ok();
    let runtime = id_of(&registered["runtimes"][0]);
    let direct = owner.delete(format!("/api/runtimes/{runtime}")).await.expect(409);
    assert_eq!(direct["code"], json!("runtime_profile_instance_delete_unsupported"));
    let agent = gateway.seed_agent(runtime, "Gus", json!({})).await;
    owner
        .delete(&path)
        .await
        .refused(409, "cannot delete runtime profile: active agents are still bound to its runtimes");
    gateway.change("agent", agent, "archived_at", json!(ahead(0))).await;
    let squad = gateway.seed_squad(gateway.workspace, "Squad", agent, json!({})).await;
    let led = owner.delete(&path).await.expect(409);
    assert!(
        led["error"]
            .as_str()
            .unwrap()
            .starts_with("cannot delete runtime profile: a runtime has active squads")
    );
    gateway.change("squad", squad, "archived_at", json!(ahead(0))).await;
    owner.beat(runtime).await;
    assert_eq!(owner.delete(&path).await.status, 204);
    owner.delete(&path).await.refused(404, "runtime profile not found");
    owner
        .post("/api/daemon/heartbeat", json!({"runtime_id": runtime}))
        .await
        .refused(404, "runtime not found");
    let left = owner.get(profiles(gateway)).await.expect(200);
    assert_eq!(left["runtime_profiles"].as_array().unwrap().len(), 1);
    assert_eq!(left["runtime_profiles"][0]["id"], json!(other));
}
