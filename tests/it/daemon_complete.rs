//! A task is done. Checklist 10.11, first half.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Gateway, World, ahead, check_members, id_of};

/// A task on the issue that runs.
async fn running(gateway: &Gateway, world: &World, more: Value) -> Uuid {
    let task = gateway.seed_issue_task(world.g1, more).await;
    assert_eq!(world.a.run_one(world.r1).await, task);
    task
}

/// The comments on the task's issue, but for those that were there before.
async fn comments(gateway: &Gateway, task: Uuid) -> Vec<Value> {
    const SQL: &str = "SELECT c.content, c.type, c.author_type, c.author_id, c.parent_id FROM comment c
        JOIN agent_task_queue t ON t.issue_id = c.issue_id
        WHERE t.id = $1 AND c.author_type = 'agent' ORDER BY c.created_at, c.id";
    gateway.rows(SQL, json!([task])).await
}

/// Daemon item 165.
#[apply(on_both)]
async fn a_completed_task_keeps_its_result(gateway: &Gateway) {
    let world = gateway.world().await;
    let task = running(gateway, &world, json!({})).await;
    let body = json!({
        "output": "All green", "pr_url": "https://github.com/acme/a/pull/1", "session_id": "s1",
        "work_dir": "/home/ada/work/x", "branch_name": "fix",
    });
    let done = world.a.complete(task, body).await;
    let expected = json!({
        "id": task, "status": "completed", "work_dir": "/home/ada/work/x", "relative_work_dir": "work/x",
        "result": {
            "output": "All green", "pr_url": "https://github.com/acme/a/pull/1", "session_id": "s1",
            "work_dir": "/home/ada/work/x",
        },
        "error": null, "agent": null, "auth_token": null,
    });
    let error = done["error"].clone();
    assert_eq!(error, Value::Null);
    check_members(&done, &{
        let mut expected = expected;
        expected.as_object_mut().unwrap().remove("error");
        expected
    });
    assert!(done["completed_at"].is_string(), "{done}");
    let empty = running(gateway, &world, json!({})).await;
    let done = world.a.complete(empty, json!(null)).await;
    let nothing = json!({"output": "", "pr_url": "", "session_id": "", "work_dir": ""});
    assert_eq!(done["result"], nothing);
}

/// Daemon item 166.
#[apply(on_both)]
async fn completing_twice_changes_nothing(gateway: &Gateway) {
    let world = gateway.world().await;
    let task = running(gateway, &world, json!({})).await;
    let first = world.a.complete(task, json!({"output": "All green"})).await;
    gateway
        .execute("UPDATE agent_task_queue SET completed_at = $2 WHERE id = $1", json!([task, ahead(-60)]))
        .await;
    let stamp = "SELECT completed_at FROM agent_task_queue WHERE id = $1";
    let before = gateway.value(stamp, json!([task])).await;
    let again = world.a.complete(task, json!({"output": "Something else"})).await;
    assert_eq!(again["result"], first["result"]);
    assert_eq!(gateway.value(stamp, json!([task])).await, before);
    assert_eq!(comments(gateway, task).await.len(), 1);
    // Nor does a failure that comes too late.
    let late = world.a.fail(task, json!({"error": "no"})).await;
    check_members(&late, &json!({"status": "completed", "failure_reason": null}));
}

/// Many daemons' retries at once have one effect.
#[apply(on_both)]
async fn completions_that_race_are_one(gateway: &Gateway) {
    let world = gateway.world().await;
    let task = running(gateway, &world, json!({})).await;
    let calls = (0..10).map(|_| world.a.complete(task, json!({"output": "All green"})));
    let replies = futures_util::future::join_all(calls).await;
    assert!(replies.iter().all(|reply| reply == &replies[0]), "{replies:?}");
    assert_eq!(comments(gateway, task).await.len(), 1);
}

/// Daemon items 167 and 168.
#[apply(on_both)]
async fn what_does_not_run_is_answered_as_it_is(gateway: &Gateway) {
    let world = gateway.world().await;
    for status in ["cancelled", "failed"] {
        let more = json!({"status": status, "completed_at": ahead(-5)});
        let task = gateway.seed_issue_task(world.g1, more).await;
        let answer = world.a.complete(task, json!({"output": "All green"})).await;
        check_members(&answer, &json!({"status": status}));
        assert_eq!(answer["result"], Value::Null);
        assert_eq!(comments(gateway, task).await, [] as [Value; 0]);
    }
    let queued = gateway.seed_issue_task(world.g1, json!({})).await;
    check_members(&world.a.complete(queued, json!({})).await, &json!({"status": "queued"}));
    let claimed = world.a.claim_one(world.r1).await;
    check_members(&world.a.complete(queued, json!({})).await, &json!({"status": "dispatched"}));
    // It keeps its token, and may still run and be completed.
    assert_eq!(gateway.value("SELECT count(*) FROM task_token", Value::Null).await, 1);
    assert_eq!(id_of(&claimed), queued);
    world.a.start(queued).await;
    check_members(&world.a.complete(queued, json!({})).await, &json!({"status": "completed"}));
}

/// Daemon item 169.
#[apply(on_both)]
async fn a_silent_agents_output_becomes_its_comment(gateway: &Gateway) {
    let world = gateway.world().await;
    let task = running(gateway, &world, json!({})).await;
    world.a.complete(task, json!({"output": "a\\nb\\tc \\\\n \\x"})).await;
    let posted = json!({
        "content": "a\nb\tc \\n \\x", "type": "comment", "author_type": "agent", "author_id": world.g1,
        "parent_id": null,
    });
    assert_eq!(comments(gateway, task).await, [posted]);
    let trigger = gateway.seed_comment(world.i1, "member", world.b.id, "Please", json!({})).await;
    let more = json!({"issue_id": world.i1, "trigger_comment_id": trigger});
    let task = running(gateway, &world, more).await;
    world.a.complete(task, json!({"output": "Here"})).await;
    check_members(&comments(gateway, task).await[0], &json!({"content": "Here", "parent_id": trigger}));
    let task = running(gateway, &world, json!({})).await;
    world.a.complete(task, json!({"output": ""})).await;
    assert_eq!(comments(gateway, task).await, [] as [Value; 0]);
}

/// Daemon item 170.
#[apply(on_both)]
async fn an_agent_that_spoke_or_only_nods_is_not_quoted(gateway: &Gateway) {
    let world = gateway.world().await;
    let task = running(gateway, &world, json!({"issue_id": world.i1})).await;
    gateway.seed_comment(world.i1, "agent", world.g1, "I am on it", json!({"created_at": ahead(1)})).await;
    world.a.complete(task, json!({"output": "All green"})).await;
    assert_eq!(comments(gateway, task).await.len(), 1);
    let issue = gateway.seed_issue(world.w1, "Another", json!({})).await;
    let trigger = gateway.seed_comment(issue, "member", world.b.id, "Please", json!({})).await;
    let on_comment = json!({"issue_id": issue, "trigger_comment_id": trigger});
    for nod in ["Done.", " done!! ", "DONE…", "完成。", "Готово！"] {
        let task = running(gateway, &world, on_comment.clone()).await;
        world.a.complete(task, json!({"output": nod})).await;
        assert_eq!(comments(gateway, task).await, [] as [Value; 0], "{nod}");
    }
    let task = running(gateway, &world, json!({"issue_id": issue})).await;
    world.a.complete(task, json!({"output": "Done."})).await;
    check_members(&comments(gateway, task).await[0], &json!({"content": "Done."}));
}

/// Daemon item 170: a leader who decided that nothing needs to be said.
#[apply(on_both)]
async fn a_leader_who_chose_silence_is_not_quoted(gateway: &Gateway) {
    let world = gateway.world().await;
    let squad = gateway.seed_squad(world.w1, "Core", world.g1, json!({})).await;
    let more = json!({"issue_id": world.i1, "is_leader_task": true, "squad_id": squad});
    let task = running(gateway, &world, more).await;
    let evaluation = json!({
        "id": Uuid::new_v4(), "workspace_id": world.w1, "issue_id": world.i1, "actor_type": "agent",
        "actor_id": world.g1, "action": "squad_leader_evaluated",
        "details": {"task_id": task, "squad_id": squad, "outcome": "no_action"},
    });
    gateway.insert("activity_log", evaluation).await;
    world.a.complete(task, json!({"output": "Nothing to do"})).await;
    assert_eq!(comments(gateway, task).await, [] as [Value; 0]);
}

/// Daemon item 171.
#[apply(on_both)]
async fn a_comment_hides_secrets_and_the_result_does_not(gateway: &Gateway) {
    let world = gateway.world().await;
    let task = running(gateway, &world, json!({})).await;
    let output = "export MULTICA_TOKEN=mul_x\\ncd /home/switchyard-it/x";
    let done = world.a.complete(task, json!({"output": output})).await;
    assert_eq!(done["result"]["output"], output);
    let hidden = "export MULTICA_[REDACTED CREDENTIAL]\ncd /home/****/x";
    check_members(&comments(gateway, task).await[0], &json!({"content": hidden}));
}

/// Daemon item 172: the event is in `daemon_events`.
#[apply(on_both)]
async fn a_chat_is_answered_and_points_at_where_it_goes_on(gateway: &Gateway) {
    let world = gateway.world().await;
    let chat = gateway.seed_chat(world.g1, json!({"session_id": "old", "work_dir": "/old"})).await;
    let turn = async |body: Value| {
        let task = gateway.seed_task(world.g1, json!({"chat_session_id": chat})).await;
        world.a.run_one(world.r1).await;
        world.a.complete(task, body).await;
        task
    };
    let task = turn(json!({"output": "TOKEN=x\\nHi", "session_id": "new"})).await;
    const SESSION: &str =
        "SELECT session_id, work_dir, runtime_id, unread_since IS NOT NULL AS unread FROM chat_session";
    let row = gateway.row(SESSION, Value::Null).await;
    assert_eq!(
        (&row["session_id"], &row["work_dir"], &row["runtime_id"]),
        (&json!("new"), &json!("/old"), &json!(world.r1))
    );
    assert!(row["unread"] == json!(true) || row["unread"] == json!(1), "{row}");
    const MESSAGES: &str = "SELECT role, content, task_id, failure_reason, elapsed_ms FROM chat_message";
    let mut message = gateway.row(MESSAGES, Value::Null).await;
    let elapsed = message.as_object_mut().unwrap().remove("elapsed_ms").unwrap();
    assert!(elapsed.as_i64().is_some_and(|millis| millis >= 0), "{elapsed}");
    let expected = json!({
        "role": "assistant", "content": "[REDACTED CREDENTIAL]\nHi", "task_id": task, "failure_reason": null,
    });
    assert_eq!(message, expected);
    // The next turn goes on from there.
    gateway.seed_task(world.g1, json!({"chat_session_id": chat})).await;
    let next = world.a.claim_one(world.r1).await;
    check_members(&next, &json!({"prior_session_id": "new", "prior_work_dir": "/old"}));
    world.a.fail(id_of(&next), json!({"failure_reason": "agent_blocked"})).await;
    turn(json!({"output": "", "work_dir": "/new"})).await;
    let row = gateway.row(SESSION, Value::Null).await;
    assert_eq!((&row["session_id"], &row["work_dir"]), (&json!("new"), &json!("/new")));
    const ANSWERS: &str = "SELECT count(*) FROM chat_message WHERE failure_reason IS NULL";
    assert_eq!(gateway.value(ANSWERS, Value::Null).await, 1);
}

/// Daemon item 173, the other way: what was pinned during a run survives a completion that says
/// nothing of it.
#[apply(on_both)]
async fn a_pinned_session_survives_a_completion_without_one(gateway: &Gateway) {
    let world = gateway.world().await;
    let task = running(gateway, &world, json!({"issue_id": world.i1})).await;
    let pin = json!({"session_id": "pinned", "work_dir": "/pinned"});
    world.a.post(format!("/api/daemon/tasks/{task}/session"), pin).await.expect(204);
    world.a.complete(task, json!({})).await;
    gateway.seed_task(world.g1, json!({"issue_id": world.i1})).await;
    let next = world.a.claim_one(world.r1).await;
    check_members(&next, &json!({"prior_session_id": "pinned", "prior_work_dir": "/pinned"}));
}

/// Daemon item 174: what the token opens is in `daemon_tokens`.
#[apply(on_both)]
async fn an_end_takes_the_tasks_tokens(gateway: &Gateway) {
    let world = gateway.world().await;
    let tokens = "SELECT count(*) FROM task_token WHERE task_id = $1";
    let done = running(gateway, &world, json!({})).await;
    let broken = running(gateway, &world, json!({})).await;
    for task in [done, broken] {
        assert_eq!(gateway.value(tokens, json!([task])).await, 1);
    }
    world.a.complete(done, json!({})).await;
    world.a.fail(broken, json!({"error": "no"})).await;
    for task in [done, broken] {
        assert_eq!(gateway.value(tokens, json!([task])).await, 0);
    }
}

/// Daemon item 175.
#[apply(on_both)]
async fn the_task_is_looked_for_before_the_body_is_read(gateway: &Gateway) {
    let world = gateway.world().await;
    let task = running(gateway, &world, json!({})).await;
    for verb in ["complete", "fail"] {
        let path = |task: &str| format!("/api/daemon/tasks/{task}/{verb}");
        for invalid in ["", "[]", "{\"output\":5,\"error\":5}", "{"] {
            world.a.post(path(&task.to_string()), invalid).await.refused(400, "invalid request body");
            let nowhere = path(&Uuid::new_v4().to_string());
            world.a.post(nowhere, invalid).await.refused(404, "task not found");
            world.a.post(path("xyz"), invalid).await.refused(400, "invalid task_id");
        }
    }
    assert_eq!(world.a.status_of(task).await, "running");
}

/// Daemon item 184. Domain item 94.
#[apply(on_both)]
async fn an_issue_is_executed_once(gateway: &Gateway) {
    let world = gateway.world().await;
    let stamp = "SELECT first_executed_at FROM issue WHERE id = $1";
    assert_eq!(gateway.value(stamp, json!([world.i1])).await, Value::Null);
    let more = json!({"issue_id": world.i1});
    let failed = running(gateway, &world, more.clone()).await;
    world.a.fail(failed, json!({"error": "no"})).await;
    assert_eq!(gateway.value(stamp, json!([world.i1])).await, Value::Null);
    let first = running(gateway, &world, more.clone()).await;
    world.a.complete(first, json!({})).await;
    let stamped = gateway.value(stamp, json!([world.i1])).await;
    assert!(stamped.is_string(), "{stamped}");
    let counted = async || {
        let text = gateway.admin().get("/metrics").await.text;
        let mut lines = text.lines().filter(|line| line.starts_with("multica_issue_executed_total{"));
        let only = lines.next().map(str::to_owned);
        assert_eq!(lines.next(), None);
        only
    };
    let once = counted().await;
    assert!(once.as_deref().is_some_and(|line| line.ends_with(" 1")), "{once:?}");
    let second = running(gateway, &world, more).await;
    world.a.complete(second, json!({})).await;
    assert_eq!(gateway.value(stamp, json!([world.i1])).await, stamped);
    assert_eq!(counted().await, once);
}

/// NULs and lone surrogates in what an agent printed are cleaned, on both databases.
#[apply(on_both)]
async fn output_that_no_database_takes_is_cleaned(gateway: &Gateway) {
    let world = gateway.world().await;
    let task = running(gateway, &world, json!({})).await;
    let body = "{\"output\":\"a\\u0000b\\ud800c\",\"session_id\":\"s\\u0000\"}";
    let done = world.a.post(format!("/api/daemon/tasks/{task}/complete"), body).await.expect(200);
    check_members(&done["result"], &json!({"output": "ab\u{fffd}c", "session_id": "s"}));
    check_members(&comments(gateway, task).await[0], &json!({"content": "ab\u{fffd}c"}));
}
