//! What goes on after a run was lost: which attempt follows with what of the first, and what
//! becomes of runtimes and issues.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};
use uuid::Uuid;

use crate::harness::{Engine, Gateway, World, ahead, check_members, check_values, id_of};

async fn sweep(gateway: &Gateway) -> Value {
    gateway.admin().post("/admin/sweep", ()).await.expect(200)
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

/// The task that tries this one again.
async fn child(gateway: &Gateway, task: Uuid) -> Value {
    gateway.row("SELECT * FROM agent_task_queue WHERE parent_task_id = $1", json!([task])).await
}

async fn lose(world: &World, task: Uuid, reason: &str) {
    world.a.fail(task, json!({"error": "gone", "failure_reason": reason})).await;
}

/// Domain items 98, 103, 105 and 268: the second attempt is the first over again, with its
/// note and whoever asked; but for the overlay, which is made anew or not at all.
#[apply(on_both)]
async fn a_second_attempt_is_the_first_over_again(gateway: &Gateway) {
    let world = gateway.world().await;
    let squad = gateway.seed_squad(world.w1, "Core", world.g1, json!({})).await;
    let comment = gateway.seed_comment(world.i1, "member", world.b.id, "Please", json!({})).await;
    let kept = json!({
        "issue_id": world.i1, "priority": 3, "trigger_comment_id": comment, "trigger_summary": "Please",
        "is_leader_task": true, "squad_id": squad, "originator_user_id": world.b.id,
        "initiator_user_id": world.b.id, "handoff_note": "Mind the gap", "context": {"head_sha": "abc"},
        "max_attempts": 2,
    });
    let secrets = json!({
        "runtime_mcp_overlay": {"mcpServers": {"composio": {}}}, "runtime_connected_apps": [{"toolkit_slug": "notion"}],
    });
    let task = gateway.seed_task(world.g1, crate::harness::over(kept.clone(), secrets)).await;
    world.a.run_one(world.r1).await;
    let pin = json!({"session_id": "s", "work_dir": "/w"});
    world.a.post(format!("/api/daemon/tasks/{task}/session"), pin.clone()).await.expect(204);
    // The agent has moved since; its session has not.
    let other = world.a.register("dm-other", "claude").await;
    gateway.change("agent", world.g1, "runtime_id", json!(other)).await;
    let mut watcher = world.a.watch().await;
    lose(&world, task, "timeout").await;
    let next = child(gateway, task).await;
    check_values(&next, &kept);
    check_values(&next, &pin);
    let own = json!({
        "agent_id": world.g1, "runtime_id": world.r1, "status": "queued", "attempt": 2,
        "force_fresh_session": false, "runtime_mcp_overlay": null, "runtime_connected_apps": null,
        "error": null, "failure_reason": null, "result": null, "wait_reason": null, "fire_at": null,
        "escalation_for_task_id": null, "dispatched_at": null, "started_at": null, "completed_at": null,
    });
    check_values(&next, &own);
    assert_eq!(kinds(&watcher.heard().await), ["task:queued", "agent:status", "task:failed"]);

    let chat = gateway.seed_chat(world.g1, json!({})).await;
    let turn = json!({"chat_session_id": chat, "initiator_user_id": world.b.id, "runtime_id": world.r1});
    let turn = gateway.seed_task(world.g1, crate::harness::over(turn, json!({"priority": 4}))).await;
    assert_eq!(world.a.run_one(world.r1).await, turn);
    lose(&world, turn, "runtime_recovery").await;
    let expected = json!({"initiator_user_id": world.b.id, "chat_session_id": chat, "attempt": 2});
    check_values(&child(gateway, turn).await, &expected);
}

/// Domain item 102.
#[apply(on_both)]
async fn what_hung_begins_afresh(gateway: &Gateway) {
    let world = gateway.world().await;
    let task = gateway.seed_issue_task(world.g1, json!({})).await;
    world.a.run_one(world.r1).await;
    let pin = json!({"session_id": "s", "work_dir": "/w"});
    world.a.post(format!("/api/daemon/tasks/{task}/session"), pin).await.expect(204);
    lose(&world, task, "codex_semantic_inactivity").await;
    let expected = json!({"session_id": null, "work_dir": null, "force_fresh_session": true});
    check_values(&child(gateway, task).await, &expected);
}

/// Domain items 99, 100, 101 and 104: the last attempt, what says something of the work, what
/// nobody waits for, and what waits already.
#[apply(on_both)]
async fn not_everything_is_tried_again(gateway: &Gateway) {
    let world = gateway.world().await;
    let run = gateway.seed_autopilot_run(world.g1, "Nightly", json!({})).await;
    let pilot = gateway.seed_task(world.g1, json!({"autopilot_run_id": run})).await;
    let prompt = gateway.seed_quick_create(world.g1, "Do it", json!({})).await;
    let last = gateway.seed_issue_task(world.g1, json!({"attempt": 2})).await;
    let crashed = gateway.seed_issue_task(world.g1, json!({})).await;
    let full = gateway.seed_task(world.g1, json!({"issue_id": world.i1})).await;
    for _ in 0..5 {
        world.a.run_one(world.r1).await;
    }
    gateway.seed_task(world.g1, json!({"issue_id": world.i1})).await;
    for (task, reason) in [
        (pilot, "runtime_offline"),
        (prompt, "runtime_offline"),
        (last, "timeout"),
        (crashed, "agent_error.process_failure"),
        (full, "timeout"),
    ] {
        lose(&world, task, reason).await;
    }
    let expired = gateway.seed_issue_task(world.g1, json!({"created_at": ahead(-7201)})).await;
    assert_eq!(sweep(gateway).await["tasks_failed"]["queued_expired"], 1);
    assert_eq!(world.a.status_of(expired).await, "failed");
    let children = "SELECT count(*) FROM agent_task_queue WHERE parent_task_id IS NOT NULL";
    assert_eq!(gateway.value(children, Value::Null).await, 0);
}

/// Domain items 106 to 109, with the event: a daemon that comes back gives up what it
/// had, and an issue that nobody works on any more goes back.
#[apply(on_both)]
async fn a_daemon_gives_up_only_its_own(gateway: &Gateway) {
    let world = gateway.world().await;
    let other = world.a.register("dm-other", "claude").await;
    let far = gateway.seed_agent(other, "Far", json!({})).await;
    let elsewhere = gateway.seed_issue_task(far, json!({})).await;
    world.a.run_one(other).await;
    let issue = async || gateway.seed_issue(world.w1, "Another", json!({"status": "in_progress"})).await;
    let run = json!({"status": "running", "dispatched_at": ahead(-9), "started_at": ahead(-9)});
    let lost = async |agent: Uuid, issue: Uuid, attempt: i64| {
        let more = json!({"issue_id": issue, "attempt": attempt});
        gateway.seed_task(agent, crate::harness::over(run.clone(), more)).await
    };
    let (over, again, shared) = (issue().await, issue().await, issue().await);
    for (issue, attempt) in [(over, 2), (again, 1), (shared, 2)] {
        lost(world.g1, issue, attempt).await;
    }
    lost(far, shared, 1).await;
    let mut watcher = world.a.watch().await;
    let path = format!("/api/daemon/runtimes/{}/recover-orphans", world.r1);
    let recovered = world.a.post(path, ()).await.expect(200);
    assert_eq!(recovered, json!({"orphaned": 3, "retried": 1}));
    assert_eq!(world.a.status_of(elsewhere).await, "running");
    let events = watcher.heard().await;
    let updated: Vec<&Value> = events
        .iter()
        .filter(|event| event["type"] == "issue:updated")
        .map(|event| &event["payload"])
        .collect();
    assert_eq!(updated.len(), 1, "{updated:?}");
    check_values(updated[0], &json!({"status_changed": true, "prev_status": "in_progress"}));
    check_values(&updated[0]["issue"], &json!({"id": over, "status": "todo"}));
    for (issue, status) in [(over, "todo"), (again, "in_progress"), (shared, "in_progress")] {
        let found = gateway.value("SELECT status FROM issue WHERE id = $1", json!([issue])).await;
        assert_eq!(found, status);
    }
    let failed = events.iter().filter(|event| event["type"] == "task:failed");
    assert!(failed.clone().all(|event| event["payload"]["failure_reason"] == "runtime_recovery"));
    assert_eq!(failed.count(), 3);
}

/// A runtime that was last seen so many seconds ago, and a running task on it.
async fn silent(gateway: &Gateway, world: &World, age: i64) -> (Uuid, Uuid) {
    let more = json!({"daemon_id": format!("silent-{age}"), "last_seen_at": ahead(-age)});
    let runtime = gateway.seed_runtime(world.w1, world.a.id, more).await;
    let agent = gateway.seed_agent(runtime, &format!("On {age}"), json!({})).await;
    let more = json!({"status": "running", "dispatched_at": ahead(-age), "started_at": ahead(-age)});
    (runtime, gateway.seed_issue_task(agent, more).await)
}

async fn status(gateway: &Gateway, runtime: Uuid) -> Value {
    gateway.value("SELECT status FROM agent_runtime WHERE id = $1", json!([runtime])).await
}

/// Domain items 110, 111 and 119: who is silent is offline, who beats is not, and who said
/// goodbye leaves no task behind.
#[apply(on_both)]
async fn whoever_is_gone_leaves_no_task_running(gateway: &Gateway) {
    let world = gateway.world().await;
    let (gone, lost) = silent(gateway, &world, 151).await;
    let (beats, kept) = silent(gateway, &world, 200).await;
    world.a.beat(beats).await;
    gateway.change("agent_runtime", beats, "last_seen_at", json!(ahead(-200))).await;
    let (left, over) = silent(gateway, &world, 10).await;
    world.a.post("/api/daemon/deregister", json!({"runtime_ids": [left]})).await.expect(200);
    assert_eq!(world.a.status_of(over).await, "running");
    let mut watcher = world.a.watch().await;
    check_members(&sweep(gateway).await, &json!({"runtimes_offline": 1, "failed_steps": []}));
    let told = watcher.wait_for("daemon:register").await;
    assert_eq!(told["action"], "stale_sweep");
    assert_eq!(
        (status(gateway, gone).await, status(gateway, beats).await),
        (json!("offline"), json!("online"))
    );
    for task in [lost, over] {
        let reason = "SELECT failure_reason FROM agent_task_queue WHERE id = $1";
        assert_eq!(gateway.value(reason, json!([task])).await, "runtime_offline");
    }
    assert_eq!(world.a.status_of(kept).await, "running");
}

/// Domain item 113: beats and sweeps at once leave a runtime online.
#[apply(on_both)]
async fn a_beat_beside_a_sweep_keeps_a_runtime(gateway: &Gateway) {
    let world = gateway.world().await;
    for _ in 0..5 {
        gateway.change("agent_runtime", world.r1, "last_seen_at", json!(ahead(-200))).await;
        let beats = (0..4).map(|_| world.a.beat(world.r1));
        let sweeps = (0..2).map(|_| sweep(gateway));
        tokio::join!(futures_util::future::join_all(beats), futures_util::future::join_all(sweeps));
        world.a.beat(world.r1).await;
        assert_eq!(status(gateway, world.r1).await, "online");
    }
}

/// Domain item 113: the sweep looks again at what it writes. Here another node's beat is
/// written between its look and its write.
#[test]
fn a_beat_between_look_and_write_keeps_a_runtime() {
    crate::harness::run(Engine::Postgres, async |gateway: &Gateway| {
        const WAITING: &str = "SELECT count(*) FROM pg_stat_activity
            WHERE wait_event_type = 'Lock' AND datname = current_database()";
        const BEAT: &str = "UPDATE agent_runtime SET last_seen_at = now() WHERE id = $1";
        let world = gateway.world().await;
        let (runtime, task) = silent(gateway, &world, 200).await;
        let mut elsewhere = PgConnection::connect(&gateway.database_url()).await.unwrap();
        elsewhere.execute("BEGIN").await.unwrap();
        sqlx::query(BEAT).bind(runtime).execute(&mut elsewhere).await.unwrap();
        let commit = async {
            while gateway.value(WAITING, Value::Null).await == 0 {}
            elsewhere.execute("COMMIT").await.unwrap();
        };
        let (report, ()) = tokio::join!(sweep(gateway), commit);
        assert_eq!(report["runtimes_offline"], 0);
        assert_eq!(status(gateway, runtime).await, "online");
        assert_eq!(world.a.status_of(task).await, "running");
        elsewhere.close().await.unwrap();
    });
}

/// Domain items 114, 115 and 116, around each bound.
#[apply(on_both)]
async fn each_wait_has_its_bound(gateway: &Gateway) {
    let world = gateway.world().await;
    let row = |status: &str, age: i64, lease: i64| {
        let mut row = json!({"status": status, "created_at": ahead(-age), "attempt": 2});
        match status {
            "queued" => {}
            "deferred" => row["fire_at"] = ahead(60).into(),
            "running" => row["started_at"] = ahead(-age).into(),
            _ => row["prepare_lease_expires_at"] = ahead(lease).into(),
        }
        if !matches!(status, "queued" | "deferred") {
            row["dispatched_at"] = ahead(-age).into();
        }
        row
    };
    let mut tasks = Vec::new();
    for (status, age, lease, ends) in [
        ("dispatched", 301, -1, Some("timeout")),
        ("dispatched", 301, 30, None),
        ("dispatched", 290, -1, None),
        ("running", 9001, 0, Some("timeout")),
        ("running", 8990, 0, None),
        ("waiting_local_directory", 9001, -1, None),
        ("queued", 7201, 0, Some("queued_expired")),
        ("queued", 7190, 0, None),
        ("deferred", 7201, 0, None),
    ] {
        // Each of an agent of its own: together they are more than one may run.
        let agent = gateway.seed_agent(world.r1, &format!("{status} {age} {lease}"), json!({})).await;
        tasks.push((gateway.seed_issue_task(agent, row(status, age, lease)).await, status, ends));
    }
    sweep(gateway).await;
    const ROW: &str = "SELECT status, failure_reason FROM agent_task_queue WHERE id = $1";
    for (task, status, ends) in tasks {
        let expected = match ends {
            Some(reason) => json!({"status": "failed", "failure_reason": reason}),
            None => json!({"status": status, "failure_reason": null}),
        };
        assert_eq!(gateway.row(ROW, json!([task])).await, expected, "{status}");
    }
}

/// Domain item 269: the token of a run that was lost is worth nothing.
#[apply(on_both)]
async fn a_lost_runs_token_is_worth_nothing(gateway: &Gateway) {
    let world = gateway.world().await;
    gateway.seed_issue_task(world.g1, json!({})).await;
    let claimed = world.a.claim_one(world.r1).await;
    let agent = gateway.bearer(claimed["auth_token"].as_str().unwrap());
    agent.get("/api/me").await.expect(200);
    let path = format!("/api/daemon/runtimes/{}/recover-orphans", world.r1);
    assert_eq!(world.a.post(path, ()).await.expect(200)["orphaned"], 1);
    agent.get("/api/me").await.refused(401, "invalid token");
    // The next attempt has one of its own.
    let again = world.a.claim_one(world.r1).await;
    assert_eq!(again["parent_task_id"], json!(id_of(&claimed)));
    gateway.bearer(again["auth_token"].as_str().unwrap()).get("/api/me").await.expect(200);
}
