//! Who sees an agent's servers, connected apps and environment.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Client, Engine, Gateway, id_of, over};

const SERVERS: &str = r#"{"mcpServers": {"x": {"command": "y"}}}"#;

async fn create(client: &Client, runtime: Uuid, more: Value) -> Value {
    let servers: Value = serde_json::from_str(SERVERS).unwrap();
    let body =
        json!({"name": "Gus", "runtime_id": runtime, "visibility": "workspace", "mcp_config": servers});
    client.post("/api/agents", over(body, more)).await.expect(201)
}

/// Somebody's servers as a reader sees them: there, or withheld.
#[track_caller]
fn check(agent: &Value, shown: bool) {
    assert_eq!(agent["mcp_config"].is_object(), shown, "{agent}");
    assert_eq!(agent["mcp_config_redacted"], json!(!shown), "{agent}");
}

/// A token of a task of the agent, which runs.
async fn at_work(gateway: &Gateway, runtime: Uuid, agent: Uuid) -> Client {
    gateway.seed_issue_task(agent, json!({})).await;
    let task = gateway.user().claim_one(runtime).await;
    gateway.user().start(id_of(&task)).await;
    gateway.bearer(task["auth_token"].as_str().unwrap())
}

/// Domain item 190. Servers are for the owner and admins; agents at work see that there are some, on reads and on
/// the answers to their own writes.
/// User item 75.
#[apply(on_both)]
async fn servers_are_for_the_owner_and_admins_in_person(gateway: &Gateway) {
    let ada = gateway.user();
    let bea = gateway.join("Bea", "member").await;
    let cat = gateway.join("Cat", "admin").await;
    let runtime = ada.register("dm", "claude").await;
    let agent = create(&ada, runtime, json!({})).await;
    check(&agent, true);
    let path = format!("/api/agents/{}", id_of(&agent));
    for (reader, shown) in [(&ada, true), (&bea, false), (&cat, true)] {
        check(&reader.get(&path).await.expect(200), shown);
        check(&reader.get("/api/agents").await.expect(200)[0], shown);
    }
    let worker = at_work(gateway, runtime, id_of(&agent)).await;
    check(&worker.get(&path).await.expect(200), false);
    check(&worker.get("/api/agents").await.expect(200)[0], false);
    check(&worker.put(&path, json!({"description": "d"})).await.expect(200), false);
    check(&cat.put(&path, json!({"description": "d"})).await.expect(200), true);
    ada.put(&path, json!({"mcp_config": null})).await.expect(200);
    let none = worker.get(&path).await.expect(200);
    assert_eq!((&none["mcp_config"], &none["mcp_config_redacted"]), (&Value::Null, &json!(false)));
}

/// Domain item 190. A workspace that always redacts hides servers from everybody who reads, the owner too, and
/// shows them to whoever wrote them.
/// User item 76.
#[apply(on_both)]
async fn a_workspace_may_hide_servers_from_every_reader(gateway: &Gateway) {
    const SETTINGS: &str = "UPDATE workspace SET settings = $1 WHERE id = $2";
    let ada = gateway.user();
    let runtime = ada.register("dm", "claude").await;
    gateway.execute(SETTINGS, json!([{"always_redact_env": true}, gateway.workspace])).await;
    let agent = create(&ada, runtime, json!({})).await;
    check(&agent, true);
    let path = format!("/api/agents/{}", id_of(&agent));
    check(&ada.get(&path).await.expect(200), false);
    check(&ada.get("/api/agents").await.expect(200)[0], false);
    check(&ada.put(&path, json!({"description": "d"})).await.expect(200), true);
    gateway.execute(SETTINGS, json!([{"always_redact_env": "true"}, gateway.workspace])).await;
    check(&ada.get(&path).await.expect(200), true);
}

/// Domain items 190 and 191. With the feature on, the list of connected apps is the owner's alone; others learn that there
/// is one, and what they write of it is dropped.
#[apply(on_both)]
async fn connected_apps_are_the_owners_alone(engine: Engine) {
    let gateway = Gateway::setup(engine).env("FF_COMPOSIO_MCP_APPS", "on").start().await;
    let ada = gateway.user();
    let cat = gateway.join("Cat", "admin").await;
    let runtime = ada.register("dm", "claude").await;
    let sent = json!({"composio_toolkit_allowlist": [" Notion ", "github", "", "NOTION"]});
    let agent = create(&ada, runtime, sent).await;
    let path = format!("/api/agents/{}", id_of(&agent));
    let list = |agent: &Value| {
        let body = agent.as_object().unwrap();
        (
            body.get("composio_toolkit_allowlist").cloned(),
            body.get("composio_toolkit_allowlist_redacted").cloned(),
        )
    };
    assert_eq!(list(&agent), (Some(json!(["notion", "github"])), None));
    assert_eq!(list(&cat.get(&path).await.expect(200)), (None, Some(json!(true))));
    let answer =
        cat.put(&path, json!({"composio_toolkit_allowlist": ["x"], "description": "d"})).await.expect(200);
    assert_eq!((list(&answer), &answer["description"]), ((None, Some(json!(true))), &json!("d")));
    assert_eq!(list(&ada.get(&path).await.expect(200)), (Some(json!(["notion", "github"])), None));
    let worker = at_work(&gateway, runtime, id_of(&agent)).await;
    assert_eq!(list(&worker.get(&path).await.expect(200)), (None, Some(json!(true))));
    let answer = ada.put(&path, json!({"composio_toolkit_allowlist": []})).await.expect(200);
    assert_eq!(list(&answer), (None, None));
    assert_eq!(list(&cat.get(&path).await.expect(200)), (None, Some(json!(true))));
    ada.put(&path, json!({"composio_toolkit_allowlist": null})).await.expect(200);
    assert_eq!(list(&cat.get(&path).await.expect(200)), (None, None));
    gateway.finish().await;
}

/// Domain item 190. With the feature off nothing is kept and nothing is said.
/// User item 174.
#[apply(on_both)]
async fn connected_apps_are_unknown_while_the_feature_is_off(gateway: &Gateway) {
    let ada = gateway.user();
    let runtime = ada.register("dm", "claude").await;
    let agent = create(&ada, runtime, json!({"composio_toolkit_allowlist": ["notion"]})).await;
    let path = format!("/api/agents/{}", id_of(&agent));
    let changed = ada.put(&path, json!({"composio_toolkit_allowlist": ["notion"]})).await.expect(200);
    for body in [&agent, &changed] {
        let body = body.as_object().unwrap();
        assert!(!body.keys().any(|key| key.starts_with("composio")), "{body:?}");
    }
    let kept =
        gateway.row("SELECT composio_toolkit_allowlist FROM agent WHERE id = $1", json!([agent["id"]]));
    assert_eq!(kept.await["composio_toolkit_allowlist"], Value::Null);
}

/// Domain item 192. The environment is for owners and admins in person: not for agents at work, and not for an
/// owner of the agent who is a plain member.
/// User item 81.
#[apply(on_both)]
async fn the_environment_is_for_admins_in_person(gateway: &Gateway) {
    let ada = gateway.user();
    let bea = gateway.join("Bea", "member").await;
    let cat = gateway.join("Cat", "admin").await;
    let runtime = gateway.seed_runtime(gateway.workspace, bea.id, json!({})).await;
    let agent = create(&bea, runtime, json!({"custom_env": {"A": "1", "B": "2"}})).await;
    let path = format!("/api/agents/{}/env", id_of(&agent));
    let shown = json!({"agent_id": agent["id"], "custom_env": {"A": "1", "B": "2"}});
    assert_eq!(ada.get(&path).await.expect(200), shown);
    assert_eq!(cat.get(&path).await.expect(200), shown);
    bea.get(&path).await.refused(403, "insufficient permissions");
    bea.put(&path, "no body at all").await.refused(403, "insufficient permissions");
    let worker = at_work(gateway, runtime, id_of(&agent)).await;
    worker.get(&path).await.refused(403, "agents may not access env management endpoints");
    worker.put(&path, json!({})).await.refused(403, "agents may not access env management endpoints");
    ada.get("/api/agents/x/env").await.refused(400, "invalid agent id");
    bea.get(format!("/api/agents/{}/env", Uuid::new_v4())).await.refused(404, "agent not found");
    ada.put(&path, json!({"custom_env": {"A": 1}})).await.refused(400, "invalid request body");
    ada.put(&path, "").await.refused(400, "invalid request body");
}

/// Four stars keep a value, or drop a name that is not there; every look and change is recorded by
/// names alone.
/// User item 82.
#[apply(on_both)]
async fn four_stars_keep_a_value_and_every_look_is_recorded(gateway: &Gateway) {
    const ROWS: &str = "SELECT action, details, actor_type, actor_id, issue_id FROM activity_log
        WHERE action LIKE 'agent_env_%' ORDER BY created_at, id";
    let ada = gateway.user();
    let runtime = ada.register("dm", "claude").await;
    let agent = create(&ada, runtime, json!({"custom_env": {"A": "1", "B": "2", "C": "3"}})).await;
    let path = format!("/api/agents/{}/env", id_of(&agent));
    let sent = json!({"custom_env": {"A": "****", "B": "two", "New": "n", "Unknown": "****"}});
    let answer = ada.put(&path, sent).await.expect(200);
    let merged = json!({"agent_id": agent["id"], "custom_env": {"A": "1", "B": "two", "New": "n"}});
    assert_eq!(answer, merged);
    assert_eq!(ada.get(&path).await.expect(200), merged);
    assert_eq!(ada.get(format!("/api/agents/{}", id_of(&agent))).await.ok()["custom_env_key_count"], 3);
    assert_eq!(ada.put(&path, "null").await.expect(200)["custom_env"], json!({}));
    let rows = gateway.rows(ROWS, json!([])).await;
    let found: Vec<(Value, Value)> =
        rows.iter().map(|row| (row["action"].clone(), row["details"].clone())).collect();
    let who = json!({"agent_id": agent["id"], "agent_name": "Gus"});
    let updated = |more| (json!("agent_env_updated"), over(who.clone(), more));
    assert_eq!(
        found,
        [
            updated(
                json!({"added_keys": ["New"], "removed_keys": ["C"], "changed_keys": ["B"], "preserved_keys": ["A"]})
            ),
            (
                json!("agent_env_revealed"),
                over(who.clone(), json!({"revealed_keys": ["A", "B", "New"], "key_count": 3}))
            ),
            updated(
                json!({"added_keys": null, "removed_keys": ["A", "B", "New"], "changed_keys": null, "preserved_keys": null})
            ),
        ]
    );
    assert_eq!((&rows[0]["actor_type"], &rows[0]["actor_id"]), (&json!("member"), &json!(ada.id)));
}
