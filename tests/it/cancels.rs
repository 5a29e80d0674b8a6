//! Tasks are stopped, one or many at a time: what each scope takes, what it leaves, and that
//! no token outlives its task.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Client, Gateway, World, ahead, id_of};

/// A task that runs, and its agent with the task's token.
async fn at_work(gateway: &Gateway, world: &World, more: Value) -> (Uuid, Client) {
    let task = gateway.seed_issue_task(world.g1, more).await;
    let claimed = world.a.claim_one(world.r1).await;
    assert_eq!(id_of(&claimed), task);
    world.a.start(task).await;
    (task, gateway.bearer(claimed["auth_token"].as_str().unwrap()))
}

/// Domain item 92: many turns that are stopped at once keep what was said.
#[apply(on_both)]
async fn a_bulk_cancel_leaves_chats_as_they_are(gateway: &Gateway) {
    const SAID: &str = "SELECT role, content FROM chat_message ORDER BY content";
    let world = gateway.world().await;
    for text in ["one", "two"] {
        let chat = gateway.seed_chat(world.g1, json!({})).await;
        let task = gateway.seed_task(world.g1, json!({"chat_session_id": chat})).await;
        gateway.seed_chat_message(chat, "user", text, json!({"task_id": task})).await;
        world.a.run_one(world.r1).await;
    }
    let said = json!({"messages": [{"seq": 1, "type": "text", "content": "well"}]});
    let speaks = gateway.value("SELECT task_id FROM chat_message WHERE content = 'one'", Value::Null).await;
    let path = format!("/api/daemon/tasks/{}/messages", speaks.as_str().unwrap());
    world.a.post(path, said).await.expect(200);
    world.a.post(format!("/api/agents/{}/cancel-tasks", world.g1), ()).await.expect(200);
    gateway.assert_settled().await;
    let expected = [json!({"role": "user", "content": "one"}), json!({"role": "user", "content": "two"})];
    assert_eq!(gateway.rows(SAID, Value::Null).await, expected);
}

/// Domain item 93: whoever stops a task, and however many with it, its token is worth nothing
/// and watchers hear of it.
#[apply(on_both)]
async fn no_token_outlives_its_task(gateway: &Gateway) {
    let world = gateway.world().await;
    let mut watcher = world.a.watch().await;
    let trigger = gateway.seed_comment(world.i1, "member", world.a.id, "Please", json!({})).await;
    let chat = id_of(&world.a.post("/api/chat/sessions", json!({"agent_id": world.g1})).await.expect(201));
    let on_issue = json!({"issue_id": world.i1});
    let issue = format!("/api/issues/{}", world.i1);
    for way in ["single", "comment", "chat", "agent", "assignee", "status", "rerun", "delete"] {
        let more = match way {
            "comment" => json!({"issue_id": world.i1, "trigger_comment_id": trigger}),
            "chat" => json!({"chat_session_id": chat, "issue_id": null}),
            _ => on_issue.clone(),
        };
        let (task, agent) = at_work(gateway, &world, more).await;
        agent.get("/api/me").await.expect(200);
        watcher.heard().await;
        let person = json!({"assignee_type": "member", "assignee_id": world.b.id});
        let call = match way {
            "single" => world.a.post(format!("/api/tasks/{task}/cancel"), ()),
            "comment" => world.a.delete(format!("/api/comments/{trigger}")),
            "chat" => world.a.delete(format!("/api/chat/sessions/{chat}")),
            "agent" => world.a.post(format!("/api/agents/{}/cancel-tasks", world.g1), ()),
            "assignee" => world.a.put(&issue, person),
            "status" => world.a.put(&issue, json!({"status": "cancelled"})),
            "rerun" => world.a.post(format!("{issue}/rerun"), json!({"task_id": task})),
            _ => world.a.delete(&issue),
        };
        call.await.ok();
        agent.get("/api/me").await.refused(401, "invalid token");
        let left = "SELECT count(*) FROM task_token WHERE task_id = $1";
        assert_eq!(gateway.value(left, json!([task])).await, 0, "{way}");
        let events = watcher.heard().await;
        let told = events
            .iter()
            .any(|event| event["type"] == "task:cancelled" && event["payload"]["task_id"] == json!(task));
        assert!(told, "{way}: {events:?}");
        if way == "rerun" {
            world.a.post(format!("/api/agents/{}/cancel-tasks", world.g1), ()).await.expect(200);
        }
    }
    gateway.assert_settled().await;
}

/// Domain item 93, for an agent that is archived: one event says it all.
#[apply(on_both)]
async fn an_archived_agents_tokens_go_with_its_tasks(gateway: &Gateway) {
    let world = gateway.world().await;
    let (task, agent) = at_work(gateway, &world, json!({})).await;
    let deferred = json!({"status": "deferred", "fire_at": ahead(60)});
    let deferred = gateway.seed_issue_task(world.g1, deferred).await;
    world.a.post(format!("/api/agents/{}/archive", world.g1), ()).await.expect(200);
    agent.get("/api/me").await.refused(401, "invalid token");
    for task in [task, deferred] {
        assert_eq!(world.a.status_of(task).await, "cancelled");
    }
    let status = "SELECT status FROM agent WHERE id = $1";
    assert_eq!(gateway.value(status, json!([world.g1])).await, "idle");
}
