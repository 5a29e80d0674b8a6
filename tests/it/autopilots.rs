//! Autopilots: what they are, who may change them, and what happens when they go off.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Client, Gateway, World, ahead, check_values, id_of, over};

/// An autopilot for the world's agent.
pub async fn make(client: &Client, agent: Uuid, more: Value) -> Uuid {
    let body = json!({"title": "Nightly", "assignee_id": agent, "execution_mode": "create_issue"});
    id_of(&client.post("/api/autopilots", over(body, more)).await.expect(201))
}

async fn fire(client: &Client, autopilot: Uuid) -> Value {
    client.post(format!("/api/autopilots/{autopilot}/trigger"), ()).await.expect(200)
}

async fn run(client: &Client, autopilot: Uuid, run: &Value) -> Value {
    client.get(format!("/api/autopilots/{autopilot}/runs/{}", id_of(run))).await.expect(200)
}

/// User item 155.
#[apply(on_both)]
async fn mistakes_are_told_in_the_order_of_the_members(gateway: &Gateway) {
    let world = gateway.world().await;
    let foreign = gateway.seed_project(world.w2, "Elsewhere", json!({})).await;
    let archived_squad =
        gateway.seed_squad(world.w1, "Gone", world.g1, json!({"archived_at": ahead(0)})).await;
    let left = gateway.seed_agent(world.r1, "Left", json!({"archived_at": ahead(0)})).await;
    let headless = gateway.seed_squad(world.w1, "Headless", left, json!({})).await;
    let private = json!({"permission_mode": "private", "owner_id": world.b.id});
    let private = gateway.seed_agent(world.r1, "Private", private).await;
    let secret = gateway.seed_squad(world.w1, "Secret", private, json!({})).await;
    let mut body = json!({});
    let mut refused = async |more: Value, status: u16, error: &str| {
        body = over(body.clone(), more);
        world.a.post("/api/autopilots", body.clone()).await.refused(status, error);
    };
    refused(json!({}), 400, "title is required").await;
    refused(json!({"title": " "}), 400, "title is required").await;
    refused(json!({"title": "T"}), 400, "assignee_id is required").await;
    refused(json!({"assignee_id": "x"}), 400, "execution_mode is required").await;
    let mode = json!({"execution_mode": "both"});
    refused(mode, 400, "execution_mode must be create_issue or run_only").await;
    let template = json!({"execution_mode": "create_issue", "issue_title_template": "{{foo}}"});
    refused(template, 400, "unknown template variable \"foo\"; supported: {{date}}").await;
    refused(json!({"issue_title_template": "On {{date}}"}), 400, "invalid assignee_id").await;
    let member = json!({"assignee_id": world.g2, "assignee_type": "member"});
    refused(member, 400, "assignee_type must be agent or squad").await;
    let agent = json!({"assignee_type": "agent"});
    refused(agent, 400, "assignee must be a valid agent in this workspace").await;
    let squad = json!({"assignee_type": "squad"});
    refused(squad, 400, "assignee must be a valid squad in this workspace").await;
    let archived = json!({"assignee_id": archived_squad});
    refused(archived, 422, "squad is archived; pick a different squad").await;
    let leader =
        "squad leader is archived; pick a different squad or rotate the leader before assigning autopilot";
    refused(json!({"assignee_id": headless}), 422, leader).await;
    let private = json!({"assignee_id": secret});
    refused(private, 403, "cannot assign autopilot to squad with private leader").await;
    // An archived agent passes here: each run looks again.
    let agent = json!({"assignee_id": left, "assignee_type": "agent", "project_id": "x"});
    refused(agent, 400, "invalid project_id").await;
    let project = json!({"project_id": foreign});
    refused(project, 400, "project_id must reference a project in this workspace").await;
    let subscribers = json!({"project_id": "", "subscribers": [{"user_type": "agent"}]});
    refused(subscribers, 400, "subscribers[0].user_type must be 'member'").await;
    let subscribers = json!({"subscribers": [{"user_type": "member"}]});
    refused(subscribers, 400, "subscribers[0].user_id is required").await;
    let subscribers = json!({"subscribers": [{"user_type": "member", "user_id": "x"}]});
    refused(subscribers, 400, "invalid subscribers[0].user_id").await;
    let stranger = json!({"subscribers": [{"user_type": "member", "user_id": world.c.id}]});
    refused(stranger, 400, "subscribers[0] is not a member of this workspace").await;
    world.a.post("/api/autopilots", "[").await.refused(400, "invalid request body");

    let good = json!({"subscribers": [{"user_type": "member", "user_id": world.b.id}]});
    let made = world.a.post("/api/autopilots", over(body, good)).await.expect(201);
    let expected = json!({
        "workspace_id": world.w1, "title": "T", "description": null, "project_id": null,
        "assignee_type": "agent", "assignee_id": left, "status": "active", "execution_mode": "create_issue",
        "issue_title_template": "On {{date}}", "created_by_type": "member", "created_by_id": world.a.id,
        "last_run_at": null,
    });
    check_values(&made, &expected);
    assert_eq!(made["subscribers"][0]["user_id"], json!(world.b.id));
}

/// Who made it, who runs the workspace, and whom they let in.
#[apply(on_both)]
async fn only_some_may_change_an_autopilot(gateway: &Gateway) {
    let world = gateway.world().await;
    let (cid, dan) = (gateway.join("Cid", "member").await, gateway.join("Dan", "member").await);
    let autopilot = make(&world.b, world.g1, json!({})).await;
    let at = |rest: &str| format!("/api/autopilots/{autopilot}{rest}");
    let denied =
        "only the autopilot creator, a workspace admin, or a granted collaborator can manage this autopilot";
    cid.patch(at(""), json!({"title": "Mine"})).await.refused(403, denied);
    cid.delete(at("")).await.refused(403, denied);
    cid.post(at("/trigger"), ()).await.refused(403, denied);
    cid.post(at("/triggers"), json!({"kind": "webhook"})).await.refused(403, denied);
    let manage = "only the autopilot creator or a workspace admin can manage access";
    cid.post(at("/collaborators"), json!({"user_id": cid.id})).await.refused(403, manage);

    let share = |body: Value| world.b.post(at("/collaborators"), body);
    share(json!({})).await.refused(400, "user_id is required");
    share(json!({"user_id": "x"})).await.refused(400, "invalid user_id");
    share(json!({"user_id": world.c.id})).await.refused(400, "user_id must be a member of this workspace");
    for _ in 0..2 {
        let shared = share(json!({"user_id": cid.id})).await.expect(201);
        let shared = &shared["collaborators"];
        assert_eq!(shared.as_array().unwrap().len(), 1);
        check_values(
            &shared[0],
            &json!({"user_type": "member", "user_id": cid.id, "granted_by": world.b.id}),
        );
    }
    cid.patch(at(""), json!({"title": "Ours"})).await.expect(200);
    // Being let in is not to let others in.
    cid.post(at("/collaborators"), json!({"user_id": dan.id})).await.refused(403, manage);
    let detail = async |client: &Client| client.get(at("")).await.expect(200)["autopilot"].clone();
    check_values(&detail(&cid).await, &json!({"can_write": true, "can_manage_access": false}));
    check_values(&detail(&dan).await, &json!({"can_write": false, "can_manage_access": false}));
    check_values(&detail(&world.a).await, &json!({"can_write": true, "can_manage_access": true}));
    let listed = cid.get("/api/autopilots").await.expect(200);
    assert_eq!((&listed["total"], &listed["autopilots"][0]["can_write"]), (&json!(1), &json!(true)));

    let left = world.b.delete(at(&format!("/collaborators/{}", cid.id))).await.expect(200);
    assert_eq!(left, json!({"collaborators": []}));
    cid.patch(at(""), json!({"title": "Mine"})).await.refused(403, denied);
    assert_eq!(world.b.delete(at("")).await.status, 204);
    world.b.get(at("")).await.refused(404, "autopilot not found");
    world.b.get("/api/autopilots/x").await.refused(400, "invalid autopilot id");
    let other = make(&world.b, world.g1, json!({})).await;
    world.c.get(format!("/api/autopilots/{other}")).await.refused(404, "autopilot not found");
}

/// User item 159.
#[apply(on_both)]
async fn what_is_sent_changes_and_the_rest_stays(gateway: &Gateway) {
    let world = gateway.world().await;
    let project = gateway.seed_project(world.w1, "Tidy", json!({})).await;
    let squad = gateway.seed_squad(world.w1, "Crew", world.g1, json!({})).await;
    let more = json!({
        "description": "Look", "project_id": project, "issue_title_template": "{{date}}",
        "subscribers": [{"user_type": "member", "user_id": world.b.id}],
    });
    let autopilot = make(&world.a, world.g1, more).await;
    let at = format!("/api/autopilots/{autopilot}");
    let patch = |body: Value| world.a.patch(&at, body);
    patch(json!({"assignee_id": null})).await.refused(400, "assignee_id cannot be null");
    let kind = patch(json!({"assignee_type": "squad"})).await;
    kind.refused(400, "assignee_id is required when changing assignee_type");
    patch(json!({"status": "odd"})).await.refused(400, "status must be active, paused or archived");
    let same = json!({"title": null, "status": null, "execution_mode": null, "description": null});
    let same = patch(same).await.expect(200);
    let expected = json!({
        "title": "Nightly", "description": "Look", "project_id": project, "status": "active",
        "execution_mode": "create_issue", "issue_title_template": "{{date}}",
    });
    check_values(&same, &expected);
    assert_eq!(same["subscribers"].as_array().unwrap().len(), 1);
    let changed = json!({
        "title": "Daily", "status": "paused", "execution_mode": "run_only", "project_id": null,
        "issue_title_template": null, "subscribers": null, "assignee_type": "squad", "assignee_id": squad,
    });
    let changed = patch(changed).await.expect(200);
    let expected = json!({
        "title": "Daily", "status": "paused", "execution_mode": "run_only", "project_id": null,
        "issue_title_template": null, "subscribers": [], "assignee_type": "squad", "assignee_id": squad,
    });
    check_values(&changed, &expected);
    let paused = world.a.get("/api/autopilots?status=paused").await.expect(200);
    assert_eq!(paused["total"], 1);
    assert_eq!(world.a.get("/api/autopilots?status=active").await.expect(200)["total"], 0);
    // User item 159.
    world.a.post(format!("{at}/trigger"), ()).await.refused(400, "autopilot is not active");
}

/// User items 156 and 160.
#[apply(on_both)]
async fn an_autopilot_makes_an_issue_and_follows_it(gateway: &Gateway) {
    let world = gateway.world().await;
    let more = json!({
        "description": "Look around.", "issue_title_template": "Report {{date}}",
        "subscribers": [{"user_type": "member", "user_id": world.b.id}],
    });
    let autopilot = make(&world.a, world.g1, more).await;
    let fired = fire(&world.a, autopilot).await;
    let expected = json!({
        "autopilot_id": autopilot, "trigger_id": null, "source": "manual", "status": "issue_created",
        "task_id": null, "completed_at": null, "failure_reason": null, "trigger_payload": null, "result": null,
    });
    check_values(&fired, &expected);
    let issue: Uuid = fired["issue_id"].as_str().unwrap().parse().unwrap();
    const ISSUE: &str =
        "SELECT title, description, status, priority, assignee_type, assignee_id, creator_type,
        creator_id, origin_type, origin_id FROM issue WHERE id = $1";
    let row = gateway.row(ISSUE, json!([issue])).await;
    let day = &ahead(0)[..10];
    let expected = json!({
        "status": "todo", "priority": "none", "assignee_type": "agent", "assignee_id": world.g1,
        "creator_type": "agent", "creator_id": world.g1, "origin_type": "autopilot", "origin_id": autopilot,
    });
    check_values(&row, &expected);
    // At midnight the day may have changed between the two.
    assert!(row["title"].as_str().unwrap().starts_with("Report 2"), "{row}, on {day}");
    let description = row["description"].as_str().unwrap();
    let (words, footer) = description.split_once("\n\n---\n*Autopilot run triggered at ").unwrap();
    assert_eq!(words, "Look around.");
    let end = " UTC. After starting work, rename this issue to accurately reflect what you are doing.*";
    assert!(footer.ends_with(end), "{description}");
    let followers = "SELECT reason FROM issue_subscriber WHERE issue_id = $1 AND user_id = $2";
    assert_eq!(gateway.value(followers, json!([issue, world.b.id])).await, "autopilot");

    let claimed = world.a.claim_one(world.r1).await;
    check_values(&claimed, &json!({"issue_id": issue, "kind": "direct", "priority": 0}));
    world.a.start(id_of(&claimed)).await;
    world.a.complete(id_of(&claimed), json!({"output": "Done"})).await;
    assert_eq!(run(&world.a, autopilot, &fired).await["status"], "issue_created");
    world.a.put(format!("/api/issues/{issue}"), json!({"status": "done"})).await.expect(200);
    let ended = run(&world.a, autopilot, &fired).await;
    assert_eq!((&ended["status"], &ended["failure_reason"]), (&json!("completed"), &Value::Null));
    assert_ne!(ended["completed_at"], Value::Null);

    for (status, reason) in [("cancelled", "issue cancelled"), ("blocked", "issue blocked")] {
        let fired = fire(&world.a, autopilot).await;
        let issue = fired["issue_id"].as_str().unwrap();
        world.a.put(format!("/api/issues/{issue}"), json!({"status": status})).await.expect(200);
        let ended = run(&world.a, autopilot, &fired).await;
        check_values(&ended, &json!({"status": "failed", "failure_reason": reason}));
    }
    let runs = world.a.get(format!("/api/autopilots/{autopilot}/runs?limit=2")).await.expect(200);
    assert_eq!((runs["runs"].as_array().unwrap().len(), &runs["total"]), (2, &json!(2)));
    let listed = world.a.get("/api/autopilots").await.expect(200);
    assert_eq!(listed["autopilots"][0]["last_run_status"], "failed");
    assert_ne!(listed["autopilots"][0]["last_run_at"], Value::Null);
}

/// The run of an issue whose last task failed has failed.
#[apply(on_both)]
async fn a_run_fails_with_the_last_task_of_its_issue(gateway: &Gateway) {
    let world = gateway.world().await;
    let autopilot = make(&world.a, world.g1, json!({})).await;
    let fired = fire(&world.a, autopilot).await;
    let task = world.a.run_one(world.r1).await;
    world.a.fail(task, json!({"error": "lost", "failure_reason": "timeout"})).await;
    assert_eq!(run(&world.a, autopilot, &fired).await["status"], "issue_created", "it is tried again");
    let task = world.a.run_one(world.r1).await;
    world.a.fail(task, json!({"error": "lost again", "failure_reason": "timeout"})).await;
    let ended = run(&world.a, autopilot, &fired).await;
    check_values(&ended, &json!({"status": "failed", "failure_reason": "lost again"}));
}

/// User items 157 and 158. Domain items 165 and 166.
#[apply(on_both)]
async fn a_run_without_an_issue_needs_a_runtime_that_is_there(gateway: &Gateway) {
    let world = gateway.world().await;
    let plain = make(&world.a, world.g1, json!({"execution_mode": "run_only"})).await;
    let fired = fire(&world.a, plain).await;
    let task: Uuid = fired["task_id"].as_str().unwrap().parse().unwrap();
    check_values(&fired, &json!({"status": "running", "issue_id": null}));
    const TASK: &str =
        "SELECT priority, trigger_summary, originator_user_id, runtime_mcp_overlay, autopilot_run_id
        FROM agent_task_queue WHERE id = $1";
    let expected = json!({
        "priority": 0, "trigger_summary": "Nightly", "originator_user_id": null, "runtime_mcp_overlay": null,
        "autopilot_run_id": fired["id"],
    });
    assert_eq!(gateway.row(TASK, json!([task])).await, expected);
    let claimed = world.a.claim_one(world.r1).await;
    let expected = json!({
        "id": task, "kind": "autopilot", "autopilot_id": plain, "autopilot_title": "Nightly",
        "autopilot_source": "manual", "thread_name": "Nightly",
    });
    check_values(&claimed, &expected);
    world.a.start(task).await;
    world.a.complete(task, json!({"output": "All good"})).await;
    let ended = run(&world.a, plain, &fired).await;
    assert_eq!((&ended["status"], &ended["result"]["output"]), (&json!("completed"), &json!("All good")));

    let fired = fire(&world.a, plain).await;
    let stopped = fired["task_id"].as_str().unwrap();
    world.a.post(format!("/api/tasks/{stopped}/cancel"), ()).await.expect(200);
    let ended = run(&world.a, plain, &fired).await;
    check_values(&ended, &json!({"status": "failed", "failure_reason": "task cancelled"}));

    world.a.post("/api/daemon/deregister", json!({"runtime_ids": [world.r1]})).await.expect(200);
    let skipped = fire(&world.a, plain).await;
    let reason = "agent runtime is offline at dispatch time";
    check_values(&skipped, &json!({"status": "skipped", "failure_reason": reason, "task_id": null}));
    // An issue can wait.
    let patient = make(&world.a, world.g1, json!({})).await;
    assert_eq!(fire(&world.a, patient).await["status"], "issue_created");
    const QUEUED: &str = "SELECT count(*) FROM agent_task_queue WHERE status = 'queued'";
    assert_eq!(gateway.value(QUEUED, json!([])).await, 1);
}

/// Domain item 168, and the other reasons for which nothing starts.
#[apply(on_both)]
async fn a_run_that_may_not_start_is_skipped(gateway: &Gateway) {
    let world = gateway.world().await;
    let skipped = async |autopilot: Uuid, reason: &str| {
        let fired = fire(&world.a, autopilot).await;
        check_values(&fired, &json!({"status": "skipped", "failure_reason": reason}));
        assert_ne!(fired["completed_at"], Value::Null);
    };
    let agent = gateway.seed_agent(world.r1, "Turned", json!({})).await;
    let autopilot = make(&world.a, agent, json!({})).await;
    gateway.change("agent", agent, "permission_mode", json!("private")).await;
    gateway.change("agent", agent, "owner_id", json!(world.b.id)).await;
    skipped(autopilot, "autopilot creator lacks access to private assignee agent").await;
    gateway.change("agent", agent, "archived_at", json!(ahead(0))).await;
    skipped(autopilot, "assignee agent is archived").await;

    let squad = gateway.seed_squad(world.w1, "Crew", world.g1, json!({})).await;
    let led = make(&world.a, squad, json!({"assignee_type": "squad"})).await;
    assert_eq!(fire(&world.a, led).await["status"], "issue_created");
    const LEADER: &str = "SELECT is_leader_task, squad_id FROM agent_task_queue WHERE agent_id = $1";
    let expected = json!({"is_leader_task": true, "squad_id": squad});
    assert_eq!(gateway.row(LEADER, json!([world.g1])).await, expected);
    gateway.change("squad", squad, "archived_at", json!(ahead(0))).await;
    skipped(led, "assignee squad is archived").await;
    gateway.change("autopilot", led, "assignee_id", json!(Uuid::new_v4())).await;
    skipped(led, "assignee squad cannot be resolved").await;
}

/// A deleted autopilot takes along what runs for it.
#[apply(on_both)]
async fn deleting_an_autopilot_stops_its_runs(gateway: &Gateway) {
    let world = gateway.world().await;
    let autopilot = make(&world.a, world.g1, json!({"execution_mode": "run_only"})).await;
    // Two at once: they have no lane, and must not get one when their link goes.
    for _ in 0..2 {
        fire(&world.a, autopilot).await;
        world.a.run_one(world.r1).await;
    }
    assert_eq!(world.a.delete(format!("/api/autopilots/{autopilot}")).await.status, 204);
    assert_eq!(gateway.value("SELECT count(*) FROM autopilot_run", json!([])).await, 0);
    gateway.assert_settled().await;
}

async fn until(world: &World, autopilot: Uuid, runs: usize) -> Vec<Value> {
    loop {
        let found = world.a.get(format!("/api/autopilots/{autopilot}/runs")).await.expect(200);
        let found = found["runs"].as_array().unwrap().clone();
        if found.len() >= runs {
            return found;
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}

/// Domain item 167: a time that is due runs once, however many look, and the latest of those that
/// were missed is the one.
#[apply(on_both)]
async fn a_schedule_that_was_missed_runs_once(gateway: &Gateway) {
    let world = gateway.world().await;
    let autopilot = make(&world.a, world.g1, json!({"execution_mode": "run_only"})).await;
    let at = format!("/api/autopilots/{autopilot}/triggers");
    let body = json!({"kind": "schedule", "cron_expression": "0 * * * *", "timezone": "Europe/Berlin"});
    let trigger = world.a.post(&at, body).await.expect(201);
    check_values(&trigger, &json!({"kind": "schedule", "enabled": true, "timezone": "Europe/Berlin"}));
    let next = trigger["next_run_at"].clone();
    gateway.change("autopilot_trigger", id_of(&trigger), "next_run_at", json!(ahead(-3 * 3600))).await;
    if gateway.engine == crate::harness::Engine::Postgres {
        let other = gateway.second_node().await;
        until(&world, autopilot, 1).await;
        other.finish().await;
    }
    let runs = until(&world, autopilot, 1).await;
    assert_eq!(runs.len(), 1);
    check_values(&runs[0], &json!({"source": "schedule", "status": "running", "trigger_id": trigger["id"]}));
    // The trigger moves on after the run was stored.
    let detail =
        async || world.a.get(format!("/api/autopilots/{autopilot}")).await.expect(200)["triggers"][0].clone();
    let mut moved = detail().await;
    while moved["last_fired_at"].is_null() {
        moved = detail().await;
    }
    assert!(moved["next_run_at"].as_str() >= next.as_str(), "{moved} after {next}");
    assert_eq!(until(&world, autopilot, 1).await.len(), 1);

    // Due for the same time once more, it moves on without a run. A start looks at once.
    let planned = gateway.value("SELECT planned_at FROM autopilot_run", json!([])).await;
    gateway.change("autopilot_trigger", id_of(&trigger), "next_run_at", planned.clone()).await;
    gateway.restart();
    let due = "SELECT count(*) FROM autopilot_trigger WHERE next_run_at <= $1";
    while gateway.value(due, json!([planned])).await == 1 {}
    assert_eq!(until(&world, autopilot, 1).await.len(), 1);
}

/// A schedule that is more than a day late is passed over.
#[apply(on_both)]
async fn a_schedule_that_is_a_day_late_waits_for_its_next_time(gateway: &Gateway) {
    let world = gateway.world().await;
    let autopilot = make(&world.a, world.g1, json!({"execution_mode": "run_only"})).await;
    // Once a year, half a year away in either direction.
    let month = (ahead(180 * 86400)[5..7].parse::<u32>().unwrap() - 1) % 12 + 1;
    let body = json!({"kind": "schedule", "cron_expression": format!("0 0 1 {month} *")});
    let trigger =
        id_of(&world.a.post(format!("/api/autopilots/{autopilot}/triggers"), body).await.expect(201));
    let overdue = ahead(-90 * 86400);
    gateway.change("autopilot_trigger", trigger, "next_run_at", json!(overdue)).await;
    const NEXT: &str = "SELECT next_run_at FROM autopilot_trigger WHERE id = $1";
    while gateway.value(NEXT, json!([trigger])).await.as_str().unwrap() < ahead(0).as_str() {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    assert_eq!(until(&world, autopilot, 0).await, Vec::<Value>::new());
}
