//! What starts when an issue is written.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Client, Gateway, ahead, id_of};

async fn create(client: &Client, body: Value) -> Value {
    client.post("/api/issues", body).await.expect(201)
}

/// An issue in the given status, for the agent.
async fn assigned(client: &Client, title: &str, agent: Uuid, status: &str) -> Value {
    let body = json!({
        "title": title, "status": status, "priority": "high", "assignee_type": "agent", "assignee_id": agent,
    });
    create(client, body).await
}

async fn update(client: &Client, issue: &Value, body: Value) -> Value {
    client.put(format!("/api/issues/{}", id_of(issue)), body).await.expect(200)
}

/// The tasks of an issue, oldest first.
async fn tasks(gateway: &Gateway, issue: &Value) -> Vec<Value> {
    const SQL: &str =
        "SELECT agent_id, status, priority, is_leader_task, squad_id, handoff_note, originator_user_id
        FROM agent_task_queue WHERE issue_id = $1 ORDER BY created_at, id";
    gateway.rows(SQL, json!([issue["id"]])).await
}

async fn statuses(gateway: &Gateway, issue: &Value) -> Vec<String> {
    let rows = tasks(gateway, issue).await;
    rows.iter().map(|row| row["status"].as_str().unwrap().to_owned()).collect()
}

/// User item 99. Domain items 128 and 129.
#[apply(on_both)]
async fn an_assigned_issue_starts_its_agent_unless_it_waits_in_the_backlog(gateway: &Gateway) {
    let world = gateway.world().await;
    let issue = assigned(&world.a, "One", world.g1, "todo").await;
    let expected = json!({
        "agent_id": world.g1, "status": "queued", "priority": 3, "is_leader_task": false, "squad_id": null,
        "handoff_note": null, "originator_user_id": world.a.id,
    });
    assert_eq!(tasks(gateway, &issue).await, [expected]);
    let waiting = assigned(&world.a, "Two", world.g1, "backlog").await;
    assert!(tasks(gateway, &waiting).await.is_empty());
    update(&world.a, &waiting, json!({"status": "todo"})).await;
    assert_eq!(statuses(gateway, &waiting).await, ["queued"]);
    // Back and forth: what waits already is enough.
    update(&world.a, &waiting, json!({"status": "backlog"})).await;
    update(&world.a, &waiting, json!({"status": "in_progress"})).await;
    assert_eq!(statuses(gateway, &waiting).await, ["queued"]);
    // Even an issue that is over from the start.
    let over = assigned(&world.a, "Three", world.g1, "done").await;
    assert_eq!(statuses(gateway, &over).await, ["queued"]);
    for subscriber in ["agent", "member"] {
        let sql = "SELECT reason FROM issue_subscriber WHERE issue_id = $1 AND user_type = $2";
        let reason = gateway.value(sql, json!([issue["id"], subscriber])).await;
        assert_eq!(reason, if subscriber == "agent" { "assignee" } else { "creator" });
    }
}

/// Domain item 130.
#[apply(on_both)]
async fn leaving_the_backlog_for_the_end_starts_nothing(gateway: &Gateway) {
    let world = gateway.world().await;
    for (title, status) in [("One", "done"), ("Two", "cancelled")] {
        let issue = assigned(&world.a, title, world.g1, "backlog").await;
        update(&world.a, &issue, json!({"status": status})).await;
        assert!(tasks(gateway, &issue).await.is_empty(), "{status}");
    }
    // Any other change of status starts nothing either.
    let issue = create(&world.a, json!({"title": "Three"})).await;
    update(
        &world.a,
        &issue,
        json!({"assignee_type": "agent", "assignee_id": world.g1, "suppress_run": true}),
    )
    .await;
    for status in ["in_progress", "blocked", "todo", "done", "todo"] {
        update(&world.a, &issue, json!({"status": status})).await;
    }
    assert!(tasks(gateway, &issue).await.is_empty());
}

/// User items 105 and 106. Domain items 131 to 133.
#[apply(on_both)]
async fn another_assignee_stops_what_ran_and_starts(gateway: &Gateway) {
    let world = gateway.world().await;
    let other = gateway.seed_agent(world.r1, "Hal", json!({})).await;
    let issue = assigned(&world.a, "One", world.g1, "todo").await;
    world.a.run_one(world.r1).await;
    let handed = json!({"assignee_id": other, "handoff_note": "mind the gap"});
    update(&world.a, &issue, handed).await;
    let found = tasks(gateway, &issue).await;
    assert_eq!((&found[0]["status"], &found[0]["agent_id"]), (&json!("cancelled"), &json!(world.g1)));
    assert_eq!((&found[1]["status"], &found[1]["agent_id"]), (&json!("queued"), &json!(other)));
    assert_eq!(found[1]["handoff_note"], "mind the gap");
    let shown = world.a.get(format!("/api/issues/{}/task-runs", id_of(&issue))).await.expect(200);
    assert_eq!(shown[0]["handoff_note"], "mind the gap");
    assert_eq!(world.a.claim_one(world.r1).await["handoff_note"], "mind the gap");

    let silent = json!({"assignee_id": world.g1, "suppress_run": true, "handoff_note": "never read"});
    update(&world.a, &issue, silent).await;
    assert_eq!(statuses(gateway, &issue).await, ["cancelled", "cancelled"]);
    update(&world.a, &issue, json!({"assignee_id": other})).await;
    let person = json!({"assignee_type": "member", "assignee_id": world.b.id});
    update(&world.a, &issue, person).await;
    assert_eq!(statuses(gateway, &issue).await, ["cancelled", "cancelled", "cancelled"]);
    // The same assignee again is no change.
    update(&world.a, &issue, json!({"assignee_type": "agent", "assignee_id": other})).await;
    update(&world.a, &issue, json!({"assignee_type": "agent", "assignee_id": other})).await;
    assert_eq!(statuses(gateway, &issue).await, ["cancelled", "cancelled", "cancelled", "queued"]);
}

/// User item 107. Domain item 134, and the task's token.
#[apply(on_both)]
async fn a_cancelled_issue_stops_its_tasks_and_a_done_one_does_not(gateway: &Gateway) {
    let world = gateway.world().await;
    let done = assigned(&world.a, "One", world.g1, "todo").await;
    update(&world.a, &done, json!({"status": "done"})).await;
    assert_eq!(statuses(gateway, &done).await, ["queued"]);
    let claimed = world.a.claim_one(world.r1).await;
    let agent = gateway.bearer(claimed["auth_token"].as_str().unwrap());
    agent.get("/api/issues").await.expect(200);
    update(&world.a, &done, json!({"status": "cancelled"})).await;
    assert_eq!(statuses(gateway, &done).await, ["cancelled"]);
    agent.get("/api/issues").await.refused(401, "invalid token");
    assert_eq!(world.a.status_of(id_of(&claimed)).await, "cancelled");
    // Given to somebody and called off in one breath, nothing is left to do.
    let hal = gateway.seed_agent(world.r1, "Hal", json!({})).await;
    update(&world.a, &done, json!({"status": "todo"})).await;
    update(&world.a, &done, json!({"assignee_id": hal, "status": "cancelled"})).await;
    assert!(statuses(gateway, &done).await.iter().all(|status| status == "cancelled"));
    gateway.assert_settled().await;
}

/// User item 104. Domain item 135.
#[apply(on_both)]
async fn an_agent_does_not_start_itself_on_the_issue_it_works_on(gateway: &Gateway) {
    let world = gateway.world().await;
    let own = assigned(&world.a, "Own", world.g1, "todo").await;
    let claimed = world.a.claim_one(world.r1).await;
    world.a.start(id_of(&claimed)).await;
    let agent = gateway.bearer(claimed["auth_token"].as_str().unwrap());
    for status in ["backlog", "todo"] {
        update(&agent, &own, json!({"status": status})).await;
    }
    assert_eq!(statuses(gateway, &own).await, ["running"]);
    let other = assigned(&agent, "Other", world.g1, "backlog").await;
    assert_eq!((&other["creator_type"], &other["creator_id"]), (&json!("agent"), &json!(world.g1)));
    update(&agent, &other, json!({"status": "todo"})).await;
    assert_eq!(statuses(gateway, &other).await, ["queued"]);
    // An agent's own issue has no person at the top, unless a prompt led to it.
    assert_eq!(tasks(gateway, &other).await[0]["originator_user_id"], Value::Null);
    // A person may start it again on the issue it works on.
    update(&world.a, &own, json!({"status": "backlog"})).await;
    update(&world.a, &own, json!({"status": "todo"})).await;
    assert_eq!(statuses(gateway, &own).await, ["running", "queued"]);
}

/// User item 100. Domain items 136 and 137.
#[apply(on_both)]
async fn a_squad_is_its_leader_who_must_be_reachable(gateway: &Gateway) {
    let world = gateway.world().await;
    let squad = gateway.seed_squad(world.w1, "Core", world.g1, json!({})).await;
    let given = |title: &str| json!({"title": title, "assignee_type": "squad", "assignee_id": squad});
    let issue = create(&world.a, given("One")).await;
    let found = tasks(gateway, &issue).await;
    assert_eq!(found.len(), 1);
    assert_eq!((&found[0]["agent_id"], &found[0]["squad_id"]), (&json!(world.g1), &json!(squad)));
    assert_eq!(found[0]["is_leader_task"], true);
    world.a.post("/api/daemon/deregister", json!({"runtime_ids": [world.r1]})).await.expect(200);
    let unreachable = create(&world.a, given("Two")).await;
    assert!(tasks(gateway, &unreachable).await.is_empty());
    let patient = assigned(&world.a, "Three", world.g1, "todo").await;
    assert_eq!(statuses(gateway, &patient).await, ["queued"]);
}

/// User items 101 and 102. Domain item 177.
#[apply(on_both)]
async fn not_everybody_can_be_given_work(gateway: &Gateway) {
    let world = gateway.world().await;
    let private = json!({"owner_id": world.b.id, "permission_mode": "private"});
    let secret = gateway.seed_agent(world.r1, "Secret", private).await;
    let archived = gateway.seed_agent(world.r1, "Old", json!({"archived_at": ahead(-60)})).await;
    let led_by_secret = gateway.seed_squad(world.w1, "Theirs", secret, json!({})).await;
    let led_by_archived = gateway.seed_squad(world.w1, "Past", archived, json!({})).await;
    let gone = gateway.seed_squad(world.w1, "Gone", world.g1, json!({"archived_at": ahead(-60)})).await;
    let issue = create(&world.a, json!({"title": "One"})).await;
    for (kind, id, status, expected) in [
        ("agent", secret, 403, "cannot assign to private agent"),
        ("agent", archived, 400, "cannot assign to archived agent"),
        ("agent", world.g2, 400, "assignee_id does not refer to an agent of this workspace"),
        ("member", world.c.id, 400, "assignee_id does not refer to a member of this workspace"),
        ("squad", led_by_secret, 403, "cannot assign to squad with private leader"),
        ("squad", led_by_archived, 400, "squad leader is archived; cannot assign to this squad"),
        ("squad", gone, 400, "cannot assign to an archived squad"),
    ] {
        let to = json!({"assignee_type": kind, "assignee_id": id});
        let path = format!("/api/issues/{}", id_of(&issue));
        world.a.put(&path, to.clone()).await.refused(status, expected);
        let mut new = to.clone();
        new["title"] = "Two".into();
        world.a.post("/api/issues", new).await.refused(status, expected);
        // In a batch it is skipped, and a preview says that nothing starts.
        let batch = json!({"issue_ids": [issue["id"]], "updates": to});
        assert_eq!(world.a.post("/api/issues/batch-update", batch).await.expect(200), json!({"updated": 0}));
        let mut preview = to;
        preview["issue_ids"] = json!([issue["id"]]);
        let preview = world.a.post("/api/issues/preview-trigger", preview).await.expect(200);
        assert_eq!(preview, json!({"triggers": [], "total_count": 0}));
    }
    let admin = gateway.join("Adi", "admin").await;
    let to = json!({"assignee_type": "agent", "assignee_id": secret});
    let refused = admin.put(format!("/api/issues/{}", id_of(&issue)), to).await;
    refused.refused(403, "cannot assign to private agent");
    assigned(&world.b, "Mine", secret, "todo").await;
    gateway.assert_eq_tasks(1).await;
}

/// Domain item 263: what somebody else gave to an agent is not everybody's to start.
#[apply(on_both)]
async fn only_who_may_start_an_agent_takes_its_issue_out_of_the_backlog(gateway: &Gateway) {
    let world = gateway.world().await;
    let private = json!({"owner_id": world.b.id, "permission_mode": "private"});
    let secret = gateway.seed_agent(world.r1, "Secret", private).await;
    let issue = assigned(&world.b, "One", secret, "backlog").await;
    let preview = json!({"issue_ids": [issue["id"]], "status": "todo"});
    for (client, triggers) in [(&world.a, 0), (&world.b, 1)] {
        let preview = client.post("/api/issues/preview-trigger", preview.clone()).await.expect(200);
        assert_eq!(preview["total_count"], triggers);
    }
    assert_eq!(update(&world.a, &issue, json!({"status": "todo"})).await["status"], "todo");
    assert!(tasks(gateway, &issue).await.is_empty());
    update(&world.a, &issue, json!({"status": "backlog"})).await;
    update(&world.b, &issue, json!({"status": "todo"})).await;
    assert_eq!(statuses(gateway, &issue).await, ["queued"]);
}

/// Domain item 138.
#[apply(on_both)]
async fn a_preview_says_what_a_write_then_does(gateway: &Gateway) {
    let world = gateway.world().await;
    let old = world.a.register_with(json!({
        "daemon_id": "dm-old", "device_name": "old", "cli_version": "0.3.27",
        "runtimes": [{"type": "claude", "version": "1", "status": "online"}],
    }));
    let old = id_of(&old.await.ok()["runtimes"][0]);
    let slow = gateway.seed_agent(old, "Slow", json!({})).await;
    let squad = gateway.seed_squad(world.w1, "Core", slow, json!({})).await;
    let preview = |body: Value| world.a.post("/api/issues/preview-trigger", body);
    let to = |kind: &str, id: Uuid| json!({"assignee_type": kind, "assignee_id": id});
    let new = |sent: Value| {
        let mut body = sent;
        body["is_create"] = true.into();
        preview(body)
    };
    let trigger = |issue: &str, agent: Uuid, source: &str, handoff: bool| {
        json!({"triggers": [
            {"issue_id": issue, "agent_id": agent, "source": source, "handoff_supported": handoff},
        ], "total_count": 1})
    };
    let nothing = json!({"triggers": [], "total_count": 0});
    assert_eq!(new(to("agent", world.g1)).await.expect(200), trigger("", world.g1, "assign", true));
    assert_eq!(new(to("squad", squad)).await.expect(200), trigger("", slow, "assign", false));
    assert_eq!(new(to("member", world.b.id)).await.expect(200), nothing);
    assert_eq!(new(json!({})).await.expect(200), nothing);
    let mut waiting = to("agent", world.g1);
    waiting["status"] = "backlog".into();
    assert_eq!(new(waiting).await.expect(200), nothing);

    let backlog = assigned(&world.a, "One", world.g1, "backlog").await;
    let idle = create(&world.a, json!({"title": "Two"})).await;
    let ids = json!([backlog["id"], idle["id"], "x", world.i2, Uuid::new_v4()]);
    let started = preview(json!({"issue_ids": ids, "status": "todo"})).await.expect(200);
    let id = backlog["id"].as_str().unwrap();
    assert_eq!(started, trigger(id, world.g1, "status", true));
    for status in ["done", "cancelled", "backlog", "nonsense"] {
        let body = json!({"issue_ids": [idle["id"]], "status": status});
        assert_eq!(preview(body).await.expect(200), nothing, "{status}");
    }
    let body = json!({"issue_ids": ids, "assignee_type": "squad", "assignee_id": squad});
    // The one in the backlog stays there.
    let started = preview(body).await.expect(200);
    assert_eq!(started, trigger(idle["id"].as_str().unwrap(), slow, "assign", false));
    gateway.assert_eq_tasks(0).await;

    let many: Vec<String> = (0..501).map(|_| Uuid::new_v4().to_string()).collect();
    preview(json!({"issue_ids": many})).await.refused(400, "too many issue_ids");
    preview(json!({"assignee_id": "x"})).await.refused(400, "invalid assignee_id");
    preview(json!({"issue_ids": "x"})).await.refused(400, "invalid request body");

    update(&world.a, &backlog, json!({"status": "todo"})).await;
    update(&world.a, &idle, to("squad", squad)).await;
    assert_eq!(statuses(gateway, &backlog).await, ["queued"]);
    assert_eq!(statuses(gateway, &idle).await, ["queued"]);
}

/// Domain item 140.
#[apply(on_both)]
async fn a_task_knows_the_commit_under_review(gateway: &Gateway) {
    let world = gateway.world().await;
    let issue = create(&world.a, json!({"title": "One"})).await;
    for (state, sha, at) in
        [("open", "aaa", -60), ("merged", "bbb", 0), ("open", "", 0), ("draft", "ccc", -90)]
    {
        let row = json!({"state": state, "head_sha": sha, "pr_updated_at": ahead(at)});
        let request = gateway.seed("github_pull_request", row, json!({})).await;
        gateway
            .insert("issue_pull_request", json!({"issue_id": issue["id"], "pull_request_id": request}))
            .await;
    }
    update(&world.a, &issue, json!({"assignee_type": "agent", "assignee_id": world.g1})).await;
    let context = "SELECT context FROM agent_task_queue WHERE issue_id = $1";
    assert_eq!(gateway.value(context, json!([issue["id"]])).await, json!({"head_sha": "aaa"}));
    let plain = assigned(&world.a, "Two", world.g1, "todo").await;
    assert_eq!(gateway.value(context, json!([plain["id"]])).await, Value::Null);
}

impl Gateway {
    /// How many tasks there are in all.
    async fn assert_eq_tasks(&self, expected: i64) {
        let count = self.value("SELECT count(*) AS count FROM agent_task_queue", json!([])).await;
        assert_eq!(count, expected);
    }
}
