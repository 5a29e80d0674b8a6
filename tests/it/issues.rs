//! Issues: written, listed, found. Checklist items 95 to 98, 102, 103, 108, 109, 112 to 114,
//! 117 and 118 of the user plane.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Client, Gateway, Reply, id_of};

/// A new issue that must come to be.
async fn create(client: &Client, body: Value) -> Value {
    client.post("/api/issues", body).await.expect(201)
}

async fn update(client: &Client, issue: &Value, body: Value) -> Reply {
    client.put(format!("/api/issues/{}", id_of(issue)), body).await
}

async fn list(client: &Client, query: &str) -> Value {
    client.get(format!("/api/issues?{query}")).await.expect(200)
}

fn titles(list: &Value) -> Vec<&str> {
    list["issues"].as_array().unwrap().iter().map(|issue| issue["title"].as_str().unwrap()).collect()
}

/// User items 12 and 95.
#[apply(on_both)]
async fn a_title_is_enough(gateway: &Gateway) {
    let ada = gateway.user();
    let first = create(&ada, json!({"title": " <b>Fix</b> \u{2028}& more "})).await;
    let keys: Vec<&str> = first.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys.len(), 21, "{keys:?}");
    assert_eq!(first["title"], " <b>Fix</b> \u{2028}& more ");
    assert_eq!((&first["status"], &first["priority"]), (&json!("todo"), &json!("none")));
    assert_eq!((&first["number"], &first["position"]), (&json!(1), &json!(-1)));
    assert_eq!(first["identifier"], "ACM-1");
    assert_eq!((&first["creator_type"], &first["creator_id"]), (&json!("member"), &json!(ada.id)));
    assert_eq!(first["metadata"], json!({}));
    let second = create(&ada, json!({"title": "Two", "status": "", "priority": null, "odd": 1})).await;
    assert_eq!((&second["number"], &second["position"]), (&json!(2), &json!(-2)));
    let done = create(&ada, json!({"title": "Three", "status": "done"})).await;
    assert_eq!((&done["number"], &done["position"]), (&json!(3), &json!(-1)));
    let rows = gateway.rows("SELECT user_type, reason FROM issue_subscriber", json!([])).await;
    assert_eq!(rows, vec![json!({"user_type": "member", "reason": "creator"}); 3]);
    let rows = gateway.rows("SELECT action FROM activity_log", json!([])).await;
    assert_eq!(rows, vec![json!({"action": "created"}); 3]);
}

/// User item 96, and the order of what is wrong.
#[apply(on_both)]
async fn what_is_wrong_is_said_in_order(gateway: &Gateway) {
    let ada = gateway.user();
    let nobody = Uuid::new_v4();
    let good = json!({"title": "x"});
    for (sent, expected) in [
        (json!({"title": null}), "title is required"),
        (json!({"title": ""}), "title is required"),
        (json!({"title": 5}), "invalid request body"),
        (json!({"title": "x", "stage": 1.0}), "invalid request body"),
        (json!({"title": "x", "stage": 5_000_000_000_i64}), "invalid request body"),
        (
            json!({"status": "a\"b\n", "priority": "x"}),
            "invalid status \"a\\\"b\\n\"; valid values: backlog, todo, in_progress, in_review, done, blocked, cancelled",
        ),
        (
            json!({"priority": "High"}),
            "invalid priority \"High\"; valid values: urgent, high, medium, low, none",
        ),
        (json!({"stage": 0}), "stage must be >= 1"),
        (json!({"assignee_id": "x", "assignee_type": "agent"}), "invalid assignee_id"),
        (json!({"assignee_type": "agent"}), "assignee_type and assignee_id must be provided together"),
        (json!({"assignee_id": nobody}), "assignee_type and assignee_id must be provided together"),
        (
            json!({"assignee_type": "robot", "assignee_id": nobody}),
            "assignee_type must be 'member', 'agent', or 'squad'",
        ),
        (
            json!({"assignee_type": "member", "assignee_id": nobody}),
            "assignee_id does not refer to a member of this workspace",
        ),
        (
            json!({"assignee_type": "agent", "assignee_id": nobody}),
            "assignee_id does not refer to an agent of this workspace",
        ),
        (
            json!({"assignee_type": "squad", "assignee_id": nobody}),
            "assignee_id does not refer to a squad in this workspace",
        ),
        (json!({"project_id": ""}), "invalid project_id"),
        (json!({"parent_issue_id": "x"}), "invalid parent_issue_id"),
        (json!({"attachment_ids": ["x"]}), "invalid attachment_ids"),
        (json!({"start_date": "tomorrow"}), "invalid start_date format, expected YYYY-MM-DD"),
        (json!({"due_date": "2026-02-30"}), "invalid due_date format, expected YYYY-MM-DD"),
        (json!({"origin_type": "quick_create"}), "origin_type and origin_id must be provided together"),
        (json!({"origin_type": "autopilot", "origin_id": nobody}), "unsupported origin_type"),
        (json!({"origin_type": "quick_create", "origin_id": "x"}), "invalid origin_id"),
        (json!({"parent_issue_id": nobody}), "parent issue not found in this workspace"),
        (json!({"project_id": nobody}), "project not found in this workspace"),
    ] {
        let mut body = good.clone();
        body.as_object_mut().unwrap().extend(sent.as_object().unwrap().clone());
        ada.post("/api/issues", body).await.refused(400, expected);
    }
    ada.post("/api/issues", ()).await.refused(400, "invalid request body");
    ada.post("/api/issues", "null").await.refused(400, "title is required");
    assert_eq!(list(&ada, "").await["total"], 0);
}

/// User item 97.
#[apply(on_both)]
async fn two_open_issues_do_not_say_the_same(gateway: &Gateway) {
    let ada = gateway.user();
    let first = create(&ada, json!({"title": "Fix the ÄPFEL"})).await;
    let again = ada.post("/api/issues", json!({"title": "  fix  the\täpfel "})).await;
    let refusal = again.expect(409);
    assert_eq!(refusal["code"], "active_duplicate_issue");
    assert_eq!(refusal["issue"]["id"], first["id"]);
    assert_eq!(
        refusal["error"],
        "Active duplicate issue exists: ACM-1 Fix the ÄPFEL (status: todo). \
         Set allow_duplicate=true or use --allow-duplicate to create another."
    );
    // A refusal takes no number.
    let allowed = create(&ada, json!({"title": "fix the äpfel", "allow_duplicate": true})).await;
    assert_eq!(allowed["number"], 2);
    // Elsewhere it is another matter, and so is a blank title.
    let project = gateway.seed_project(gateway.workspace, "Orchard", json!({})).await;
    create(&ada, json!({"title": "Fix the Äpfel", "project_id": project})).await;
    create(&ada, json!({"title": "Fix the Äpfel", "parent_issue_id": first["id"]})).await;
    for _ in 0..2 {
        create(&ada, json!({"title": " "})).await;
    }
    // A row that was put in by other means counts too.
    gateway.seed_issue(gateway.workspace, "By  Hand", json!({})).await;
    ada.post("/api/issues", json!({"title": "by hand"})).await.expect(409);
    for issue in [&first, &allowed] {
        update(&ada, issue, json!({"status": "done"})).await.expect(200);
    }
    create(&ada, json!({"title": "FIX THE ÄPFEL"})).await;
    // A changed title is compared as it is now.
    let other = create(&ada, json!({"title": "Pears"})).await;
    update(&ada, &other, json!({"title": "Plums"})).await.expect(200);
    create(&ada, json!({"title": "Pears"})).await;
    ada.post("/api/issues", json!({"title": "plums"})).await.expect(409);
}

/// Many at once get numbers of their own, and only one of those that say the same comes to be.
#[apply(on_both)]
async fn numbers_are_given_once(gateway: &Gateway) {
    let ada = gateway.user();
    let created =
        futures_util::future::join_all(
            (0..20).map(|n| {
                let ada = ada.clone();
                async move {
                    create(&ada, json!({"title": format!("Issue {n}")})).await["number"].as_i64().unwrap()
                }
            }),
        );
    let mut numbers = created.await;
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=20).collect::<Vec<i64>>());
    let same = futures_util::future::join_all((0..8).map(|_| {
        let ada = ada.clone();
        async move { ada.post("/api/issues", json!({"title": "The same"})).await.status }
    }));
    let same = same.await;
    assert_eq!(same.iter().filter(|status| **status == 201).count(), 1, "{same:?}");
    assert!(same.iter().all(|status| matches!(status, 201 | 409)), "{same:?}");
}

/// User item 98.
#[apply(on_both)]
async fn a_child_is_in_its_parents_project(gateway: &Gateway) {
    let world = gateway.world().await;
    let project = gateway.seed_project(world.w1, "Billing", json!({})).await;
    let parent = create(&world.a, json!({"title": "Parent", "project_id": project})).await;
    let child = create(&world.a, json!({"title": "Child", "parent_issue_id": parent["id"]})).await;
    assert_eq!(child["project_id"], json!(project));
    let foreign = json!({"title": "x", "parent_issue_id": world.i2});
    let refused = world.a.post("/api/issues", foreign).await;
    refused.refused(400, "parent issue not found in this workspace");
    let elsewhere = gateway.seed_project(world.w2, "Elsewhere", json!({})).await;
    let refused = world.a.post("/api/issues", json!({"title": "x", "project_id": elsewhere})).await;
    refused.refused(400, "project not found in this workspace");
    update(&world.a, &child, json!({"project_id": elsewhere}))
        .await
        .refused(400, "project not found in this workspace");
    let children = world.a.get(format!("/api/issues/{}/children", id_of(&parent))).await.expect(200);
    assert_eq!(children["issues"][0]["id"], child["id"]);
    assert!(children["issues"][0].get("labels").is_none());
    let both = format!("/api/issues/children?parent_ids={},{}", id_of(&parent), id_of(&child));
    assert_eq!(titles(&world.a.get(both).await.expect(200)), ["Child"]);
    world.a.get("/api/issues/children?parent_ids=x").await.refused(400, "invalid parent_ids");
    let many = vec![Uuid::new_v4().to_string(); 201].join(",");
    let refused = world.a.get(format!("/api/issues/children?parent_ids={many}")).await;
    refused.refused(400, "too many parent_ids");
    update(&world.a, &child, json!({"status": "done"})).await.expect(200);
    let progress = world.a.get("/api/issues/child-progress").await.expect(200);
    let expected = json!([{"parent_issue_id": parent["id"], "total": 1, "done": 1}]);
    assert_eq!(progress["progress"], expected);
}

/// User item 103.
#[apply(on_both)]
async fn an_issue_has_many_names(gateway: &Gateway) {
    let world = gateway.world().await;
    let issue = create(&world.a, json!({"title": "Named"})).await;
    let (id, number) = (id_of(&issue), issue["number"].as_i64().unwrap());
    for name in [
        format!("ACM-{number}"),
        format!("XX-{number}"),
        format!("what-ever-{number}"),
        id.to_string(),
        id.to_string().to_uppercase(),
        id.simple().to_string(),
        format!("{id}/"),
    ] {
        let found = world.a.get(format!("/api/issues/{name}")).await.expect(200);
        assert_eq!(found["id"], json!(id), "{name}");
        assert_eq!(found["labels"], json!([]));
    }
    let foreign = world.i2.to_string();
    for name in ["nope", "ACM-0", "ACM-999", "-1", &foreign, "a%00-1x"] {
        world.a.get(format!("/api/issues/{name}")).await.refused(404, "issue not found");
    }
    world.c.get(format!("/api/issues/{id}")).await.refused(404, "issue not found");
    // A whole id goes first, even when it ends in digits alone.
    let tricky = Uuid::from_u128(0x0123_4567_0000_4000_8000_0000_0000_0001);
    gateway.seed_issue(world.w1, "Tricky", json!({"id": tricky})).await;
    let found = world.a.get(format!("/api/issues/{tricky}")).await.expect(200);
    assert_eq!(found["title"], "Tricky");
}

/// User items 108 and 109.
#[apply(on_both)]
async fn an_update_changes_what_is_sent(gateway: &Gateway) {
    let ada = gateway.user();
    let issue = create(&ada, json!({"title": "One", "description": "d", "due_date": "2026-02-03"})).await;
    let path = format!("/api/issues/{}", id_of(&issue));
    let same = ada.put(&path, json!({"title": null, "description": null, "status": null})).await.expect(200);
    assert_eq!((&same["title"], &same["description"]), (&json!("One"), &json!("d")));
    assert_eq!(same["due_date"], "2026-02-03");
    let set =
        ada.put(&path, json!({"title": "", "stage": 2, "position": 1.5, "DUE_DATE": ""})).await.expect(200);
    assert_eq!((&set["title"], &set["stage"], &set["position"]), (&json!(""), &json!(2), &json!(1.5)));
    assert_eq!(set["due_date"], Value::Null);
    let set = ada.put(&path, json!({"due_date": "2026-02-03T00:00:00Z", "start_date": "2026-01-01"})).await;
    assert_eq!(set.expect(200)["due_date"], "2026-02-03");
    let clear = ada.put(&path, json!({"stage": null, "start_date": null})).await.expect(200);
    assert_eq!((&clear["stage"], &clear["start_date"]), (&Value::Null, &Value::Null));
    let child = create(&ada, json!({"title": "Child", "parent_issue_id": issue["id"]})).await;
    let grandchild = create(&ada, json!({"title": "Grandchild", "parent_issue_id": child["id"]})).await;
    for (sent, expected) in [
        (json!({"due_date": "2026-02-30"}), "invalid due_date format, expected YYYY-MM-DD"),
        (
            json!({"status": "x"}),
            "invalid status \"x\"; valid values: backlog, todo, in_progress, in_review, done, blocked, cancelled",
        ),
        (json!({"stage": 0}), "stage must be >= 1"),
        (json!({"stage": 3_000_000_000_i64}), "invalid request body"),
        (json!({"position": "1"}), "invalid request body"),
        (json!({"parent_issue_id": "x"}), "invalid parent_issue_id"),
        (json!({"parent_issue_id": issue["id"]}), "an issue cannot be its own parent"),
        (json!({"parent_issue_id": grandchild["id"]}), "circular parent relationship detected"),
        (json!({"parent_issue_id": Uuid::new_v4()}), "parent issue not found in this workspace"),
        (json!({"project_id": Uuid::new_v4()}), "project not found in this workspace"),
        (json!({"assignee_id": ada.id}), "assignee_type and assignee_id must be provided together"),
    ] {
        ada.put(&path, sent).await.refused(400, expected);
    }
    ada.put(&path, "{} x").await.refused(400, "invalid request body");
    ada.put("/api/issues/nope", "x").await.refused(404, "issue not found");
    let mine = ada.put(&path, json!({"assignee_type": "member", "assignee_id": ada.id})).await.expect(200);
    assert_eq!(mine["assignee_id"], json!(ada.id));
    let nobody = ada.put(&path, json!({"assignee_type": null, "assignee_id": null})).await.expect(200);
    assert_eq!((&nobody["assignee_type"], &nobody["assignee_id"]), (&Value::Null, &Value::Null));
    let lines = gateway
        .rows(
            "SELECT action FROM activity_log WHERE issue_id = $1 ORDER BY created_at, id",
            json!([issue["id"]]),
        )
        .await;
    let lines: Vec<&str> = lines.iter().map(|row| row["action"].as_str().unwrap()).collect();
    assert_eq!(
        lines,
        [
            "created",
            "due_date_changed",
            "title_changed",
            "start_date_changed",
            "due_date_changed",
            "start_date_changed",
            "assignee_changed",
            "assignee_changed"
        ]
    );
}

/// User items 112 to 114.
#[apply(on_both)]
async fn a_list_is_filtered_sorted_and_paged(gateway: &Gateway) {
    let world = gateway.world().await;
    let (ada, bea) = (&world.a, &world.b);
    ada.delete(format!("/api/issues/{}", world.i1)).await.expect(204);
    let squad = gateway.seed_squad(world.w1, "Core", world.g1, json!({})).await;
    create(ada, json!({"title": "b", "priority": "low", "status": "backlog", "due_date": "2026-01-02"}))
        .await;
    create(
        bea,
        json!({"title": "a", "priority": "urgent", "assignee_type": "member", "assignee_id": bea.id}),
    )
    .await;
    let c = create(
        ada,
        json!({"title": "c", "assignee_type": "agent", "assignee_id": world.g1, "status": "backlog"}),
    )
    .await;
    create(ada, json!({"title": "d", "assignee_type": "squad", "assignee_id": squad, "status": "backlog", "start_date": "2026-01-01"})).await;
    create(ada, json!({"title": "e", "status": "done", "priority": "high"})).await;
    for (key, value) in [("tries", json!(1)), ("name", json!("x")), ("ok", json!(true))] {
        ada.put(format!("/api/issues/{}/metadata/{key}", id_of(&c)), json!({"value": value}))
            .await
            .expect(200);
    }
    for (query, expected) in [
        ("sort=title", "a b c d e"),
        ("sort=title&direction=desc", "e d c b a"),
        ("sort=created_at", "b a c d e"),
        ("sort=priority", "a e b d c"),
        ("sort=priority&direction=desc", "d c b e a"),
        ("sort=start_date", "d e c a b"),
        ("sort=due_date&direction=desc", "b e d c a"),
        ("status=backlog&sort=title", "b c d"),
        ("status=nope", ""),
        ("priority=low", "b"),
        (&format!("assignee_id={}", world.g1), "c"),
        (&format!("assignee_ids={},{}&sort=title", world.g1, bea.id), "a c"),
        ("assignee_types=agent,squad&sort=title", "c d"),
        (&format!("creator_id={}", bea.id), "a"),
        (&format!("project_id={}", Uuid::new_v4()), ""),
        (&format!("involves_user_id={}&sort=title", ada.id), "c d"),
        (&format!("involves_user_id={}", bea.id), ""),
        ("metadata=%7B%22tries%22:1.0,%22ok%22:true%7D", "c"),
        ("metadata=%7B%22tries%22:%221%22%7D", ""),
        ("metadata=%7B%7D&sort=title", "a b c d e"),
        ("scheduled=true&sort=title", "b d"),
        ("date_field=created_at&date_start=2020-01-01T00:00:00Z&date_end=2020-01-02T00:00:00Z", ""),
        (
            "date_field=updated_at&date_start=2020-01-01T00:00:00Z&date_end=2999-01-01T00:00:00%2B02:00&sort=title",
            "a b c d e",
        ),
        ("sort=title&limit=2&offset=1", "b c"),
        ("sort=title&limit=0&offset=-1", "a b c d e"),
        ("sort=title&limit=x", "a b c d e"),
        ("sort=title&offset=99", ""),
        ("assignee_id=&sort=title", "a b c d e"),
        ("status=%00done", "e"),
    ] {
        assert_eq!(titles(&list(ada, query).await).join(" "), expected, "{query}");
    }
    assert_eq!(list(ada, "limit=2").await["total"], 5);
    assert_eq!(list(ada, "offset=99").await["total"], 5);
    let open = list(ada, "open_only=true&status=done&limit=1&sort=bogus").await;
    assert_eq!((open["total"].clone(), open["issues"].as_array().unwrap().len()), (json!(4), 4));
    let dates = "date_field, date_start, and date_end are required together";
    for (query, expected) in [
        ("sort=bogus", "invalid sort value"),
        ("direction=up", "invalid direction value"),
        ("assignee_id=x", "invalid assignee_id"),
        ("creator_id=x", "invalid creator_id"),
        ("project_id=x", "invalid project_id"),
        ("involves_user_id=x", "invalid involves_user_id"),
        ("assignee_ids=x,y", "invalid assignee_ids"),
        ("assignee_types=robot", "invalid assignee_types"),
        ("metadata=5", "metadata filter must be a JSON object"),
        ("metadata=%7B%22a%22:null%7D", "metadata filter values must be primitives (string, number, bool)"),
        ("metadata=%7B%221a%22:1%7D", "metadata filter key must match ^[a-zA-Z_][a-zA-Z0-9_.-]{0,63}$"),
        ("date_field=created_at", dates),
        ("date_field=x&date_start=y&date_end=z", "invalid date_field"),
        ("date_field=created_at&date_start=y&date_end=z", "invalid date_start"),
        ("date_field=created_at&date_start=2020-01-01T00:00:00Z&date_end=z", "invalid date_end"),
        (
            "date_field=created_at&date_start=2020-01-01T00:00:00Z&date_end=2020-01-01T00:00:00Z",
            "date_start must be before date_end",
        ),
    ] {
        ada.get(format!("/api/issues?{query}")).await.refused(400, expected);
    }
    // Labels are on the list and on the issue.
    let label = ada.post("/api/labels", json!({"name": "red", "color": "#ff0000"})).await.expect(201);
    ada.post(format!("/api/issues/{}/labels", id_of(&c)), json!({"label_id": label["id"]})).await.expect(200);
    assert_eq!(list(ada, "status=backlog&sort=title").await["issues"][1]["labels"][0]["name"], "red");
    let one = ada.get(format!("/api/issues/{}", id_of(&c))).await.expect(200);
    assert_eq!(one["labels"][0]["id"], label["id"]);
}

/// No more than a hundred on a page.
#[apply(on_both)]
async fn a_page_has_an_end(gateway: &Gateway) {
    for n in 0..101 {
        gateway.seed_issue(gateway.workspace, &format!("Issue {n}"), json!({})).await;
    }
    let page = list(&gateway.user(), "limit=1000").await;
    assert_eq!((page["issues"].as_array().unwrap().len(), &page["total"]), (100, &json!(101)));
    let open = list(&gateway.user(), "open_only=true").await;
    assert_eq!(open["issues"].as_array().unwrap().len(), 101);
}

/// User items 117 and 118.
#[apply(on_both)]
async fn many_are_changed_and_taken_away_at_once(gateway: &Gateway) {
    let world = gateway.world().await;
    let one = create(&world.a, json!({"title": "One"})).await;
    let two = create(&world.a, json!({"title": "Two", "parent_issue_id": one["id"]})).await;
    let batch = |ids: Value, updates: Value| {
        world.a.post("/api/issues/batch-update", json!({"issue_ids": ids, "updates": updates}))
    };
    let all = json!([one["id"], "x", world.i2, Uuid::new_v4(), two["id"]]);
    assert_eq!(batch(all.clone(), json!({"priority": "high"})).await.expect(200), json!({"updated": 2}));
    assert_eq!(batch(all.clone(), json!({})).await.expect(200), json!({"updated": 0}));
    assert_eq!(batch(all.clone(), json!({"title": null})).await.expect(200), json!({"updated": 0}));
    // What one of them cannot take keeps nobody from the rest.
    let below = batch(all.clone(), json!({"parent_issue_id": one["id"]})).await.expect(200);
    assert_eq!(below, json!({"updated": 1}));
    batch(json!([]), json!({"priority": "x"})).await.refused(400, "issue_ids is required");
    assert_eq!(batch(all.clone(), json!({"priority": "x"})).await.status, 400);
    let trailing = format!("{} x", json!({"issue_ids": all, "updates": {"priority": "low"}}));
    world.a.post("/api/issues/batch-update", trailing).await.refused(400, "invalid request body");
    let found = world.a.get(format!("/api/issues/{}", id_of(&two))).await.expect(200);
    assert_eq!(found["priority"], "high");

    let task = gateway.seed_task(world.g1, json!({"issue_id": one["id"]})).await;
    world.a.run_one(world.r1).await;
    world.a.delete(format!("/api/issues/{}", id_of(&one))).await.expect(204);
    world.a.get(format!("/api/issues/{}", id_of(&one))).await.refused(404, "issue not found");
    world.a.delete(format!("/api/issues/{}", id_of(&one))).await.refused(404, "issue not found");
    let left = gateway.rows("SELECT id FROM agent_task_queue WHERE id = $1", json!([task])).await;
    assert!(left.is_empty(), "{left:?}");
    let orphan = world.a.get(format!("/api/issues/{}", id_of(&two))).await.expect(200);
    assert_eq!(orphan["parent_issue_id"], Value::Null);
    // The agent is free again.
    let agent = gateway.value("SELECT status FROM agent WHERE id = $1", json!([world.g1])).await;
    assert_eq!(agent, "idle");
    let gone =
        world.a.post("/api/issues/batch-delete", json!({"issue_ids": [two["id"], world.i2, "x"]})).await;
    assert_eq!(gone.expect(200), json!({"deleted": 1}));
    world.a.post("/api/issues/batch-delete", json!({})).await.refused(400, "issue_ids is required");
    assert_eq!(list(&world.a, "").await["total"], 1);
}

/// Search: what was found, where, and in which order.
#[apply(on_both)]
async fn a_search_finds_what_was_written(gateway: &Gateway) {
    let ada = gateway.user();
    let search = |query: String| {
        let ada = ada.clone();
        async move { ada.get(format!("/api/issues/search?{query}")).await }
    };
    for (title, description) in [
        ("Übung macht den Meister", None),
        ("übung", None),
        ("übung zwei", None),
        ("den Meister der Übung", None),
        ("Nothing here", Some("eine ÜBUNG am Rand")),
        ("Nor here", None),
        ("100% of_it", Some("a.b")),
    ] {
        create(&ada, json!({"title": title, "description": description})).await;
    }
    let said = ada.get("/api/issues/ACM-6").await.expect(200);
    gateway.seed_comment(id_of(&said), "member", ada.id, "wegen der Übung", json!({})).await;
    let over = create(&ada, json!({"title": "Übung im Archiv", "status": "done"})).await;

    let found = search("q=%C3%9CBUNG".to_owned()).await;
    assert_eq!(found.header("x-total-count"), "6");
    let found = found.expect(200);
    assert_eq!(found["total"], 6);
    assert_eq!(
        titles(&found),
        [
            "übung",
            "übung zwei",
            "Übung macht den Meister",
            "den Meister der Übung",
            "Nothing here",
            "Nor here"
        ]
    );
    let sources: Vec<&str> =
        found["issues"].as_array().unwrap().iter().map(|hit| hit["match_source"].as_str().unwrap()).collect();
    assert_eq!(sources, ["title", "title", "title", "title", "description", "comment"]);
    assert_eq!(found["issues"][4]["matched_description_snippet"], "eine ÜBUNG am Rand");
    assert_eq!(found["issues"][5]["matched_comment_snippet"], "wegen der Übung");
    assert!(found["issues"][0].get("matched_comment_snippet").is_none());

    let closed = search("q=%C3%BCbung&include_closed=true".to_owned()).await.expect(200);
    assert_eq!(closed["total"], 7);
    let number = over["number"].as_i64().unwrap();
    for q in [format!("{number}"), format!("ACM-{number}")] {
        let found = search(format!("q={q}&include_closed=true")).await.expect(200);
        assert_eq!(found["issues"][0]["id"], over["id"], "{q}");
    }
    for (q, expected) in [
        ("meister+macht", vec!["Übung macht den Meister"]),
        ("nor+wegen", vec!["Nor here"]),
        ("der+wegen", vec!["Nor here"]),
        ("100%25+of_it", vec!["100% of_it"]),
        ("100x+of_it", vec![]),
        ("a.b", vec!["100% of_it"]),
        ("axb", vec![]),
        ("%25", vec!["100% of_it"]),
        ("%5C", vec![]),
    ] {
        assert_eq!(titles(&search(format!("q={q}")).await.expect(200)), expected, "{q}");
    }
    let page = search("q=%C3%BCbung&limit=2&offset=4".to_owned()).await.expect(200);
    assert_eq!((titles(&page), &page["total"]), (vec!["Nothing here", "Nor here"], &json!(6)));
    let behind = search("q=%C3%BCbung&offset=99".to_owned()).await.expect(200);
    assert_eq!((behind["issues"].as_array().unwrap().len(), &behind["total"]), (0, &json!(6)));
    for q in ["", "q=", "q=+"] {
        search(q.to_owned()).await.refused(400, "q parameter is required");
    }
    let long = "x+".repeat(2000);
    assert_eq!(search(format!("q={long}")).await.expect(200)["total"], 0);
}
