//! Where a run can be resumed, and what becomes of runs whose daemon restarted. Checklist
//! 10.12, last part.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Gateway, World, ahead, check_members, id_of};

async fn recover(world: &World) -> Value {
    world.a.post(format!("/api/daemon/runtimes/{}/recover-orphans", world.r1), ()).await.expect(200)
}

const POINTER: &str = "SELECT session_id, work_dir FROM agent_task_queue WHERE id = $1";

/// Daemon item 193. Domain item 64.
#[apply(on_both)]
async fn a_pinned_session_is_where_the_retry_goes_on(gateway: &Gateway) {
    let world = gateway.world().await;
    let task = gateway.seed_task(world.g1, json!({"issue_id": world.i1})).await;
    world.a.run_one(world.r1).await;
    let pin = async |body: Value| world.a.post(format!("/api/daemon/tasks/{task}/session"), body).await;
    for neither in [json!({}), json!({"session_id": "", "work_dir": null})] {
        pin(neither).await.refused(400, "session_id or work_dir required");
    }
    pin(json!({"session_id": 5})).await.refused(400, "invalid request body");
    for body in [json!({"session_id": "s", "work_dir": "/w"}), json!({"session_id": "s2"})] {
        let reply = pin(body).await;
        assert_eq!((reply.status, reply.text.as_str()), (204, ""), "{reply}");
    }
    let row = gateway.row(POINTER, json!([task])).await;
    assert_eq!(row, json!({"session_id": "s2", "work_dir": "/w"}));
    assert_eq!(recover(&world).await, json!({"orphaned": 1, "retried": 1}));
    let child = world.a.claim_one(world.r1).await;
    let expected = json!({"parent_task_id": task, "prior_session_id": "s2", "prior_work_dir": "/w"});
    check_members(&child, &expected);
}

/// Daemon item 194. Domain item 64.
#[apply(on_both)]
async fn an_ended_task_is_not_pinned(gateway: &Gateway) {
    let world = gateway.world().await;
    let done = json!({"status": "completed", "completed_at": ahead(-9), "session_id": "old"});
    let done = gateway.seed_issue_task(world.g1, done).await;
    let queued = gateway.seed_issue_task(world.g1, json!({})).await;
    let path = |task: Uuid| format!("/api/daemon/tasks/{task}/session");
    for (task, session) in [(done, json!("old")), (queued, Value::Null)] {
        world.a.post(path(task), json!({"session_id": "new", "work_dir": "/new"})).await.expect(204);
        let row = gateway.row(POINTER, json!([task])).await;
        assert_eq!(row, json!({"session_id": session, "work_dir": null}));
    }
    let claimed = id_of(&world.a.claim_one(world.r1).await);
    world.a.post(path(claimed), json!({"work_dir": "/new"})).await.expect(204);
    assert_eq!(gateway.row(POINTER, json!([claimed])).await["work_dir"], "/new");
    world.a.post(path(Uuid::new_v4()), json!({})).await.refused(404, "task not found");
}

/// Daemon item 195.
#[apply(on_both)]
async fn what_was_in_flight_fails_and_is_tried_again(gateway: &Gateway) {
    let world = gateway.world().await;
    let mut lost = Vec::new();
    for _ in 0..3 {
        lost.push(gateway.seed_issue_task(world.g1, json!({})).await);
        world.a.claim_one(world.r1).await;
    }
    world.a.start(lost[0]).await;
    let wait = format!("/api/daemon/tasks/{}/wait-local-directory", lost[1]);
    world.a.post(wait, json!({"reason": "busy"})).await.expect(200);
    let queued = gateway.seed_issue_task(world.g1, json!({})).await;
    let last = json!({"attempt": 2, "status": "running", "started_at": ahead(-9)});
    let last = gateway.seed_issue_task(world.g1, last).await;
    assert_eq!(recover(&world).await, json!({"orphaned": 4, "retried": 3}));
    const ROW: &str = "SELECT status, error, failure_reason, wait_reason, prepare_lease_expires_at
        FROM agent_task_queue WHERE id = $1";
    lost.push(last);
    for task in &lost {
        let expected = json!({
            "status": "failed", "error": "daemon restarted while task was in flight",
            "failure_reason": "runtime_recovery", "wait_reason": null, "prepare_lease_expires_at": null,
        });
        assert_eq!(gateway.row(ROW, json!([task])).await, expected);
    }
    assert_eq!(world.a.status_of(queued).await, "queued");
    assert_eq!(recover(&world).await, json!({"orphaned": 0, "retried": 0}));
    // People read of the one that is not tried again.
    let posted = gateway.rows("SELECT issue_id, content, type FROM comment", Value::Null).await;
    let issue = gateway.value("SELECT issue_id FROM agent_task_queue WHERE id = $1", json!([last])).await;
    let error = "daemon restarted while task was in flight";
    assert_eq!(posted, [json!({"issue_id": issue, "content": error, "type": "system"})]);
    let path = format!("/api/daemon/runtimes/{}/recover-orphans", world.r1);
    world.c.post(path, ()).await.refused(404, "not found");
}

/// Daemon item 196: the event is in `daemon_events`.
#[apply(on_both)]
async fn an_orphaned_autopilot_run_is_not_tried_again(gateway: &Gateway) {
    let world = gateway.world().await;
    let run = gateway.seed_autopilot_run(world.g1, "Nightly", json!({})).await;
    let task = gateway.seed_task(world.g1, json!({"autopilot_run_id": run})).await;
    world.a.run_one(world.r1).await;
    assert_eq!(recover(&world).await, json!({"orphaned": 1, "retried": 0}));
    assert_eq!(world.a.status_of(task).await, "failed");
    gateway.assert_settled().await;
}

/// Daemon item 197: the event is in `daemon_events`.
#[apply(on_both)]
async fn an_issue_that_nobody_works_on_any_more_goes_back(gateway: &Gateway) {
    let world = gateway.world().await;
    let status =
        async |issue: Uuid| gateway.value("SELECT status FROM issue WHERE id = $1", json!([issue])).await;
    let with = async |attempt: i64, status: &str| {
        let issue = gateway.seed_issue(world.w1, "Another", json!({"status": status})).await;
        let more = json!({
            "issue_id": issue, "attempt": attempt, "status": "running", "started_at": ahead(-9),
        });
        gateway.seed_task(world.g1, more).await;
        issue
    };
    let exhausted = with(2, "in_progress").await;
    let retried = with(1, "in_progress").await;
    let reviewed = with(2, "in_review").await;
    let shared = with(2, "in_progress").await;
    let colleague = gateway.seed_agent(world.r2, "Col", json!({"workspace_id": world.w1})).await;
    let beside = json!({"issue_id": shared, "status": "running", "started_at": ahead(-9)});
    gateway.seed_task(colleague, beside).await;
    assert_eq!(recover(&world).await, json!({"orphaned": 4, "retried": 1}));
    assert_eq!(status(exhausted).await, "todo");
    for (issue, expected) in [(retried, "in_progress"), (reviewed, "in_review"), (shared, "in_progress")] {
        assert_eq!(status(issue).await, expected);
    }
}
