//! What a chat's turn carries when it was written as people write it.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Client, Gateway, check_members, id_of};

/// Says something with files; gives the turn's task.
async fn say(client: &Client, chat: Uuid, content: &str, files: &[&Value]) -> Uuid {
    let files: Vec<&Value> = files.iter().map(|file| &file["id"]).collect();
    let body = json!({"content": content, "attachment_ids": files});
    let sent = client.post(format!("/api/chat/sessions/{chat}/messages"), body).await.expect(201);
    sent["task_id"].as_str().unwrap().parse().unwrap()
}

/// Daemon items 143 and 145: both messages that nobody answered, with the files of both, and
/// the one who sent them.
#[apply(on_both)]
async fn a_turn_carries_the_files_of_all_it_answers(gateway: &Gateway) {
    let world = gateway.world().await;
    let chat = id_of(&world.b.post("/api/chat/sessions", json!({"agent_id": world.g1})).await.expect(201));
    let upload =
        async |name: &str| world.b.upload(name, "text", &[("chat_session_id", chat.to_string())]).await;
    let (old, first, second) =
        (upload("old.txt").await, upload("first.txt").await, upload("second.txt").await);
    say(&world.b, chat, "Old news", &[&old]).await;
    let answered = world.a.run_one(world.r1).await;
    world.a.complete(answered, json!({"output": "Answered"})).await;
    let lost = say(&world.b, chat, "First", &[&first]).await;
    world.b.post(format!("/api/tasks/{lost}/cancel"), ()).await.expect(200);
    // The first was taken back with its file; it is sent again, and broken off without a word.
    let lost = say(&world.b, chat, "First", &[&first]).await;
    assert_eq!(world.a.run_one(world.r1).await, lost);
    gateway
        .execute(
            "UPDATE agent_task_queue SET status = 'cancelled', completed_at = started_at WHERE id = $1",
            json!([lost]),
        )
        .await;
    gateway.execute("DELETE FROM task_token", Value::Null).await;
    let task = say(&world.b, chat, "Second", &[&second]).await;
    let claimed = world.a.claim_one(world.r1).await;
    assert_eq!(id_of(&claimed), task);
    let shown = |file: &Value| json!({"id": file["id"], "filename": file["filename"], "content_type": file["content_type"]});
    let expected = json!({
        "kind": "chat", "chat_session_id": chat, "chat_message": "First\n\nSecond",
        "chat_message_attachments": [shown(&first), shown(&second)], "chat_channel_type": null,
        "initiator_type": "member", "initiator_id": world.b.id, "initiator_name": "Bea",
        "initiator_email": "bea@example.com",
    });
    check_members(&claimed, &expected);
}
