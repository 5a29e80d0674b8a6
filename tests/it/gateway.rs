//! The harness itself: a gateway starts, stops and starts again, and rows read alike.

use macro_rules_attribute::apply;
use serde_json::json;
use uuid::Uuid;

use crate::harness::Gateway;

#[apply(on_both)]
async fn a_task_goes_from_the_queue_to_its_end(gateway: &Gateway) {
    let world = gateway.world().await;
    let task = gateway.seed_task(world.g1, json!({"issue_id": world.i1})).await;
    assert_eq!(world.a.run_one(world.r1).await, task);
    gateway.restart();
    let done = world.a.complete(task, json!({"output": "done it"})).await;
    assert_eq!(done["status"], "completed");
    gateway.assert_settled().await;
}

#[apply(on_both)]
async fn rows_come_back_as_they_were_put_in(gateway: &Gateway) {
    let id = Uuid::new_v4();
    let row = json!({
        "id": id, "workspace_id": gateway.workspace, "name": "n", "provider": "claude",
        "metadata": {"a": [1, "x"]}, "last_seen_at": "2026-01-02T03:04:05.600000Z",
    });
    gateway.insert("agent_runtime", row).await;
    const SQL: &str = "SELECT id, name, daemon_id, metadata, last_seen_at FROM agent_runtime WHERE id = $1";
    let expected = json!({
        "id": id, "name": "n", "daemon_id": null, "metadata": {"a": [1, "x"]},
        "last_seen_at": "2026-01-02T03:04:05.600000Z",
    });
    assert_eq!(gateway.row(SQL, json!([id])).await, expected);
    assert_eq!(gateway.value("SELECT count(*) FROM agent_runtime", json!([])).await, 1);
}

#[apply(on_both)]
async fn what_was_acknowledged_survives_a_crash(gateway: &Gateway) {
    let world = gateway.world().await;
    let task = gateway.seed_task(world.g1, json!({"issue_id": world.i1})).await;
    world.a.run_one(world.r1).await;
    world.a.complete(task, json!({"output": "done it"})).await;
    gateway.crash();
    assert_eq!(world.a.status_of(task).await, "completed");
}

#[apply(on_both)]
async fn operators_see_the_plugins_that_run(gateway: &Gateway) {
    let plugins = gateway.admin().plugins().await;
    assert_eq!(plugins["plugins"].as_array().map(Vec::len), Some(3), "{plugins}");
    gateway.bearer("mop_0").get("/admin/plugins").await.expect(404);
}
