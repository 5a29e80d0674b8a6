//! An issue from a prompt.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Client, Gateway, ahead, id_of};

async fn ask(client: &Client, body: Value) -> Uuid {
    let answer = client.post("/api/issues/quick-create", body).await.expect(202);
    assert_eq!(answer.as_object().unwrap().len(), 1);
    answer["task_id"].as_str().unwrap().parse().unwrap()
}

/// Domain item 160.
/// Domain item 160. User item 115, when all is well.
#[apply(on_both)]
async fn a_prompt_becomes_a_task_of_its_own(gateway: &Gateway) {
    let world = gateway.world().await;
    let squad = gateway.seed_squad(world.w1, "Core", world.g1, json!({})).await;
    let project = gateway.seed_project(world.w1, "Billing", json!({})).await;
    let attachment = Uuid::new_v4();
    let body = json!({
        "prompt": "  write it down ", "squad_id": squad, "project_id": project, "parent_issue_id": world.i1,
        "attachment_ids": [attachment],
    });
    let task = ask(&world.a, body).await;
    const SQL: &str = "SELECT agent_id, issue_id, status, priority, context, is_leader_task, squad_id,
        originator_user_id FROM agent_task_queue WHERE id = $1";
    let expected = json!({
        "agent_id": world.g1, "issue_id": null, "status": "queued", "priority": 3, "is_leader_task": false,
        "squad_id": null, "originator_user_id": world.a.id,
        "context": {
            "type": "quick_create", "prompt": "write it down", "requester_id": world.a.id,
            "workspace_id": world.w1, "project_id": project, "squad_id": squad, "parent_issue_id": world.i1,
            "attachment_ids": [attachment],
        },
    });
    assert_eq!(gateway.row(SQL, json!([task])).await, expected);
    let claimed = world.a.claim_one(world.r1).await;
    assert_eq!((&claimed["kind"], &claimed["priority"]), (&json!("quick_create"), &json!(3)));
    let plain =
        ask(&world.a, json!({"prompt": "p", "agent_id": world.g1, "project_id": "", "squad_id": ""})).await;
    let context = gateway.value("SELECT context FROM agent_task_queue WHERE id = $1", json!([plain])).await;
    assert_eq!(context.as_object().unwrap().len(), 4);
    // One prompt of an agent at a time.
    assert!(world.a.claim(world.r1).await.is_none());
}

/// Domain item 161, and the order of what is wrong.
/// Domain item 161. User item 115, and the order of what is wrong.
#[apply(on_both)]
async fn what_cannot_be_asked_is_refused_in_order(gateway: &Gateway) {
    let world = gateway.world().await;
    let ask = |body: Value| world.a.post("/api/issues/quick-create", body);
    let old = world.a.register_with(json!({
        "daemon_id": "dm-old", "device_name": "old", "cli_version": "0.2.20",
        "runtimes": [{"type": "claude", "version": "1", "status": "online"}],
    }));
    let old = id_of(&old.await.ok()["runtimes"][0]);
    let slow = gateway.seed_agent(old, "Slow", json!({})).await;
    let away = gateway.seed_runtime(world.w1, world.a.id, json!({"status": "offline"})).await;
    let absent = gateway.seed_agent(away, "Absent", json!({})).await;
    let archived = gateway.seed_agent(world.r1, "Old", json!({"archived_at": ahead(-60)})).await;
    let private = json!({"owner_id": world.b.id, "permission_mode": "private"});
    let secret = gateway.seed_agent(world.r1, "Secret", private).await;
    let gone = gateway.seed_squad(world.w1, "Gone", world.g1, json!({"archived_at": ahead(-60)})).await;
    let theirs = gateway.seed_squad(world.w1, "Theirs", secret, json!({})).await;
    let g1 = world.g1;
    for (sent, status, expected) in [
        (json!({"prompt": 5}), 400, "invalid request body"),
        (json!({"prompt": " \n"}), 400, "prompt is required"),
        (json!({"prompt": "p"}), 400, "exactly one of agent_id or squad_id is required"),
        (
            json!({"prompt": "p", "agent_id": g1, "squad_id": gone}),
            400,
            "exactly one of agent_id or squad_id is required",
        ),
        (json!({"prompt": "p", "squad_id": "x"}), 400, "invalid squad_id"),
        (json!({"prompt": "p", "squad_id": Uuid::new_v4()}), 404, "squad not found"),
        (json!({"prompt": "p", "squad_id": gone}), 400, "squad is archived"),
        (json!({"prompt": "p", "squad_id": theirs}), 403, "cannot assign to private agent"),
        (json!({"prompt": "p", "agent_id": "x"}), 400, "invalid agent_id"),
        (
            json!({"prompt": "p", "agent_id": world.g2}),
            400,
            "assignee_id does not refer to an agent of this workspace",
        ),
        (json!({"prompt": "p", "agent_id": archived}), 400, "cannot assign to archived agent"),
        (json!({"prompt": "p", "agent_id": secret}), 403, "cannot assign to private agent"),
        (json!({"prompt": "p", "agent_id": g1, "attachment_ids": ["x"]}), 400, "invalid attachment_ids"),
        (json!({"prompt": "p", "agent_id": g1, "project_id": "x"}), 400, "invalid project_id"),
        (json!({"prompt": "p", "agent_id": g1, "project_id": Uuid::new_v4()}), 400, "project not found"),
        (json!({"prompt": "p", "agent_id": g1, "parent_issue_id": "x"}), 400, "invalid parent_issue_id"),
        (
            json!({"prompt": "p", "agent_id": g1, "parent_issue_id": world.i2}),
            400,
            "parent issue not found in this workspace",
        ),
    ] {
        ask(sent).await.refused(status, expected);
    }
    let refusal = ask(json!({"prompt": "p", "agent_id": absent, "project_id": "x"})).await.expect(422);
    assert_eq!(refusal, json!({"code": "agent_unavailable", "reason": "agent's runtime is offline"}));
    let refusal = ask(json!({"prompt": "p", "agent_id": slow})).await.expect(422);
    let expected = json!({
        "code": "daemon_version_unsupported", "current_version": "0.2.20", "min_version": "0.2.21",
        "runtime_id": old,
    });
    assert_eq!(refusal, expected);
    assert!(gateway.rows("SELECT id FROM agent_task_queue", json!([])).await.is_empty());
}

/// Daemon item 183. User item 186. Domain item 162.
#[apply(on_both)]
async fn the_issue_that_was_made_is_bound_to_its_task_and_reported(gateway: &Gateway) {
    let world = gateway.world().await;
    let task = ask(&world.b, json!({"prompt": "write it down", "agent_id": world.g1})).await;
    let claimed = world.a.claim_one(world.r1).await;
    world.a.start(task).await;
    let agent = gateway.bearer(claimed["auth_token"].as_str().unwrap());
    let body = json!({"title": "Written", "origin_type": "quick_create", "origin_id": task});
    let issue = agent.post("/api/issues", body).await.expect(201);
    world.a.complete(task, json!({"output": "done"})).await;

    let bound = gateway.value("SELECT issue_id FROM agent_task_queue WHERE id = $1", json!([task])).await;
    assert_eq!(bound, issue["id"]);
    let runs = world.a.get(format!("/api/issues/{}/task-runs", id_of(&issue))).await.expect(200);
    assert_eq!(runs[0]["kind"], "direct");
    let follows = "SELECT reason FROM issue_subscriber WHERE issue_id = $1 AND user_id = $2";
    assert_eq!(gateway.value(follows, json!([issue["id"], world.b.id])).await, "creator");
    let item = gateway
        .row("SELECT recipient_id, type, severity, issue_id, title, actor_type, actor_id, details FROM inbox_item", json!([]))
        .await;
    let expected = json!({
        "recipient_id": world.b.id, "type": "quick_create_done", "severity": "info", "issue_id": issue["id"],
        "title": "Written", "actor_type": "agent", "actor_id": world.g1,
        "details": {
            "task_id": task, "agent_id": world.g1, "issue_id": issue["id"],
            "identifier": issue["identifier"], "original_prompt": "write it down",
        },
    });
    assert_eq!(item, expected);
    // What is given to an agent on that issue runs in the name of whoever asked.
    let to = json!({"assignee_type": "agent", "assignee_id": world.g1});
    world.a.put(format!("/api/issues/{}", id_of(&issue)), to).await.expect(200);
    let sql = "SELECT originator_user_id FROM agent_task_queue WHERE issue_id = $1 AND status = 'queued'";
    assert_eq!(gateway.value(sql, json!([issue["id"]])).await, json!(world.b.id));
}

/// Daemon item 183. Domain item 163, and a run that broke off.
#[apply(on_both)]
async fn whoever_asked_hears_that_nothing_came_of_it(gateway: &Gateway) {
    let world = gateway.world().await;
    let items =
        "SELECT type, severity, issue_id, title, body, details FROM inbox_item ORDER BY created_at, id";
    let failed = |task: Uuid, error: &str| {
        json!({
            "type": "quick_create_failed", "severity": "action_required", "issue_id": null,
            "title": "Quick create failed", "body": error,
            "details": {"task_id": task, "agent_id": world.g1, "original_prompt": "p", "error": error},
        })
    };
    let mut expected = Vec::new();
    let idle = ask(&world.a, json!({"prompt": "p", "agent_id": world.g1})).await;
    world.a.run_one(world.r1).await;
    world.a.complete(idle, json!({"output": "I thought about it"})).await;
    expected.push(failed(idle, "agent finished without creating an issue"));
    let broken = ask(&world.a, json!({"prompt": "p", "agent_id": world.g1})).await;
    world.a.run_one(world.r1).await;
    world.a.fail(broken, json!({"error": "PASSWORD=hunter2 was refused"})).await;
    expected.push(failed(broken, "[REDACTED CREDENTIAL] was refused"));
    let mute = ask(&world.a, json!({"prompt": "p", "agent_id": world.g1})).await;
    world.a.run_one(world.r1).await;
    world.a.fail(mute, json!({"error": ""})).await;
    expected.push(failed(mute, "Quick create did not finish successfully"));
    assert_eq!(gateway.rows(items, json!([])).await, expected);
    gateway.assert_settled().await;
}

/// Domain item 265: an issue says only truly where it comes from.
#[apply(on_both)]
async fn only_the_agent_that_runs_a_prompt_names_it(gateway: &Gateway) {
    let world = gateway.world().await;
    let hal = gateway.seed_agent(world.r1, "Hal", json!({})).await;
    let foreign = gateway.seed_quick_create(world.g2, "elsewhere", json!({})).await;
    let task = ask(&world.a, json!({"prompt": "p", "agent_id": world.g1})).await;
    let claimed = world.a.claim_one(world.r1).await;
    let other = ask(&world.b, json!({"prompt": "q", "agent_id": hal})).await;
    let agent = gateway.bearer(claimed["auth_token"].as_str().unwrap());
    let named =
        |id: Uuid| json!({"title": format!("From {id}"), "origin_type": "quick_create", "origin_id": id});
    let refusal = "origin_id does not refer to the quick-create task of the caller";
    for id in [other, foreign, Uuid::new_v4()] {
        agent.post("/api/issues", named(id)).await.refused(400, refusal);
    }
    world.a.post("/api/issues", named(task)).await.refused(400, refusal);
    agent.post("/api/issues", named(task)).await.expect(201);
    // A task that is no prompt is none, even its own.
    let issue = gateway.seed_issue_task(hal, json!({"priority": 9})).await;
    let working = world.a.claim_one(world.r1).await;
    assert_eq!(id_of(&working), issue);
    let agent = gateway.bearer(working["auth_token"].as_str().unwrap());
    agent.post("/api/issues", named(issue)).await.refused(400, refusal);
}
