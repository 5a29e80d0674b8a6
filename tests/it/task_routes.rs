//! Tasks as people see them: lists, cancels, reruns, messages, usage, and why one does not
//! run.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Client, Gateway, ahead, id_of};

async fn assigned(client: &Client, title: &str, agent: Uuid) -> Value {
    let body = json!({"title": title, "assignee_type": "agent", "assignee_id": agent});
    client.post("/api/issues", body).await.expect(201)
}

async fn why(client: &Client, task: Uuid) -> Value {
    client.get(format!("/api/tasks/{task}/why")).await.expect(200)
}

/// User items 119 and 123.
#[apply(on_both)]
async fn an_issue_shows_what_runs_and_ran(gateway: &Gateway) {
    let world = gateway.world().await;
    let issue = assigned(&world.a, "One", world.g1).await;
    let path = |leaf: &str| format!("/api/issues/{}/{leaf}", issue["identifier"].as_str().unwrap());
    let live = world.a.get(path("active-task")).await.expect(200);
    assert_eq!(
        (&live["tasks"][0]["status"], &live["tasks"][0]["kind"]),
        (&json!("queued"), &json!("direct"))
    );
    let task = world.a.run_one(world.r1).await;
    assert_eq!(world.a.get(path("active-task")).await.expect(200)["tasks"][0]["status"], "running");
    world.a.complete(task, json!({"output": "Fixed."})).await;
    assert_eq!(world.a.get(path("active-task")).await.expect(200), json!({"tasks": []}));
    let runs = world.a.get(path("task-runs")).await.expect(200);
    assert_eq!((runs.as_array().unwrap().len(), &runs[0]["status"]), (1, &json!("completed")));
    assert_eq!(runs[0]["result"]["output"], "Fixed.");
    let first =
        gateway.value("SELECT first_executed_at FROM issue WHERE id = $1", json!([issue["id"]])).await;
    assert!(first.is_string(), "{first}");
    world.c.get(path("task-runs")).await.refused(404, "issue not found");
}

/// User item 120, and who may. Domain item 70.
#[apply(on_both)]
async fn a_cancel_is_final_and_can_be_repeated(gateway: &Gateway) {
    let world = gateway.world().await;
    let issue = assigned(&world.a, "One", world.g1).await;
    let claimed = world.a.claim_one(world.r1).await;
    let task = id_of(&claimed);
    world.a.start(task).await;
    let path = format!("/api/tasks/{task}/cancel");
    let first = world.a.post(&path, ()).await.expect(200);
    assert_eq!(first["status"], "cancelled");
    assert_eq!(world.a.post(&path, ()).await.expect(200), first);
    gateway
        .bearer(claimed["auth_token"].as_str().unwrap())
        .get("/api/issues")
        .await
        .refused(401, "invalid token");
    // The daemon hears of it, and what it reports afterwards changes nothing.
    assert_eq!(world.a.status_of(task).await, "cancelled");
    assert_eq!(world.a.complete(task, json!({"output": "late"})).await["status"], "cancelled");
    let agent = gateway.value("SELECT status FROM agent WHERE id = $1", json!([world.g1])).await;
    assert_eq!(agent, "idle");

    world.a.post("/api/tasks/x/cancel", ()).await.refused(400, "invalid task id");
    let unknown = format!("/api/tasks/{}/cancel", Uuid::new_v4());
    world.a.post(unknown, ()).await.refused(404, "task not found");
    world.c.post(&path, ()).await.refused(404, "task not found");
    gateway.anonymous().post(&path, ()).await.refused(401, "missing authorization");

    let on_issue = |task: &str| format!("/api/issues/{}/tasks/{task}/cancel", id_of(&issue));
    assert_eq!(world.a.post(on_issue(&task.to_string()), ()).await.expect(200)["status"], "cancelled");
    let elsewhere = gateway.seed_issue_task(world.g1, json!({})).await;
    for task in [elsewhere.to_string(), Uuid::new_v4().to_string(), "x".to_owned()] {
        world.a.post(on_issue(&task), ()).await.refused(404, "task not found");
    }
    // A plain member does not see a private agent; an administrator does.
    let private = json!({"owner_id": world.a.id, "permission_mode": "private"});
    let secret = gateway.seed_agent(world.r1, "Secret", private).await;
    let theirs = gateway.seed_issue_task(secret, json!({})).await;
    let path = format!("/api/tasks/{theirs}/cancel");
    world.b.post(&path, ()).await.refused(403, "you do not have access to this agent");
    let admin = gateway.join("Dan", "admin").await;
    assert_eq!(admin.post(&path, ()).await.expect(200)["status"], "cancelled");
    // A prompt's task and a fallback are tasks like others.
    for more in [
        json!({"context": {"type": "quick_create", "prompt": "x", "workspace_id": world.w1}}),
        json!({"status": "deferred", "fire_at": ahead(60), "issue_id": issue["id"]}),
    ] {
        let task = gateway.seed_task(world.g1, more).await;
        let answer = world.a.post(format!("/api/tasks/{task}/cancel"), ()).await.expect(200);
        assert_eq!(answer["status"], "cancelled");
    }
}

/// A chat's turn is its author's to stop: silent, it gives the message back.
#[apply(on_both)]
async fn a_stopped_turn_gives_its_message_back_or_says_that_it_stopped(gateway: &Gateway) {
    let world = gateway.world().await;
    let chat = gateway.seed_chat(world.g1, json!({})).await;
    let silent = gateway.seed_task(world.g1, json!({"chat_session_id": chat})).await;
    let message = gateway.seed_chat_message(chat, "user", "hello", json!({"task_id": silent})).await;
    let path = format!("/api/tasks/{silent}/cancel");
    world.b.post(&path, ()).await.refused(403, "not your task");
    let answer = world.a.post(&path, ()).await.expect(200);
    let given_back = &answer["cancelled_chat_message"];
    assert_eq!(given_back["message_id"], json!(message));
    assert_eq!((&given_back["content"], &given_back["restore_to_input"]), (&json!("hello"), &json!(true)));
    assert!(gateway.rows("SELECT id FROM chat_message", json!([])).await.is_empty());

    let talking = gateway.seed_task(world.g1, json!({"chat_session_id": chat})).await;
    gateway.seed_chat_message(chat, "user", "hello again", json!({"task_id": talking})).await;
    world.a.run_one(world.r1).await;
    let said = json!({"messages": [{"seq": 1, "type": "text", "content": "well"}]});
    world.a.post(format!("/api/daemon/tasks/{talking}/messages"), said).await.expect(200);
    let answer = world.a.post(format!("/api/tasks/{talking}/cancel"), ()).await.expect(200);
    assert!(answer.get("cancelled_chat_message").is_none(), "{answer}");
    let left = gateway.rows("SELECT role, content FROM chat_message ORDER BY created_at", json!([])).await;
    let expected = [
        json!({"role": "user", "content": "hello again"}),
        json!({"role": "assistant", "content": "Stopped."}),
    ];
    assert_eq!(left, expected);
}

/// User items 121 and 122.
#[apply(on_both)]
async fn messages_and_usage_are_shown(gateway: &Gateway) {
    let world = gateway.world().await;
    let issue = assigned(&world.a, "One", world.g1).await;
    let task = world.a.run_one(world.r1).await;
    let said: Vec<Value> =
        (1..=3).map(|seq| json!({"seq": seq, "type": "text", "content": format!("m{seq}")})).collect();
    world.a.post(format!("/api/daemon/tasks/{task}/messages"), json!({"messages": said})).await.expect(200);
    let path = format!("/api/tasks/{task}/messages");
    let all = world.a.get(&path).await.expect(200);
    assert_eq!(all.as_array().unwrap().len(), 3);
    assert_eq!((&all[0]["task_id"], &all[0]["issue_id"]), (&json!(task), &issue["id"]));
    let later = world.a.get(format!("{path}?since=1")).await.expect(200);
    assert_eq!((later.as_array().unwrap().len(), &later[0]["content"]), (2, &json!("m2")));
    world.a.get(format!("{path}?since=x")).await.refused(400, "invalid since parameter");
    world.a.get("/api/tasks/x/messages").await.refused(400, "invalid task_id");
    world.c.get(&path).await.refused(404, "task not found");
    let shouted = path.replace(&task.to_string(), &task.to_string().to_uppercase());
    assert_eq!(world.a.get(shouted).await.expect(200)[0]["task_id"], task.to_string().to_uppercase());

    let usage = format!("/api/issues/{}/usage", id_of(&issue));
    let nothing = json!({
        "task_count": 0, "total_cache_read_tokens": 0, "total_cache_write_tokens": 0,
        "total_input_tokens": 0, "total_output_tokens": 0,
    });
    assert_eq!(world.a.get(&usage).await.expect(200), nothing);
    let used = |model: &str, input: i64| json!({"provider": "claude", "model": model, "input_tokens": input, "output_tokens": 2, "cache_read_tokens": 3, "cache_write_tokens": 4});
    let report = json!({"usage": [used("a", 10), used("b", 20)]});
    world.a.post(format!("/api/daemon/tasks/{task}/usage"), report).await.expect(200);
    let expected = json!({
        "task_count": 1, "total_cache_read_tokens": 6, "total_cache_write_tokens": 8,
        "total_input_tokens": 30, "total_output_tokens": 4,
    });
    assert_eq!(world.a.get(&usage).await.expect(200), expected);
    // Numbers that no machine adds up are no failure.
    let absurd = json!({"usage": [used("c", i64::MAX), used("d", i64::MAX)]});
    world.a.post(format!("/api/daemon/tasks/{task}/usage"), absurd).await.expect(200);
    assert_eq!(world.a.get(&usage).await.expect(200)["total_input_tokens"], i64::MAX);
}

/// User item 116. Domain items 173 and 174.
#[apply(on_both)]
async fn a_rerun_stops_its_agents_tasks_and_begins_afresh(gateway: &Gateway) {
    let world = gateway.world().await;
    let hal = gateway.seed_agent(world.r1, "Hal", json!({})).await;
    let issue = assigned(&world.a, "One", world.g1).await;
    let path = format!("/api/issues/{}/rerun", id_of(&issue));
    let beside = gateway.seed_task(hal, json!({"issue_id": issue["id"]})).await;
    let first = gateway
        .value(
            "SELECT id FROM agent_task_queue WHERE agent_id = $1 AND issue_id = $2",
            json!([world.g1, issue["id"]]),
        )
        .await;
    let second = world.a.post(&path, ()).await.expect(202);
    assert_eq!((&second["agent_id"], &second["status"]), (&json!(world.g1), &json!("queued")));
    assert_eq!(second["attempt"], 1);
    let rows = gateway
        .rows(
            "SELECT id, status, force_fresh_session FROM agent_task_queue ORDER BY created_at, id",
            json!([]),
        )
        .await;
    let of = |id: &Value| rows.iter().find(|row| &row["id"] == id).unwrap().clone();
    assert_eq!(of(&first)["status"], "cancelled");
    assert_eq!(of(&second["id"])["force_fresh_session"], true);
    assert_eq!(of(&json!(beside))["status"], "queued");

    let named = world.a.post(&path, json!({"task_id": beside})).await.expect(202);
    assert_eq!(named["agent_id"], json!(hal));
    assert_eq!(world.a.post(&path, "null").await.status, 202);
    let foreign = gateway.seed_issue_task(world.g1, json!({})).await;
    for (sent, expected) in [
        (json!({"task_id": foreign}), "source task does not belong to this issue"),
        (json!({"task_id": "x"}), "invalid task_id"),
        (json!({"task_id": 5}), "invalid request body"),
        (json!({"task_id": Uuid::new_v4()}), "load source task: no rows in result set"),
    ] {
        world.a.post(&path, sent).await.refused(400, expected);
    }
    let mine = json!({"assignee_type": "member", "assignee_id": world.a.id});
    world.a.put(format!("/api/issues/{}", id_of(&issue)), mine).await.expect(200);
    world.a.post(&path, ()).await.refused(400, "issue is not assigned to an agent or squad");
    world.a.post("/api/issues/nope/rerun", ()).await.refused(404, "issue not found");
    // What was stopped stays stopped when nothing can be queued.
    let last = assigned(&world.a, "Two", world.g1).await;
    gateway.execute("UPDATE agent SET archived_at = $2 WHERE id = $1", json!([world.g1, ahead(0)])).await;
    let refused = world.a.post(format!("/api/issues/{}/rerun", id_of(&last)), ()).await;
    refused.refused(400, "agent is archived");
    let status = "SELECT status FROM agent_task_queue WHERE issue_id = $1";
    assert_eq!(gateway.value(status, json!([last["id"]])).await, "cancelled");
}

/// Domain items 175 and 264.
#[apply(on_both)]
async fn a_rerun_keeps_the_role_and_asks_who_may(gateway: &Gateway) {
    let world = gateway.world().await;
    let squad = gateway.seed_squad(world.w1, "Core", world.g1, json!({})).await;
    let issue = assigned(&world.a, "One", world.g1).await;
    let comment = gateway.seed_comment(id_of(&issue), "member", world.b.id, "please", json!({})).await;
    let led = json!({
        "issue_id": issue["id"], "is_leader_task": true, "squad_id": squad, "status": "completed",
        "completed_at": ahead(0), "trigger_comment_id": comment,
    });
    let source = gateway.seed_task(world.g1, led).await;
    let path = format!("/api/issues/{}/rerun", id_of(&issue));
    let again = world.a.post(&path, json!({"task_id": source})).await.expect(202);
    assert_eq!(again["trigger_comment_id"], json!(comment));
    assert_eq!((&again["kind"], &again["trigger_summary"]), (&json!("comment"), &json!("please")));
    let columns = "SELECT is_leader_task, squad_id, originator_user_id FROM agent_task_queue WHERE id = $1";
    let row = gateway.row(columns, json!([again["id"]])).await;
    let expected = json!({"is_leader_task": true, "squad_id": squad, "originator_user_id": world.b.id});
    assert_eq!(row, expected);

    let private = json!({"owner_id": world.b.id, "permission_mode": "private"});
    let secret = gateway.seed_agent(world.r1, "Secret", private).await;
    let theirs = assigned(&world.b, "Two", secret).await;
    let path = format!("/api/issues/{}/rerun", id_of(&theirs));
    world.a.post(&path, ()).await.refused(403, "you do not have access to this agent");
    let status = "SELECT status FROM agent_task_queue WHERE issue_id = $1";
    assert_eq!(gateway.value(status, json!([theirs["id"]])).await, "queued");
    assert_eq!(world.b.post(&path, ()).await.status, 202);
}

/// Each cause, in the order in which a claim would meet them.
#[apply(on_both)]
async fn a_task_says_why_it_does_not_run(gateway: &Gateway) {
    let world = gateway.world().await;
    let task = gateway.seed_issue_task(world.g1, json!({})).await;
    let answer = why(&world.a, task).await;
    assert_eq!((&answer["cause"], &answer["status"]), (&json!("waiting_for_poll"), &json!("queued")));
    assert_eq!(answer["facts"]["ahead"], 0);
    assert!(answer["message"].as_str().unwrap().contains("nothing stands in its way"));

    world.a.claim_one(world.r1).await;
    assert_eq!(why(&world.a, task).await["cause"], "being_prepared");
    let waiting = json!({"reason": "/src is in use"});
    world.a.post(format!("/api/daemon/tasks/{task}/wait-local-directory"), waiting).await.expect(200);
    let answer = why(&world.a, task).await;
    assert_eq!(answer["cause"], "waiting_for_directory");
    assert!(answer["message"].as_str().unwrap().contains("/src is in use"));
    world.a.start(task).await;
    assert_eq!(why(&world.a, task).await["cause"], "already_running");

    let issue = gateway.value("SELECT issue_id FROM agent_task_queue WHERE id = $1", json!([task])).await;
    let next = gateway.seed_task(world.g1, json!({"issue_id": issue})).await;
    let answer = why(&world.a, next).await;
    assert_eq!((&answer["cause"], &answer["facts"]["held_by"]), (&json!("lane_held"), &json!(task)));
    assert!(answer["message"].as_str().unwrap().starts_with("Gus does one task at a time on this issue"));

    gateway.execute("UPDATE agent SET max_concurrent_tasks = 1 WHERE id = $1", json!([world.g1])).await;
    let answer = why(&world.a, next).await;
    assert_eq!(answer["cause"], "agent_at_capacity");
    assert_eq!(answer["message"], "Gus has 1 of at most 1 tasks in flight");

    world.a.post("/api/daemon/deregister", json!({"runtime_ids": [world.r1]})).await.expect(200);
    let answer = why(&world.a, next).await;
    assert_eq!(answer["cause"], "runtime_offline");
    assert_eq!(answer["facts"]["runtime_id"], json!(world.r1));
    gateway.execute("UPDATE agent_runtime SET last_seen_at = NULL WHERE id = $1", json!([world.r1])).await;
    assert_eq!(why(&world.a, next).await["cause"], "no_daemon_ever_registered");
    gateway.execute("UPDATE agent SET archived_at = $2 WHERE id = $1", json!([world.g1, ahead(0)])).await;
    assert_eq!(why(&world.a, next).await["cause"], "agent_archived");

    let fail = json!({"error": "out of credits", "failure_reason": "agent_error.provider_quota_limit"});
    world.a.fail(task, fail).await;
    let answer = why(&world.a, task).await;
    assert_eq!(answer["cause"], "ended");
    assert_eq!(answer["message"], "it failed: out of credits");
    let denied = json!({
        "status": "failed", "completed_at": ahead(0), "failure_reason": "plugin_denied",
        "error": "denied by plugin policy: no (x)",
    });
    let denied = gateway.seed_issue_task(world.g1, denied).await;
    let answer = why(&world.a, denied).await;
    assert_eq!(
        (&answer["cause"], &answer["message"]),
        (&json!("denied_by_plugin"), &json!("it was denied by plugin policy: no (x)"))
    );
    let deferred = json!({"status": "deferred", "fire_at": ahead(300), "escalation_for_task_id": task});
    let deferred = gateway.seed_issue_task(world.g1, deferred).await;
    let answer = why(&world.a, deferred).await;
    assert_eq!((&answer["cause"], &answer["facts"]["stands_by_for"]), (&json!("deferred"), &json!(task)));
    world.a.post(format!("/api/tasks/{deferred}/cancel"), ()).await.expect(200);
    assert_eq!(why(&world.a, deferred).await["message"], "it is over: cancelled");

    world.a.get("/api/tasks/x/why").await.refused(400, "invalid task id");
    world.c.get(format!("/api/tasks/{task}/why")).await.refused(404, "task not found");
}
