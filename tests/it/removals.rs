//! What is left when something goes: rows that nobody holds on to by a foreign key, and what
//! goes along.

use macro_rules_attribute::apply;
use serde_json::{Value, json};

use crate::harness::{Gateway, ahead, check_members, id_of};

/// Domain item 14: a squad, a person and a task go although tasks name them, and their readers
/// see none.
#[apply(on_both)]
async fn what_is_only_named_may_go(gateway: &Gateway) {
    let world = gateway.world().await;
    let squad = gateway.seed_squad(world.w1, "Core", world.g1, json!({})).await;
    let gone = gateway.seed_issue_task(world.g1, json!({"priority": 9})).await;
    world.a.run_one(world.r1).await;
    let words = json!({"source_task_id": gone});
    let comment = gateway.seed_comment(world.i1, "agent", world.g1, "done", words).await;
    let more = json!({
        "issue_id": world.i1, "is_leader_task": true, "squad_id": squad, "initiator_user_id": world.b.id,
        "originator_user_id": world.b.id,
    });
    let task = gateway.seed_task(world.g1, more).await;
    let stands_by = json!({
        "status": "deferred", "fire_at": ahead(-1), "escalation_for_task_id": gone,
    });
    let fallback = gateway.seed_issue_task(world.g1, stands_by).await;
    for (table, id) in [("squad", squad), ("agent_task_queue", gone), ("\"user\"", world.b.id)] {
        let sql = format!("DELETE FROM {table} WHERE id = $1");
        assert_eq!(gateway.execute(&sql, json!([id])).await, 1, "{table}");
    }
    let mut claimed = [world.a.claim_one(world.r1).await, world.a.claim_one(world.r1).await];
    claimed.sort_by_key(|claimed| id_of(claimed) != task);
    assert_eq!([id_of(&claimed[0]), id_of(&claimed[1])], [task, fallback]);
    assert_eq!(claimed[0]["agent"]["instructions"], "", "no squad, no briefing");
    check_members(&claimed[0], &json!({"initiator_name": null, "initiator_email": null}));
    // What the agent said has nobody behind it any more.
    world.a.fail(task, json!({"error": "no", "failure_reason": "agent_blocked"})).await;
    let done = json!({
        "issue_id": world.i1, "status": "completed", "completed_at": ahead(0), "trigger_comment_id": comment,
    });
    let source = gateway.seed_task(world.g1, done).await;
    let path = format!("/api/issues/{}/rerun", world.i1);
    let again = world.a.post(path, json!({"task_id": source})).await.expect(202);
    let sql = "SELECT originator_user_id FROM agent_task_queue WHERE id = $1";
    assert_eq!(gateway.value(sql, json!([again["id"]])).await, Value::Null);
}

/// Domain item 19.
#[apply(on_both)]
async fn who_goes_is_no_target_here_and_stays_one_elsewhere(gateway: &Gateway) {
    let world = gateway.world().await;
    gateway.seed_member(world.w2, world.b.id, "member").await;
    for agent in [world.g1, world.g2] {
        let target = json!({"agent_id": agent, "target_type": "member", "target_id": world.b.id});
        gateway.seed("agent_invocation_target", target, json!({})).await;
    }
    world.b.post(format!("/api/workspaces/{}/leave", world.w1), ()).await.expect(204);
    let left = "SELECT agent_id FROM agent_invocation_target WHERE target_id = $1";
    assert_eq!(gateway.value(left, json!([world.b.id])).await, json!(world.g2));
    let others = "SELECT count(*) FROM agent_invocation_target WHERE agent_id = $1";
    assert_eq!(gateway.value(others, json!([world.g1])).await, 1, "everybody else's are untouched");
}

/// Domain item 20: when one step of a removal fails, none was done.
#[apply(on_both)]
async fn a_member_goes_whole_or_not_at_all(gateway: &Gateway) {
    let owner = gateway.user();
    let bea = gateway.join("Bea", "member").await;
    let runtime = bea.register("bea-mac", "claude").await;
    gateway.daemon(gateway.workspace, "bea-mac").await;
    let agent = gateway.seed_agent(runtime, "Gus", json!({})).await;
    let task = gateway.seed_issue_task(agent, json!({})).await;
    let listed = owner.get(format!("/api/workspaces/{}/members", gateway.workspace)).await.expect(200);
    let row = listed.as_array().unwrap().iter().find(|member| member["user_id"] == json!(bea.id));
    let path = format!("/api/workspaces/{}/members/{}", gateway.workspace, id_of(row.unwrap()));
    let state = async || {
        const STATE: &str = "SELECT (SELECT count(*) FROM agent WHERE archived_at IS NULL) AS agents,
            (SELECT status FROM agent_task_queue) AS task, (SELECT status FROM agent_runtime) AS runtime,
            (SELECT count(*) FROM daemon_token) AS tokens, (SELECT count(*) FROM member) AS members";
        gateway.row(STATE, Value::Null).await
    };
    let before = json!({"agents": 1, "task": "queued", "runtime": "online", "tokens": 1, "members": 2});
    assert_eq!(state().await, before);
    gateway.expect_error("status=500");
    gateway.execute("ALTER TABLE agent_invocation_target RENAME TO hidden", Value::Null).await;
    assert_eq!(owner.delete(&path).await.status, 500);
    gateway.execute("ALTER TABLE hidden RENAME TO agent_invocation_target", Value::Null).await;
    assert_eq!(state().await, before);
    owner.delete(&path).await.expect(204);
    let after = json!({"agents": 0, "task": "cancelled", "runtime": "offline", "tokens": 0, "members": 1});
    assert_eq!(state().await, after);
    assert_eq!(owner.status_of(task).await, "cancelled");
}

/// Domain item 24: the event comes when the session is gone.
#[apply(on_both)]
async fn a_deleted_chat_is_told_of_when_it_is_gone(gateway: &Gateway) {
    const STATE: &str = "SELECT (SELECT status FROM agent_task_queue) AS task,
        (SELECT count(*) FROM chat_session) AS sessions";
    let world = gateway.world().await;
    let chat = id_of(&world.a.post("/api/chat/sessions", json!({"agent_id": world.g1})).await.expect(201));
    let path = format!("/api/chat/sessions/{chat}");
    world.a.post(format!("{path}/messages"), json!({"content": "Hi"})).await.expect(201);
    let task = world.a.run_one(world.r1).await;
    let mut watcher = world.a.watch().await;
    let told = async {
        let event = watcher.wait_for("task:cancelled").await;
        (event, gateway.row(STATE, Value::Null).await)
    };
    let (deleted, (event, state)) = tokio::join!(async { world.a.delete(&path).await }, told);
    assert_eq!(deleted.status, 204);
    assert_eq!(event["task_id"], json!(task));
    assert_eq!(state, json!({"task": "cancelled", "sessions": 0}));
}

/// Domain items 21 and 22: an agent that is in use keeps its runtime, and nothing else changes;
/// with those that are not go all that were let in to them.
#[apply(on_both)]
async fn a_runtime_in_use_is_refused_untouched(gateway: &Gateway) {
    let world = gateway.world().await;
    let old = gateway.seed_agent(world.r1, "Old", json!({"archived_at": ahead(-60)})).await;
    let squad = gateway.seed_squad(world.w1, "Past", old, json!({"archived_at": ahead(-60)})).await;
    let rows = async || {
        let mut all = Vec::new();
        for table in ["agent_runtime", "agent", "agent_invocation_target", "squad", "agent_task_queue"] {
            all.push(gateway.rows(&format!("SELECT * FROM {table} ORDER BY id"), Value::Null).await);
        }
        all
    };
    gateway.seed_issue_task(world.g1, json!({})).await;
    let before = rows().await;
    let refused = world.a.delete(format!("/api/runtimes/{}", world.r1)).await.expect(409);
    assert_eq!(refused["code"], "runtime_has_active_agents");
    assert_eq!(rows().await, before);
    gateway.change("agent", world.g1, "archived_at", json!(ahead(0))).await;
    world.a.delete(format!("/api/runtimes/{}", world.r1)).await.expect(200);
    let left = "SELECT count(*) FROM agent_invocation_target WHERE agent_id IN ($1, $2)";
    assert_eq!(gateway.value(left, json!([world.g1, old])).await, 0);
    assert_eq!(gateway.rows("SELECT id FROM squad WHERE id = $1", json!([squad])).await, Vec::<Value>::new());
}
