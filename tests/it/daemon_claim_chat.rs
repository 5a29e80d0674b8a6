//! What a claimed task carries when a chat or an autopilot made it. Checklist 10.9.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Gateway, World, ahead, check_members, id_of, over};

/// Claims the next task of a chat, and ends it.
async fn claim_chat(gateway: &Gateway, world: &World, chat: Uuid, more: Value) -> Value {
    let row = over(json!({"chat_session_id": chat, "priority": 2}), more);
    let task = gateway.seed_task(world.g1, row).await;
    let claimed = world.a.claim_one(world.r1).await;
    assert_eq!(id_of(&claimed), task);
    world.a.fail(task, json!({"failure_reason": "agent_blocked"})).await;
    claimed
}

/// Daemon items 143 and 145: attachments are in `daemon_chat_turn`.
#[apply(on_both)]
async fn a_chat_delivers_what_was_not_answered_yet(gateway: &Gateway) {
    let world = gateway.world().await;
    let repos = json!([{"url": "u1", "ref": "x"}]);
    gateway.change("workspace", world.w1, "repos", repos.clone()).await;
    let chat = gateway.seed_chat(world.g1, json!({"creator_id": world.b.id})).await;
    let says = async |role: &str, text: &str, age: i64| {
        gateway.seed_chat_message(chat, role, text, json!({"created_at": ahead(-age)})).await;
    };
    says("user", "Old news", 90).await;
    says("assistant", "Answered", 80).await;
    says("user", "First", 70).await;
    says("user", "  ", 65).await;
    says("user", "Second\n", 60).await;
    let more = json!({"initiator_user_id": world.b.id});
    let claimed = claim_chat(gateway, &world, chat, more.clone()).await;
    let expected = json!({
        "kind": "chat", "issue_id": "", "chat_session_id": chat, "priority": 2, "repos": repos,
        "initiator_type": "member", "initiator_id": world.b.id, "initiator_name": "Bea",
        "initiator_email": "bea@example.com", "chat_channel_type": null, "chat_in_thread": null,
        "chat_message_attachments": null,
    });
    check_members(&claimed, &expected);
    let message = claimed["chat_message"].as_str().unwrap();
    assert!(message.starts_with("First\n\nSecond"), "{message:?}");
    assert_eq!(claimed["thread_name"], claimed["chat_message"]);
    gateway.change("chat_session", chat, "title", json!("About news")).await;
    says("assistant", "Answered again", 1).await;
    let claimed = claim_chat(gateway, &world, chat, more).await;
    check_members(&claimed, &json!({"thread_name": "About news", "chat_message": null}));
}

/// Daemon item 143: a chat without any answer delivers all of it.
#[apply(on_both)]
async fn a_new_chat_delivers_its_first_message(gateway: &Gateway) {
    let world = gateway.world().await;
    let chat = gateway.seed_chat(world.g1, json!({})).await;
    check_members(
        &claim_chat(gateway, &world, chat, json!({})).await,
        &json!({"chat_message": null, "thread_name": null}),
    );
    gateway.seed_chat_message(chat, "user", "Hello", json!({})).await;
    let claimed = claim_chat(gateway, &world, chat, json!({})).await;
    check_members(&claimed, &json!({"chat_message": "Hello", "thread_name": "Hello"}));
}

/// Daemon item 144.
#[apply(on_both)]
async fn a_chat_is_resumed_where_it_ran(gateway: &Gateway) {
    let world = gateway.world().await;
    let other = world.a.register("dm-other", "claude").await;
    let pointer = json!({"session_id": "pointed", "work_dir": "/pointed", "runtime_id": world.r1});
    let chat = gateway.seed_chat(world.g1, pointer).await;
    let claimed = claim_chat(gateway, &world, chat, json!({})).await;
    check_members(&claimed, &json!({"prior_session_id": "pointed", "prior_work_dir": "/pointed"}));
    let claimed = claim_chat(gateway, &world, chat, json!({"force_fresh_session": true})).await;
    check_members(&claimed, &json!({"prior_session_id": null, "prior_work_dir": null}));
    // A pointer of another machine: the last good run on this one, if there is one.
    gateway.change("chat_session", chat, "runtime_id", json!(other)).await;
    let claimed = claim_chat(gateway, &world, chat, json!({})).await;
    check_members(&claimed, &json!({"prior_session_id": null, "prior_work_dir": "/pointed"}));
    let row = json!({
        "chat_session_id": chat, "status": "completed", "completed_at": ahead(-30), "session_id": "run",
        "work_dir": "/run",
    });
    gateway.seed_task(world.g1, row.clone()).await;
    let bad = json!({
        "status": "failed", "failure_reason": "iteration_limit", "error": "no", "completed_at": ahead(-20),
        "session_id": "bad",
    });
    gateway.seed_task(world.g1, over(row, bad)).await;
    let claimed = claim_chat(gateway, &world, chat, json!({})).await;
    check_members(&claimed, &json!({"prior_session_id": "run", "prior_work_dir": "/pointed"}));
    gateway.execute("UPDATE chat_session SET work_dir = NULL", Value::Null).await;
    check_members(&claim_chat(gateway, &world, chat, json!({})).await, &json!({"prior_work_dir": "/run"}));
}

/// Daemon item 146.
#[apply(on_both)]
async fn an_autopilot_run_tells_what_started_it(gateway: &Gateway) {
    let world = gateway.world().await;
    gateway.change("workspace", world.w1, "repos", json!([{"url": "u1"}])).await;
    let payload = json!({"ref": "refs/heads/main", "commits": [{"id": 1}]});
    let more = json!({"source": "webhook", "trigger_payload": payload});
    let run = gateway.seed_autopilot_run(world.g1, "Nightly", more).await;
    gateway.seed_task(world.g1, json!({"autopilot_run_id": run})).await;
    let autopilot = gateway.value("SELECT autopilot_id FROM autopilot_run", Value::Null).await;
    let expected = json!({
        "kind": "autopilot", "issue_id": "", "autopilot_run_id": run, "autopilot_id": autopilot,
        "autopilot_source": "webhook", "autopilot_trigger_payload": payload, "autopilot_title": "Nightly",
        "autopilot_description": "Nightly, described", "thread_name": "Nightly", "repos": [{"url": "u1"}],
    });
    check_members(&world.a.claim_one(world.r1).await, &expected);
    let plain = gateway.seed_autopilot_run(world.g1, "Daily", json!({})).await;
    gateway.seed_task(world.g1, json!({"autopilot_run_id": plain})).await;
    let expected = json!({"autopilot_source": "manual", "autopilot_trigger_payload": null});
    check_members(&world.a.claim_one(world.r1).await, &expected);
}
