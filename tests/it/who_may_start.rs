//! Who may start an agent: the table of modes and people, cell by cell, and what is denied
//! when the answer cannot be read.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::autopilots::make;
use crate::comment_cast::{at, say};
use crate::harness::{Client, Engine, Gateway, World, check_values, id_of};

/// An agent of the owner's with just these targets.
async fn shared(gateway: &Gateway, runtime: Uuid, owner: Uuid, mode: &str, targets: &[(&str, Uuid)]) -> Uuid {
    let name = format!("{mode} {}", Uuid::new_v4());
    let agent = gateway.seed_agent(runtime, &name, json!({"owner_id": owner, "permission_mode": mode})).await;
    gateway.execute("DELETE FROM agent_invocation_target WHERE agent_id = $1", json!([agent])).await;
    for (kind, id) in targets {
        let target = json!({"agent_id": agent, "target_type": kind, "target_id": id});
        gateway.seed("agent_invocation_target", target, json!({})).await;
    }
    agent
}

/// An agent at work for somebody, or for nobody who is known.
async fn at_work(gateway: &Gateway, world: &World, originator: Value) -> Client {
    let worker = gateway.seed_agent(world.r1, &format!("Worker {}", Uuid::new_v4()), json!({})).await;
    let task = gateway.seed_issue_task(worker, json!({"originator_user_id": originator})).await;
    let claimed = world.a.claim_one(world.r1).await;
    assert_eq!(id_of(&claimed), task);
    world.a.start(task).await;
    gateway.bearer(claimed["auth_token"].as_str().unwrap())
}

/// How many tasks a mention by the caller starts.
async fn mention(gateway: &Gateway, by: &Client, agent: Uuid) -> Value {
    let issue = gateway.seed_issue(gateway.workspace, "Look", json!({})).await;
    say(by, issue, &at("agent", agent)).await;
    gateway.value("SELECT count(*) FROM agent_task_queue WHERE issue_id = $1", json!([issue])).await
}

/// Domain item 176: every cell, by a mention, and for people by a chat too. What the system
/// does has nobody behind it, as an agent whom nobody sent.
#[apply(on_both)]
async fn who_may_start_an_agent_is_a_table(gateway: &Gateway) {
    let world = gateway.world().await;
    let owner = &world.b;
    let (other, listed) = (gateway.join("Dan", "member").await, gateway.join("Eve", "member").await);
    let admin = gateway.join("Adi", "admin").await;
    let people = [owner, &other, &listed, &admin, &world.a];
    let mut machines = Vec::new();
    for originator in [json!(owner.id), json!(listed.id), Value::Null] {
        machines.push(at_work(gateway, &world, originator).await);
    }
    let everybody = ("workspace", world.w1);
    let named = ("member", listed.id);
    // The owner, another member, the listed one, an admin, the workspace's owner; then agents
    // for the owner, for the listed one, for nobody.
    for (mode, targets, may) in [
        ("private", vec![], [true, false, false, false, false, true, false, false]),
        ("private", vec![everybody, named], [true, false, false, false, false, true, false, false]),
        ("public_to", vec![everybody], [true; 8]),
        ("public_to", vec![named], [true, false, true, false, false, true, true, false]),
        ("public_to", vec![("team", listed.id)], [true, false, false, false, false, true, false, false]),
        ("public_to", vec![], [true, false, false, false, false, true, false, false]),
    ] {
        let agent = shared(gateway, world.r1, owner.id, mode, &targets).await;
        let callers = people.into_iter().chain(&machines).zip(may);
        for (place, (caller, may)) in callers.enumerate() {
            assert_eq!(mention(gateway, caller, agent).await, i64::from(may), "{mode} {targets:?} {place}");
        }
        for (person, may) in people.into_iter().zip(may) {
            let chat = person.post("/api/chat/sessions", json!({"agent_id": agent})).await;
            assert_eq!(
                chat.status,
                if may { 201 } else { 403 },
                "{mode} {targets:?} {}: {chat}",
                person.name
            );
        }
    }
}

/// Domain item 179: with nobody behind it, a call from outside starts what the workspace
/// shares and nothing else.
#[apply(on_both)]
async fn a_call_from_outside_starts_what_is_shared(gateway: &Gateway) {
    let world = gateway.world().await;
    let named = shared(gateway, world.r1, world.a.id, "public_to", &[("member", world.b.id)]).await;
    for (agent, status) in [(world.g1, "accepted"), (named, "skipped")] {
        let autopilot = make(&world.a, agent, json!({"execution_mode": "run_only"})).await;
        let path = format!("/api/autopilots/{autopilot}/triggers");
        let trigger = world.a.post(path, json!({"kind": "webhook"})).await.expect(201);
        // Made by an agent, it has no person whose rights would count.
        gateway.change("autopilot", autopilot, "created_by_type", json!("agent")).await;
        gateway.change("autopilot", autopilot, "created_by_id", json!(world.g1)).await;
        let called = gateway.anonymous().post(trigger["webhook_path"].as_str().unwrap(), json!({})).await;
        assert_eq!(called.expect(200)["status"], status);
    }
    const STARTED: &str = "SELECT agent_id FROM agent_task_queue";
    assert_eq!(gateway.value(STARTED, Value::Null).await, json!(world.g1));
}

/// Domain item 180: who is let in cannot be read, so nobody is.
#[apply(on_both)]
async fn when_the_targets_cannot_be_read_nobody_is_let_in(gateway: &Gateway) {
    let world = gateway.world().await;
    let issue = gateway.seed_issue(world.w1, "Look", json!({})).await;
    gateway.expect_error("status=500");
    gateway.execute("ALTER TABLE agent_invocation_target RENAME TO hidden", Value::Null).await;
    let chat = world.b.post("/api/chat/sessions", json!({"agent_id": world.g1})).await;
    assert_eq!(chat.status, 500, "{chat}");
    let path = format!("/api/issues/{issue}/comments");
    let comment = world.b.post(path, json!({"content": at("agent", world.g1)})).await;
    comment.refused(500, "failed to create comment");
    gateway.execute("ALTER TABLE hidden RENAME TO agent_invocation_target", Value::Null).await;
    for table in ["agent_task_queue", "chat_session", "comment"] {
        assert_eq!(gateway.value(&format!("SELECT count(*) FROM {table}"), Value::Null).await, 0, "{table}");
    }
}

/// Domain item 189: seeing is not starting.
#[apply(on_both)]
async fn an_admin_sees_what_they_may_not_start(gateway: &Gateway) {
    let world = gateway.world().await;
    let admin = gateway.join("Adi", "admin").await;
    let agent = shared(gateway, world.r1, world.b.id, "private", &[]).await;
    let shown = admin.get(format!("/api/agents/{agent}")).await.expect(200);
    check_values(&shown, &json!({"id": agent, "permission_mode": "private"}));
    let chat = admin.post("/api/chat/sessions", json!({"agent_id": agent})).await;
    chat.refused(403, "you do not have access to this agent");
    let other = gateway.join("Dan", "member").await;
    other.get(format!("/api/agents/{agent}")).await.refused(403, "you do not have access to this agent");
}

const SECRETS: [&str; 4] = ["hidden-server", "hidden-token", "hidden-toolkit", "hidden-env"];

/// What everybody hears holds no secret.
#[track_caller]
fn check_clean(what: &str, text: &str) {
    for secret in SECRETS {
        assert!(!text.contains(secret), "{secret} in {what}: {text}");
    }
}

/// Domain items 190 and 267: what everybody in a workspace is told of an agent, and the
/// answers that list other people's agents, never hold its secrets.
#[apply(on_both)]
async fn what_everybody_hears_holds_no_secret(engine: Engine) {
    let gateway = Gateway::setup(engine).env("FF_COMPOSIO_MCP_APPS", "on").start().await;
    let world = gateway.world().await;
    // The machine and the agent are Bea's; Ada watches, and acts where an owner may.
    let runtime = world.b.register("bea-mac", "claude").await;
    let mut watcher = world.a.watch().await;
    let new = json!({
        "name": "Secretive", "runtime_id": runtime, "visibility": "workspace",
        "mcp_config": {"mcpServers": {"x": {"command": "hidden-server"}}},
        "runtime_config": {"gateway": {"token": "hidden-token", "url": "u"}},
        "custom_env": {"KEY": "hidden-env"}, "composio_toolkit_allowlist": ["hidden-toolkit"],
    });
    let made = world.b.post("/api/agents", new).await.expect(201);
    check_values(
        &made,
        &json!({"composio_toolkit_allowlist": ["hidden-toolkit"], "mcp_config_redacted": false}),
    );
    let path = format!("/api/agents/{}", id_of(&made));
    world.b.put(&path, json!({"description": "changed"})).await.expect(200);
    gateway.seed_issue_task(id_of(&made), json!({})).await;
    let task = world.b.run_one(runtime).await;
    world.b.complete(task, json!({"output": "Done, really."})).await;
    world.b.post(format!("{path}/archive"), ()).await.expect(200);
    world.b.post(format!("{path}/restore"), ()).await.expect(200);
    for (call, status) in [
        (world.a.delete(format!("/api/runtimes/{runtime}")), 409),
        (
            world.a.post(
                format!("/api/runtimes/{runtime}/archive-agents-and-delete"),
                json!({"expected_active_agent_ids": []}),
            ),
            409,
        ),
    ] {
        let refused = call.await;
        check_clean("a conflict", &refused.text);
        let agent = &refused.expect(status)["active_agents"][0];
        assert_eq!((&agent["id"], &agent["mcp_config"]), (&made["id"], &Value::Null));
    }
    // It goes with the runtime; another goes with its owner.
    let plan = json!({"expected_active_agent_ids": [made["id"]]});
    world.a.post(format!("/api/runtimes/{runtime}/archive-agents-and-delete"), plan).await.expect(200);
    let runtime = world.b.register("bea-mac", "claude").await;
    let new = json!({
        "name": "Another", "runtime_id": runtime, "visibility": "workspace",
        "mcp_config": {"mcpServers": {"x": {"command": "hidden-server"}}},
        "runtime_config": {"gateway": {"token": "hidden-token"}}, "composio_toolkit_allowlist": ["hidden-toolkit"],
    });
    world.b.post("/api/agents", new).await.expect(201);
    world.b.post(format!("/api/workspaces/{}/leave", world.w1), ()).await.expect(204);

    let events = watcher.heard().await;
    let count = |kind: &str| events.iter().filter(|event| event["type"] == kind).count();
    for (kind, least) in
        [("agent:created", 2), ("agent:status", 3), ("agent:archived", 3), ("agent:restored", 1)]
    {
        assert!(count(kind) >= least, "{} times {kind}", count(kind));
    }
    for event in &events {
        check_clean("an event", &event.to_string());
    }
    gateway.finish().await;
}
