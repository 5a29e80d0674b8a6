//! What a preview foretells and what a write then starts, case by case; and what a task keeps
//! of the comment that started it.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::comment_cast::{Cast, say};
use crate::harness::{Client, Gateway, id_of, over};

/// Who runs on the issue, or waits to.
async fn active(gateway: &Gateway, issue: Uuid) -> Vec<Value> {
    const SQL: &str = "SELECT agent_id FROM agent_task_queue WHERE issue_id = $1
        AND status NOT IN ('completed', 'failed', 'cancelled') ORDER BY created_at, id";
    gateway.rows(SQL, json!([issue])).await.iter().map(|row| row["agent_id"].clone()).collect()
}

async fn foretold(client: &Client, body: Value) -> Vec<Value> {
    let answer = client.post("/api/issues/preview-trigger", body).await.expect(200);
    let triggers = answer["triggers"].as_array().unwrap();
    assert_eq!(answer["total_count"], json!(triggers.len()));
    triggers.iter().map(|trigger| trigger["agent_id"].clone()).collect()
}

/// Domain item 138.
#[apply(on_both)]
async fn a_write_starts_what_its_preview_foretold(gateway: &Gateway) {
    let world = gateway.world().await;
    let away =
        gateway.seed_runtime(world.w1, world.a.id, json!({"status": "offline", "daemon_id": "away"})).await;
    let patient = gateway.seed_agent(away, "Patient", json!({})).await;
    let theirs = json!({"permission_mode": "private", "owner_id": world.b.id});
    let private = gateway.seed_agent(world.r1, "Private", theirs).await;
    let squad = gateway.seed_squad(world.w1, "Core", world.g1, json!({})).await;
    let headless = gateway.seed_squad(world.w1, "Away", patient, json!({})).await;
    let to = |kind: &str, id: Uuid| json!({"assignee_type": kind, "assignee_id": id});
    let g1 = json!(world.g1);
    let none = Vec::<Value>::new();

    for (body, expected) in [
        (json!({}), vec![]),
        (to("agent", world.g1), vec![g1.clone()]),
        (over(to("agent", world.g1), json!({"status": "backlog"})), vec![]),
        (over(to("agent", world.g1), json!({"status": "done"})), vec![g1.clone()]),
        (to("agent", patient), vec![json!(patient)]),
        (to("squad", squad), vec![g1.clone()]),
        (to("squad", headless), vec![]),
        (to("member", world.b.id), vec![]),
    ] {
        let preview = foretold(&world.a, over(body.clone(), json!({"is_create": true}))).await;
        assert_eq!(preview, expected, "{body}");
        let new = over(body.clone(), json!({"title": format!("New {}", Uuid::new_v4())}));
        let issue = id_of(&world.a.post("/api/issues", new).await.expect(201));
        assert_eq!(active(gateway, issue).await, expected, "{body}");
    }

    // Before the write, and what is active after it.
    let check = async |before: Value, write: Value, foreseen: Vec<Value>, left: Vec<Value>| {
        let new = over(before, json!({"title": format!("Old {}", Uuid::new_v4())}));
        let issue = id_of(&world.a.post("/api/issues", new).await.expect(201));
        let preview = foretold(&world.a, over(write.clone(), json!({"issue_ids": [issue]}))).await;
        assert_eq!(preview, foreseen, "{write}");
        world.a.put(format!("/api/issues/{issue}"), write.clone()).await.expect(200);
        assert_eq!(active(gateway, issue).await, left, "{write}");
    };
    let waiting = over(to("agent", world.g1), json!({"status": "backlog"}));
    let todo = json!({"status": "todo"});
    check(waiting.clone(), todo.clone(), vec![g1.clone()], vec![g1.clone()]).await;
    check(waiting.clone(), json!({"status": "done"}), none.clone(), none.clone()).await;
    check(waiting.clone(), json!({"status": "cancelled"}), none.clone(), none.clone()).await;
    check(waiting, to("agent", patient), none.clone(), none.clone()).await;
    let given = to("agent", world.g1);
    check(given.clone(), to("agent", patient), vec![json!(patient)], vec![json!(patient)]).await;
    check(given.clone(), to("member", world.b.id), none.clone(), none.clone()).await;
    check(given.clone(), json!({"status": "done"}), none.clone(), vec![g1.clone()]).await;
    check(given.clone(), json!({"status": "cancelled"}), none.clone(), none.clone()).await;
    check(given, to("squad", headless), none.clone(), none.clone()).await;
    check(json!({}), to("squad", squad), vec![g1.clone()], vec![g1.clone()]).await;

    // What somebody else gave to their own agent is not everybody's to start.
    let hers = over(to("agent", private), json!({"status": "backlog", "title": "Hers"}));
    let issue = id_of(&world.b.post("/api/issues", hers).await.expect(201));
    for (client, expected) in [(&world.a, none.clone()), (&world.b, vec![json!(private)])] {
        assert_eq!(foretold(client, json!({"issue_ids": [issue], "status": "todo"})).await, expected);
        client.put(format!("/api/issues/{issue}"), todo.clone()).await.expect(200);
        assert_eq!(active(gateway, issue).await, expected);
        world.b.put(format!("/api/issues/{issue}"), json!({"status": "backlog"})).await.expect(200);
    }

    // An agent on the issue it works on.
    let own = over(to("agent", world.g1), json!({"title": "Own", "priority": "urgent"}));
    let own = id_of(&world.a.post("/api/issues", own).await.expect(201));
    let claimed = world.a.claim_one(world.r1).await;
    assert_eq!(claimed["issue_id"], json!(own));
    world.a.start(id_of(&claimed)).await;
    let agent = gateway.bearer(claimed["auth_token"].as_str().unwrap());
    let path = format!("/api/issues/{own}");
    agent.put(&path, json!({"status": "backlog"})).await.expect(200);
    assert_eq!(foretold(&agent, json!({"issue_ids": [own], "status": "todo"})).await, none);
    agent.put(&path, todo).await.expect(200);
    assert_eq!(active(gateway, own).await, [g1]);

    let many: Vec<Uuid> = (0..501).map(|_| Uuid::new_v4()).collect();
    let refused = world.a.post("/api/issues/preview-trigger", json!({"issue_ids": many})).await;
    refused.refused(400, "too many issue_ids");
    world.a.post("/api/issues/preview-trigger", json!({"issue_ids": many[1..]})).await.expect(200);
}

/// Domain item 139.
#[apply(on_both)]
async fn a_task_keeps_the_beginning_of_what_started_it(gateway: &Gateway) {
    let cast = Cast::new(gateway).await;
    let issue = cast.issue("agent", cast.a).await;
    let line = "né à Zürich\r\n\tand";
    let content = format!("\n {}", line.repeat(20).chars().take(298).collect::<String>());
    assert_eq!(content.chars().count(), 300);
    say(&cast.owner, issue, &content).await;
    let summary = cast.tasks(issue).await[0]["trigger_summary"].as_str().unwrap().to_owned();
    let one_line = content.replace(['\n', '\r', '\t'], " ");
    let expected: String = one_line.trim().chars().take(200).chain(['…']).collect();
    assert_eq!(summary, expected);
    let short = cast.issue("agent", cast.b).await;
    say(&cast.owner, short, &"x".repeat(200)).await;
    assert_eq!(cast.tasks(short).await[0]["trigger_summary"], "x".repeat(200));
}
