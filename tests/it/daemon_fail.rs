//! A task broke off, and is tried again or not. Checklist 10.11, second half.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Gateway, World, ahead, check_members, id_of, over};

async fn running(gateway: &Gateway, world: &World, more: Value) -> Uuid {
    let task = gateway.seed_issue_task(world.g1, more).await;
    assert_eq!(world.a.run_one(world.r1).await, task);
    task
}

async fn comments(gateway: &Gateway, task: Uuid) -> Vec<Value> {
    const SQL: &str = "SELECT c.content, c.type, c.author_id, c.parent_id FROM comment c
        JOIN agent_task_queue t ON t.issue_id = c.issue_id
        WHERE t.id = $1 AND c.author_type = 'agent' ORDER BY c.created_at, c.id";
    gateway.rows(SQL, json!([task])).await
}

/// The tasks that try this one again.
async fn children(gateway: &Gateway, task: Uuid) -> Vec<Value> {
    const SQL: &str = "SELECT id, status, attempt, max_attempts, session_id, work_dir, force_fresh_session,
        handoff_note, initiator_user_id, priority, trigger_comment_id, trigger_summary
        FROM agent_task_queue WHERE parent_task_id = $1";
    gateway.rows(SQL, json!([task])).await
}

/// Daemon item 176.
#[apply(on_both)]
async fn a_failure_is_kept_word_for_word_and_shown_without_secrets(gateway: &Gateway) {
    let world = gateway.world().await;
    let trigger = gateway.seed_comment(world.i1, "member", world.b.id, "Please", json!({})).await;
    let more = json!({"issue_id": world.i1, "trigger_comment_id": trigger});
    let task = running(gateway, &world, more).await;
    let error = "exit status 1: password: hunter2 end";
    let body =
        json!({"error": error, "failure_reason": "agent_error.unknown", "session_id": "s", "work_dir": "/w"});
    let failed = world.a.fail(task, body).await;
    let expected = json!({
        "status": "failed", "error": error, "failure_reason": "agent_error.unknown", "work_dir": "/w",
    });
    check_members(&failed, &expected);
    assert!(failed["completed_at"].is_string(), "{failed}");
    let posted = json!({
        "content": "exit status 1: [REDACTED CREDENTIAL] end", "type": "system", "author_id": world.g1,
        "parent_id": trigger,
    });
    assert_eq!(comments(gateway, task).await, [posted]);
    assert_eq!(children(gateway, task).await, [] as [Value; 0]);
    // No words, no comment.
    let task = running(gateway, &world, json!({})).await;
    world.a.fail(task, json!({"failure_reason": "made up"})).await;
    assert_eq!(comments(gateway, task).await, [] as [Value; 0]);
}

/// Daemon item 177: every rule of the classification, in its order.
#[apply(on_both)]
async fn a_failure_without_a_reason_is_classified_by_its_text(gateway: &Gateway) {
    let world = gateway.world().await;
    let samples = [
        ("", "unknown"),
        ("   ", "unknown"),
        ("Maximum context reached", "context_overflow"),
        ("you exceeded the token limit", "context_overflow"),
        ("prompt is too long (429)", "context_overflow"),
        ("missing api_key (401)", "missing_config"),
        ("No provider configured", "missing_config"),
        ("HTTP 403 Forbidden", "provider_auth_or_access"),
        ("please login again", "provider_auth_or_access"),
        ("402 payment required", "provider_quota_limit"),
        ("You\u{2019}ve hit your limit", "provider_quota_limit"),
        ("You've hit your limit", "provider_quota_limit"),
        ("API Error: 429 too many", "provider_capacity_or_rate_limit"),
        ("Overloaded", "provider_capacity_or_rate_limit"),
        ("upstream said 503", "provider_server_error"),
        ("Bad Gateway", "provider_server_error"),
        ("took 1500ms", "unknown"),
        ("code 5000", "unknown"),
        ("dial tcp: timeout", "provider_network"),
        ("unknown model x", "model_not_found_or_unavailable"),
        ("the model was not found", "model_not_found_or_unavailable"),
        ("returned empty output", "empty_or_unparseable_output"),
        ("timed out after 30m", "agent_timeout"),
        ("executable not found: claude", "runtime_missing_executable"),
        ("requires a newer version", "runtime_version_unsupported"),
        ("exit status 2", "process_failure"),
        ("Panic in main", "process_failure"),
        ("something else", "unknown"),
    ];
    for (error, reason) in samples {
        let task = gateway.seed_issue_task(world.g1, json!({})).await;
        world.a.claim_one(world.r1).await;
        let failed = world.a.fail(task, json!({"error": error, "failure_reason": ""})).await;
        assert_eq!(failed["failure_reason"], format!("agent_error.{reason}"), "{error}");
    }
}

/// Daemon item 178.
#[apply(on_both)]
async fn a_failure_of_the_surroundings_is_tried_again_once(gateway: &Gateway) {
    let world = gateway.world().await;
    let more = json!({
        "priority": 3, "handoff_note": "Mind the gap", "initiator_user_id": world.b.id,
        "trigger_summary": "Please",
    });
    let task = running(gateway, &world, more).await;
    let lost = json!({"error": "gone", "failure_reason": "timeout", "session_id": "s", "work_dir": "/w"});
    world.a.fail(task, lost.clone()).await;
    assert_eq!(comments(gateway, task).await, [] as [Value; 0]);
    let child = children(gateway, task).await;
    let expected = json!({
        "id": child[0]["id"], "status": "queued", "attempt": 2, "max_attempts": 2, "session_id": "s",
        "work_dir": "/w", "force_fresh_session": false, "handoff_note": "Mind the gap",
        "initiator_user_id": world.b.id, "priority": 3, "trigger_comment_id": null, "trigger_summary": "Please",
    });
    assert_eq!(child, [expected]);
    let claimed = world.a.claim_one(world.r1).await;
    let expected = json!({
        "id": child[0]["id"], "attempt": 2, "parent_task_id": task, "prior_session_id": "s",
        "prior_work_dir": "/w",
    });
    check_members(&claimed, &expected);
    let child = id_of(&claimed);
    world.a.start(child).await;
    world.a.fail(child, lost).await;
    assert_eq!(children(gateway, child).await, [] as [Value; 0]);
    check_members(&comments(gateway, task).await[0], &json!({"content": "gone", "type": "system"}));
    assert_eq!(world.a.claim(world.r1).await, None);
    gateway.assert_settled().await;
}

/// Daemon item 178: all reasons, and the pair that already waits for a run.
#[apply(on_both)]
async fn only_some_reasons_are_tried_again(gateway: &Gateway) {
    let world = gateway.world().await;
    let retried = async |reason: &str, more: Value| {
        let task = running(gateway, &world, more).await;
        world.a.fail(task, json!({"error": "no", "failure_reason": reason})).await;
        let children = children(gateway, task).await;
        gateway.execute("DELETE FROM agent_task_queue", Value::Null).await;
        !children.is_empty()
    };
    for reason in ["runtime_offline", "runtime_recovery", "timeout", "codex_semantic_inactivity"] {
        assert!(retried(reason, json!({})).await, "{reason}");
        assert!(!retried(reason, json!({"attempt": 2})).await, "{reason}");
    }
    assert!(retried("timeout", json!({"attempt": 2, "max_attempts": 3})).await);
    for reason in ["agent_error.unknown", "iteration_limit", "queued_expired", "idle_watchdog", "Timeout"] {
        assert!(!retried(reason, json!({})).await, "{reason}");
    }
    let task = running(gateway, &world, json!({"issue_id": world.i1})).await;
    let waits = gateway.seed_task(world.g1, json!({"issue_id": world.i1})).await;
    world.a.fail(task, json!({"error": "no", "failure_reason": "timeout"})).await;
    assert_eq!(children(gateway, task).await, [] as [Value; 0]);
    // So people read why, and what waited is delivered.
    check_members(&comments(gateway, task).await[0], &json!({"content": "no"}));
    assert_eq!(id_of(&world.a.claim_one(world.r1).await), waits);
}

/// Daemon item 179.
#[apply(on_both)]
async fn autopilot_runs_and_quick_creation_are_not_tried_again(gateway: &Gateway) {
    let world = gateway.world().await;
    let run = gateway.seed_autopilot_run(world.g1, "Nightly", json!({})).await;
    gateway.seed_task(world.g1, json!({"autopilot_run_id": run})).await;
    gateway.seed_quick_create(world.g1, "Make it so", json!({})).await;
    for _ in 0..2 {
        let task = world.a.run_one(world.r1).await;
        world.a.fail(task, json!({"error": "no", "failure_reason": "timeout"})).await;
        assert_eq!(children(gateway, task).await, [] as [Value; 0]);
    }
    gateway.assert_settled().await;
}

/// Daemon item 180.
#[apply(on_both)]
async fn a_session_that_hung_is_not_resumed_by_its_retry(gateway: &Gateway) {
    let world = gateway.world().await;
    let done = json!({
        "issue_id": world.i1, "status": "completed", "completed_at": ahead(-60), "session_id": "older",
        "work_dir": "/older",
    });
    gateway.seed_task(world.g1, done).await;
    let task = running(gateway, &world, json!({"issue_id": world.i1})).await;
    let hung = json!({
        "error": "no", "failure_reason": "codex_semantic_inactivity", "session_id": "s", "work_dir": "/w",
    });
    world.a.fail(task, hung).await;
    let child = world.a.claim_one(world.r1).await;
    let expected = json!({
        "parent_task_id": task, "prior_session_id": null, "prior_work_dir": null, "work_dir": null,
    });
    check_members(&child, &expected);
}

/// Daemon item 181.
#[apply(on_both)]
async fn only_what_is_in_flight_fails(gateway: &Gateway) {
    let world = gateway.world().await;
    let blocked = json!({"error": "no", "failure_reason": "agent_blocked"});
    let dispatched = gateway.seed_issue_task(world.g1, json!({})).await;
    world.a.claim_one(world.r1).await;
    let waiting = gateway.seed_issue_task(world.g1, json!({})).await;
    world.a.claim_one(world.r1).await;
    world.a.post(format!("/api/daemon/tasks/{waiting}/wait-local-directory"), ()).await.expect(200);
    for task in [dispatched, waiting] {
        check_members(&world.a.fail(task, blocked.clone()).await, &json!({"status": "failed"}));
    }
    let done = running(gateway, &world, json!({})).await;
    world.a.complete(done, json!({})).await;
    let queued = gateway.seed_issue_task(world.g1, json!({})).await;
    for (task, status) in [(queued, "queued"), (done, "completed")] {
        let answer = world.a.fail(task, blocked.clone()).await;
        check_members(&answer, &json!({"status": status, "failure_reason": null}));
        assert_eq!(answer["error"], Value::Null);
    }
    // Failing twice is failing once.
    let again = world.a.fail(dispatched, json!({"error": "other", "failure_reason": "timeout"})).await;
    check_members(&again, &json!({"status": "failed", "error": "no", "failure_reason": "agent_blocked"}));
    assert_eq!(comments(gateway, dispatched).await.len(), 1);
}

/// Daemon item 182.
#[apply(on_both)]
async fn a_chat_does_not_resume_where_it_cannot_go_on(gateway: &Gateway) {
    let world = gateway.world().await;
    let chat = gateway.seed_chat(world.g1, json!({"session_id": "old", "runtime_id": world.r1})).await;
    let pointer = async |reason: &str| {
        let task = gateway.seed_task(world.g1, json!({"chat_session_id": chat})).await;
        world.a.run_one(world.r1).await;
        let body = json!({"error": "TOKEN=x", "failure_reason": reason, "session_id": reason});
        world.a.fail(task, body).await;
        const MESSAGE: &str = "SELECT content, failure_reason FROM chat_message WHERE task_id = $1";
        let message = gateway.row(MESSAGE, json!([task])).await;
        assert_eq!(message, json!({"content": "[REDACTED CREDENTIAL]", "failure_reason": reason}));
        gateway.value("SELECT session_id FROM chat_session", Value::Null).await
    };
    for unsafe_to_resume in ["iteration_limit", "agent_fallback_message", "api_invalid_request"] {
        assert_eq!(pointer(unsafe_to_resume).await, "old");
    }
    assert_eq!(pointer("agent_error.unknown").await, "agent_error.unknown");
}

/// A chat is tried again too, and says nothing of the first attempt.
#[apply(on_both)]
async fn a_chat_is_tried_again_without_a_word(gateway: &Gateway) {
    let world = gateway.world().await;
    let chat = gateway.seed_chat(world.g1, json!({})).await;
    let more = over(json!({"chat_session_id": chat}), json!({"initiator_user_id": world.b.id}));
    let task = gateway.seed_task(world.g1, more).await;
    world.a.run_one(world.r1).await;
    world.a.fail(task, json!({"error": "no", "failure_reason": "timeout"})).await;
    assert_eq!(gateway.value("SELECT count(*) FROM chat_message", Value::Null).await, 0);
    let child = world.a.claim_one(world.r1).await;
    let expected = json!({"parent_task_id": task, "chat_session_id": chat, "initiator_id": world.b.id});
    check_members(&child, &expected);
}

/// What a failure says is cleaned of what no database takes.
#[apply(on_both)]
async fn an_error_that_no_database_takes_is_cleaned(gateway: &Gateway) {
    let world = gateway.world().await;
    let task = running(gateway, &world, json!({})).await;
    let body = "{\"error\":\"a\\u0000b\\udfff\",\"failure_reason\":\"x\\u0000y\"}";
    let failed = world.a.post(format!("/api/daemon/tasks/{task}/fail"), body).await.expect(200);
    check_members(&failed, &json!({"error": "ab\u{fffd}", "failure_reason": "xy"}));
}
