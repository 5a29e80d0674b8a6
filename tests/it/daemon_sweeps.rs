//! What ends tasks whose daemon went away. The items that the checklist marks slow: rows are
//! made old instead of waiting, and an operator asks for the sweep.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Gateway, World, ahead, check_members, id_of};

async fn sweep(gateway: &Gateway) -> Value {
    gateway.admin().post("/admin/sweep", ()).await.expect(200)
}

async fn task_row(gateway: &Gateway, task: Uuid) -> Value {
    const SQL: &str = "SELECT status, error, failure_reason FROM agent_task_queue WHERE id = $1";
    gateway.row(SQL, json!([task])).await
}

fn failed(reason: &str, error: &str) -> Value {
    json!({"status": "failed", "error": error, "failure_reason": reason})
}

/// A runtime that was last heard of so many seconds ago, and a running task on it.
async fn silent(gateway: &Gateway, world: &World, age: i64) -> (Uuid, Uuid) {
    let more = json!({"daemon_id": format!("silent-{age}"), "last_seen_at": ahead(-age)});
    let runtime = gateway.seed_runtime(world.w1, world.a.id, more).await;
    let agent = gateway.seed_agent(runtime, &format!("On {age}"), json!({})).await;
    let more = json!({"status": "running", "started_at": ahead(-age), "attempt": 2});
    (runtime, gateway.seed_issue_task(agent, more).await)
}

/// Daemon item 88: the event is in `daemon_events`.
#[apply(on_both)]
async fn a_silent_runtime_goes_offline_and_its_task_fails(gateway: &Gateway) {
    let world = gateway.world().await;
    let (gone, lost) = silent(gateway, &world, 151).await;
    let (quiet, kept) = silent(gateway, &world, 140).await;
    let report = sweep(gateway).await;
    check_members(&report, &json!({"runtimes_offline": 1, "tasks_retried": 0, "failed_steps": []}));
    let status = "SELECT status FROM agent_runtime WHERE id = $1";
    assert_eq!(gateway.value(status, json!([gone])).await, "offline");
    assert_eq!(gateway.value(status, json!([quiet])).await, "online");
    assert_eq!(task_row(gateway, lost).await, failed("runtime_offline", "runtime went offline"));
    assert_eq!(world.a.status_of(kept).await, "running");
}

/// Daemon item 89: who beats is alive, whatever the row says.
#[apply(on_both)]
async fn a_runtime_that_beats_is_never_taken_offline(gateway: &Gateway) {
    let world = gateway.world().await;
    let (runtime, task) = silent(gateway, &world, 60).await;
    world.a.beat(runtime).await;
    gateway.change("agent_runtime", runtime, "last_seen_at", json!(ahead(-500))).await;
    sweep(gateway).await;
    assert_eq!(world.a.status_of(task).await, "running");
    let status = "SELECT status FROM agent_runtime WHERE id = $1";
    assert_eq!(gateway.value(status, json!([runtime])).await, "online");
}

/// Daemon items 126, 159 and 160.
#[apply(on_both)]
async fn a_task_that_is_never_started_fails_unless_it_is_prepared(gateway: &Gateway) {
    let world = gateway.world().await;
    let with = async |status: &str, age: i64, lease: i64| {
        let more = json!({
            "status": status, "dispatched_at": ahead(-age), "prepare_lease_expires_at": ahead(lease),
        });
        gateway.seed_issue_task(world.g1, more).await
    };
    let lost = with("dispatched", 301, -10).await;
    let prepared = with("dispatched", 400, 20).await;
    let fresh = with("dispatched", 290, -10).await;
    let waiting = with("waiting_local_directory", 400, -300).await;
    // One that was handed out again before the sweep came is under preparation again.
    let again = with("dispatched", 310, -10).await;
    gateway.change("agent_task_queue", again, "priority", json!(4)).await;
    assert_eq!(id_of(&world.a.claim_one(world.r1).await), again);
    let report = sweep(gateway).await;
    assert_eq!((&report["tasks_failed"]["timeout"], &report["tasks_retried"]), (&json!(1), &json!(1)));
    assert_eq!(task_row(gateway, lost).await, failed("timeout", "task timed out"));
    for (task, status) in [
        (prepared, "dispatched"),
        (fresh, "dispatched"),
        (again, "dispatched"),
        (waiting, "waiting_local_directory"),
    ] {
        assert_eq!(world.a.status_of(task).await, status);
    }
    let child = "SELECT status, attempt FROM agent_task_queue WHERE parent_task_id = $1";
    assert_eq!(gateway.row(child, json!([lost])).await, json!({"status": "queued", "attempt": 2}));
}

/// A run that never ends, and a task that nobody claims.
#[apply(on_both)]
async fn what_takes_far_too_long_fails(gateway: &Gateway) {
    let world = gateway.world().await;
    let last = json!({"attempt": 2, "status": "running"});
    let running = async |age: i64| {
        let more = crate::harness::over(last.clone(), json!({"started_at": ahead(-age)}));
        gateway.seed_issue_task(world.g1, more).await
    };
    let (endless, long) = (running(9001).await, running(8990).await);
    let expired = gateway.seed_issue_task(world.g1, json!({"created_at": ahead(-7201)})).await;
    let waits = gateway.seed_issue_task(world.g1, json!({"created_at": ahead(-7190)})).await;
    sweep(gateway).await;
    assert_eq!(task_row(gateway, endless).await, failed("timeout", "task timed out"));
    assert_eq!(world.a.status_of(long).await, "running");
    assert_eq!(task_row(gateway, expired).await, failed("queued_expired", "task expired in queue"));
    assert_eq!(world.a.status_of(waits).await, "queued");
}

/// Domain item 118. A runtime that nobody uses is deleted after a week offline.
#[apply(on_both)]
async fn an_unused_runtime_is_deleted_after_a_week(gateway: &Gateway) {
    let world = gateway.world().await;
    let offline = async |days: i64, used: bool| {
        let seen = ahead(-days * 86_400 - 60);
        let more = json!({
            "daemon_id": format!("d{days}{used}"), "status": "offline", "last_seen_at": seen, "updated_at": seen,
        });
        let runtime = gateway.seed_runtime(world.w1, world.a.id, more).await;
        if used {
            gateway.seed_agent(runtime, &format!("On {days}"), json!({"archived_at": ahead(-9)})).await;
        }
        runtime
    };
    let (old, used, recent) = (offline(7, false).await, offline(7, true).await, offline(6, false).await);
    assert_eq!(sweep(gateway).await["runtimes_deleted"], 1);
    let count = "SELECT count(*) FROM agent_runtime WHERE id = $1";
    for (runtime, left) in [(old, 0), (used, 1), (recent, 1)] {
        assert_eq!(gateway.value(count, json!([runtime])).await, left);
    }
}
