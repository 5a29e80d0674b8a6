//! What watchers of a workspace hear of its issues and their tasks.

use macro_rules_attribute::apply;
use serde_json::{Value, json};

use crate::harness::{Gateway, id_of};

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

fn payload<'a>(events: &'a [Value], kind: &str) -> &'a Value {
    let event = events.iter().find(|event| event["type"] == kind);
    &event.unwrap_or_else(|| panic!("no {kind} among {events:?}"))["payload"]
}

/// User items 179 and 180.
#[apply(on_both)]
async fn a_write_is_told_before_what_follows_from_it(gateway: &Gateway) {
    let world = gateway.world().await;
    let hal = gateway.seed_agent(world.r1, "Hal", json!({})).await;
    let mut watcher = world.b.watch().await;
    let new = json!({
        "title": "One", "assignee_type": "agent", "assignee_id": world.g1,
        "description": format!("for [@Bea](mention://member/{}) and [@Gus](mention://agent/{})", world.b.id, world.g1),
    });
    let issue = world.a.post("/api/issues", new).await.expect(201);
    let events = watcher.heard().await;
    let expected = [
        "issue:created",
        "subscriber:added",
        "subscriber:added",
        "subscriber:added",
        "activity:created",
        "task:queued",
    ];
    assert_eq!(kinds(&events), expected);
    assert_eq!(payload(&events, "issue:created"), &json!({"issue": issue}));
    assert_eq!((&events[0]["actor_type"], &events[0]["actor_id"]), (&json!("member"), &json!(world.a.id)));
    let reasons: Vec<&Value> = events[1..4].iter().map(|event| &event["payload"]["reason"]).collect();
    assert_eq!(reasons, ["creator", "assignee", "mentioned"]);
    let activity = payload(&events, "activity:created");
    assert_eq!((&activity["issue_id"], &activity["entry"]["action"]), (&issue["id"], &json!("created")));
    let queued = payload(&events, "task:queued");
    let expected = json!({
        "task_id": queued["task_id"], "agent_id": world.g1, "issue_id": issue["id"], "status": "queued",
    });
    assert_eq!(queued, &expected);
    assert_eq!((&events[5]["actor_type"], &events[5]["actor_id"]), (&json!("system"), &json!("")));

    let change = json!({"title": "Two", "assignee_id": hal, "description": issue["description"]});
    let path = format!("/api/issues/{}", id_of(&issue));
    let updated = world.a.put(&path, change).await.expect(200);
    let events = watcher.heard().await;
    let expected = [
        "issue:updated",
        "subscriber:added",
        "activity:created",
        "activity:created",
        "agent:status",
        "task:cancelled",
        "task:queued",
    ];
    assert_eq!(kinds(&events), expected);
    let expected = json!({
        "issue": updated,
        "assignee_changed": true,
        "status_changed": false,
        "priority_changed": false,
        "project_changed": false,
        "start_date_changed": false,
        "due_date_changed": false,
        // Sent, if only to say the same.
        "description_changed": true,
        "title_changed": true,
        "prev_title": "One",
        "prev_assignee_type": "agent",
        "prev_assignee_id": world.g1,
        "prev_status": "todo",
        "prev_priority": "none",
        "prev_start_date": null,
        "prev_due_date": null,
        "prev_description": issue["description"],
        "creator_type": "member",
        "creator_id": world.a.id,
    });
    assert_eq!(payload(&events, "issue:updated"), &expected);
    assert_eq!(payload(&events, "task:cancelled")["agent_id"], json!(world.g1));
    let actions: Vec<&Value> =
        events[2..4].iter().map(|event| &event["payload"]["entry"]["action"]).collect();
    assert_eq!(actions, ["assignee_changed", "title_changed"]);

    let batch = json!({"issue_ids": [issue["id"]], "updates": {"priority": "high"}});
    world.a.post("/api/issues/batch-update", batch).await.expect(200);
    let events = watcher.heard().await;
    assert_eq!(kinds(&events), ["issue:updated", "activity:created"]);
    assert_eq!(payload(&events, "issue:updated").as_object().unwrap().len(), 5);

    world.a.delete(&path).await.expect(204);
    let events = watcher.heard().await;
    assert_eq!(kinds(&events), ["agent:status", "task:cancelled", "issue:deleted"]);
    assert_eq!(payload(&events, "issue:deleted"), &json!({"issue_id": issue["id"]}));
}

#[apply(on_both)]
async fn what_changes_nothing_is_not_told(gateway: &Gateway) {
    let world = gateway.world().await;
    let task = gateway.seed_issue_task(world.g1, json!({})).await;
    world.a.post(format!("/api/tasks/{task}/cancel"), ()).await.expect(200);
    let mut watcher = world.a.watch().await;
    world.a.post(format!("/api/tasks/{task}/cancel"), ()).await.expect(200);
    world.a.post("/api/issues", json!({"title": ""})).await.expect(400);
    world.a.put(format!("/api/issues/{}", world.i1), json!({"status": "x"})).await.expect(400);
    let preview = json!({"issue_ids": [world.i1], "assignee_type": "agent", "assignee_id": world.g1});
    world.a.post("/api/issues/preview-trigger", preview).await.expect(200);
    assert_eq!(watcher.heard().await, Vec::<Value>::new());
}

/// User item 182. Domain item 160, for who hears of it.
#[apply(on_both)]
async fn a_prompt_is_between_who_asked_and_the_agent(gateway: &Gateway) {
    let world = gateway.world().await;
    let mut asker = world.b.watch().await;
    let mut other = world.a.watch().await;
    let mut daemon = world.a.daemon_socket(&[world.r1]).await;
    daemon.beat(world.r1).await;
    let ask = json!({"prompt": "p", "agent_id": world.g1});
    let asked = world.b.post("/api/issues/quick-create", ask).await.expect(202);
    assert_eq!(other.heard().await, Vec::<Value>::new());
    let woken = daemon.wait_for("daemon:task_available").await;
    assert_eq!(woken["task_id"], asked["task_id"]);

    let task = world.a.run_one(world.r1).await;
    world.a.complete(task, json!({"output": "nothing"})).await;
    let events = asker.heard().await;
    let item = &payload(&events, "inbox:new")["item"];
    assert_eq!((&item["type"], &item["recipient_id"]), (&json!("quick_create_failed"), &json!(world.b.id)));
    let events = other.heard().await;
    assert!(kinds(&events).contains(&"task:completed"), "{events:?}");
    assert!(!kinds(&events).contains(&"inbox:new"), "{events:?}");
}

#[apply(on_both)]
async fn a_parents_comment_is_the_systems(gateway: &Gateway) {
    let world = gateway.world().await;
    let new = json!({"title": "Parent", "assignee_type": "agent", "assignee_id": world.g1});
    let parent = world.a.post("/api/issues", new).await.expect(201);
    world.a.run_one(world.r1).await;
    let child = json!({"title": "Child", "parent_issue_id": parent["id"]});
    let child = world.a.post("/api/issues", child).await.expect(201);
    let mut watcher = world.a.watch().await;
    world.a.put(format!("/api/issues/{}", id_of(&child)), json!({"status": "done"})).await.expect(200);
    let events = watcher.heard().await;
    assert_eq!(kinds(&events), ["issue:updated", "activity:created", "comment:created", "task:queued"]);
    assert_eq!((&events[2]["actor_type"], &events[2]["actor_id"]), (&json!("system"), &json!("")));
    assert_eq!(events[2]["payload"]["comment"]["issue_id"], parent["id"]);
}
