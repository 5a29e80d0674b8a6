//! Which task a claim gives, rule by rule: capacity, lanes, order, and whose it is. What the
//! protocol says of a claim is in `daemon_claim`.

use chrono::{DateTime, TimeDelta, Utc};
use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Gateway, World, ahead, id_of, over};

async fn next(world: &World, runtime: Uuid) -> Option<Uuid> {
    world.a.claim(runtime).await.map(|task| id_of(&task))
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

/// Domain item 28.
#[apply(on_both)]
async fn a_claimed_row_is_leased(gateway: &Gateway) {
    const ROW: &str = "SELECT status, dispatched_at, prepare_lease_expires_at FROM agent_task_queue";
    let world = gateway.world().await;
    gateway.seed_task(world.g1, json!({"issue_id": world.i1})).await;
    let before = Utc::now();
    world.a.claim_one(world.r1).await;
    let after = Utc::now();
    let row = gateway.row(ROW, Value::Null).await;
    assert_eq!(row["status"], "dispatched");
    let time = |name: &str| row[name].as_str().unwrap().parse::<DateTime<Utc>>().unwrap();
    let (at, lease) = (time("dispatched_at"), time("prepare_lease_expires_at"));
    assert!(at > before - TimeDelta::milliseconds(1) && at <= after, "{before} {at} {after}");
    assert_eq!(lease - at, TimeDelta::seconds(45));
}

/// What a row in one of these states has besides it.
fn in_state(status: &str) -> Value {
    let at = ahead(-5);
    match status {
        "running" => json!({"status": status, "dispatched_at": at, "started_at": at}),
        "queued" => json!({"status": status}),
        _ => json!({"status": status, "dispatched_at": at, "prepare_lease_expires_at": ahead(40)}),
    }
}

/// Domain items 29, 30 and 31: what is in flight takes room, and what is queued takes none.
#[apply(on_both)]
async fn whatever_is_in_flight_takes_room(gateway: &Gateway) {
    let world = gateway.world().await;
    for (status, room) in
        [("running", false), ("waiting_local_directory", false), ("dispatched", false), ("queued", true)]
    {
        let name = format!("Solo {status}");
        let agent = gateway.seed_agent(world.r1, &name, json!({"max_concurrent_tasks": 1})).await;
        let held = gateway.seed_issue_task(agent, in_state(status)).await;
        let waits = gateway.seed_issue_task(agent, json!({"created_at": ahead(-60)})).await;
        assert_eq!(next(&world, world.r1).await, room.then_some(waits), "{status}");
        for task in [held, waits] {
            world.a.post(format!("/api/tasks/{task}/cancel"), ()).await.expect(200);
        }
    }
}

/// Domain items 32 and 40: what is blocked holds up neither the agent's other work nor
/// another agent's.
#[apply(on_both)]
async fn what_is_blocked_holds_up_nothing_else(gateway: &Gateway) {
    let world = gateway.world().await;
    gateway.change("agent", world.g1, "max_concurrent_tasks", json!(2)).await;
    let running = over(json!({"issue_id": world.i1}), in_state("running"));
    gateway.seed_task(world.g1, running).await;
    let blocked = json!({"issue_id": world.i1, "priority": 4, "created_at": ahead(-60)});
    gateway.seed_task(world.g1, blocked).await;
    let other = gateway.seed_issue_task(world.g1, json!({})).await;
    assert_eq!(next(&world, world.r1).await, Some(other));
    // Now it has no room at all, and its best task is better than the other agent's.
    let colleague = gateway.seed_agent(world.r1, "Col", json!({})).await;
    gateway.seed_issue_task(world.g1, json!({"priority": 4})).await;
    let theirs = gateway.seed_issue_task(colleague, json!({"priority": 1})).await;
    assert_eq!(next(&world, world.r1).await, Some(theirs));
    assert_eq!(next(&world, world.r1).await, None);
}

/// However much of it there is: a claim that goes with others passes it over, too, agent by agent.
#[apply(on_both)]
async fn many_that_are_blocked_hold_up_nothing_else(gateway: &Gateway) {
    let world = gateway.world().await;
    gateway.change("agent", world.g1, "max_concurrent_tasks", json!(1)).await;
    gateway.seed_issue_task(world.g1, in_state("running")).await;
    for _ in 0..20 {
        gateway.seed_issue_task(world.g1, json!({"priority": 4, "created_at": ahead(-60)})).await;
    }
    let mut expected = Vec::new();
    for (name, priority) in [("Low", 1), ("High", 3), ("Middle", 2)] {
        let agent = gateway.seed_agent(world.r1, name, json!({"max_concurrent_tasks": 1})).await;
        let later = json!({"priority": priority, "created_at": ahead(-10)});
        let first = json!({"priority": priority, "created_at": ahead(-20)});
        gateway.seed_issue_task(agent, later).await;
        expected.push((priority, gateway.seed_issue_task(agent, first).await));
    }
    expected.sort_unstable_by_key(|(priority, _)| -priority);
    for (priority, task) in expected {
        assert_eq!(next(&world, world.r1).await, Some(task), "{priority}");
    }
    // Each has one in flight now, and may have no more.
    assert_eq!(next(&world, world.r1).await, None);
}

/// What was lost, and what is due, come before and beside what is queued, whoever else claims.
#[apply(on_both)]
async fn what_was_lost_and_what_is_due_are_not_passed_over(gateway: &Gateway) {
    let world = gateway.world().await;
    let lost = json!({"status": "dispatched", "dispatched_at": ahead(-500),
        "prepare_lease_expires_at": ahead(-400)});
    let lost = gateway.seed_issue_task(world.g1, lost).await;
    let due = json!({"status": "deferred", "fire_at": ahead(-10), "priority": 3});
    let due = gateway.seed_issue_task(world.g1, due).await;
    let queued = gateway.seed_issue_task(world.g1, json!({"priority": 2})).await;
    let last = gateway.seed_issue_task(world.g1, json!({"priority": 1})).await;
    for expected in [lost, due, queued, last] {
        assert_eq!(next(&world, world.r1).await, Some(expected));
    }
    assert_eq!(next(&world, world.r1).await, None);
}

/// Domain items 39, 45 and 270: a claim neither gives nor touches what another runtime has.
#[apply(on_both)]
async fn a_claim_is_for_its_own_runtime(gateway: &Gateway) {
    let world = gateway.world().await;
    let other = world.a.register("dm-other", "claude").await;
    // Queued before its agent moved, and better than what the agent has where it is now.
    let left = json!({"runtime_id": other, "priority": 4, "created_at": ahead(-60)});
    let left = gateway.seed_issue_task(world.g1, left).await;
    let lost = json!({"runtime_id": other, "status": "dispatched", "dispatched_at": ahead(-500),
        "prepare_lease_expires_at": ahead(-400)});
    let lost = gateway.seed_issue_task(world.g1, lost).await;
    let due = json!({"runtime_id": other, "status": "deferred", "fire_at": ahead(-10)});
    let due = gateway.seed_issue_task(world.g1, due).await;
    let here = gateway.seed_issue_task(world.g1, json!({})).await;
    let theirs = async || {
        let sql = "SELECT * FROM agent_task_queue WHERE runtime_id = $1 ORDER BY id";
        gateway.rows(sql, json!([other])).await
    };
    let before = theirs().await;
    assert_eq!(next(&world, world.r1).await, Some(here));
    assert_eq!(next(&world, world.r1).await, None);
    assert_eq!(theirs().await, before);
    for expected in [lost, left, due] {
        assert_eq!(next(&world, other).await, Some(expected));
    }
}

/// Domain items 41, 42, 43 and 44, as far as events and the row go.
#[apply(on_both)]
async fn a_second_delivery_is_no_news(gateway: &Gateway) {
    const LOST: &str =
        "UPDATE agent_task_queue SET dispatched_at = $2, prepare_lease_expires_at = $3 WHERE id = $1";
    const AT: &str = "SELECT dispatched_at FROM agent_task_queue WHERE id = $1";
    let world = gateway.world().await;
    let task = gateway.seed_task(world.g1, json!({"issue_id": world.i1})).await;
    world.a.claim_one(world.r1).await;
    for (dispatched, lease) in [(-30, 15), (-30, -1), (-100, 10)] {
        gateway.execute(LOST, json!([task, ahead(dispatched), ahead(lease)])).await;
        assert_eq!(next(&world, world.r1).await, None, "{dispatched} {lease}");
    }
    gateway.execute(LOST, json!([task, ahead(-100), ahead(-55)])).await;
    let mut watcher = world.a.watch().await;
    assert_eq!(next(&world, world.r1).await, Some(task));
    assert_eq!(watcher.heard().await, Vec::<Value>::new());
    let at = gateway.value(AT, json!([task])).await;
    assert!(at.as_str() > Some(ahead(-60).as_str()), "{at}");
    world.a.start(task).await;
    gateway.change("agent_task_queue", task, "dispatched_at", json!(ahead(-100))).await;
    assert_eq!(next(&world, world.r1).await, None);
}

/// Domain items 47, 48 and 49: a claim is told of, and what it promoted before it.
#[apply(on_both)]
async fn a_claim_is_told_of(gateway: &Gateway) {
    let world = gateway.world().await;
    let due = json!({"status": "deferred", "fire_at": ahead(-1), "issue_id": world.i1});
    let due = gateway.seed_task(world.g1, due).await;
    let later = gateway.seed_issue_task(world.g1, json!({"status": "deferred", "fire_at": ahead(60)})).await;
    let mut watcher = world.a.watch().await;
    assert_eq!(next(&world, world.r1).await, Some(due));
    let events = watcher.heard().await;
    assert_eq!(kinds(&events), ["task:queued", "agent:status", "task:dispatch"]);
    assert_eq!(events[0]["payload"]["task_id"], json!(due));
    let agent = &events[1]["payload"]["agent"];
    assert_eq!((&agent["id"], &agent["status"]), (&json!(world.g1), &json!("working")));
    let expected = json!({
        "task_id": due, "runtime_id": world.r1, "issue_id": world.i1, "agent_id": world.g1,
    });
    assert_eq!(events[2]["payload"], expected);
    assert_eq!(world.a.status_of(later).await, "deferred");
    let status = "SELECT status FROM agent WHERE id = $1";
    assert_eq!(gateway.value(status, json!([world.g1])).await, "working");

    // The context of a task goes along, and its chat.
    let reviewed = json!({"context": {"head_sha": "abc", "task_id": "not mine"}});
    let reviewed = gateway.seed_issue_task(world.g1, reviewed).await;
    assert_eq!(next(&world, world.r1).await, Some(reviewed));
    let told = watcher.wait_for("task:dispatch").await;
    assert_eq!((&told["head_sha"], &told["task_id"]), (&json!("abc"), &json!(reviewed)));
    let chat = gateway.seed_chat(world.g1, json!({})).await;
    let turn = gateway.seed_task(world.g1, json!({"chat_session_id": chat})).await;
    assert_eq!(next(&world, world.r1).await, Some(turn));
    let told = watcher.wait_for("task:dispatch").await;
    assert_eq!((&told["chat_session_id"], &told["issue_id"]), (&json!(chat), &json!("")));
}
