//! What a run used. Checklist 10.12, first part.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Gateway, Reply, World, ahead};

async fn report(world: &World, task: impl ToString, body: Value) -> Reply {
    world.a.post(format!("/api/daemon/tasks/{}/usage", task.to_string()), body).await
}

async fn stored(gateway: &Gateway, task: Uuid) -> Vec<Value> {
    const SQL: &str =
        "SELECT provider, model, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens
        FROM task_usage WHERE task_id = $1 ORDER BY provider, model";
    gateway.rows(SQL, json!([task])).await
}

fn entry(provider: &str, model: &str, count: i64) -> Value {
    json!({
        "provider": provider, "model": model, "input_tokens": count, "output_tokens": count + 1,
        "cache_read_tokens": count + 2, "cache_write_tokens": count + 3,
    })
}

/// Daemon items 185 and 186: what people see of it is in `daemon_tokens`.
#[apply(on_both)]
async fn the_last_report_of_a_model_replaces_the_one_before(gateway: &Gateway) {
    let world = gateway.world().await;
    let task = gateway.seed_issue_task(world.g1, json!({})).await;
    let ok = json!({"status": "ok"});
    for count in [10, 4_000_000_000_i64] {
        let body = json!({"usage": [entry(" Claude ", "m", count), entry("", "n", 1)]});
        assert_eq!(report(&world, task, body).await.expect(200), ok);
        // The runtime's provider stands in for a blank one.
        let expected = [entry("claude", "m", count), entry("claude", "n", 1)];
        assert_eq!(stored(gateway, task).await, expected);
    }
    for nothing in [json!({"usage": []}), json!({"usage": null}), json!({}), json!(null)] {
        assert_eq!(report(&world, task, nothing).await.expect(200), ok);
    }
    assert_eq!(stored(gateway, task).await.len(), 2);
}

/// One report that names a model twice counts the last.
#[apply(on_both)]
async fn a_model_may_be_named_twice_in_one_report(gateway: &Gateway) {
    let world = gateway.world().await;
    let task = gateway.seed_issue_task(world.g1, json!({})).await;
    let body = json!({"usage": [entry("claude", "m", 1), null, entry("CLAUDE", "m", 5)]});
    report(&world, task, body).await.expect(200);
    let rows = stored(gateway, task).await;
    assert!(rows.contains(&entry("claude", "m", 5)), "{rows:?}");
}

/// Any state is fine; the task is looked for before the body is read.
#[apply(on_both)]
async fn usage_may_come_after_the_end(gateway: &Gateway) {
    let world = gateway.world().await;
    let more = json!({"status": "completed", "completed_at": ahead(-60)});
    let task = gateway.seed_issue_task(world.g1, more).await;
    report(&world, task, json!({"usage": [entry("a", "b", 1)]})).await.expect(200);
    assert_eq!(stored(gateway, task).await.len(), 1);
    report(&world, Uuid::new_v4(), json!([])).await.refused(404, "task not found");
    for invalid in [
        json!([]),
        json!({"usage": {}}),
        json!({"usage": [{"input_tokens": "1"}]}),
        json!({"usage": [{"input_tokens": 1.5}]}),
    ] {
        report(&world, task, invalid).await.refused(400, "invalid request body");
    }
}
