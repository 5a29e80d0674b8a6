//! The service of connected apps does not answer: what that costs, and whom.

use futures_util::future::join_all;
use macro_rules_attribute::apply;
use serde_json::{Value, json};

use crate::composio_service::{SESSION, Service};
use crate::connected_apps::{allow, assign, connect, overlay};
use crate::harness::{Engine, Gateway, World, id_of};
use crate::plugins_scene::{BUILT_IN, eventually, step};

/// Somebody whose agent may use an app.
async fn equipped(gateway: &Gateway) -> World {
    let world = gateway.world().await;
    connect(gateway, world.a.id, "notion", "mine", 10).await;
    allow(gateway, world.g1, &["notion"]).await;
    gateway.change("agent", world.g1, "max_concurrent_tasks", json!(50)).await;
    world
}

/// The built-in plugins, with limits for the one that asks.
fn with_limits(limits: &str) -> String {
    let named = "source = \"builtin:mcp-overlay\"";
    BUILT_IN.replace(named, &format!("{named}\nlimits = {limits}"))
}

/// Each task waits no longer than its budget, and when that happened often enough none waits at
/// all; what was queued before is claimed with all it has.
#[apply(on_both)]
async fn a_hang_costs_an_enqueue_its_budget_and_then_nothing(engine: Engine) {
    let service = Service::start().await;
    let gateway = service.setup(engine).plugins(&with_limits("{ wall_ms = 100 }")).start().await;
    let world = equipped(&gateway).await;
    let breaker = async || {
        let plugins = gateway.admin().plugins().await;
        let list = plugins["plugins"].as_array().unwrap();
        list.iter().find(|plugin| plugin["name"] == "mcp-overlay").unwrap()["breaker"].clone()
    };
    let before = assign(&gateway, &world, world.g1).await;
    assert_eq!(before["runtime_mcp_overlay"], overlay());
    service.asked(SESSION);
    service.hold_sessions();
    let mut asked = 0;
    let last = loop {
        let task = assign(&gateway, &world, world.g1).await;
        assert_eq!(task["runtime_mcp_overlay"], Value::Null);
        if service.asked(SESSION).is_empty() {
            break task;
        }
        asked += 1;
        let prepared = step(&gateway.admin().trace(id_of(&task)).await, "mcp-overlay");
        // Whether the request or the call ends first is nobody's to say.
        assert!([json!("failed"), json!("timeout")].contains(&prepared["code"]), "{prepared}");
        assert!(asked < 20, "it asks for ever");
    };
    assert!(asked >= 5, "{asked}");
    let prepared = step(&gateway.admin().trace(id_of(&last)).await, "mcp-overlay");
    assert_eq!(prepared["code"], "breaker_open", "{prepared}");
    assert_ne!(breaker().await, "closed");
    // The claim's stage of the same plugin knows nothing of it.
    let claimed = world.a.claim_one(world.r1).await;
    assert_eq!((&claimed["id"], &claimed["agent"]["mcp_config"]), (&before["id"], &overlay()));
    // It is tried again, and then all is as before.
    service.let_go();
    eventually("tasks are given their apps again", async || {
        assign(&gateway, &world, world.g1).await["runtime_mcp_overlay"] == overlay()
    })
    .await;
    assert_eq!(breaker().await, "closed");
    gateway.finish().await;
}

/// As many as may be under way wait for the service; claims go on meanwhile, merged as ever.
#[apply(on_both)]
async fn while_tasks_wait_for_their_apps_others_are_claimed(engine: Engine) {
    const WAITING: usize = 32;
    let service = Service::start().await;
    let gateway = service.setup(engine).plugins(&with_limits("{ wall_ms = 30000 }")).start().await;
    let world = equipped(&gateway).await;
    let own = json!({"mcpServers": {"db": {"url": "http://db"}}});
    gateway.change("agent", world.g1, "mcp_config", own).await;
    let before = assign(&gateway, &world, world.g1).await;
    service.hold_sessions();
    let look = async {
        for _ in 0..WAITING {
            service.session_asked().await;
        }
        let claimed = world.a.claim_one(world.r1).await;
        assert_eq!(claimed["id"], before["id"]);
        let servers = claimed["agent"]["mcp_config"]["mcpServers"].as_object().unwrap();
        assert_eq!(servers.keys().collect::<Vec<_>>(), ["composio", "db"]);
        assert_eq!(world.a.claim(world.r1).await, None, "the others are not in the queue yet");
        service.let_go();
    };
    let waiting = join_all((0..WAITING).map(|_| assign(&gateway, &world, world.g1)));
    let (tasks, ()) = tokio::join!(waiting, look);
    assert!(tasks.iter().all(|task| task["runtime_mcp_overlay"] == overlay()), "{tasks:?}");
    gateway.finish().await;
}

/// A comment for many agents waits for the slowest of their sessions and not for one after the
/// other: all are asked for before any is answered.
#[apply(on_both)]
async fn the_agents_of_one_comment_are_equipped_side_by_side(engine: Engine) {
    let service = Service::start().await;
    let gateway = service.setup(engine).plugins(&with_limits("{ wall_ms = 30000 }")).start().await;
    let world = equipped(&gateway).await;
    let mut mentions = vec![format!("[@Gus](mention://agent/{})", world.g1)];
    for name in ["One", "Two", "Three"] {
        let agent = gateway.seed_agent(world.r1, name, json!({})).await;
        allow(&gateway, agent, &["notion"]).await;
        mentions.push(format!("[@{name}](mention://agent/{agent})"));
    }
    service.hold_sessions();
    let path = format!("/api/issues/{}/comments", world.i1);
    let comment = async { world.a.post(path, json!({"content": mentions.join(" ")})).await.expect(201) };
    let look = async {
        for _ in 0..mentions.len() {
            service.session_asked().await;
        }
        service.let_go();
    };
    tokio::join!(comment, look);
    const EQUIPPED: &str = "SELECT count(*) FROM agent_task_queue WHERE runtime_mcp_overlay IS NOT NULL";
    assert_eq!(gateway.value(EQUIPPED, Value::Null).await, 4);
    gateway.finish().await;
}
