//! Short commands to a daemon: a person makes one, a beat hands it over, the person polls.
//! Checklist 10.6, what is pending.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Client, Engine, Gateway, ahead};

/// Makes a request of the kind that the path names; gives its id.
async fn ask(client: &Client, runtime: Uuid, what: &str, body: Value) -> String {
    let request = client.post(format!("/api/runtimes/{runtime}/{what}"), body).await.expect(200);
    assert_eq!(
        (&request["status"], &request["runtime_id"]),
        (&json!("pending"), &json!(runtime)),
        "{request}"
    );
    let id = request["id"].as_str().unwrap().to_owned();
    assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)), "{id}");
    id
}

async fn poll(client: &Client, runtime: Uuid, what: &str, id: &str) -> Value {
    client.get(format!("/api/runtimes/{runtime}/{what}/{id}")).await.expect(200)
}

async fn import(client: &Client, runtime: Uuid, key: &str) -> String {
    ask(client, runtime, "local-skills/import", json!({"skill_key": key})).await
}

fn handed_over(answer: &Value) -> Vec<&str> {
    let members = answer.as_object().unwrap().keys().map(String::as_str);
    members.filter(|name| name.starts_with("pending_")).collect()
}

async fn batch_beat(client: &Client, runtime: Uuid) -> Value {
    let body = json!({"runtime_id": runtime, "supports_batch_import": true});
    client.post("/api/daemon/heartbeat", body).await.expect(200)
}

/// Daemon item 78.
#[apply(on_both)]
async fn an_update_is_handed_over_once(gateway: &Gateway) {
    let user = gateway.user();
    let runtime = user.register("dm-1", "claude").await;
    let id = ask(&user, runtime, "update", json!({"target_version": "v0.3.1"})).await;
    let answer = user.beat(runtime).await;
    assert_eq!(answer["pending_update"], json!({"id": id, "target_version": "v0.3.1"}));
    assert!(handed_over(&user.beat(runtime).await).is_empty());
    let polled = poll(&user, runtime, "update", &id).await;
    assert_eq!((&polled["status"], &polled["target_version"]), (&json!("running"), &json!("v0.3.1")));
    assert!(polled.get("output").is_none() && polled.get("error").is_none(), "{polled}");
}

/// Daemon items 79 and 80.
#[apply(on_both)]
async fn lists_are_asked_for_one_a_beat_oldest_first(gateway: &Gateway) {
    let user = gateway.user();
    let runtime = user.register("dm-1", "claude").await;
    let first = ask(&user, runtime, "models", json!({})).await;
    let second = ask(&user, runtime, "models", Value::Null).await;
    let skills = ask(&user, runtime, "local-skills", json!({})).await;
    let answer = user.beat(runtime).await;
    assert_eq!(answer["pending_model_list"], json!({"id": first}));
    assert_eq!(answer["pending_local_skills"], json!({"id": skills}));
    assert_eq!(user.beat(runtime).await["pending_model_list"], json!({"id": second}));
    assert!(handed_over(&user.beat(runtime).await).is_empty());
    assert_eq!(poll(&user, runtime, "models", &first).await["supported"], true);
}

/// Daemon items 81 and 97.
#[apply(on_both)]
async fn ten_imports_are_handed_over_at_once_to_a_daemon_that_takes_them(gateway: &Gateway) {
    let user = gateway.user();
    let runtime = user.register("dm-1", "claude").await;
    let mut ids = Vec::new();
    for number in 0..24 {
        ids.push(json!({"id": import(&user, runtime, &format!("k{number}")).await, "skill_key": format!("k{number}")}));
    }
    let mut socket = user.daemon_socket(&[runtime]).await;
    for (from, to) in [(0, 10), (10, 20), (20, 24)] {
        // Over HTTP and over the socket alike, and never twice.
        let answer = if from == 10 { socket.beat(runtime).await } else { batch_beat(&user, runtime).await };
        assert_eq!(answer["pending_local_skill_imports"], json!(ids[from..to]));
        assert_eq!(answer["pending_local_skill_import"], ids[from]);
    }
    assert!(handed_over(&batch_beat(&user, runtime).await).is_empty());
    assert!(handed_over(&socket.beat(runtime).await).is_empty());
}

/// Daemon item 82.
#[apply(on_both)]
async fn imports_go_one_by_one_to_a_daemon_that_knows_no_better(gateway: &Gateway) {
    let user = gateway.user();
    let runtime = user.register("dm-1", "claude").await;
    for key in ["a", "b", "c"] {
        import(&user, runtime, key).await;
    }
    for key in ["a", "b", "c"] {
        let answer = user.beat(runtime).await;
        assert_eq!(answer["pending_local_skill_import"]["skill_key"], key);
        assert_eq!(handed_over(&answer), ["pending_local_skill_import"]);
    }
    assert!(handed_over(&user.beat(runtime).await).is_empty());
}

/// Daemon items 83, 84 and 97: all four kinds in one beat, to the runtime they are for.
#[apply(on_both)]
async fn all_kinds_go_together_and_to_no_other_runtime(gateway: &Gateway) {
    let user = gateway.user();
    let runtime = user.register("dm-1", "claude").await;
    let other = user.register("dm-1", "codex").await;
    let all = [
        "pending_local_skill_import",
        "pending_local_skill_imports",
        "pending_local_skills",
        "pending_model_list",
        "pending_update",
    ];
    let mut socket = user.daemon_socket(&[runtime, other]).await;
    for round in 0..2 {
        let update = ask(&user, runtime, "update", json!({"target_version": "v1"})).await;
        ask(&user, runtime, "models", json!({})).await;
        ask(&user, runtime, "local-skills", json!({})).await;
        import(&user, runtime, "k").await;
        assert!(handed_over(&user.beat(other).await).is_empty());
        assert!(handed_over(&socket.beat(other).await).is_empty());
        let answer = if round == 0 { batch_beat(&user, runtime).await } else { socket.beat(runtime).await };
        assert_eq!(handed_over(&answer), all);
        let result = format!("/api/daemon/runtimes/{runtime}/update/{update}/result");
        user.post(result, json!({"status": "completed"})).await.expect(200);
    }
}

/// Daemon item 97: as over HTTP, member by member, and what one brought the other does not.
#[apply(on_both)]
async fn what_waits_is_handed_over_on_the_socket_in_the_same_shapes(gateway: &Gateway) {
    let user = gateway.user();
    let runtime = user.register("dm-1", "claude").await;
    let update = ask(&user, runtime, "update", json!({"target_version": "v0.3.1"})).await;
    let models =
        [ask(&user, runtime, "models", json!({})).await, ask(&user, runtime, "models", json!({})).await];
    let skills = ask(&user, runtime, "local-skills", json!({})).await;
    let mut imports = Vec::new();
    for key in ["a", "b", "c"] {
        imports.push(json!({"id": import(&user, runtime, key).await, "skill_key": key}));
    }
    let mut socket = user.daemon_socket(&[runtime]).await;
    // It does not say that it takes several.
    let plain = json!({"type": "daemon:heartbeat", "payload": {"runtime_id": runtime}});
    let flags = json!({"version": 1, "flags": {"runtime_brief_slim": "off"}});
    socket.send(plain.clone()).await;
    let expected = json!({
        "runtime_id": runtime, "status": "ok", "feature_flags": flags,
        "pending_update": {"id": update, "target_version": "v0.3.1"}, "pending_model_list": {"id": models[0]},
        "pending_local_skills": {"id": skills}, "pending_local_skill_import": imports[0],
    });
    assert_eq!(socket.expect("daemon:heartbeat_ack").await, expected);
    let expected = json!({
        "status": "ok", "feature_flags": flags, "pending_model_list": {"id": models[1]},
        "pending_local_skill_import": imports[1],
    });
    assert_eq!(user.beat(runtime).await, expected);
    socket.send(plain).await;
    let expected = json!({
        "runtime_id": runtime, "status": "ok", "feature_flags": flags, "pending_local_skill_import": imports[2],
    });
    assert_eq!(socket.expect("daemon:heartbeat_ack").await, expected);
    assert!(handed_over(&socket.beat(runtime).await).is_empty());
    assert!(handed_over(&batch_beat(&user, runtime).await).is_empty());
}

/// Daemon item 85: a question without an answer costs its member and nothing else.
#[test]
fn a_beat_does_not_wait_for_a_stalled_store() {
    crate::harness::run(Engine::Postgres, async |gateway: &Gateway| {
        let user = gateway.user();
        let runtime = user.register("dm-1", "claude").await;
        ask(&user, runtime, "update", json!({"target_version": "v1"})).await;
        ask(&user, runtime, "models", json!({})).await;
        let held = gateway.hold("LOCK TABLE pending_request IN ACCESS EXCLUSIVE MODE").await;
        for _ in 0..3 {
            let answer = user.beat(runtime).await;
            assert_eq!((&answer["status"], handed_over(&answer).len()), (&json!("ok"), 0));
        }
        drop(held);
        // Each left a line that says what was not known in time.
        let lines = gateway.logged("heartbeat_endpoint slow", 3).await;
        assert_eq!(lines.len(), 3, "{lines:?}");
        let (runtime_id, path) = (format!("runtime_id=\"{runtime}\""), "auth_path=\"pat\"");
        for member in [
            runtime_id.as_str(),
            "outcome=\"ok\"",
            path,
            "total_ms=",
            "auth_ms=",
            "decode_ms=",
            "runtime_lookup_ms=",
            "workspace_check_ms=",
            "update_ms=",
            "probe_model_ms=",
            "pop_model_ms=",
            "probe_skills_ms=",
            "pop_skills_ms=",
            "probe_import_ms=",
            "pop_import_ms=",
            "probe_model_timed_out=true",
            "probe_skills_timed_out=",
            "probe_import_timed_out=",
        ] {
            assert!(lines[0].contains(member), "`{member}` is not in {}", lines[0]);
        }
        let mut found = Vec::new();
        while found.len() < 2 {
            let answer = user.beat(runtime).await;
            found.extend(handed_over(&answer).into_iter().map(str::to_owned));
        }
        found.sort();
        assert_eq!(found, ["pending_model_list", "pending_update"]);
    });
}

/// Daemon item 90: two nodes, and each request is handed over once.
#[test]
fn a_request_is_handed_over_by_one_of_two_nodes() {
    crate::harness::run(Engine::Postgres, async |gateway: &Gateway| {
        let user = gateway.user();
        let runtime = user.register("dm-1", "claude").await;
        let second = gateway.second_node().await;
        let there = second.user();
        for round in 0..10 {
            let id = ask(&user, runtime, "models", json!({})).await;
            let mut delivered = Vec::new();
            // The other node learns of a request by looking, so beats go on until it is out.
            while delivered.is_empty() {
                let (here, there) = tokio::join!(user.beat(runtime), there.beat(runtime));
                delivered.extend(
                    [here, there].into_iter().filter_map(|answer| answer.get("pending_model_list").cloned()),
                );
            }
            assert_eq!(delivered, [json!({"id": id})], "round {round}");
        }
        // One that this node never heard of.
        let id = ask(&there, runtime, "models", json!({})).await;
        loop {
            let answer = user.beat(runtime).await;
            if let Some(found) = answer.get("pending_model_list") {
                assert_eq!(*found, json!({"id": id}));
                break;
            }
            tokio::task::yield_now().await;
        }
        second.finish().await;
    });
}

/// A restart, and a crash, lose nothing that waits.
#[apply(on_both)]
async fn what_waits_outlives_the_gateway(gateway: &Gateway) {
    let user = gateway.user();
    let runtime = user.register("dm-1", "claude").await;
    let update = ask(&user, runtime, "update", json!({"target_version": "v1"})).await;
    gateway.restart();
    assert_eq!(user.beat(runtime).await["pending_update"]["id"], json!(update));
    let models = ask(&user, runtime, "models", json!({})).await;
    gateway.crash();
    assert_eq!(poll(&user, runtime, "update", &update).await["status"], "running");
    assert_eq!(user.beat(runtime).await["pending_model_list"]["id"], json!(models));
}

/// Daemon item 203. User item 56.
#[apply(on_both)]
async fn a_request_that_takes_too_long_times_out_when_it_is_looked_at(gateway: &Gateway) {
    let user = gateway.user();
    let runtime = user.register("dm-1", "claude").await;
    const AGE: &str = "UPDATE pending_request SET created_at = $2, updated_at = $2 WHERE id = $1";
    const RUN: &str = "UPDATE pending_request SET run_started_at = $2, updated_at = $2 WHERE id = $1";
    let unclaimed = ask(&user, runtime, "models", json!({})).await;
    gateway.execute(AGE, json!([unclaimed, ahead(-31)])).await;
    assert!(handed_over(&user.beat(runtime).await).is_empty(), "it is too late");
    let polled = poll(&user, runtime, "models", &unclaimed).await;
    assert_eq!(
        (&polled["status"], &polled["error"]),
        (&json!("timeout"), &json!("daemon did not respond within 30 seconds"))
    );
    let silent = ask(&user, runtime, "models", json!({})).await;
    user.beat(runtime).await;
    gateway.execute(RUN, json!([silent, ahead(-61)])).await;
    let polled = poll(&user, runtime, "models", &silent).await;
    assert_eq!(
        (&polled["status"], &polled["error"]),
        (&json!("timeout"), &json!("daemon did not finish within 60 seconds"))
    );
    // A report that comes after that changes nothing, whatever is in it.
    let result = format!("/api/daemon/runtimes/{runtime}/models/{silent}/result");
    user.post(result, "{").await.expect(200);
    assert_eq!(poll(&user, runtime, "models", &silent).await, polled);
    // And then it is forgotten.
    gateway.execute(RUN, json!([silent, ahead(-61 - 121)])).await;
    user.get(format!("/api/runtimes/{runtime}/models/{silent}")).await.refused(404, "request not found");
}

/// An update that took too long makes room for another. Daemon item 200. User item 54, its second request.
#[apply(on_both)]
async fn one_update_at_a_time(gateway: &Gateway) {
    let user = gateway.user();
    let runtime = user.register("dm-1", "claude").await;
    let wanted = json!({"target_version": "v1"});
    let under_way = "an update is already in progress for this runtime";
    let path = format!("/api/runtimes/{runtime}/update");
    let first = ask(&user, runtime, "update", wanted.clone()).await;
    user.post(&path, wanted.clone()).await.refused(409, under_way);
    user.beat(runtime).await;
    user.post(&path, wanted.clone()).await.refused(409, under_way);
    const RUN: &str = "UPDATE pending_request SET run_started_at = $2, updated_at = $2 WHERE id = $1";
    gateway.execute(RUN, json!([first, ahead(-151)])).await;
    let second = ask(&user, runtime, "update", wanted.clone()).await;
    let polled = poll(&user, runtime, "update", &first).await;
    assert_eq!(
        (&polled["status"], &polled["error"]),
        (&json!("timeout"), &json!("update did not complete within 150 seconds"))
    );
    let result = format!("/api/daemon/runtimes/{runtime}/update/{second}/result");
    user.post(result, json!({"status": "failed", "error": "no space"})).await.expect(200);
    ask(&user, runtime, "update", wanted).await;
}

/// Who may ask for what, and in which words they are refused.
/// User items 55, 57 and 59, as far as they refuse.
#[apply(on_both)]
async fn requests_are_checked_in_order(gateway: &Gateway) {
    let world = gateway.world().await;
    let (a, b, c) = (&world.a, &world.b, &world.c);
    let on = |runtime: Uuid, what: &str| format!("/api/runtimes/{runtime}/{what}");
    let nobody = Uuid::new_v4();
    let version = json!({"target_version": "v1"});
    a.post("/api/runtimes/zzz/update", version.clone()).await.refused(400, "invalid runtime_id");
    a.post(on(nobody, "update"), version.clone()).await.refused(404, "runtime not found");
    a.post(on(world.r2, "update"), version.clone()).await.refused(404, "runtime not found");
    c.post(on(world.r1, "update"), version.clone()).await.refused(404, "runtime not found");
    for body in ["", "{", "[]", r#"{"target_version":1}"#] {
        a.post(on(world.r1, "update"), body).await.refused(400, "invalid request body");
    }
    for body in ["{}", "null", r#"{"target_version":""}"#] {
        a.post(on(world.r1, "update"), body).await.refused(400, "target_version is required");
    }
    a.post(on(world.r1, "update"), json!({"target_version": "v".repeat(5000)})).await.expect(400);
    // Any member may ask for models; the disk is its owner's.
    let models = ask(b, world.r1, "models", json!({})).await;
    for what in ["local-skills", "local-skills/import"] {
        b.post(on(world.r1, what), json!({"skill_key": "k"})).await.refused(403, "insufficient permissions");
        b.get(on(world.r1, &format!("{what}/{}", "0".repeat(32))))
            .await
            .refused(403, "insufficient permissions");
    }
    // Offline, an update may wait and nothing else.
    gateway.expect_error("status=503");
    a.post("/api/daemon/deregister", json!({"runtime_ids": [world.r1]})).await.expect(200);
    ask(a, world.r1, "update", version).await;
    for what in ["models", "local-skills", "local-skills/import"] {
        a.post(on(world.r1, what), json!({"skill_key": "k"})).await.refused(503, "runtime is offline");
    }
    a.beat(world.r1).await;
    let import = on(world.r1, "local-skills/import");
    a.post(&import, "").await.refused(400, "invalid request body");
    a.post(&import, json!({"skill_key": "  "})).await.refused(400, "skill_key is required");
    a.post(&import, json!({"skill_key": "k", "action": "merge"})).await.refused(400, "invalid action");
    for target in [Value::Null, json!(""), json!("zzz")] {
        let body = json!({"skill_key": "k", "action": "overwrite", "target_skill_id": target});
        a.post(&import, body).await.refused(400, "invalid target_skill_id");
    }
    a.post(&import, json!({"skill_key": "k".repeat(100_000)})).await.expect(400);
    // Ids of another runtime, another kind, or of nothing.
    for id in [models.as_str(), "zzz", &"0".repeat(32), "%00"] {
        a.get(on(world.r1, &format!("update/{id}"))).await.refused(404, "update not found");
        a.get(on(world.r1, &format!("local-skills/{id}"))).await.refused(404, "request not found");
    }
    c.get(on(world.r2, &format!("models/{models}"))).await.refused(404, "request not found");
    c.get(on(world.r1, &format!("models/{models}"))).await.refused(404, "request not found");
    poll(a, world.r1, "models", &models).await;
}

/// What an import asks for is trimmed, and blank means absent.
#[apply(on_both)]
async fn an_import_shows_what_was_asked(gateway: &Gateway) {
    let user = gateway.user();
    let runtime = user.register("dm-1", "claude").await;
    let path = format!("/api/runtimes/{runtime}/local-skills/import");
    let body = json!({"skill_key": " k ", "name": " N ", "description": "  ", "supports_conflict": true});
    let shown = user.post(&path, body).await.expect(200);
    assert_eq!(
        (&shown["skill_key"], &shown["name"], &shown["supports_conflict"]),
        (&json!("k"), &json!("N"), &json!(true))
    );
    for absent in ["description", "action", "target_skill_id", "skill", "conflict", "error"] {
        assert!(shown.get(absent).is_none(), "{shown}");
    }
    let target = Uuid::now_v7();
    let body = json!({"skill_key": "k", "action": "overwrite", "target_skill_id": target});
    let shown = user.post(&path, body).await.expect(200);
    assert_eq!((&shown["action"], &shown["target_skill_id"]), (&json!("overwrite"), &json!(target)));
    assert_eq!(shown["supports_conflict"], true);
    assert_eq!(shown["created_at"], shown["updated_at"]);
}
