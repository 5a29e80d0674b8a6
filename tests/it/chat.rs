//! Talking with an agent, from the person's side. Checklist: chat, items 147 to 154.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Client, Gateway, World, ahead, check_members, id_of};

async fn open(client: &Client, agent: Uuid) -> Uuid {
    id_of(&client.post("/api/chat/sessions", json!({"agent_id": agent})).await.expect(201))
}

async fn say(client: &Client, chat: Uuid, content: &str) -> Uuid {
    let sent = client.post(format!("/api/chat/sessions/{chat}/messages"), json!({"content": content})).await;
    sent.expect(201)["task_id"].as_str().unwrap().parse().unwrap()
}

async fn messages(client: &Client, chat: Uuid) -> Vec<Value> {
    client.get(format!("/api/chat/sessions/{chat}/messages")).await.expect(200).as_array().unwrap().clone()
}

fn contents(messages: &[Value]) -> Vec<(&str, &str)> {
    let text = Value::as_str;
    let said = messages.iter().map(|message| (text(&message["role"]), text(&message["content"])));
    said.map(|(role, content)| (role.unwrap(), content.unwrap())).collect()
}

/// User item 147.
#[apply(on_both)]
async fn a_chat_begins_with_an_agent_that_one_may_start(gateway: &Gateway) {
    let world = gateway.world().await;
    let create = |client: &Client, body: Value| client.post("/api/chat/sessions", body);
    create(&world.a, json!({})).await.refused(400, "agent_id is required");
    create(&world.a, json!({"agent_id": "x"})).await.refused(400, "invalid agent_id");
    create(&world.a, json!({"agent_id": Uuid::new_v4()})).await.refused(404, "agent not found");
    create(&world.a, json!({"agent_id": world.g2})).await.refused(404, "agent not found");
    create(&world.a, json!({"agent_id": 5})).await.refused(400, "invalid request body");
    let long = json!({"agent_id": world.g1, "title": "x".repeat(201)});
    create(&world.a, long).await.refused(400, "title is too long");

    let private = json!({"permission_mode": "private", "visibility": "private", "owner_id": world.b.id});
    let private = gateway.seed_agent(world.r1, "Private", private).await;
    // An owner of the workspace sees the agent and may not start it.
    let refused = create(&world.a, json!({"agent_id": private})).await;
    refused.refused(403, "you do not have access to this agent");
    create(&world.b, json!({"agent_id": private})).await.expect(201);

    let archived = gateway.seed_agent(world.r1, "Gone", json!({"archived_at": ahead(0)})).await;
    create(&world.a, json!({"agent_id": archived})).await.refused(400, "agent is archived");

    let session = create(&world.a, json!({"agent_id": world.g1, "title": "Plans"})).await.expect(201);
    let expected = json!({
        "workspace_id": world.w1, "agent_id": world.g1, "creator_id": world.a.id, "title": "Plans",
        "status": "active", "has_unread": false,
    });
    check_members(&session, &expected);
    assert_eq!(session.as_object().unwrap().len(), 9, "{session}");
    let runtime = "SELECT runtime_id FROM chat_session WHERE id = $1";
    assert_eq!(gateway.value(runtime, json!([id_of(&session)])).await, json!(world.r1));
}

/// User items 148 and 150. Domain item 164.
#[apply(on_both)]
async fn a_message_is_answered_by_a_task(gateway: &Gateway) {
    let world = gateway.world().await;
    let chat = open(&world.a, world.g1).await;
    let path = format!("/api/chat/sessions/{chat}/messages");
    world.a.post(&path, json!({})).await.refused(400, "content is required");
    world.a.post(&path, json!({"content": ""})).await.refused(400, "content is required");
    let bad = json!({"content": "x", "attachment_ids": ["y"]});
    world.a.post(&path, bad).await.refused(400, "invalid attachment_ids");

    let sent = world.a.post(&path, json!({"content": "Hello\u{0}"})).await.expect(201);
    assert_eq!(sent["attachment_ids"], Value::Null);
    let task: Uuid = sent["task_id"].as_str().unwrap().parse().unwrap();
    let pending = world.a.get(format!("/api/chat/sessions/{chat}/pending-task")).await.expect(200);
    assert_eq!(pending, json!({"task_id": task, "status": "queued", "created_at": sent["created_at"]}));
    let all = world.a.get("/api/chat/pending-tasks").await.expect(200);
    assert_eq!(all, json!({"tasks": [{"task_id": task, "status": "queued", "chat_session_id": chat}]}));
    const ROW: &str =
        "SELECT priority, initiator_user_id, originator_user_id FROM agent_task_queue WHERE id = $1";
    let expected = json!({"priority": 2, "initiator_user_id": world.a.id, "originator_user_id": world.a.id});
    assert_eq!(gateway.row(ROW, json!([task])).await, expected);
    // The message is there before the task that answers it can be claimed.
    const FIRST: &str = "SELECT (SELECT created_at FROM chat_message) AS message,
        (SELECT created_at FROM agent_task_queue) AS task";
    let first = gateway.row(FIRST, json!([])).await;
    assert!(first["message"].as_str() <= first["task"].as_str(), "{first}");

    let claimed = world.a.claim_one(world.r1).await;
    let expected = json!({
        "id": task, "kind": "chat", "chat_session_id": chat, "chat_message": "Hello", "thread_name": "Hello",
        "initiator_id": world.a.id, "issue_id": "",
    });
    check_members(&claimed, &expected);
    world.a.start(task).await;
    world.a.complete(task, json!({"output": "Hi there", "session_id": "s-1"})).await;

    let said = messages(&world.a, chat).await;
    assert_eq!(contents(&said), [("user", "Hello"), ("assistant", "Hi there")]);
    assert_eq!((&said[0]["task_id"], &said[1]["task_id"]), (&json!(task), &json!(task)));
    assert!(said[1]["elapsed_ms"].as_i64().unwrap() >= 0);
    let pending = world.a.get(format!("/api/chat/sessions/{chat}/pending-task")).await.expect(200);
    assert_eq!(pending, json!({}));
    gateway.assert_settled().await;
}

/// User item 149, and what else is not another's.
#[apply(on_both)]
async fn a_chat_is_its_creators_alone(gateway: &Gateway) {
    let world = gateway.world().await;
    let chat = open(&world.b, world.g1).await;
    let task = say(&world.b, chat, "Secret").await;
    let at = |rest: &str| format!("/api/chat/sessions/{chat}{rest}");
    for (method, path, body) in [
        ("GET", at(""), json!({})),
        ("PATCH", at(""), json!({"title": "Mine"})),
        ("DELETE", at(""), json!({})),
        ("GET", at("/messages"), json!({})),
        ("POST", at("/messages"), json!({"content": "x"})),
        ("GET", at("/messages/page"), json!({})),
        ("GET", at("/pending-task"), json!({})),
        ("POST", at("/read"), json!({})),
    ] {
        // The workspace's owner is somebody else, too.
        let reply = world.a.call(method.parse().unwrap(), &path, body.clone()).await;
        reply.refused(403, "not your chat session");
        // Another workspace does not have it at all.
        let reply = world.c.call(method.parse().unwrap(), &path, body).await;
        reply.refused(404, "chat session not found");
    }
    let cancel = world.a.post(format!("/api/tasks/{task}/cancel"), ()).await;
    cancel.refused(403, "not your task");
    world.b.get("/api/chat/sessions/x").await.refused(400, "invalid chat session id");
    let absent = format!("/api/chat/sessions/{}", Uuid::new_v4());
    world.b.get(absent).await.refused(404, "chat session not found");
    assert_eq!(world.a.get("/api/chat/sessions").await.expect(200), json!([]));
    assert_eq!(world.a.get("/api/chat/pending-tasks").await.expect(200), json!({"tasks": []}));
}

/// An agent that became private is out of reach; what was said can be deleted all the same.
#[apply(on_both)]
async fn who_may_no_longer_see_the_agent_may_only_delete(gateway: &Gateway) {
    let world = gateway.world().await;
    let chat = open(&world.b, world.g1).await;
    gateway.change("agent", world.g1, "permission_mode", json!("private")).await;
    let at = |rest: &str| format!("/api/chat/sessions/{chat}{rest}");
    let denied = "you do not have access to this agent";
    world.b.get(at("")).await.refused(403, denied);
    world.b.post(at("/messages"), json!({"content": "x"})).await.refused(403, denied);
    assert_eq!(world.b.get("/api/chat/sessions?status=all").await.expect(200), json!([]));
    assert_eq!(world.b.delete(at("")).await.status, 204);
    world.b.get(at("")).await.refused(404, "chat session not found");
}

/// Domain item 264, for a chat. Who sees an agent without being allowed to start it reads on, and says no more.
#[apply(on_both)]
async fn an_admin_may_not_go_on_talking_to_an_agent_that_became_private(gateway: &Gateway) {
    let world = gateway.world().await;
    let admin = gateway.join("Adi", "admin").await;
    let chat = open(&admin, world.g1).await;
    gateway.change("agent", world.g1, "permission_mode", json!("private")).await;
    admin.get(format!("/api/chat/sessions/{chat}")).await.expect(200);
    let denied = admin.post(format!("/api/chat/sessions/{chat}/messages"), json!({"content": "x"})).await;
    denied.refused(403, "you do not have access to this agent");
    assert_eq!(messages(&admin, chat).await, Vec::<Value>::new());
}

/// User item 151. Domain items 90 and 91, but for what is attached.
#[apply(on_both)]
async fn a_stopped_turn_gives_its_message_back_or_says_that_it_stopped(gateway: &Gateway) {
    let world = gateway.world().await;
    let chat = open(&world.a, world.g1).await;
    let silent = say(&world.a, chat, "Never mind").await;
    let cancelled = world.a.post(format!("/api/tasks/{silent}/cancel"), ()).await.expect(200);
    let expected = json!({"chat_session_id": chat, "content": "Never mind", "restore_to_input": true});
    check_members(&cancelled["cancelled_chat_message"], &expected);
    assert_eq!(messages(&world.a, chat).await, Vec::<Value>::new());

    let talking = say(&world.a, chat, "Go on").await;
    world.a.run_one(world.r1).await;
    let said = json!({"messages": [{"seq": 1, "type": "text", "content": "Well"}]});
    world.a.post(format!("/api/daemon/tasks/{talking}/messages"), said).await.expect(200);
    let cancelled = world.a.post(format!("/api/tasks/{talking}/cancel"), ()).await.expect(200);
    assert_eq!(cancelled.get("cancelled_chat_message"), None);
    let said = messages(&world.a, chat).await;
    assert_eq!(contents(&said), [("user", "Go on"), ("assistant", "Stopped.")]);
}

/// User item 152.
#[apply(on_both)]
async fn pages_lead_back_to_the_first_message(gateway: &Gateway) {
    let world = gateway.world().await;
    let chat = open(&world.a, world.g1).await;
    // All at one time, which the id then tells apart.
    let at = ahead(0);
    for number in 0..7 {
        let more = json!({"created_at": at});
        gateway.seed_chat_message(chat, "user", &format!("m{number}"), more).await;
    }
    let path = format!("/api/chat/sessions/{chat}/messages/page");
    for limit in ["0", "101", "x", "-1"] {
        world.a.get(format!("{path}?limit={limit}")).await.refused(400, "invalid limit");
    }
    let id = Uuid::new_v4();
    for cursor in [
        format!("before_id={id}"),
        format!("before_created_at={at}"),
        format!("before_created_at=x&before_id={id}"),
        format!("before_created_at={at}&before_id=x"),
    ] {
        world.a.get(format!("{path}?{cursor}")).await.refused(400, "invalid cursor");
    }
    let mut seen = Vec::new();
    let mut query = "limit=3".to_owned();
    loop {
        let page = world.a.get(format!("{path}?{query}")).await.expect(200);
        assert_eq!(page["limit"], 3);
        let contents = page["messages"].as_array().unwrap().iter();
        let contents: Vec<String> =
            contents.map(|message| message["content"].as_str().unwrap().to_owned()).collect();
        seen = [contents, seen].concat();
        if page["has_more"] == false {
            assert_eq!(page.get("next_cursor"), None);
            break;
        }
        let cursor = &page["next_cursor"];
        let (at, id) = (cursor["created_at"].as_str().unwrap(), cursor["id"].as_str().unwrap());
        query = format!("limit=3&before_created_at={at}&before_id={id}");
    }
    assert_eq!(seen, ["m0", "m1", "m2", "m3", "m4", "m5", "m6"]);
    assert_eq!(world.a.get(&path).await.expect(200)["limit"], 50);
}

/// User item 153, and what a list shows.
#[apply(on_both)]
async fn chats_are_named_listed_and_read(gateway: &Gateway) {
    let world = gateway.world().await;
    let (older, newer) = (open(&world.a, world.g1).await, open(&world.a, world.g1).await);
    let at = format!("/api/chat/sessions/{older}");
    world.a.patch(&at, json!({"title": "x".repeat(201)})).await.refused(400, "title is too long");
    for none in [json!({}), json!({"title": "  "}), json!({"title": null})] {
        world.a.patch(&at, none).await.refused(400, "title is required");
    }
    // The title is looked at before the session.
    let absent = format!("/api/chat/sessions/{}", Uuid::new_v4());
    world.a.patch(&absent, json!({})).await.refused(400, "title is required");
    let renamed = world.a.patch(&at, json!({"title": " Plans "})).await.expect(200);
    assert_eq!(renamed["title"], "Plans");

    let ids = |list: &Value| list.as_array().unwrap().iter().map(id_of).collect::<Vec<_>>();
    let list = world.a.get("/api/chat/sessions").await.expect(200);
    assert_eq!(ids(&list), [older, newer], "the last to change comes first");
    gateway.change("chat_session", newer, "status", json!("archived")).await;
    assert_eq!(ids(&world.a.get("/api/chat/sessions").await.expect(200)), [older]);
    assert_eq!(ids(&world.a.get("/api/chat/sessions?status=all").await.expect(200)).len(), 2);
    let archived = format!("/api/chat/sessions/{newer}/messages");
    world.a.post(archived, json!({"content": "x"})).await.refused(400, "chat session is archived");

    say(&world.a, older, "Hello").await;
    let task = world.a.run_one(world.r1).await;
    world.a.complete(task, json!({"output": "Hi"})).await;
    let unread = |list: Value| list[0]["has_unread"].clone();
    assert_eq!(unread(world.a.get("/api/chat/sessions").await.expect(200)), true);
    assert_eq!(world.a.get(&at).await.expect(200)["has_unread"], false);
    assert_eq!(world.a.post(format!("{at}/read"), ()).await.status, 204);
    assert_eq!(unread(world.a.get("/api/chat/sessions").await.expect(200)), false);
}

/// Deleting a chat stops what runs in it.
#[apply(on_both)]
async fn a_deleted_chat_takes_its_tasks_along(gateway: &Gateway) {
    let world = gateway.world().await;
    let chat = open(&world.a, world.g1).await;
    let running = say(&world.a, chat, "One").await;
    let waiting = say(&world.a, chat, "Two").await;
    world.a.run_one(world.r1).await;
    assert_eq!(world.a.delete(format!("/api/chat/sessions/{chat}")).await.status, 204);
    const STATUS: &str = "SELECT id, status FROM agent_task_queue ORDER BY created_at, id";
    let expected = json!([{"id": running, "status": "cancelled"}, {"id": waiting, "status": "cancelled"}]);
    assert_eq!(json!(gateway.rows(STATUS, json!([])).await), expected);
    assert_eq!(gateway.value("SELECT count(*) FROM chat_message", json!([])).await, 0);
    world.a.get(format!("/api/chat/sessions/{chat}")).await.refused(404, "chat session not found");
}

/// An archived agent answers nobody; what was said to it stays.
#[apply(on_both)]
async fn a_message_to_an_archived_agent_is_kept_and_refused(gateway: &Gateway) {
    gateway.expect_error("status=500");
    let world = gateway.world().await;
    let chat = open(&world.a, world.g1).await;
    gateway.change("agent", world.g1, "archived_at", json!(ahead(0))).await;
    let sent = world.a.post(format!("/api/chat/sessions/{chat}/messages"), json!({"content": "Hi"})).await;
    sent.refused(500, "failed to enqueue chat task: chat task: agent archived");
    assert_eq!(contents(&messages(&world.a, chat).await), [("user", "Hi")]);
    gateway.assert_settled().await;
}

/// Domain item 239. What is said while the agent works on something else is not lost.
#[apply(on_both)]
async fn what_is_said_during_a_turn_is_answered_by_the_next(gateway: &Gateway) {
    let world = gateway.world().await;
    let chat = open(&world.a, world.g1).await;
    let turn = async |world: &World| {
        let claimed = world.a.claim_one(world.r1).await;
        world.a.start(id_of(&claimed)).await;
        (id_of(&claimed), claimed.get("chat_message").cloned())
    };
    say(&world.a, chat, "one").await;
    let (first, said) = turn(&world).await;
    assert_eq!(said, Some(json!("one")));
    say(&world.a, chat, "two").await;
    say(&world.a, chat, "three").await;
    world.a.complete(first, json!({"output": "1"})).await;
    // One more after the answer; the next turn answers all three, and the last ones nothing.
    say(&world.a, chat, "four").await;
    let (second, said) = turn(&world).await;
    assert_eq!(said, Some(json!("two\n\nthree\n\nfour")));
    world.a.complete(second, json!({"output": "2"})).await;
    for _ in 0..2 {
        let (task, said) = turn(&world).await;
        assert_eq!(said, None);
        world.a.complete(task, json!({"output": "-"})).await;
    }
    assert_eq!(world.a.claim(world.r1).await, None);
}

/// Domain item 89. A turn that failed for good closes with the reason; one that is tried again says nothing.
#[apply(on_both)]
async fn a_failed_turn_says_why(gateway: &Gateway) {
    let world = gateway.world().await;
    let chat = open(&world.a, world.g1).await;
    say(&world.a, chat, "Hello").await;
    let task = world.a.run_one(world.r1).await;
    world.a.fail(task, json!({"error": "no answer", "failure_reason": "timeout"})).await;
    assert_eq!(contents(&messages(&world.a, chat).await), [("user", "Hello")]);
    let again = world.a.claim_one(world.r1).await;
    assert_eq!(again["chat_message"], "Hello");
    world.a.start(id_of(&again)).await;
    world.a.fail(id_of(&again), json!({"error": "token=abc broke", "failure_reason": "timeout"})).await;
    let said = messages(&world.a, chat).await;
    assert_eq!(contents(&said), [("user", "Hello"), ("assistant", "[REDACTED CREDENTIAL] broke")]);
    assert_eq!(said[1]["failure_reason"], "timeout");
}

/// User item 154.
#[apply(on_both)]
async fn an_agent_asks_for_the_channel_that_its_chat_is_held_in(gateway: &Gateway) {
    let world = gateway.world().await;
    let person = world.a.get("/api/chat/history").await;
    person.refused(403, "chat history is only available from within an agent task");
    gateway.seed_issue_task(world.g1, json!({})).await;
    let claimed = world.a.claim_one(world.r1).await;
    let agent = gateway.bearer(claimed["auth_token"].as_str().unwrap());
    agent.get("/api/chat/thread?id=1").await.refused(400, "this task is not a chat task");

    let chat = open(&world.a, world.g1).await;
    say(&world.a, chat, "Hello").await;
    let claimed = world.a.claim_one(world.r1).await;
    let agent = gateway.bearer(claimed["auth_token"].as_str().unwrap());
    let expected = json!({
        "channel_type": "", "messages": [],
        "note": "No chat channel integration is configured on this server.",
    });
    assert_eq!(agent.get("/api/chat/history").await.expect(200), expected);
}

/// A session that is deleted while somebody writes loses the message or takes it along, and
/// nobody gets a 500.
#[apply(on_both)]
async fn deleting_and_writing_may_race(gateway: &Gateway) {
    let world = gateway.world().await;
    for _ in 0..5 {
        let chat = open(&world.a, world.g1).await;
        let path = format!("/api/chat/sessions/{chat}/messages");
        let writes = (0..4).map(|_| async { world.a.post(&path, json!({"content": "x"})).await.status });
        let delete = async { world.a.delete(format!("/api/chat/sessions/{chat}")).await.status };
        let (written, deleted) = tokio::join!(futures_util::future::join_all(writes), delete);
        assert_eq!(deleted, 204);
        assert!(written.iter().all(|status| matches!(status, 201 | 404)), "{written:?}");
    }
    assert_eq!(gateway.value("SELECT count(*) FROM chat_message", json!([])).await, 0);
    gateway.assert_settled().await;
}
