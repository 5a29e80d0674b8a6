//! What agents say and do while they work. Checklist 10.12, second part.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Gateway, Reply, World, ahead};

async fn post(world: &World, task: impl ToString, messages: Value) -> Reply {
    let path = format!("/api/daemon/tasks/{}/messages", task.to_string());
    world.a.post(path, json!({"messages": messages})).await
}

async fn list(world: &World, task: Uuid, query: &str) -> Reply {
    world.a.get(format!("/api/daemon/tasks/{task}/messages{query}")).await
}

/// Daemon item 187.
#[apply(on_both)]
async fn an_empty_batch_is_fine_for_any_task(gateway: &Gateway) {
    let world = gateway.world().await;
    let foreign = gateway.seed_issue_task(world.g2, json!({})).await;
    for task in [Uuid::new_v4().to_string(), "xyz".to_owned(), foreign.to_string()] {
        for none in [json!([]), json!(null)] {
            assert_eq!(post(&world, &task, none).await.expect(200), json!({"status": "ok"}));
        }
        let path = format!("/api/daemon/tasks/{task}/messages");
        for invalid in ["", "[]", "{\"messages\":5}", "{\"messages\":[{\"seq\":\"1\"}]}"] {
            world.a.post(&path, invalid).await.refused(400, "invalid request body");
        }
    }
    let one = json!([{"seq": 1}]);
    post(&world, Uuid::new_v4(), one.clone()).await.refused(404, "task not found");
    post(&world, "xyz", one.clone()).await.refused(400, "invalid task_id");
    post(&world, foreign, one).await.refused(404, "not found");
}

/// Daemon item 188.
#[apply(on_both)]
async fn messages_are_listed_in_their_order(gateway: &Gateway) {
    let world = gateway.world().await;
    let task = gateway.seed_task(world.g1, json!({"issue_id": world.i1})).await;
    assert_eq!(list(&world, task, "").await.expect(200), json!([]));
    let batch = json!([
        {"seq": 3, "type": "tool_result", "tool": "Bash", "output": "ok", "input": {}},
        {"seq": 1, "type": "text", "content": "Hello", "tool": "", "output": ""},
        {"seq": 2, "type": "tool_use", "tool": "Bash", "input": {"command": "ls", "n": 1.5, "deep": {"a": [1]}}},
    ]);
    assert_eq!(post(&world, task, batch).await.expect(200), json!({"status": "ok"}));
    let listed = list(&world, task, "").await.expect(200);
    let at = |place: usize| listed[place]["created_at"].clone();
    assert!((0..3).all(|place| at(place).as_str().is_some_and(|text| text.ends_with('Z'))), "{listed}");
    let message = |seq: u8, kind: &str| {
        json!({
            "task_id": task, "issue_id": world.i1, "seq": seq, "type": kind,
            "created_at": at(usize::from(seq) - 1),
        })
    };
    let with = |mut message: Value, members: Value| {
        message.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        message
    };
    let input = json!({"command": "ls", "n": 1.5, "deep": {"a": [1]}});
    let expected = json!([
        with(message(1, "text"), json!({"content": "Hello"})),
        with(message(2, "tool_use"), json!({"tool": "Bash", "input": input})),
        with(message(3, "tool_result"), json!({"tool": "Bash", "output": "ok"})),
    ]);
    assert_eq!(listed, expected);
    for (query, count) in [
        ("?since=1", 2),
        ("?since=3", 0),
        ("?since=", 3),
        ("?since=-1", 3),
        ("?since=%2B2", 1),
        ("?since=0&x=1", 3),
    ] {
        let listed = list(&world, task, query).await.expect(200);
        assert_eq!(listed.as_array().map(Vec::len), Some(count), "{query}");
    }
    for malformed in ["?since=x", "?since=1.5", "?since=1x", "?since=99999999999999999999"] {
        list(&world, task, malformed).await.refused(400, "invalid since parameter");
    }
}

/// Daemon item 189: every vector, through each of the three places.
#[apply(on_both)]
async fn secrets_are_taken_out_of_what_agents_say(gateway: &Gateway) {
    let world = gateway.world().await;
    let task = gateway.seed_issue_task(world.g1, json!({})).await;
    let vectors = [
        ("key AKIAIOSFODNN7EXAMPLE end", "key [REDACTED AWS KEY] end"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer [REDACTED]"),
        (
            "Authorization: Bearer eyJhbGciOiJI.eyJzdWIiOiIx.abcdefghijkl",
            "Authorization: Bearer [REDACTED JWT]",
        ),
        ("postgres://u:p@db/x", "[REDACTED CONNECTION STRING]@db/x"),
        ("DATABASE_URL=postgres://u:p@db/x", "[REDACTED CREDENTIAL] CONNECTION STRING]@db/x"),
        ("MULTICA_TOKEN=mul_abc next", "MULTICA_[REDACTED CREDENTIAL] next"),
        ("password: hunter2 ok", "[REDACTED CREDENTIAL] ok"),
        ("tokens: 5", "tokens: 5"),
        ("token count: 5", "token count: 5"),
        ("sk-short", "sk-short"),
        ("see /home/switchyard-it/x", "see /home/****/x"),
        ("a ghp_0123456789abcdefghijABCDEFGHIJ0123456789 b", "a [REDACTED GITHUB TOKEN] b"),
        ("glpat-0123456789abcdefghij", "[REDACTED GITLAB TOKEN]"),
        ("xoxb-0123456789", "[REDACTED SLACK TOKEN]"),
        ("-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----", "[REDACTED PRIVATE KEY]"),
    ];
    for (given, expected) in vectors {
        let message = json!({
            "seq": 1, "type": "text", "content": given, "output": given,
            "input": {"text": given, "deep": {"text": given}, "list": [given], "number": 5, given: 1},
        });
        post(&world, task, json!([message])).await.expect(200);
        let listed = list(&world, task, "").await.expect(200);
        let shown = &listed[0];
        assert_eq!((&shown["content"], &shown["output"]), (&json!(expected), &json!(expected)));
        let input = json!({
            "text": expected, "deep": {"text": given}, "list": [given], "number": 5, given: 1,
        });
        assert_eq!(shown["input"], input);
        gateway.execute("DELETE FROM task_message", Value::Null).await;
    }
}

/// Daemon item 190.
#[apply(on_both)]
async fn a_batch_sent_twice_is_stored_twice(gateway: &Gateway) {
    let world = gateway.world().await;
    let task = gateway.seed_issue_task(world.g1, json!({})).await;
    let batch = json!([{"seq": 1, "type": "text"}, {"seq": 2, "type": "made up"}, {"seq": 3}]);
    for _ in 0..2 {
        post(&world, task, batch.clone()).await.expect(200);
    }
    assert_eq!(list(&world, task, "").await.expect(200).as_array().map(Vec::len), Some(6));
}

/// Daemon items 191 and 192: tasks without an issue have messages without one; events are in `daemon_events`.
#[apply(on_both)]
async fn any_task_in_any_state_takes_messages(gateway: &Gateway) {
    let world = gateway.world().await;
    let run = gateway.seed_autopilot_run(world.g1, "Nightly", json!({})).await;
    let chat = gateway.seed_chat(world.g1, json!({})).await;
    let tasks = [
        gateway.seed_task(world.g1, json!({"autopilot_run_id": run})).await,
        gateway.seed_task(world.g1, json!({"chat_session_id": chat})).await,
        gateway.seed_quick_create(world.g1, "Make it so", json!({})).await,
        gateway.seed_issue_task(world.g1, json!({"status": "completed", "completed_at": ahead(-9)})).await,
    ];
    for (place, task) in tasks.into_iter().enumerate() {
        post(&world, task, json!([{"seq": 7, "type": "text", "content": "x"}])).await.expect(200);
        let listed = list(&world, task, "").await.expect(200);
        assert_eq!(listed[0]["seq"], 7);
        assert_eq!(listed[0].get("issue_id").is_some(), place == 3, "{listed}");
    }
}

/// What no database takes is cleaned, and nothing of a batch is lost for it.
#[apply(on_both)]
async fn messages_that_no_database_takes_are_cleaned(gateway: &Gateway) {
    let world = gateway.world().await;
    let task = gateway.seed_issue_task(world.g1, json!({})).await;
    let body = "{\"messages\":[{\"seq\":1,\"type\":\"te\\u0000xt\",\"content\":\"a\\u0000b\\ud800\",\
        \"input\":{\"k\\u0000\":\"\\u0000v\"}},{\"seq\":2,\"content\":\"whole\"}]}";
    world.a.post(format!("/api/daemon/tasks/{task}/messages"), body).await.expect(200);
    let listed = list(&world, task, "").await.expect(200);
    assert_eq!((&listed[0]["type"], &listed[0]["content"]), (&json!("text"), &json!("ab\u{fffd}")));
    assert_eq!(listed[0]["input"], json!({"k": "v"}));
    assert_eq!(listed[1]["content"], "whole");
}

/// At least 16 MiB fit into one call.
#[apply(on_both)]
async fn a_batch_may_be_large(gateway: &Gateway) {
    let world = gateway.world().await;
    let task = gateway.seed_issue_task(world.g1, json!({})).await;
    let text = "a ".repeat(8 << 20);
    post(&world, task, json!([{"seq": 1, "type": "text", "content": text}])).await.expect(200);
    let length = "SELECT length(content) FROM task_message";
    assert_eq!(gateway.value(length, Value::Null).await, 16 << 20);
    world.a.run_one(world.r1).await;
    world.a.complete(task, json!({"output": text})).await;
}
