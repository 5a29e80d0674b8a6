//! What a daemon asks before it deletes a directory. Checklist 10.14.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Gateway, Reply, World, ahead};

const NEVER: &str = "0001-01-01T00:00:00Z";

async fn check(world: &World, what: &str, id: impl ToString) -> Reply {
    world.a.get(format!("/api/daemon/{what}/{}/gc-check", id.to_string())).await
}

/// Malformed, absent and not the caller's are told apart.
async fn refusals(world: &World, what: &str, malformed: &str, absent: &str, foreign: Uuid) {
    check(world, what, "xyz").await.refused(400, malformed);
    check(world, what, Uuid::new_v4()).await.refused(404, absent);
    check(world, what, foreign).await.refused(404, "not found");
}

/// Daemon item 209.
#[apply(on_both)]
async fn an_issue_tells_its_status_and_when_it_changed(gateway: &Gateway) {
    let world = gateway.world().await;
    refusals(&world, "issues", "invalid issue_id", "issue not found", world.i2).await;
    for (stored, shown) in [
        ("2026-07-01T12:34:56.120000Z", "2026-07-01T12:34:56.12Z"),
        ("2026-07-01T12:34:56.000001Z", "2026-07-01T12:34:56.000001Z"),
        ("2026-07-01T12:34:56Z", "2026-07-01T12:34:56Z"),
    ] {
        gateway.change("issue", world.i1, "updated_at", json!(stored)).await;
        let body = check(&world, "issues", world.i1).await.expect(200);
        assert_eq!(body, json!({"status": "todo", "updated_at": shown}));
    }
}

/// Daemon item 210.
#[apply(on_both)]
async fn a_chat_tells_whether_it_is_archived(gateway: &Gateway) {
    let world = gateway.world().await;
    let foreign = gateway.seed_chat(world.g2, json!({})).await;
    refusals(&world, "chat-sessions", "invalid session_id", "chat session not found", foreign).await;
    let chat = gateway.seed_chat(world.g1, json!({"updated_at": "2026-07-01T12:34:56.5Z"})).await;
    for status in ["active", "archived"] {
        gateway.change("chat_session", chat, "status", json!(status)).await;
        let body = check(&world, "chat-sessions", chat).await.expect(200);
        assert_eq!(body, json!({"status": status, "updated_at": "2026-07-01T12:34:56.5Z"}));
    }
}

/// Daemon item 211.
#[apply(on_both)]
async fn an_autopilot_run_tells_when_it_ended(gateway: &Gateway) {
    let world = gateway.world().await;
    let foreign = gateway.seed_autopilot_run(world.g2, "Other", json!({})).await;
    refusals(&world, "autopilot-runs", "invalid run_id", "autopilot run not found", foreign).await;
    let run = gateway.seed_autopilot_run(world.g1, "Nightly", json!({})).await;
    let body = check(&world, "autopilot-runs", run).await.expect(200);
    assert_eq!(body, json!({"status": "running", "completed_at": NEVER}));
    gateway.change("autopilot_run", run, "status", json!("completed")).await;
    gateway.change("autopilot_run", run, "completed_at", json!("2026-07-01T12:34:56.5Z")).await;
    let body = check(&world, "autopilot-runs", run).await.expect(200);
    assert_eq!(body, json!({"status": "completed", "completed_at": "2026-07-01T12:34:56.5Z"}));
    gateway.execute("DELETE FROM autopilot", Value::Null).await;
    check(&world, "autopilot-runs", run).await.refused(404, "autopilot run not found");
}

/// Daemon item 212.
#[apply(on_both)]
async fn a_task_tells_when_it_ended(gateway: &Gateway) {
    let world = gateway.world().await;
    let foreign = gateway.seed_issue_task(world.g2, json!({})).await;
    refusals(&world, "tasks", "invalid task_id", "task not found", foreign).await;
    let task = gateway.seed_issue_task(world.g1, json!({})).await;
    let body = check(&world, "tasks", task).await.expect(200);
    assert_eq!(body, json!({"status": "queued", "completed_at": NEVER}));
    world.a.run_one(world.r1).await;
    world.a.complete(task, json!({})).await;
    let body = check(&world, "tasks", task).await.expect(200);
    let at = body["completed_at"].as_str().unwrap();
    assert!(at > ahead(-60).as_str() && at.ends_with('Z'), "{body}");
}

/// A database that fails is never "absent": a daemon would delete a directory in use.
#[apply(on_both)]
async fn a_failing_database_never_says_absent(gateway: &Gateway) {
    let world = gateway.world().await;
    let chat = gateway.seed_chat(world.g1, json!({})).await;
    let run = gateway.seed_autopilot_run(world.g1, "Nightly", json!({})).await;
    for (table, what, id, failure) in [
        ("issue", "issues", world.i1, "failed to load issue"),
        ("chat_session", "chat-sessions", chat, "failed to load chat session"),
        ("autopilot_run", "autopilot-runs", run, "failed to load autopilot run"),
    ] {
        check(&world, what, id).await.expect(200);
        gateway.expect_error(failure);
        gateway.execute(&format!("ALTER TABLE {table} RENAME TO hidden"), Value::Null).await;
        check(&world, what, id).await.refused(500, failure);
        gateway.execute(&format!("ALTER TABLE hidden RENAME TO {table}"), Value::Null).await;
        check(&world, what, id).await.expect(200);
    }
}
