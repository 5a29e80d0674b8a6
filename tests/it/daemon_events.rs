//! What the daemon plane tells those who watch a workspace. The events of the checklist's
//! items, in the order in which they come.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Gateway, Socket, World, ahead, check_members, id_of, over};

/// The next frames are of these types; gives their payloads.
async fn expect<const N: usize>(socket: &mut Socket, kinds: [&str; N]) -> [Value; N] {
    let mut payloads = [const { Value::Null }; N];
    for (payload, kind) in payloads.iter_mut().zip(kinds) {
        *payload = socket.expect(kind).await;
    }
    payloads
}

/// Nothing came but the frame that this provokes.
async fn expect_silence(world: &World, socket: &mut Socket) {
    world.a.post("/api/skills", json!({"name": format!("s-{}", Uuid::new_v4())})).await.expect(201);
    socket.expect("skill:created").await;
}

fn task_event(task: Uuid, agent: Uuid, issue: Option<Uuid>, status: &str) -> Value {
    let issue = issue.map(|id| id.to_string()).unwrap_or_default();
    json!({"task_id": task, "agent_id": agent, "issue_id": issue, "status": status})
}

async fn running(gateway: &Gateway, world: &World, more: Value) -> Uuid {
    let task = gateway.seed_task(world.g1, more).await;
    assert_eq!(world.a.run_one(world.r1).await, task);
    task
}

/// Daemon items 72 and 74.
#[apply(on_both)]
async fn coming_and_going_of_runtimes_is_told_once(gateway: &Gateway) {
    let world = gateway.world().await;
    let mut watcher = world.b.watch().await;
    let mut elsewhere = world.c.watch().await;
    let body = json!({"daemon_id": "dm-1", "runtimes": [{"type": "claude"}, {"type": "codex"}]});
    let answer = world.a.register_with(body).await.expect(200);
    let [told] = expect(&mut watcher, ["daemon:register"]).await;
    assert_eq!(told, json!({"runtimes": answer["runtimes"]}));
    let gone = json!({"runtime_ids": [world.r1, world.r2, Uuid::new_v4()]});
    world.a.post("/api/daemon/deregister", gone).await.expect(200);
    let [told] = expect(&mut watcher, ["daemon:register"]).await;
    assert_eq!(told, json!({"action": "deregister"}));
    expect_silence(&world, &mut watcher).await;
    world.c.post("/api/skills", json!({"name": "other"})).await.expect(201);
    elsewhere.expect("skill:created").await;
}

/// A beat is no news, not even when it brings a runtime online.
#[apply(on_both)]
async fn a_beat_is_not_told(gateway: &Gateway) {
    let world = gateway.world().await;
    let gone = json!({"runtime_ids": [world.r1]});
    world.a.post("/api/daemon/deregister", gone).await.expect(200);
    let mut watcher = world.a.watch().await;
    world.a.beat(world.r1).await;
    world.a.beat(world.r1).await;
    expect_silence(&world, &mut watcher).await;
}

/// Daemon items 128, 156 and 166: a task from the queue to its end.
#[apply(on_both)]
async fn a_tasks_way_is_told_in_its_order(gateway: &Gateway) {
    let world = gateway.world().await;
    let due = json!({"status": "deferred", "fire_at": ahead(-1), "issue_id": world.i1});
    let task = gateway.seed_task(world.g1, due).await;
    let mut watcher = world.b.watch().await;
    let event = |status: &str| task_event(task, world.g1, Some(world.i1), status);
    world.a.claim_one(world.r1).await;
    let [queued, agent, dispatch] =
        expect(&mut watcher, ["task:queued", "agent:status", "task:dispatch"]).await;
    assert_eq!(queued, event("queued"));
    check_members(&agent["agent"], &json!({"id": world.g1, "status": "working", "skills": []}));
    let claimed =
        json!({"task_id": task, "runtime_id": world.r1, "issue_id": world.i1, "agent_id": world.g1});
    assert_eq!(dispatch, claimed);
    world.a.start(task).await;
    assert_eq!(expect(&mut watcher, ["task:running"]).await, [event("running")]);
    for _ in 0..2 {
        world.a.complete(task, json!({"output": "All green"})).await;
    }
    let [comment, _, agent, completed] =
        expect(&mut watcher, ["comment:created", "subscriber:added", "agent:status", "task:completed"]).await;
    assert_eq!(comment["comment"]["content"], "All green");
    check_members(&agent["agent"], &json!({"id": world.g1, "status": "idle"}));
    assert_eq!(completed, event("completed"));
    expect_silence(&world, &mut watcher).await;
}

/// Daemon item 157.
#[apply(on_both)]
async fn a_waiting_task_is_told(gateway: &Gateway) {
    let world = gateway.world().await;
    let task = gateway.seed_task(world.g1, json!({"issue_id": world.i1})).await;
    world.a.claim_one(world.r1).await;
    let mut watcher = world.b.watch().await;
    let path = format!("/api/daemon/tasks/{task}/wait-local-directory");
    world.a.post(path, json!({"reason": "busy"})).await.expect(200);
    let expected = task_event(task, world.g1, Some(world.i1), "waiting_local_directory");
    assert_eq!(expect(&mut watcher, ["task:waiting_local_directory"]).await, [expected]);
}

/// Daemon item 161.
#[apply(on_both)]
async fn progress_on_an_issue_is_told_and_on_nothing_else(gateway: &Gateway) {
    let world = gateway.world().await;
    let task = gateway.seed_task(world.g1, json!({"issue_id": world.i1})).await;
    let quick = gateway.seed_quick_create(world.g1, "Make it so", json!({})).await;
    let mut watcher = world.b.watch().await;
    let progress = async |task: Uuid, body: Value| {
        world.a.post(format!("/api/daemon/tasks/{task}/progress"), body).await.expect(200);
    };
    progress(quick, json!({"summary": "half", "step": 1, "total": 2})).await;
    progress(task, json!({"summary": "half", "step": 1, "total": 2})).await;
    progress(task, json!({"summary": "", "step": 0})).await;
    let told = expect(&mut watcher, ["task:progress", "task:progress"]).await;
    let whole = json!({"task_id": task, "summary": "half", "step": 1, "total": 2});
    assert_eq!(told, [whole, json!({"task_id": task, "summary": ""})]);
}

/// Daemon item 163.
#[apply(on_both)]
async fn a_cancelled_task_is_told_and_its_token_ends(gateway: &Gateway) {
    let world = gateway.world().await;
    let task = gateway.seed_task(world.g1, json!({"issue_id": world.i1})).await;
    let claimed = world.a.claim_one(world.r1).await;
    world.a.start(task).await;
    let agent = gateway.bearer(claimed["auth_token"].as_str().unwrap());
    agent.get("/api/me").await.expect(200);
    let mut watcher = world.b.watch().await;
    let path = format!("/api/issues/{}/tasks/{task}/cancel", world.i1);
    check_members(&world.a.post(path, ()).await.expect(200), &json!({"status": "cancelled"}));
    assert_eq!(world.a.status_of(task).await, "cancelled");
    let [_, cancelled] = expect(&mut watcher, ["agent:status", "task:cancelled"]).await;
    assert_eq!(cancelled, task_event(task, world.g1, Some(world.i1), "cancelled"));
    agent.get("/api/me").await.refused(401, "invalid token");
}

/// Daemon item 172.
#[apply(on_both)]
async fn the_end_of_a_chats_turn_is_told_with_the_answer(gateway: &Gateway) {
    let world = gateway.world().await;
    let chat = gateway.seed_chat(world.g1, json!({})).await;
    let mut watcher = world.a.watch().await;
    for output in ["Hi", ""] {
        let task = running(gateway, &world, json!({"chat_session_id": chat})).await;
        world.a.complete(task, json!({"output": output})).await;
        let done = watcher.wait_for("chat:done").await;
        check_members(&done, &json!({"chat_session_id": chat, "task_id": task}));
        assert_eq!(done.get("content"), (!output.is_empty()).then_some(&json!("Hi")), "{done}");
        assert_eq!(done["message_id"].is_string(), !output.is_empty(), "{done}");
        let completed = watcher.wait_for("task:completed").await;
        let expected = json!({"chat_session_id": chat});
        assert_eq!(completed, over(task_event(task, world.g1, None, "completed"), expected));
    }
}

/// Daemon items 176 and 178.
#[apply(on_both)]
async fn a_failure_is_told_after_what_follows_from_it(gateway: &Gateway) {
    let world = gateway.world().await;
    let task = running(gateway, &world, json!({"issue_id": world.i1})).await;
    let mut watcher = world.b.watch().await;
    let lost = json!({"error": "gone", "failure_reason": "timeout"});
    world.a.fail(task, lost.clone()).await;
    let [queued, _, failed] = expect(&mut watcher, ["task:queued", "agent:status", "task:failed"]).await;
    let child: Uuid = queued["task_id"].as_str().unwrap().parse().unwrap();
    assert_ne!(child, task);
    check_members(&failed, &task_event(task, world.g1, Some(world.i1), "failed"));
    assert_eq!(world.a.run_one(world.r1).await, child);
    watcher.wait_for("task:running").await;
    world.a.fail(child, lost).await;
    let [comment, _, _, failed] =
        expect(&mut watcher, ["comment:created", "subscriber:added", "agent:status", "task:failed"]).await;
    assert_eq!(comment["comment"]["type"], "system");
    check_members(&failed, &task_event(child, world.g1, Some(world.i1), "failed"));
}

/// Daemon item 191.
#[apply(on_both)]
async fn messages_are_told_for_issues_and_chats(gateway: &Gateway) {
    let world = gateway.world().await;
    let chat = gateway.seed_chat(world.g1, json!({})).await;
    let run = gateway.seed_autopilot_run(world.g1, "Nightly", json!({})).await;
    let silent = gateway.seed_task(world.g1, json!({"autopilot_run_id": run})).await;
    let on_issue = gateway.seed_task(world.g1, json!({"issue_id": world.i1})).await;
    let in_chat = gateway.seed_task(world.g1, json!({"chat_session_id": chat})).await;
    let mut watcher = world.a.watch().await;
    for task in [silent, on_issue, in_chat] {
        let batch = json!({"messages": [{"seq": 1, "type": "text", "content": "TOKEN=x"}, {"seq": 2}]});
        world.a.post(format!("/api/daemon/tasks/{task}/messages"), batch).await.expect(200);
    }
    for (task, issue) in [(on_issue, json!(world.i1)), (in_chat, Value::Null)] {
        let [first, second] = expect(&mut watcher, ["task:message", "task:message"]).await;
        let expected = json!({
            "task_id": task, "issue_id": issue, "seq": 1, "type": "text", "content": "[REDACTED CREDENTIAL]",
        });
        check_members(&first, &expected);
        check_members(&second, &json!({"task_id": task, "issue_id": issue, "seq": 2}));
    }
    expect_silence(&world, &mut watcher).await;
}

/// Daemon items 196 and 197.
#[apply(on_both)]
async fn orphans_are_told_one_by_one(gateway: &Gateway) {
    let world = gateway.world().await;
    let run = gateway.seed_autopilot_run(world.g1, "Nightly", json!({})).await;
    let lost = json!({"status": "running", "started_at": ahead(-9), "attempt": 2});
    gateway.change("issue", world.i1, "status", json!("in_progress")).await;
    let flown = gateway.seed_task(world.g1, over(lost.clone(), json!({"autopilot_run_id": run}))).await;
    let worked = gateway.seed_task(world.g1, over(lost, json!({"issue_id": world.i1}))).await;
    let mut watcher = world.a.watch().await;
    let path = format!("/api/daemon/runtimes/{}/recover-orphans", world.r1);
    let answer = world.a.post(path, ()).await.expect(200);
    assert_eq!(answer, json!({"orphaned": 2, "retried": 0}));
    let (mut failed, mut put_back) = (Vec::new(), Vec::new());
    while failed.len() < 2 {
        let frame = watcher.next().await;
        match frame["type"].as_str().unwrap() {
            "task:failed" => failed.push(frame["payload"].clone()),
            "issue:updated" => put_back.push(frame["payload"].clone()),
            _ => {}
        }
    }
    for (task, issue) in [(flown, None), (worked, Some(world.i1))] {
        let expected =
            over(task_event(task, world.g1, issue, "failed"), json!({"failure_reason": "runtime_recovery"}));
        assert!(failed.contains(&expected), "{failed:?}");
    }
    assert_eq!(put_back.len(), 1, "{put_back:?}");
    check_members(&put_back[0], &json!({"status_changed": true, "prev_status": "in_progress"}));
    check_members(&put_back[0]["issue"], &json!({"id": world.i1, "status": "todo"}));
}

/// Daemon item 88.
#[apply(on_both)]
async fn a_stale_runtime_is_told(gateway: &Gateway) {
    let world = gateway.world().await;
    let more = json!({"daemon_id": "silent", "last_seen_at": ahead(-200)});
    gateway.seed_runtime(world.w1, world.a.id, more).await;
    let mut watcher = world.b.watch().await;
    gateway.admin().post("/admin/sweep", ()).await.expect(200);
    assert_eq!(expect(&mut watcher, ["daemon:register"]).await, [json!({"action": "stale_sweep"})]);
    expect_silence(&world, &mut watcher).await;
}

/// The frame around a payload.
#[apply(on_both)]
async fn an_event_says_who_acted(gateway: &Gateway) {
    let world = gateway.world().await;
    let task = gateway.seed_task(world.g1, json!({"issue_id": world.i1})).await;
    let mut watcher = world.b.watch().await;
    assert_eq!(id_of(&world.a.claim_one(world.r1).await), task);
    world.a.start(task).await;
    loop {
        let frame = watcher.next().await;
        if frame["type"] == "task:running" {
            check_members(&frame, &json!({"actor_type": "system", "actor_id": ""}));
            break;
        }
    }
}
