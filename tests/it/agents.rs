//! `/api/agents`: what an agent is made of, who sees it, who changes it.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Client, Gateway, id_of};

/// An agent on the runtime, with these members more.
async fn create(client: &Client, runtime: Uuid, name: &str, more: Value) -> Value {
    let body = crate::harness::over(json!({"name": name, "runtime_id": runtime}), more);
    client.post("/api/agents", body).await.expect(201)
}

fn path(agent: &Value) -> String {
    format!("/api/agents/{}", id_of(agent))
}

async fn names(client: &Client, query: &str) -> Vec<String> {
    let list = client.get(format!("/api/agents{query}")).await.expect(200);
    list.as_array().unwrap().iter().map(|agent| agent["name"].as_str().unwrap().to_owned()).collect()
}

/// A minimal agent has the documented defaults.
/// User item 63.
#[apply(on_both)]
async fn a_minimal_agent_has_the_defaults(gateway: &Gateway) {
    let ada = gateway.user();
    let runtime = ada.register("dm", "claude").await;
    let agent = create(&ada, runtime, "Gus", json!({})).await;
    let created_at = agent["created_at"].as_str().unwrap();
    assert!(
        chrono::DateTime::parse_from_rfc3339(created_at).is_ok() && created_at.len() == 20,
        "{created_at}"
    );
    assert_eq!(
        agent,
        json!({
            "id": agent["id"], "workspace_id": gateway.workspace, "runtime_id": runtime,
            "name": "Gus", "description": "", "instructions": "", "avatar_url": null,
            "runtime_mode": "local", "runtime_config": {}, "custom_args": [],
            "has_custom_env": false, "custom_env_key_count": 0,
            "mcp_config": null, "mcp_config_redacted": false,
            "visibility": "private", "permission_mode": "private", "invocation_targets": [],
            "status": "idle", "max_concurrent_tasks": 6, "model": "", "thinking_level": "",
            "owner_id": ada.id, "skills": [],
            "created_at": created_at, "updated_at": agent["updated_at"], "archived_at": null, "archived_by": null,
        })
    );
    assert_eq!(ada.get(path(&agent)).await.expect(200), agent);
    assert_eq!(ada.get("/api/agents/").await.expect(200), json!([agent]));
}

/// An agent on a runtime that is away begins offline.
#[apply(on_both)]
async fn an_agent_on_an_offline_runtime_is_offline(gateway: &Gateway) {
    let ada = gateway.user();
    let runtime = gateway.seed_runtime(gateway.workspace, ada.id, json!({"status": "offline"})).await;
    assert_eq!(create(&ada, runtime, "Gus", json!({})).await["status"], "offline");
}

/// Everything that can be given is kept; the environment's values are nowhere in the answer.
/// User item 64.
#[apply(on_both)]
async fn what_is_given_is_kept_and_the_environment_is_not_shown(gateway: &Gateway) {
    let ada = gateway.user();
    let runtime = ada.register("dm", "claude").await;
    let given = json!({
        "description": "é".repeat(255), "instructions": "<b> & \u{2028}", "avatar_url": "http://a/b.png",
        "runtime_config": {"gateway": {"token": "hush", "url": "u"}, "n": 1},
        "custom_env": {"KEY": "very-secret", "OTHER": "x"}, "custom_args": ["--a", "b"],
        "mcp_config": {"mcpServers": {"x": {"command": "y"}}},
        "max_concurrent_tasks": 3, "model": "claude-opus-4-8", "thinking_level": "high",
    });
    let reply =
        ada.post("/api/agents", crate::harness::over(given, json!({"name": "Gus", "runtime_id": runtime})));
    let reply = reply.await;
    assert!(!reply.text.contains("very-secret") && !reply.text.contains("hush"), "{reply}");
    let agent = reply.expect(201);
    assert_eq!(agent["has_custom_env"], true);
    assert_eq!(agent["custom_env_key_count"], 2);
    assert_eq!(agent["runtime_config"], json!({"gateway": {"token": "***", "url": "u"}, "n": 1}));
    assert_eq!(agent["mcp_config"], json!({"mcpServers": {"x": {"command": "y"}}}));
    assert_eq!(agent["instructions"], "<b> & \u{2028}");
    assert_eq!(agent["custom_args"], json!(["--a", "b"]));
    assert_eq!(
        (&agent["max_concurrent_tasks"], &agent["model"], &agent["thinking_level"]),
        (&json!(3), &json!("claude-opus-4-8"), &json!("high"))
    );
}

/// A creation is refused for the first thing that is wrong with it, in the documented order.
/// User items 65 and 68.
#[apply(on_both)]
async fn a_creation_is_refused_for_the_first_thing_that_is_wrong(gateway: &Gateway) {
    let ada = gateway.user();
    let elsewhere = gateway.stranger("Cyn").await;
    let foreign = elsewhere.register("dm-2", "claude").await;
    let runtime = ada.register("dm", "claude").await;
    let long = "é".repeat(256);
    for (body, message) in [
        (json!({"name": 5}), "invalid request body"),
        (json!({"name": "x", "max_concurrent_tasks": 1.0}), "invalid request body"),
        (json!({"description": long}), "name is required"),
        (json!({"name": ""}), "name is required"),
        (json!({"name": long}), "name must be 255 characters or fewer"),
        (json!({"name": "x", "description": long}), "description must be 255 characters or fewer"),
        (json!({"name": "x", "runtime_id": ""}), "runtime_id is required"),
        (json!({"name": "x", "runtime_id": "x", "visibility": "no"}), "invalid runtime_id"),
        (
            json!({"name": "x", "runtime_id": Uuid::new_v4(), "visibility": "no"}),
            "visibility must be 'private' or 'workspace'",
        ),
        (
            json!({"name": "x", "runtime_id": Uuid::new_v4(), "permission_mode": "no"}),
            "permission_mode must be 'private' or 'public_to'",
        ),
        (json!({"name": "x", "runtime_id": Uuid::new_v4()}), "invalid runtime_id"),
        (json!({"name": "x", "runtime_id": foreign}), "invalid runtime_id"),
        (
            json!({"name": "x", "runtime_id": runtime, "thinking_level": "no\"ne"}),
            "thinking_level \"no\\\"ne\" is not a recognised value for runtime \"claude\"",
        ),
        (
            json!({"name": "x", "runtime_id": runtime, "max_concurrent_tasks": -1}),
            "max_concurrent_tasks must be between 0 and 2147483647, not -1",
        ),
        (
            json!({"name": "x", "runtime_id": runtime, "max_concurrent_tasks": 2_147_483_648_i64}),
            "max_concurrent_tasks must be between 0 and 2147483647, not 2147483648",
        ),
    ] {
        ada.post("/api/agents", body).await.refused(400, message);
    }
    for raw in ["", "{", "[]", "{} x"] {
        ada.post("/api/agents", raw).await.refused(400, "invalid request body");
    }
    assert_eq!(ada.get("/api/agents").await.expect(200), json!([]));
    let defaulted = create(&ada, runtime, "Zero", json!({"max_concurrent_tasks": 0, "model": ""})).await;
    assert_eq!((&defaulted["max_concurrent_tasks"], &defaulted["model"]), (&json!(6), &json!("")));
}

/// A private runtime takes agents of its owner and of admins alone, until it is public.
/// User item 66.
#[apply(on_both)]
async fn a_private_runtime_takes_agents_of_its_owner_and_admins_alone(gateway: &Gateway) {
    let ada = gateway.user();
    let bea = gateway.join("Bea", "member").await;
    let runtime = ada.register("dm", "claude").await;
    let body = json!({"name": "Gus", "runtime_id": runtime});
    bea.post("/api/agents", body.clone())
        .await
        .refused(403, "this runtime is private; only its owner or a workspace admin can create agents on it");
    let own = gateway.seed_runtime(gateway.workspace, bea.id, json!({"daemon_id": "beas"})).await;
    let agent = create(&bea, own, "Own", json!({})).await;
    bea.put(path(&agent), json!({"runtime_id": runtime}))
        .await
        .refused(403, "this runtime is private; only its owner or a workspace admin can move agents onto it");
    gateway.execute("UPDATE agent_runtime SET visibility = 'public' WHERE id = $1", json!([runtime])).await;
    assert_eq!(bea.post("/api/agents", body).await.expect(201)["owner_id"], json!(bea.id));
    bea.put(path(&agent), json!({"runtime_id": runtime})).await.expect(200);
    let agent = create(&ada, own, "Admins", json!({})).await;
    assert_eq!(agent["owner_id"], json!(ada.id));
}

/// A name is taken by archived agents too; on an edit as on a creation.
/// User item 67.
#[apply(on_both)]
async fn a_name_is_unique_in_its_workspace(gateway: &Gateway) {
    let ada = gateway.user();
    let runtime = ada.register("dm", "claude").await;
    let gus = create(&ada, runtime, "Gus", json!({})).await;
    let eve = create(&ada, runtime, "Eve", json!({})).await;
    ada.post(format!("{}/archive", path(&gus)), "null").await.expect(200);
    let taken = "an agent named \"Gus\" already exists in this workspace";
    ada.post("/api/agents", json!({"name": "Gus", "runtime_id": runtime})).await.refused(409, taken);
    ada.put(path(&eve), json!({"name": "Gus"})).await.refused(409, taken);
    ada.put(path(&eve), json!({"name": "Eve"})).await.expect(200);
    let cyn = gateway.stranger("Cyn").await;
    let elsewhere = cyn.register("dm-2", "claude").await;
    create(&cyn, elsewhere, "Gus", json!({})).await;
}

/// An edit changes what it names and nothing else; null and absence are alike, but for the
/// servers, which null takes away.
/// User items 72 and 77.
#[apply(on_both)]
async fn an_edit_changes_what_it_names(gateway: &Gateway) {
    let ada = gateway.user();
    let runtime = ada.register("dm", "claude").await;
    let servers = json!({"mcpServers": {"x": {"command": "y"}}});
    let agent = create(
        &ada,
        runtime,
        "Gus",
        json!({
            "description": "d", "mcp_config": servers, "custom_args": ["a"], "model": "m",
            "runtime_config": {"gateway": {"token": "hush"}},
        }),
    )
    .await;
    let nothing = json!({"name": null, "description": null, "runtime_config": null, "custom_args": null,
        "model": null, "max_concurrent_tasks": null, "status": null, "runtime_id": null, "Unknown": 1});
    let same = ada.put(path(&agent), nothing).await.expect(200);
    let without_time = |mut agent: Value| {
        agent["updated_at"].take();
        agent
    };
    assert_eq!(without_time(same), without_time(agent.clone()));
    let changed = ada
        .put(
            path(&agent),
            json!({
                "Name": "Eve", "description": "", "instructions": "i", "avatar_url": "a", "custom_args": [],
                "status": "blocked", "max_concurrent_tasks": 0, "model": "", "thinking_level": "low",
                "runtime_config": {"gateway": {"token": "***", "x": 1}},
            }),
        )
        .await
        .expect(200);
    for (member, value) in [
        ("name", json!("Eve")),
        ("description", json!("")),
        ("instructions", json!("i")),
        ("avatar_url", json!("a")),
        ("custom_args", json!([])),
        ("status", json!("blocked")),
        ("max_concurrent_tasks", json!(0)),
        ("model", json!("")),
        ("thinking_level", json!("low")),
        ("mcp_config", servers),
        ("runtime_config", json!({"gateway": {"token": "***", "x": 1}})),
    ] {
        assert_eq!(changed[member], value, "{member}");
    }
    let stored = gateway.row("SELECT runtime_config FROM agent WHERE id = $1", json!([agent["id"]])).await;
    assert_eq!(stored["runtime_config"], json!({"gateway": {"token": "hush", "x": 1}}));
    let cleared = ada.put(path(&agent), json!({"mcp_config": null, "thinking_level": ""})).await.expect(200);
    assert_eq!((&cleared["mcp_config"], &cleared["thinking_level"]), (&Value::Null, &json!("")));
    assert_eq!(cleared["mcp_config_redacted"], false);
}

/// What an edit refuses; the environment has a route of its own.
/// User item 71.
#[apply(on_both)]
async fn an_edit_refuses_what_makes_no_sense(gateway: &Gateway) {
    let ada = gateway.user();
    let runtime = ada.register("dm", "claude").await;
    let agent = create(&ada, runtime, "Gus", json!({})).await;
    let env = "custom_env is no longer accepted on this endpoint; use PUT /api/agents/{id}/env \
               (or `multica agent env set`)";
    for (body, message) in [
        (json!({"custom_env": {"A": "b"}}), env),
        (json!({"custom_env": null, "description": "x".repeat(256)}), env),
        (json!({"description": "x".repeat(256)}), "description must be 255 characters or fewer"),
        (json!({"runtime_id": "x"}), "invalid runtime_id"),
        (json!({"runtime_id": Uuid::new_v4()}), "invalid runtime_id"),
        (
            json!({"thinking_level": "none"}),
            "thinking_level \"none\" is not a recognised value for runtime \"claude\"",
        ),
        (
            json!({"status": "asleep"}),
            "invalid status \"asleep\"; valid values: idle, working, blocked, error, offline",
        ),
        (
            json!({"max_concurrent_tasks": 9_999_999_999_i64}),
            "max_concurrent_tasks must be between 0 and 2147483647, not 9999999999",
        ),
        (json!({"custom_args": [1]}), "invalid request body"),
    ] {
        ada.put(path(&agent), body).await.refused(400, message);
    }
    ada.put(path(&agent), "{} x").await.refused(400, "invalid request body");
    ada.put("/api/agents/x", json!({})).await.refused(400, "invalid agent id");
    ada.put(format!("/api/agents/{}", Uuid::new_v4()), json!({})).await.refused(404, "agent not found");
    gateway.stranger("Cyn").await.get(path(&agent)).await.refused(404, "agent not found");
    let upper = id_of(&agent).to_string().to_uppercase();
    assert_eq!(ada.get(format!("/api/agents/{upper}")).await.expect(200)["id"], agent["id"]);
}

/// An agent that moves to another provider loses a model that does not go with it, and may
/// not take a thinking level along that the provider does not know.
#[apply(on_both)]
async fn a_move_drops_a_model_of_another_maker_and_minds_the_level(gateway: &Gateway) {
    let ada = gateway.user();
    let claude = ada.register("dm", "claude").await;
    let codex = ada.register("dm", "codex").await;
    let agent =
        create(&ada, claude, "Gus", json!({"model": "claude-opus-4-8", "thinking_level": "max"})).await;
    ada.put(path(&agent), json!({"runtime_id": codex})).await.refused(
        400,
        "existing thinking_level \"max\" is not valid for runtime \"codex\"; pass thinking_level=\"\" to clear or \
         set a value valid for the new runtime",
    );
    assert_eq!(ada.get(path(&agent)).await.expect(200)["runtime_id"], json!(claude));
    let moved =
        ada.put(path(&agent), json!({"runtime_id": codex, "thinking_level": "minimal"})).await.expect(200);
    assert_eq!(
        (&moved["model"], &moved["thinking_level"], &moved["runtime_id"]),
        (&json!(""), &json!("minimal"), &json!(codex))
    );
    ada.put(path(&agent), json!({"model": "house-model"})).await.expect(200);
    let back = ada.put(path(&agent), json!({"runtime_id": claude, "thinking_level": ""})).await.expect(200);
    assert_eq!(back["model"], "house-model");
    let named =
        ada.put(path(&agent), json!({"runtime_id": codex, "model": "claude-opus-4-8"})).await.expect(200);
    assert_eq!(named["model"], "claude-opus-4-8");
}

/// A plain member sees what is shared with them and what is theirs; admins see all, agents at
/// work too.
/// User items 74 and 75.
#[apply(on_both)]
async fn a_member_sees_what_is_shared_with_them(gateway: &Gateway) {
    let ada = gateway.user();
    let bea = gateway.join("Bea", "member").await;
    let cat = gateway.join("Cat", "admin").await;
    let runtime = ada.register("dm", "claude").await;
    let hidden = create(&ada, runtime, "Hidden", json!({})).await;
    create(&ada, runtime, "Shared", json!({"visibility": "workspace"})).await;
    let to = |id: Uuid| {
        json!({"permission_mode": "public_to",
        "invocation_targets": [{"target_type": "member", "target_id": id}]})
    };
    create(&ada, runtime, "For Bea", to(bea.id)).await;
    create(&ada, runtime, "For Cat", to(cat.id)).await;
    assert_eq!(names(&bea, "").await, ["Shared", "For Bea"]);
    assert_eq!(names(&cat, "").await, ["Hidden", "Shared", "For Bea", "For Cat"]);
    bea.get(path(&hidden)).await.refused(403, "you do not have access to this agent");
    bea.get(format!("{}/tasks", path(&hidden))).await.refused(403, "you do not have access to this agent");
    cat.get(path(&hidden)).await.expect(200);
    bea.put(path(&hidden), json!({})).await.refused(403, "only the agent owner can manage this agent");
    // Acting for an agent, the same person sees what the agent sees.
    let worker = gateway.seed_agent(runtime, "Worker", json!({})).await;
    let task = gateway.seed_issue_task(worker, json!({})).await;
    let acting = bea.get("/api/agents").header("x-agent-id", &worker.to_string());
    let acting = acting.header("x-task-id", &task.to_string()).await.expect(200);
    assert_eq!(acting.as_array().unwrap().len(), 5);
}

/// An archived agent is gone from the list, its tasks are cancelled, and it can come back.
/// User items 78 and 79.
#[apply(on_both)]
async fn archiving_ends_an_agents_tasks_and_can_be_taken_back(gateway: &Gateway) {
    let ada = gateway.user();
    let runtime = ada.register("dm", "claude").await;
    let agent = create(&ada, runtime, "Gus", json!({"visibility": "workspace"})).await;
    let id = id_of(&agent);
    let queued = gateway.seed_issue_task(id, json!({})).await;
    let running = ada.run_one(runtime).await;
    let more = gateway.seed_issue_task(id, json!({})).await;
    let deferred = gateway.seed_issue_task(id, json!({"status": "deferred"})).await;
    assert_eq!(queued, running);
    let archived = ada.post(format!("{}/archive", path(&agent)), "null").await.expect(200);
    assert_eq!(archived["archived_by"], json!(ada.id));
    assert!(archived["archived_at"].is_string());
    for task in [running, more, deferred] {
        assert_eq!(ada.status_of(task).await, "cancelled");
    }
    gateway.assert_settled().await;
    assert_eq!(names(&ada, "").await, [""; 0]);
    assert_eq!(names(&ada, "?include_archived=true").await, ["Gus"]);
    assert_eq!(names(&ada, "?include_archived=1").await, [""; 0]);
    ada.post(format!("{}/archive", path(&agent)), ()).await.refused(409, "agent is already archived");
    assert_eq!(ada.get(path(&agent)).await.expect(200)["status"], "idle");
    let restored = ada.post(format!("{}/restore", path(&agent)), ()).await.expect(200);
    assert_eq!((&restored["archived_at"], &restored["archived_by"]), (&Value::Null, &Value::Null));
    ada.post(format!("{}/restore", path(&agent)), ()).await.refused(409, "agent is not archived");
    assert_eq!(names(&ada, "").await, ["Gus"]);
    let bea = gateway.join("Bea", "member").await;
    for verb in ["archive", "restore", "cancel-tasks"] {
        let path = format!("{}/{verb}", path(&agent));
        bea.post(path, ()).await.refused(403, "only the agent owner can manage this agent");
    }
}

/// Cancelling an agent's tasks says how many were not over, whatever they waited for.
/// User item 80.
#[apply(on_both)]
async fn cancelling_counts_the_unfinished(gateway: &Gateway) {
    let ada = gateway.user();
    let runtime = ada.register("dm", "claude").await;
    let agent = create(&ada, runtime, "Gus", json!({"visibility": "workspace"})).await;
    let id = id_of(&agent);
    let done = gateway.seed_issue_task(id, json!({})).await;
    ada.run_one(runtime).await;
    ada.complete(done, json!({"output": "ok"})).await;
    let running = gateway.seed_issue_task(id, json!({})).await;
    ada.run_one(runtime).await;
    let token = {
        gateway.seed_issue_task(id, json!({})).await;
        ada.claim_one(runtime).await["auth_token"].as_str().unwrap().to_owned()
    };
    gateway.seed_issue_task(id, json!({})).await;
    gateway.seed_issue_task(id, json!({"status": "deferred"})).await;
    let worker = gateway.bearer(&token);
    worker.get("/api/agents").await.expect(200);
    let path = format!("{}/cancel-tasks", path(&agent));
    assert_eq!(ada.post(&path, ()).await.expect(200), json!({"cancelled": 4}));
    assert_eq!(ada.post(&path, ()).await.expect(200), json!({"cancelled": 0}));
    assert_eq!(ada.status_of(running).await, "cancelled");
    assert_eq!(ada.status_of(done).await, "completed");
    worker.get("/api/agents").await.refused(401, "invalid token");
    gateway.assert_settled().await;
}

/// An agent's tasks are listed newest first; the snapshot has what is to do and what was
/// finished last; the counts agree.
#[apply(on_both)]
async fn what_an_agent_did_and_does_is_listed(gateway: &Gateway) {
    let ada = gateway.user();
    let bea = gateway.join("Bea", "member").await;
    let runtime = ada.register("dm", "claude").await;
    let agent = create(&ada, runtime, "Gus", json!({})).await;
    let id = id_of(&agent);
    let mut ended = Vec::new();
    for (place, status) in ["completed", "failed", "cancelled"].into_iter().enumerate() {
        let at = crate::harness::ahead(-60 + i64::try_from(place).unwrap());
        let task = json!({"status": status, "created_at": at, "completed_at": at});
        ended.push(gateway.seed_issue_task(id, task).await);
    }
    let old = crate::harness::ahead(-40 * 86400);
    let old = json!({"status": "completed", "created_at": old, "completed_at": old});
    let old = gateway.seed_issue_task(id, old).await;
    let deferred = gateway.seed_issue_task(id, json!({"status": "deferred"})).await;
    let queued = gateway.seed_issue_task(id, json!({"created_at": crate::harness::ahead(1)})).await;
    let list = ada.get(format!("{}/tasks", path(&agent))).await.expect(200);
    let ids: Vec<Uuid> = list.as_array().unwrap().iter().map(id_of).collect();
    assert_eq!(ids, [queued, deferred, ended[2], ended[1], ended[0], old]);
    assert_eq!(list[0]["workspace_id"], json!(gateway.workspace));
    assert_eq!(list[0]["kind"], "direct");

    let snapshot = ada.get("/api/agent-task-snapshot").await.expect(200);
    let mut ids: Vec<Uuid> = snapshot.as_array().unwrap().iter().map(id_of).collect();
    ids.sort_unstable();
    let mut expected = [queued, ended[1]];
    expected.sort_unstable();
    assert_eq!(ids, expected);
    let counts = ada.get("/api/agent-run-counts").await.expect(200);
    assert_eq!(counts, json!([{"agent_id": id, "run_count": 5}]));
    let days = ada.get("/api/agent-activity-30d").await.expect(200);
    let sum =
        |member: &str| days.as_array().unwrap().iter().map(|day| day[member].as_i64().unwrap()).sum::<i64>();
    assert_eq!((sum("task_count"), sum("failed_count")), (2, 1));
    assert_eq!(days[0]["agent_id"], json!(id));
    assert!(days[0]["bucket_at"].as_str().unwrap().ends_with("T00:00:00Z"), "{days}");
    for path in ["/api/agent-task-snapshot", "/api/agent-run-counts", "/api/agent-activity-30d"] {
        assert_eq!(bea.get(path).await.expect(200), json!([]), "{path}");
        gateway.anonymous().get(path).await.refused(401, "missing authorization");
    }
}
