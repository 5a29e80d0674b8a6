//! Which task a claim gives, and to whom. Checklist 10.9, first half.

use futures_util::future::join_all;
use macro_rules_attribute::apply;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use uuid::Uuid;

use crate::harness::{Gateway, ahead, id_of};

/// The id of what a claim gives, if anything.
async fn next(world: &crate::harness::World) -> Option<Uuid> {
    world.a.claim(world.r1).await.map(|task| id_of(&task))
}

/// Daemon item 115. Domain item 25.
#[apply(on_both)]
async fn nothing_to_do_is_a_null_task_whatever_the_body(gateway: &Gateway) {
    let world = gateway.world().await;
    let path = format!("/api/daemon/runtimes/{}/tasks/claim", world.r1);
    let nothing = json!({"task": null});
    assert_eq!(world.a.post(&path, ()).await.expect(200), nothing);
    for body in ["", "{}", "[", "nonsense"] {
        assert_eq!(world.a.post(&path, body).await.expect(200), nothing);
    }
    // Not even a word on how long the body is.
    let base = world.a.base();
    let host = base.strip_prefix("http://").unwrap();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {}\r\nconnection: close\r\n\r\n",
        world.a.token
    );
    let mut caller = tokio::net::TcpStream::connect(host).await.unwrap();
    caller.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    caller.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains(r#"{"task":null}"#), "{answer}");
}

/// Daemon item 116.
#[apply(on_both)]
async fn a_claimed_task_says_all_that_a_daemon_needs(gateway: &Gateway) {
    let world = gateway.world().await;
    let task = gateway.seed_task(world.g1, json!({"issue_id": world.i1, "priority": 3})).await;
    let claimed = world.a.claim_one(world.r1).await;
    let token = claimed["auth_token"].as_str().unwrap();
    let digits = token.strip_prefix("mat_").unwrap();
    assert!(digits.len() == 40 && digits.bytes().all(|b| b"0123456789abcdef".contains(&b)), "{token}");
    let expected = json!({
        "id": task, "agent_id": world.g1, "runtime_id": world.r1, "issue_id": world.i1,
        "workspace_id": world.w1, "status": "dispatched", "priority": 3,
        "dispatched_at": claimed["dispatched_at"], "started_at": null, "completed_at": null,
        "result": null, "error": null, "attempt": 1, "max_attempts": 2,
        "created_at": claimed["created_at"], "kind": "direct", "thread_name": "Fix the build",
        "agent": {"id": world.g1, "name": "Gus", "instructions": ""},
        "requesting_user_name": "Ada", "auth_token": token,
    });
    assert_eq!(claimed, expected);
    for time in ["dispatched_at", "created_at"] {
        assert_eq!(claimed[time].as_str().map(str::len), Some(20), "{time} is whole seconds");
    }
}

/// Daemon item 118.
#[apply(on_both)]
async fn a_task_is_handed_out_once(gateway: &Gateway) {
    let world = gateway.world().await;
    gateway.seed_task(world.g1, json!({"issue_id": world.i1})).await;
    assert!(next(&world).await.is_some());
    assert_eq!(next(&world).await, None);
}

/// Daemon item 119.
#[apply(on_both)]
async fn only_who_may_use_the_runtime_claims(gateway: &Gateway) {
    let world = gateway.world().await;
    gateway.seed_task(world.g1, json!({"issue_id": world.i1})).await;
    for client in [&world.c, &world.m2] {
        client.claiming(world.r1).await.refused(404, "not found");
    }
    world.a.claiming(Uuid::new_v4()).await.refused(404, "runtime not found");
    // A member, and a daemon of the workspace, may.
    assert!(world.b.claim(world.r1).await.is_some());
    assert!(world.m1.claim(world.r1).await.is_none());
}

/// Daemon item 120. Domain items 26 and 27.
#[apply(on_both)]
async fn the_most_urgent_comes_first_then_the_oldest(gateway: &Gateway) {
    let world = gateway.world().await;
    let mut expected = Vec::new();
    for (priority, age) in [(1, 50), (4, 10), (4, 30), (1, 70), (0, 90)] {
        let more = json!({"priority": priority, "created_at": ahead(-age)});
        expected.push((-priority, -age, gateway.seed_issue_task(world.g1, more).await));
    }
    expected.sort_unstable();
    let mut claimed = Vec::new();
    while let Some(task) = next(&world).await {
        claimed.push(task);
    }
    assert_eq!(claimed, expected.iter().map(|(_, _, task)| *task).collect::<Vec<_>>());
}

/// Daemon item 121.
#[apply(on_both)]
async fn an_agent_runs_no_more_than_it_may(gateway: &Gateway) {
    let world = gateway.world().await;
    let agent = gateway.seed_agent(world.r1, "Solo", json!({"max_concurrent_tasks": 1})).await;
    gateway.seed_issue_task(agent, json!({})).await;
    gateway.seed_issue_task(agent, json!({})).await;
    let first = world.a.run_one(world.r1).await;
    assert_eq!(next(&world).await, None);
    world.a.complete(first, json!({})).await;
    let second = world.a.run_one(world.r1).await;
    assert_ne!(first, second);
    world.a.complete(second, json!({})).await;
    gateway.assert_settled().await;
}

/// Daemon item 121: what it runs elsewhere counts too.
#[apply(on_both)]
async fn capacity_is_counted_over_all_runtimes(gateway: &Gateway) {
    let world = gateway.world().await;
    let other = world.a.register("dm-other", "claude").await;
    let agent = gateway.seed_agent(world.r1, "Solo", json!({"max_concurrent_tasks": 1})).await;
    gateway.seed_issue_task(agent, json!({"runtime_id": other})).await;
    gateway.seed_issue_task(agent, json!({})).await;
    let elsewhere = world.a.run_one(other).await;
    assert_eq!(next(&world).await, None);
    world.a.fail(elsewhere, json!({"failure_reason": "agent_blocked"})).await;
    assert!(next(&world).await.is_some());
}

/// Daemon item 122. Domain item 33.
#[apply(on_both)]
async fn an_agent_works_on_an_issue_once_at_a_time(gateway: &Gateway) {
    let world = gateway.world().await;
    let colleague = gateway.seed_agent(world.r1, "Col", json!({})).await;
    let first = gateway.seed_task(world.g1, json!({"issue_id": world.i1})).await;
    assert_eq!(world.a.run_one(world.r1).await, first);
    let second = gateway.seed_task(world.g1, json!({"issue_id": world.i1})).await;
    assert_eq!(next(&world).await, None);
    let beside = gateway.seed_task(colleague, json!({"issue_id": world.i1})).await;
    assert_eq!(next(&world).await, Some(beside));
    world.a.complete(first, json!({})).await;
    assert_eq!(next(&world).await, Some(second));
}

/// Daemon item 123. Domain items 34, 35 and 36.
#[apply(on_both)]
async fn a_chat_and_quick_creation_are_lanes_and_autopilot_runs_are_not(gateway: &Gateway) {
    let world = gateway.world().await;
    let chat = gateway.seed_chat(world.g1, json!({})).await;
    let in_chat = json!({"chat_session_id": chat});
    let pairs = [
        [gateway.seed_task(world.g1, in_chat.clone()).await, gateway.seed_task(world.g1, in_chat).await],
        [
            gateway.seed_quick_create(world.g1, "one", json!({})).await,
            gateway.seed_quick_create(world.g1, "two", json!({})).await,
        ],
    ];
    let mut running = [world.a.run_one(world.r1).await, world.a.run_one(world.r1).await];
    running.sort_unstable();
    let mut first = [pairs[0][0], pairs[1][0]];
    first.sort_unstable();
    assert_eq!(running, first);
    assert_eq!(next(&world).await, None);
    for [first, second] in pairs {
        world.a.complete(first, json!({})).await;
        assert_eq!(next(&world).await, Some(second));
    }
    let pilot = gateway.seed_agent(world.r1, "Pilot", json!({})).await;
    let run = gateway.seed_autopilot_run(pilot, "Nightly", json!({})).await;
    for _ in 0..2 {
        let task = gateway.seed_task(pilot, json!({"autopilot_run_id": run})).await;
        assert_eq!(next(&world).await, Some(task));
    }
}

/// Daemon item 124. Domain item 37.
#[apply(on_both)]
async fn of_many_claims_at_once_one_gets_the_task(gateway: &Gateway) {
    let world = gateway.world().await;
    let task = gateway.seed_task(world.g1, json!({"issue_id": world.i1})).await;
    let claims = join_all((0..20).map(|_| world.a.claim(world.r1))).await;
    let got: Vec<Uuid> = claims.iter().flatten().map(id_of).collect();
    assert_eq!(got, [task]);
    assert_eq!(gateway.value("SELECT count(*) FROM task_token", Value::Null).await, 1);
}

/// Daemon item 124. Domain item 38: the cap holds when 64 claims race, on two runtimes, until
/// nothing is left.
#[apply(on_both)]
async fn racing_claims_never_exceed_what_an_agent_may_run(gateway: &Gateway) {
    const ROOM: usize = 3;
    const TASKS: usize = 24;
    let world = gateway.world().await;
    let other = world.a.register("dm-other", "claude").await;
    let agent = gateway.seed_agent(world.r1, "Trio", json!({"max_concurrent_tasks": ROOM})).await;
    let place = |number: usize| if number.is_multiple_of(2) { world.r1 } else { other };
    for number in 0..TASKS {
        gateway.seed_issue_task(agent, json!({"runtime_id": place(number)})).await;
    }
    let mut done = 0;
    while done < TASKS {
        let claims = (0..64).map(|number| world.a.claim(place(number)));
        let got: Vec<Uuid> = join_all(claims).await.iter().flatten().map(id_of).collect();
        assert!((1..=ROOM).contains(&got.len()), "{got:?}");
        for task in got {
            world.a.start(task).await;
            world.a.complete(task, json!({})).await;
            done += 1;
        }
    }
    gateway.assert_settled().await;
}

const LOST: &str =
    "UPDATE agent_task_queue SET dispatched_at = $2, prepare_lease_expires_at = $3 WHERE id = $1";

/// Daemon item 125.
#[apply(on_both)]
async fn a_claim_whose_answer_was_lost_is_answered_again(gateway: &Gateway) {
    let world = gateway.world().await;
    let task = gateway.seed_task(world.g1, json!({"issue_id": world.i1})).await;
    let first = world.a.claim_one(world.r1).await;
    let stamp = "SELECT dispatched_at FROM agent_task_queue WHERE id = $1";
    let dispatched_at = gateway.value(stamp, json!([task])).await;
    gateway.execute(LOST, json!([task, ahead(-60), ahead(-15)])).await;
    assert_eq!(next(&world).await, None);
    gateway.execute(LOST, json!([task, ahead(-91), ahead(-46)])).await;
    let again = world.a.claim_one(world.r1).await;
    assert_eq!(id_of(&again), task);
    assert_ne!(again["auth_token"], first["auth_token"]);
    assert!(gateway.value(stamp, json!([task])).await.as_str() > dispatched_at.as_str());
    let age =
        "SELECT count(*) FROM agent_task_queue WHERE dispatched_at > $1 AND prepare_lease_expires_at > $2";
    assert_eq!(gateway.value(age, json!([ahead(-30), ahead(15)])).await, 1);
    // Both tokens stand for the task until it ends.
    assert_eq!(gateway.value("SELECT count(*) FROM task_token", Value::Null).await, 2);
    assert_eq!(next(&world).await, None);
}

/// Daemon item 126: the sweep is in `daemon_sweeps`.
#[apply(on_both)]
async fn a_task_under_preparation_is_not_handed_out_again(gateway: &Gateway) {
    let world = gateway.world().await;
    let task = gateway.seed_task(world.g1, json!({"issue_id": world.i1})).await;
    world.a.claim_one(world.r1).await;
    gateway.execute(LOST, json!([task, ahead(-180), ahead(-1)])).await;
    let lease = format!("/api/daemon/runtimes/{}/tasks/{task}/prepare-lease", world.r1);
    world.a.post(lease, ()).await.expect(200);
    assert_eq!(next(&world).await, None);
}

/// Daemon item 127.
#[apply(on_both)]
async fn what_started_or_is_anothers_is_not_handed_out_again(gateway: &Gateway) {
    let world = gateway.world().await;
    let other = world.a.register("dm-other", "claude").await;
    let colleague = gateway.seed_agent(other, "Col", json!({})).await;
    let started = gateway.seed_task(world.g1, json!({"issue_id": world.i1})).await;
    let waiting = gateway.seed_issue_task(world.g1, json!({})).await;
    let elsewhere = gateway.seed_task(colleague, json!({"issue_id": world.i1})).await;
    world.a.run_one(world.r1).await;
    world.a.claim_one(world.r1).await;
    world.a.post(format!("/api/daemon/tasks/{waiting}/wait-local-directory"), ()).await.expect(200);
    world.a.claim_one(other).await;
    for task in [started, waiting, elsewhere] {
        gateway.execute(LOST, json!([task, ahead(-500), ahead(-400)])).await;
    }
    gateway
        .execute(
            "UPDATE agent_task_queue SET prepare_lease_expires_at = NULL WHERE id = $1",
            json!([started]),
        )
        .await;
    assert_eq!(next(&world).await, None);
    assert_eq!(world.a.claim(other).await.map(|task| id_of(&task)), Some(elsewhere));
}

/// Daemon item 128: the event is in `daemon_events`.
#[apply(on_both)]
async fn a_fallback_is_handed_out_when_its_time_has_come(gateway: &Gateway) {
    let world = gateway.world().await;
    let due = json!({"status": "deferred", "fire_at": ahead(-1), "issue_id": world.i1});
    let due = gateway.seed_task(world.g1, due).await;
    let later = json!({"status": "deferred", "fire_at": ahead(3600)});
    let later = gateway.seed_issue_task(world.g1, later).await;
    assert_eq!(next(&world).await, Some(due));
    assert_eq!(next(&world).await, None);
    assert_eq!(world.a.status_of(later).await, "deferred");
}

/// Daemon item 129: rows that other hands add count too, at the latest in a few seconds.
#[apply(on_both)]
async fn an_empty_answer_is_not_remembered_for_long(gateway: &Gateway) {
    let world = gateway.world().await;
    assert_eq!(next(&world).await, None);
    let task = gateway.seed_task(world.g1, json!({"issue_id": world.i1})).await;
    let looking = async {
        loop {
            if let Some(found) = next(&world).await {
                break found;
            }
        }
    };
    let found = tokio::time::timeout(std::time::Duration::from_secs(20), looking).await;
    assert_eq!(found.ok(), Some(task));
}

/// Daemon item 130. Domain item 247.
#[apply(on_both)]
async fn a_runtime_without_an_owner_gets_no_task(gateway: &Gateway) {
    let world = gateway.world().await;
    let runtime = world.m1.register("dm-1", "codex").await;
    let agent = gateway.seed_agent(runtime, "Orphan", json!({"owner_id": world.a.id})).await;
    let task = gateway.seed_task(agent, json!({"issue_id": world.i1})).await;
    gateway.expect_error("runtime owner required to mint task token");
    world.m1.claiming(runtime).await.refused(500, "runtime owner required to mint task token");
    assert_eq!(world.a.status_of(task).await, "cancelled");
    // A person who registers the same daemon owns it from then on.
    let task = gateway.seed_issue_task(agent, json!({})).await;
    assert_eq!(world.a.register("dm-1", "codex").await, runtime);
    assert_eq!(world.m1.claim(runtime).await.map(|task| id_of(&task)), Some(task));
}

/// Daemon item 131. Domain items 245 and 246.
#[apply(on_both)]
async fn a_task_of_another_workspace_is_cancelled_and_not_delivered(gateway: &Gateway) {
    let world = gateway.world().await;
    let chat = gateway.seed_chat(world.g2, json!({})).await;
    let run = gateway.seed_autopilot_run(world.g2, "Nightly", json!({})).await;
    gateway.expect_error("task workspace isolation check failed");
    let elsewhere = [
        json!({"issue_id": world.i2}),
        json!({"chat_session_id": chat}),
        json!({"autopilot_run_id": run}),
        json!({"context": {"type": "quick_create", "prompt": "p", "workspace_id": world.w2}}),
        // Bound to nothing that could be of this workspace.
        json!({}),
    ];
    for binding in elsewhere {
        let task = gateway.seed_task(world.g1, binding.clone()).await;
        let claim = world.a.claiming(world.r1).await;
        claim.refused(500, "task workspace isolation check failed");
        let status = gateway.value("SELECT status FROM agent_task_queue WHERE id = $1", json!([task])).await;
        assert_eq!(status, "cancelled", "{binding}");
    }
    assert_eq!(gateway.value("SELECT count(*) FROM task_token", Value::Null).await, 0);
    assert_eq!(next(&world).await, None);
}
