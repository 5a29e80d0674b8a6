//! Children end, and their parent goes on.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Client, Gateway, id_of};

/// A parent that an agent has, and what it is called.
async fn parent(client: &Client, agent: Uuid) -> Value {
    let body = json!({
        "title": "Parent", "assignee_type": "agent", "assignee_id": agent, "status": "backlog", "priority": "high",
    });
    let parent = client.post("/api/issues", body).await.expect(201);
    // Out of the backlog without a run of its own.
    let body = json!({"status": "in_progress", "suppress_run": true});
    client.put(format!("/api/issues/{}", id_of(&parent)), body).await.expect(200)
}

async fn child(client: &Client, parent: &Value, title: &str, stage: Option<i32>) -> Value {
    let body = json!({"title": title, "parent_issue_id": parent["id"], "stage": stage});
    client.post("/api/issues", body).await.expect(201)
}

async fn end(client: &Client, issue: &Value, status: &str) {
    let path = format!("/api/issues/{}", id_of(issue));
    client.put(path, json!({"status": status})).await.expect(200);
}

async fn comments(gateway: &Gateway, issue: &Value) -> Vec<String> {
    let sql = "SELECT content FROM comment WHERE issue_id = $1 ORDER BY created_at, id";
    let rows = gateway.rows(sql, json!([issue["id"]])).await;
    rows.iter().map(|row| row["content"].as_str().unwrap().to_owned()).collect()
}

async fn queued(gateway: &Gateway, issue: &Value) -> Vec<Value> {
    let sql = "SELECT agent_id, priority, is_leader_task, squad_id, originator_user_id, trigger_comment_id
        FROM agent_task_queue WHERE issue_id = $1 AND status = 'queued'";
    gateway.rows(sql, json!([issue["id"]])).await
}

/// User item 110. Domain item 169.
#[apply(on_both)]
async fn the_last_child_tells_the_parents_agent(gateway: &Gateway) {
    let world = gateway.world().await;
    let parent = parent(&world.a, world.g1).await;
    let first = child(&world.a, &parent, "First", None).await;
    let last = child(&world.a, &parent, "Last", None).await;
    end(&world.a, &first, "cancelled").await;
    assert!(comments(gateway, &parent).await.is_empty());
    end(&world.b, &last, "done").await;
    let expected = format!(
        "[@Gus](mention://agent/{}) All sub-issues are complete — the last one, [{}](mention://issue/{}) — \"Last\", just finished. \
         Continue the parent: synthesize the children's results and move it forward, or close it out if nothing remains.",
        world.g1,
        last["identifier"].as_str().unwrap(),
        id_of(&last),
    );
    assert_eq!(comments(gateway, &parent).await, [expected]);
    let comment = gateway
        .row(
            "SELECT id, author_type, author_id, type, parent_id FROM comment WHERE issue_id = $1",
            json!([parent["id"]]),
        )
        .await;
    assert_eq!((&comment["author_type"], &comment["type"]), (&json!("system"), &json!("system")));
    assert_eq!((&comment["author_id"], &comment["parent_id"]), (&json!(Uuid::nil()), &Value::Null));
    let expected = json!({
        "agent_id": world.g1, "priority": 3, "is_leader_task": false, "squad_id": null,
        "originator_user_id": null, "trigger_comment_id": comment["id"],
    });
    assert_eq!(queued(gateway, &parent).await, [expected]);
    // Over is over: a second end says nothing.
    end(&world.a, &last, "cancelled").await;
    assert_eq!(comments(gateway, &parent).await.len(), 1);
    // Opened and ended again it does, and the task that waits is enough.
    end(&world.a, &last, "todo").await;
    end(&world.a, &last, "done").await;
    assert_eq!(comments(gateway, &parent).await.len(), 2);
    assert_eq!(queued(gateway, &parent).await.len(), 1);
}

/// User item 111. Domain item 170.
#[apply(on_both)]
async fn stages_end_one_after_the_other(gateway: &Gateway) {
    let world = gateway.world().await;
    let parent = parent(&world.a, world.g1).await;
    let one = child(&world.a, &parent, "One", Some(1)).await;
    let beside = child(&world.a, &parent, "Beside", None).await;
    let two = child(&world.a, &parent, "Two", Some(2)).await;
    let too = child(&world.a, &parent, "Too", Some(2)).await;
    end(&world.a, &beside, "done").await;
    end(&world.a, &two, "done").await;
    assert!(comments(gateway, &parent).await.is_empty());
    end(&world.a, &one, "done").await;
    let start = format!("[@Gus](mention://agent/{}) ", world.g1);
    let said = comments(gateway, &parent).await;
    let id = id_of(&parent);
    let first = format!(
        "{start}Stage 1 of this issue is complete — its last sub-issue [{}](mention://issue/{}) — \"One\" — just finished. \
         Stage progress — Stage 1: 1/1 done; Stage 2: 1/2 done (next). Stage 2 is next. Review the full layout with \
         `multica issue children {id}`, and if Stage 2's dependencies are satisfied promote its `backlog` sub-issues to `todo` \
         to continue. Read each sub-issue's description first and only promote items whose stated dependencies are already \
         met — do not rely on this parent's higher-level breakdown alone. If a description conflicts with that breakdown, \
         leave it `backlog` and post a comment to confirm first.",
        one["identifier"].as_str().unwrap(),
        id_of(&one),
    );
    assert_eq!(said, std::slice::from_ref(&first));
    end(&world.a, &too, "cancelled").await;
    let last = format!(
        "{start}Stage 2 of this issue is complete — its last sub-issue [{}](mention://issue/{}) — \"Too\" — just finished. \
         Stage progress — Stage 1: 1/1 done; Stage 2: 2/2 done. This was the final stage. Wrap up the parent — synthesize \
         the results and move it forward, or close it out if nothing remains.",
        too["identifier"].as_str().unwrap(),
        id_of(&too),
    );
    assert_eq!(comments(gateway, &parent).await, [first, last]);
}

/// Domain item 171.
#[apply(on_both)]
async fn a_parent_that_rests_or_that_a_person_has_is_not_told(gateway: &Gateway) {
    let world = gateway.world().await;
    for (title, change) in [
        ("A", json!({"status": "backlog"})),
        ("B", json!({"status": "done"})),
        ("C", json!({"status": "cancelled"})),
        ("D", json!({"assignee_type": "member", "assignee_id": world.b.id})),
    ] {
        let body = json!({"title": title});
        let parent = world.a.post("/api/issues", body).await.expect(201);
        let only = child(&world.a, &parent, "Only", None).await;
        world.a.put(format!("/api/issues/{}", id_of(&parent)), change).await.expect(200);
        end(&world.a, &only, "done").await;
        assert!(comments(gateway, &parent).await.is_empty(), "{title}");
    }
    // Nobody's parent is told, without a mention.
    let parent = world.a.post("/api/issues", json!({"title": "E"})).await.expect(201);
    let only = child(&world.a, &parent, "Only", None).await;
    let batch = json!({"issue_ids": [only["id"]], "updates": {"status": "done"}});
    world.a.post("/api/issues/batch-update", batch).await.expect(200);
    let said = comments(gateway, &parent).await;
    assert!(said[0].starts_with("All sub-issues are complete"), "{said:?}");
    gateway.assert_settled().await;
}

/// Domain item 172.
#[apply(on_both)]
async fn a_title_brings_no_mention(gateway: &Gateway) {
    let world = gateway.world().await;
    let hal = gateway.seed_agent(world.r1, "H]a[l", json!({})).await;
    let parent = parent(&world.a, hal).await;
    let title = format!("[@Gus](mention://agent/{}) look", world.g1);
    let only = child(&world.a, &parent, &title, None).await;
    end(&world.a, &only, "done").await;
    let said = comments(gateway, &parent).await;
    assert!(said[0].starts_with(&format!("[@Ha[l](mention://agent/{hal}) ")), "{said:?}");
    assert!(said[0].contains(&format!("[@Gus] (mention://agent/{})", world.g1)), "{said:?}");
    let agents: Vec<Value> =
        queued(gateway, &parent).await.iter().map(|task| task["agent_id"].clone()).collect();
    assert_eq!(agents, [json!(hal)]);
}

/// A squad's leader is started only by somebody who may.
#[apply(on_both)]
async fn a_squads_leader_is_asked_for(gateway: &Gateway) {
    let world = gateway.world().await;
    let private = json!({"owner_id": world.b.id, "permission_mode": "private"});
    let secret = gateway.seed_agent(world.r1, "Secret", private).await;
    let squad = gateway.seed_squad(world.w1, "Theirs", secret, json!({})).await;
    let body = json!({"title": "Parent", "assignee_type": "squad", "assignee_id": squad});
    let parent = world.b.post("/api/issues", body).await.expect(201);
    let waiting = queued(gateway, &parent).await;
    assert_eq!(waiting[0]["squad_id"], json!(squad));
    world.a.run_one(world.r1).await;
    let one = child(&world.a, &parent, "One", Some(1)).await;
    let two = child(&world.a, &parent, "Two", Some(2)).await;
    end(&world.a, &one, "done").await;
    assert_eq!(comments(gateway, &parent).await.len(), 1);
    assert!(queued(gateway, &parent).await.is_empty());
    end(&world.b, &two, "done").await;
    let started = queued(gateway, &parent).await;
    assert_eq!((&started[0]["agent_id"], &started[0]["is_leader_task"]), (&json!(secret), &json!(true)));
}

/// Of children that end together exactly one is the last.
#[apply(on_both)]
async fn children_that_end_together_are_told_of_once(gateway: &Gateway) {
    let world = gateway.world().await;
    for round in 0..5 {
        let body = json!({"title": format!("Parent {round}")});
        let parent = world.a.post("/api/issues", body).await.expect(201);
        let mut children = Vec::new();
        for n in 0..4 {
            children.push(child(&world.a, &parent, &format!("Child {n}"), None).await);
        }
        futures_util::future::join_all(children.iter().map(|child| end(&world.a, child, "done"))).await;
        assert_eq!(comments(gateway, &parent).await.len(), 1);
    }
}
