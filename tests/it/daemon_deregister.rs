//! A daemon says goodbye. Checklist 10.5.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Client, Gateway, Reply};

async fn deregister(client: &Client, ids: Value) -> Reply {
    client.post("/api/daemon/deregister", json!({"runtime_ids": ids})).await
}

async fn status(gateway: &Gateway, runtime: Uuid) -> Value {
    gateway.value("SELECT status FROM agent_runtime WHERE id = $1", json!([runtime])).await
}

/// Daemon item 73.
#[apply(on_both)]
async fn one_malformed_id_and_nothing_is_changed(gateway: &Gateway) {
    let world = gateway.world().await;
    for none in [json!([]), json!(null)] {
        deregister(&world.a, none).await.refused(400, "runtime_ids is required");
    }
    for malformed in [json!(["x"]), json!([world.r1, "x"]), json!([world.r1, null])] {
        deregister(&world.a, malformed).await.refused(400, "invalid runtime_ids");
    }
    deregister(&world.a, json!([5])).await.refused(400, "invalid request body");
    assert_eq!(status(gateway, world.r1).await, "online");
}

/// Daemon items 74, 75 and 76: the event is in `daemon_events`.
#[apply(on_both)]
async fn only_what_is_the_callers_goes_offline(gateway: &Gateway) {
    let world = gateway.world().await;
    let seen = "SELECT last_seen_at FROM agent_runtime WHERE id = $1";
    let before = gateway.value(seen, json!([world.r1])).await;
    let all = json!([world.r1, world.r2, Uuid::new_v4()]);
    for _ in 0..2 {
        assert_eq!(deregister(&world.a, all.clone()).await.expect(200), json!({"status": "ok"}));
        assert_eq!(status(gateway, world.r1).await, "offline");
        assert_eq!(status(gateway, world.r2).await, "online");
    }
    assert_eq!(gateway.value(seen, json!([world.r1])).await, before);
    world.a.beat(world.r1).await;
    assert_eq!(status(gateway, world.r1).await, "online");
}

/// Tasks are left alone: the daemon may come back and report them.
#[apply(on_both)]
async fn a_goodbye_leaves_tasks_as_they_are(gateway: &Gateway) {
    let world = gateway.world().await;
    let task = gateway.seed_issue_task(world.g1, json!({})).await;
    world.a.run_one(world.r1).await;
    deregister(&world.m1, json!([world.r1])).await.expect(200);
    assert_eq!(world.a.status_of(task).await, "running");
    world.a.complete(task, json!({})).await;
}
