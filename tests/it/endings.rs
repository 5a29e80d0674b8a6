//! A run begins and comes to its end: what is stored, what is said on the issue or in the
//! chat, and what watchers are told; a second end changes nothing.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Gateway, World, ahead, check_members, check_values};

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

async fn running(gateway: &Gateway, world: &World, more: Value) -> Uuid {
    let task = gateway.seed_issue_task(world.g1, more).await;
    assert_eq!(world.a.run_one(world.r1).await, task);
    task
}

/// What agents said on an issue, oldest first.
async fn said(gateway: &Gateway, issue: Uuid) -> Vec<Value> {
    const SQL: &str = "SELECT content, type, author_id, parent_id, source_task_id FROM comment
        WHERE issue_id = $1 AND author_type = 'agent' ORDER BY created_at, id";
    gateway.rows(SQL, json!([issue])).await
}

async fn tokens(gateway: &Gateway, task: Uuid) -> Value {
    gateway.value("SELECT count(*) FROM task_token WHERE task_id = $1", json!([task])).await
}

/// Domain items 59 and 60.
#[apply(on_both)]
async fn a_start_ends_the_preparation(gateway: &Gateway) {
    const ROW: &str =
        "SELECT status, wait_reason, prepare_lease_expires_at FROM agent_task_queue WHERE id = $1";
    let world = gateway.world().await;
    let mut watcher = world.a.watch().await;
    for waits in [false, true] {
        let task = gateway.seed_issue_task(world.g1, json!({})).await;
        world.a.claim_one(world.r1).await;
        if waits {
            let path = format!("/api/daemon/tasks/{task}/wait-local-directory");
            world.a.post(path, json!({"reason": "busy"})).await.expect(200);
            let told = watcher.wait_for("task:waiting_local_directory").await;
            assert_eq!(told["status"], "waiting_local_directory");
        }
        watcher.heard().await;
        world.a.start(task).await;
        let events = watcher.heard().await;
        assert_eq!(kinds(&events), ["task:running"]);
        check_values(&events[0]["payload"], &json!({"task_id": task, "status": "running"}));
        let expected = json!({"status": "running", "wait_reason": null, "prepare_lease_expires_at": null});
        assert_eq!(gateway.row(ROW, json!([task])).await, expected);
    }
}

/// Domain items 65 and 66.
#[apply(on_both)]
async fn a_completion_has_its_effects_once(gateway: &Gateway) {
    const ROW: &str =
        "SELECT status, result, runtime_mcp_overlay, runtime_connected_apps, prepare_lease_expires_at
        FROM agent_task_queue WHERE id = $1";
    let world = gateway.world().await;
    let overlay = json!({
        "issue_id": world.i1, "runtime_mcp_overlay": {"mcpServers": {}}, "runtime_connected_apps": [{"x": 1}],
    });
    let task = running(gateway, &world, overlay).await;
    assert_eq!(tokens(gateway, task).await, 1);
    let mut watcher = world.a.watch().await;
    let body = json!({"output": "Fixed.", "pr_url": "http://pr"});
    world.a.complete(task, body.clone()).await;
    let result = json!({"output": "Fixed.", "pr_url": "http://pr", "session_id": "", "work_dir": ""});
    let expected = json!({
        "status": "completed", "result": result, "runtime_mcp_overlay": null, "runtime_connected_apps": null,
        "prepare_lease_expires_at": null,
    });
    assert_eq!(gateway.row(ROW, json!([task])).await, expected);
    assert_eq!(tokens(gateway, task).await, 0);
    let events = watcher.heard().await;
    let expected = ["comment:created", "subscriber:added", "agent:status", "task:completed"];
    assert_eq!(kinds(&events), expected);
    check_values(&events[3]["payload"], &json!({"task_id": task, "status": "completed"}));
    let again = world.a.complete(task, body).await;
    assert_eq!(again["status"], "completed");
    assert_eq!(watcher.heard().await, Vec::<Value>::new());
    assert_eq!(said(gateway, world.i1).await.len(), 1);
}

/// Domain items 67, 68 and 69: the first end stands, and nobody hears of the second.
#[apply(on_both)]
async fn the_first_end_stands(gateway: &Gateway) {
    let world = gateway.world().await;
    let more = json!({"issue_id": world.i1});
    let complete =
        |task: Uuid| world.a.post(format!("/api/daemon/tasks/{task}/complete"), json!({"output": "Late."}));
    let fail = |task: Uuid| world.a.post(format!("/api/daemon/tasks/{task}/fail"), json!({"error": "late"}));
    let cancel = |task: Uuid| world.a.post(format!("/api/tasks/{task}/cancel"), ());
    let cancelled = running(gateway, &world, more.clone()).await;
    cancel(cancelled).await.expect(200);
    let completed = running(gateway, &world, more.clone()).await;
    world.a.complete(completed, json!({})).await;
    let failed = running(gateway, &world, more).await;
    world.a.fail(failed, json!({"failure_reason": "agent_blocked"})).await;
    let rows = async || {
        let sql = "SELECT * FROM agent_task_queue ORDER BY id";
        (gateway.rows(sql, Value::Null).await, said(gateway, world.i1).await)
    };
    let before = rows().await;
    let mut watcher = world.a.watch().await;
    for (task, status) in [(cancelled, "cancelled"), (completed, "completed"), (failed, "failed")] {
        for late in [complete(task).await, fail(task).await, cancel(task).await] {
            assert_eq!(late.expect(200)["status"], status);
        }
    }
    assert_eq!(watcher.heard().await, Vec::<Value>::new());
    assert_eq!(rows().await, before);
}

/// Domain items 71, 78 and 80: what a silent agent printed is its comment, without secrets,
/// and nobody is started by it.
#[apply(on_both)]
async fn a_silent_agents_output_is_its_word(gateway: &Gateway) {
    let world = gateway.world().await;
    let other = gateway.seed_agent(world.r1, "Other", json!({})).await;
    let trigger = gateway.seed_comment(world.i1, "member", world.b.id, "Please", json!({})).await;
    let task = running(gateway, &world, json!({"issue_id": world.i1, "trigger_comment_id": trigger})).await;
    world.a.complete(task, json!({"output": "All good\\nSee PR"})).await;
    let expected = json!({
        "content": "All good\nSee PR", "type": "comment", "author_id": world.g1, "parent_id": trigger,
        "source_task_id": task,
    });
    assert_eq!(said(gateway, world.i1).await, [expected]);

    let issue = gateway.seed_issue(world.w1, "Another", json!({})).await;
    let task = running(gateway, &world, json!({"issue_id": issue})).await;
    let secret = format!("ghp_{}", "aB3".repeat(12));
    let output = format!("[@Other](mention://agent/{other}) use {secret} now");
    world.a.complete(task, json!({"output": output})).await;
    let shown = format!("[@Other](mention://agent/{other}) use [REDACTED GITHUB TOKEN] now");
    check_values(&said(gateway, issue).await[0], &json!({"content": shown, "parent_id": null}));
    let started = "SELECT count(*) FROM agent_task_queue WHERE agent_id = $1";
    assert_eq!(gateway.value(started, json!([other])).await, 0);
}

/// Domain items 72, 73, 74 and 75.
#[apply(on_both)]
async fn only_who_said_nothing_is_quoted(gateway: &Gateway) {
    let world = gateway.world().await;
    // Said before the start, it does not count; said after it, it does.
    for (age, quoted) in [(-60, true), (1, false)] {
        let issue = gateway.seed_issue(world.w1, "Another", json!({})).await;
        let task = running(gateway, &world, json!({"issue_id": issue})).await;
        let at = json!({"created_at": ahead(age)});
        gateway.seed_comment(issue, "agent", world.g1, "On it", at).await;
        world.a.complete(task, json!({"output": "Fixed."})).await;
        assert_eq!(said(gateway, issue).await.len(), if quoted { 2 } else { 1 }, "{age}");
    }
    let trigger = gateway.seed_comment(world.i1, "member", world.b.id, "Please", json!({})).await;
    let asked = json!({"issue_id": world.i1, "trigger_comment_id": trigger});
    for nod in ["Done.", "完成。", " DONE! "] {
        let task = running(gateway, &world, asked.clone()).await;
        world.a.complete(task, json!({"output": nod})).await;
        assert_eq!(said(gateway, world.i1).await, Vec::<Value>::new(), "{nod}");
    }
    let task = running(gateway, &world, json!({"issue_id": world.i1})).await;
    world.a.complete(task, json!({"output": "Done."})).await;
    assert_eq!(said(gateway, world.i1).await[0]["content"], "Done.");
}

/// Domain items 76 and 77: silence is chosen for one task.
#[apply(on_both)]
async fn a_leaders_silence_is_for_its_own_task(gateway: &Gateway) {
    let world = gateway.world().await;
    let squad = gateway.seed_squad(world.w1, "Core", world.g1, json!({})).await;
    let leads = json!({"issue_id": world.i1, "is_leader_task": true, "squad_id": squad});
    let turn = async |silent: bool| {
        let task = gateway.seed_task(world.g1, leads.clone()).await;
        let claimed = world.a.claim_one(world.r1).await;
        world.a.start(task).await;
        if silent {
            let leader = gateway.bearer(claimed["auth_token"].as_str().unwrap());
            let path = format!("/api/issues/{}/squad-evaluated", world.i1);
            leader.post(path, json!({"outcome": "no_action"})).await.expect(201);
        }
        world.a.complete(task, json!({"output": "Looked around."})).await;
        said(gateway, world.i1).await.len()
    };
    assert_eq!(turn(true).await, 0);
    assert_eq!(turn(false).await, 1);
}

/// Domain item 79.
#[apply(on_both)]
async fn a_word_at_the_end_opens_its_thread_again(gateway: &Gateway) {
    let world = gateway.world().await;
    let resolved = json!({
        "resolved_at": ahead(-5), "resolved_by_type": "member", "resolved_by_id": world.b.id,
    });
    let root = gateway.seed_comment(world.i1, "member", world.b.id, "Please", resolved).await;
    let reply = gateway.seed_comment(world.i1, "member", world.b.id, "Now", json!({"parent_id": root})).await;
    let task = running(gateway, &world, json!({"issue_id": world.i1, "trigger_comment_id": reply})).await;
    let mut watcher = world.a.watch().await;
    world.a.complete(task, json!({"output": "Fixed."})).await;
    let events = watcher.heard().await;
    assert!(kinds(&events).contains(&"comment:unresolved"), "{events:?}");
    let open = "SELECT resolved_at, resolved_by_type, resolved_by_id FROM comment WHERE id = $1";
    let expected = json!({"resolved_at": null, "resolved_by_type": null, "resolved_by_id": null});
    assert_eq!(gateway.row(open, json!([root])).await, expected);
}

/// Domain items 81, 82 and 83.
#[apply(on_both)]
async fn a_chats_turn_ends_with_a_reply_and_a_place(gateway: &Gateway) {
    const CHAT: &str = "SELECT session_id, work_dir, runtime_id, unread_since FROM chat_session";
    const MESSAGES: &str = "SELECT content, elapsed_ms FROM chat_message ORDER BY created_at, id";
    let world = gateway.world().await;
    let chat = gateway.seed_chat(world.g1, json!({})).await;
    let mut watcher = world.a.watch().await;
    let turn = async |body: Value| {
        let task = gateway.seed_task(world.g1, json!({"chat_session_id": chat})).await;
        world.a.run_one(world.r1).await;
        world.a.complete(task, body).await;
        task
    };
    let task = turn(json!({"output": "Hi\\tthere", "session_id": "s1", "work_dir": "/w1"})).await;
    let done = watcher.wait_for("chat:done").await;
    check_members(&done, &json!({"chat_session_id": chat, "task_id": task, "content": "Hi\tthere"}));
    assert!(done["message_id"].is_string(), "{done}");
    let first = gateway.row(CHAT, Value::Null).await;
    check_members(&first, &json!({"session_id": "s1", "work_dir": "/w1", "runtime_id": world.r1}));
    assert!(first["unread_since"].is_string(), "{first}");

    // Without a session it points where it did, and it is as long unread as it was.
    turn(json!({"output": "Again", "session_id": ""})).await;
    watcher.wait_for("chat:done").await;
    assert_eq!(gateway.row(CHAT, Value::Null).await, first);
    let task = turn(json!({"output": ""})).await;
    let done = watcher.wait_for("chat:done").await;
    assert_eq!(done, json!({"chat_session_id": chat, "task_id": task}));
    let messages = gateway.rows(MESSAGES, Value::Null).await;
    assert_eq!(
        messages.iter().map(|said| said["content"].as_str().unwrap()).collect::<Vec<_>>(),
        ["Hi\tthere", "Again"]
    );
    assert!(messages.iter().all(|said| said["elapsed_ms"].as_i64().unwrap() >= 0), "{messages:?}");
}

/// Domain items 84 and 89.
#[apply(on_both)]
async fn a_chats_failure_is_its_reply_and_no_place_to_go_on(gateway: &Gateway) {
    let world = gateway.world().await;
    let chat = gateway.seed_chat(world.g1, json!({"session_id": "old", "runtime_id": world.r1})).await;
    let task = gateway.seed_task(world.g1, json!({"chat_session_id": chat})).await;
    world.a.run_one(world.r1).await;
    let broken = json!({"error": "too long", "failure_reason": "iteration_limit", "session_id": "bad"});
    world.a.fail(task, broken).await;
    let on_task = "SELECT session_id FROM agent_task_queue WHERE id = $1";
    assert_eq!(gateway.value(on_task, json!([task])).await, "bad");
    assert_eq!(gateway.value("SELECT session_id FROM chat_session", Value::Null).await, "old");
    const MESSAGE: &str = "SELECT role, content, failure_reason, task_id FROM chat_message";
    let expected = json!({
        "role": "assistant", "content": "too long", "failure_reason": "iteration_limit", "task_id": task,
    });
    assert_eq!(gateway.row(MESSAGE, Value::Null).await, expected);
    // What is tried again says nothing yet.
    let task = gateway.seed_task(world.g1, json!({"chat_session_id": chat})).await;
    world.a.run_one(world.r1).await;
    world.a.fail(task, json!({"error": "gone", "failure_reason": "timeout"})).await;
    assert_eq!(gateway.value("SELECT count(*) FROM chat_message", Value::Null).await, 1);
}

/// Domain items 85, 86 and 87.
#[apply(on_both)]
async fn a_reason_is_kept_or_read_from_the_text(gateway: &Gateway) {
    let world = gateway.world().await;
    for (sent, reason) in [
        (json!({"error": "HTTP 429 rate limit"}), "agent_error.provider_capacity_or_rate_limit"),
        (json!({"error": "HTTP 429 rate limit", "failure_reason": "solar_flare"}), "solar_flare"),
        (json!({"error": "token limit exceeded 401"}), "agent_error.context_overflow"),
        (json!({"error": "error 5031"}), "agent_error.unknown"),
        (json!({"error": "status 503"}), "agent_error.provider_server_error"),
        (json!({"error": "   "}), "agent_error.unknown"),
    ] {
        let task = running(gateway, &world, json!({})).await;
        assert_eq!(world.a.fail(task, sent.clone()).await["failure_reason"], reason, "{sent}");
        let stored = "SELECT failure_reason FROM agent_task_queue WHERE id = $1";
        assert_eq!(gateway.value(stored, json!([task])).await, reason);
    }
}

/// Domain item 88.
#[apply(on_both)]
async fn a_failure_is_a_word_on_the_issue_when_it_is_final(gateway: &Gateway) {
    let world = gateway.world().await;
    let task = running(gateway, &world, json!({"issue_id": world.i1})).await;
    let lost = json!({"error": "gone", "failure_reason": "timeout"});
    world.a.fail(task, lost.clone()).await;
    assert_eq!(said(gateway, world.i1).await, Vec::<Value>::new());
    let again = world.a.run_one(world.r1).await;
    world.a.fail(again, lost).await;
    let expected = json!({
        "content": "gone", "type": "system", "author_id": world.g1, "parent_id": null, "source_task_id": again,
    });
    assert_eq!(said(gateway, world.i1).await, [expected]);
}

/// Domain items 96 and 97.
#[apply(on_both)]
async fn a_completion_takes_nothing_from_a_run(gateway: &Gateway) {
    const POINTER: &str = "SELECT session_id, work_dir FROM agent_task_queue WHERE id = $1";
    let world = gateway.world().await;
    let task = gateway.seed_issue_task(world.g1, json!({})).await;
    let claimed = world.a.claim_one(world.r1).await;
    // Too early: nothing ends, and the run keeps its token.
    let early = world.a.complete(task, json!({"output": "Done"})).await;
    assert_eq!(early["status"], "dispatched");
    let agent = gateway.bearer(claimed["auth_token"].as_str().unwrap());
    agent.get("/api/me").await.expect(200);
    world.a.start(task).await;
    let pin = json!({"session_id": "pinned", "work_dir": "/pinned"});
    world.a.post(format!("/api/daemon/tasks/{task}/session"), pin.clone()).await.expect(204);
    world.a.complete(task, json!({"output": "Done", "session_id": "", "work_dir": ""})).await;
    assert_eq!(gateway.row(POINTER, json!([task])).await, pin);
}
