//! A task on its daemon, before it ends. Checklist 10.10, but for bundles.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Gateway, Reply, World, ahead, check_members, id_of};

/// A task that was claimed a moment ago.
async fn dispatched(gateway: &Gateway, world: &World) -> Uuid {
    let task = gateway.seed_issue_task(world.g1, json!({})).await;
    assert_eq!(id_of(&world.a.claim_one(world.r1).await), task);
    task
}

async fn lease(world: &World, runtime: Uuid, task: impl ToString) -> Reply {
    let task = task.to_string();
    world.a.post(format!("/api/daemon/runtimes/{runtime}/tasks/{task}/prepare-lease"), ()).await
}

async fn start(world: &World, task: Uuid) -> Reply {
    world.a.post(format!("/api/daemon/tasks/{task}/start"), ()).await
}

async fn wait(world: &World, task: Uuid, body: impl Into<crate::harness::Payload>) -> Reply {
    world.a.post(format!("/api/daemon/tasks/{task}/wait-local-directory"), body).await
}

/// Daemon item 155. Domain item 62.
#[apply(on_both)]
async fn a_lease_is_extended_while_a_task_is_prepared(gateway: &Gateway) {
    let world = gateway.world().await;
    let other = world.a.register("dm-other", "claude").await;
    let task = dispatched(gateway, &world).await;
    let until = "SELECT prepare_lease_expires_at FROM agent_task_queue WHERE id = $1";
    let mut before = gateway.value(until, json!([task])).await;
    for _ in 0..2 {
        let body = lease(&world, world.r1, task).await.expect(200);
        check_members(&body, &json!({"id": task, "status": "dispatched", "agent": null, "auth_token": null}));
        let after = gateway.value(until, json!([task])).await;
        assert!(after.as_str() > before.as_str(), "{before} then {after}");
        before = after;
    }
    assert!(before.as_str() > Some(ahead(30).as_str()), "{before}");
    lease(&world, other, task).await.refused(404, "task not found");
    lease(&world, world.r2, task).await.refused(404, "not found");
    lease(&world, world.r1, Uuid::new_v4()).await.refused(404, "task not found");
    lease(&world, world.r1, "xyz").await.refused(400, "invalid task_id");
    wait(&world, task, ()).await.expect(200);
    lease(&world, world.r1, task).await.expect(200);
    world.a.start(task).await;
    let gone = "extend task prepare lease: no rows in result set";
    lease(&world, world.r1, task).await.refused(400, gone);
    let queued = gateway.seed_issue_task(world.g1, json!({})).await;
    lease(&world, world.r1, queued).await.refused(400, gone);
}

/// Daemon item 156: the event is in `daemon_events`. Domain item 61.
#[apply(on_both)]
async fn a_task_starts_once(gateway: &Gateway) {
    let world = gateway.world().await;
    let task = dispatched(gateway, &world).await;
    let body = start(&world, task).await.expect(200);
    check_members(&body, &json!({"id": task, "status": "running", "agent": null}));
    assert!(body["started_at"].is_string(), "{body}");
    let again = "start task: no rows in result set";
    start(&world, task).await.refused(400, again);
    let sql = "SELECT prepare_lease_expires_at, wait_reason FROM agent_task_queue WHERE id = $1";
    let row = gateway.row(sql, json!([task])).await;
    assert_eq!(row, json!({"prepare_lease_expires_at": null, "wait_reason": null}));
    world.a.complete(task, json!({})).await;
    start(&world, task).await.refused(400, again);
    let queued = gateway.seed_issue_task(world.g1, json!({})).await;
    start(&world, queued).await.refused(400, again);
}

/// The fallbacks that stood by for a task end when it starts.
#[apply(on_both)]
async fn a_start_ends_the_fallbacks_of_the_task(gateway: &Gateway) {
    let world = gateway.world().await;
    let task = dispatched(gateway, &world).await;
    let colleague = gateway.seed_agent(world.r1, "Col", json!({})).await;
    let mut fallbacks = Vec::new();
    for (status, fire_at) in [("deferred", ahead(60)), ("queued", ahead(-60))] {
        let more = json!({"status": status, "fire_at": fire_at, "escalation_for_task_id": task});
        fallbacks.push(gateway.seed_issue_task(colleague, more).await);
    }
    let unrelated = gateway.seed_issue_task(colleague, json!({})).await;
    world.a.start(task).await;
    for fallback in fallbacks {
        assert_eq!(world.a.status_of(fallback).await, "cancelled");
    }
    assert_eq!(world.a.status_of(unrelated).await, "queued");
}

/// Daemon items 157 and 158. Domain item 63.
#[apply(on_both)]
async fn a_task_waits_for_its_directory_and_then_starts(gateway: &Gateway) {
    let world = gateway.world().await;
    let task = dispatched(gateway, &world).await;
    wait(&world, task, "{").await.refused(400, "invalid request body");
    wait(&world, task, json!({"reason": 5})).await.refused(400, "invalid request body");
    let body = wait(&world, task, json!({"reason": "  held by another run "})).await.expect(200);
    check_members(&body, &json!({"status": "waiting_local_directory", "wait_reason": null}));
    let reason = "SELECT wait_reason FROM agent_task_queue WHERE id = $1";
    assert_eq!(gateway.value(reason, json!([task])).await, "held by another run");
    let gone = "mark task waiting_local_directory: no rows in result set";
    wait(&world, task, json!({"reason": "again"})).await.refused(400, gone);
    check_members(&start(&world, task).await.expect(200), &json!({"status": "running"}));
    wait(&world, task, ()).await.refused(400, gone);
    for nothing in ["", "{}", "null", "{\"reason\":\" \"}"] {
        let task = dispatched(gateway, &world).await;
        wait(&world, task, nothing).await.expect(200);
        assert_eq!(gateway.value(reason, json!([task])).await, Value::Null);
    }
}

/// Daemon item 159: the sweep is in `daemon_sweeps`.
#[apply(on_both)]
async fn a_waiting_task_counts_against_what_its_agent_may_run(gateway: &Gateway) {
    let world = gateway.world().await;
    gateway.change("agent", world.g1, "max_concurrent_tasks", json!(1)).await;
    let task = dispatched(gateway, &world).await;
    wait(&world, task, ()).await.expect(200);
    gateway.seed_issue_task(world.g1, json!({})).await;
    assert_eq!(world.a.claim(world.r1).await, None);
}

/// Daemon item 161: the event is in `daemon_events`.
#[apply(on_both)]
async fn progress_looks_at_the_body_first_and_takes_any_state(gateway: &Gateway) {
    let world = gateway.world().await;
    let progress =
        async |task: Uuid, body: &str| world.a.post(format!("/api/daemon/tasks/{task}/progress"), body).await;
    let valid = "{\"summary\":\"half\",\"step\":1,\"total\":2}";
    let nowhere = Uuid::new_v4();
    for invalid in ["", "[]", "{\"step\":\"1\"}", "{\"step\":1.5}", "{\"total\":1e2}"] {
        progress(nowhere, invalid).await.refused(400, "invalid request body");
    }
    progress(nowhere, valid).await.refused(404, "task not found");
    let queued = gateway.seed_issue_task(world.g1, json!({})).await;
    let done = json!({"status": "cancelled", "completed_at": ahead(-1)});
    let done = gateway.seed_issue_task(world.g1, done).await;
    for task in [queued, done] {
        assert_eq!(progress(task, valid).await.expect(200), json!({"status": "ok"}));
        progress(task, "{}").await.expect(200);
    }
}

/// Daemon item 162.
#[apply(on_both)]
async fn a_status_is_the_one_of_this_moment(gateway: &Gateway) {
    let world = gateway.world().await;
    let task = gateway.seed_issue_task(world.g1, json!({})).await;
    let status = async || {
        let reply = world.a.get(format!("/api/daemon/tasks/{task}/status")).await;
        assert_eq!(reply.header("content-type"), "application/json");
        reply.expect(200)
    };
    assert_eq!(status().await, json!({"status": "queued"}));
    world.a.claim_one(world.r1).await;
    assert_eq!(status().await, json!({"status": "dispatched"}));
    world.a.start(task).await;
    assert_eq!(status().await, json!({"status": "running"}));
    world.a.complete(task, json!({})).await;
    assert_eq!(status().await, json!({"status": "completed"}));
}

/// Daemon item 164.
#[apply(on_both)]
async fn a_task_whose_issue_was_deleted_is_absent(gateway: &Gateway) {
    let world = gateway.world().await;
    let task = gateway.seed_task(world.g1, json!({"issue_id": world.i1})).await;
    world.a.run_one(world.r1).await;
    gateway.execute("DELETE FROM issue WHERE id = $1", json!([world.i1])).await;
    world.a.get(format!("/api/daemon/tasks/{task}/status")).await.refused(404, "task not found");
    for verb in ["complete", "fail", "usage"] {
        let path = format!("/api/daemon/tasks/{task}/{verb}");
        world.a.post(path, json!({})).await.refused(404, "task not found");
    }
}

/// What a runtime has queued and dispatched, in the order a claim takes it.
#[apply(on_both)]
async fn pending_tasks_are_listed_as_a_claim_would_take_them(gateway: &Gateway) {
    let world = gateway.world().await;
    let pending = async || {
        let path = format!("/api/daemon/runtimes/{}/tasks/pending", world.r1);
        world.a.get(path).await.expect(200)
    };
    assert_eq!(pending().await, json!([]));
    let low = gateway.seed_issue_task(world.g1, json!({"priority": 1})).await;
    let high = gateway.seed_issue_task(world.g1, json!({"priority": 4})).await;
    let last = gateway.seed_issue_task(world.g1, json!({"priority": 1})).await;
    gateway.seed_issue_task(world.g2, json!({})).await;
    world.a.claim_one(world.r1).await;
    let listed = pending().await;
    let ids: Vec<Uuid> = listed.as_array().unwrap().iter().map(id_of).collect();
    assert_eq!(ids, [high, low, last]);
    let expected = json!({
        "status": "dispatched", "workspace_id": world.w1, "agent": null, "auth_token": null, "thread_name": null,
    });
    check_members(&listed[0], &expected);
    world.a.start(high).await;
    assert_eq!(pending().await.as_array().map(Vec::len), Some(2));
}

/// The agent's status follows what it runs.
#[apply(on_both)]
async fn an_agent_works_while_it_has_a_task(gateway: &Gateway) {
    let world = gateway.world().await;
    let status = async || gateway.value("SELECT status FROM agent WHERE id = $1", json!([world.g1])).await;
    let task = dispatched(gateway, &world).await;
    assert_eq!(status().await, "working");
    world.a.start(task).await;
    let second = dispatched(gateway, &world).await;
    world.a.complete(task, json!({})).await;
    assert_eq!(status().await, "working");
    world.a.fail(second, json!({"failure_reason": "agent_blocked"})).await;
    assert_eq!(status().await, "idle");
}

/// A gateway that was told of a task remembers where it belongs, not that it is there: another one
/// may have deleted it.
#[apply(on_both)]
async fn a_task_that_is_gone_is_told_of_to_whoever_reports(gateway: &Gateway) {
    let world = gateway.world().await;
    let messages = json!({"messages": [{"seq": 1, "type": "text", "content": "Reading."}]});
    let usage = |provider: &str| json!({"usage": [{"provider": provider, "model": "m", "input_tokens": 1}]});
    let reports = [
        ("start", json!({})),
        ("messages", messages),
        ("usage", usage("claude")),
        ("usage", usage("")),
        ("progress", json!({"summary": "half"})),
        ("complete", json!({"output": "done"})),
    ];
    for (what, body) in reports {
        let task = dispatched(gateway, &world).await;
        if what != "start" {
            world.a.start(task).await;
        }
        let path = format!("/api/daemon/tasks/{task}/{what}");
        let stranger = world.c.post(&path, body.clone()).await;
        stranger.refused(404, "not found");
        gateway.execute("DELETE FROM agent_task_queue WHERE id = $1", json!([task])).await;
        world.a.post(&path, body).await.refused(404, "task not found");
    }
}
