//! `/api/projects` and what is attached to them.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Client, Gateway, id_of, over};

async fn create(client: &Client, more: Value) -> Value {
    client.post("/api/projects", over(json!({"title": "Billing"}), more)).await.expect(201)
}

fn path(project: &Value) -> String {
    format!("/api/projects/{}", id_of(project))
}

fn repo(url: &str) -> Value {
    json!({"resource_type": "github_repo", "resource_ref": {"url": url}})
}

fn directory(path: &str, daemon: &str) -> Value {
    json!({"resource_type": "local_directory", "resource_ref": {"local_path": path, "daemon_id": daemon}})
}

/// A minimal project has the documented defaults, and counts what belongs to it.
/// User item 92.
#[apply(on_both)]
async fn a_project_counts_what_belongs_to_it(gateway: &Gateway) {
    let ada = gateway.user();
    let project = create(&ada, json!({})).await;
    assert_eq!(
        project,
        json!({
            "id": project["id"], "workspace_id": gateway.workspace, "title": "Billing", "description": null,
            "icon": null, "status": "planned", "priority": "none", "lead_type": null, "lead_id": null,
            "created_at": project["created_at"], "updated_at": project["updated_at"],
            "issue_count": 0, "done_count": 0, "resource_count": 0,
        })
    );
    for status in ["todo", "done", "cancelled"] {
        let issue = json!({"project_id": project["id"], "status": status});
        gateway.seed_issue(gateway.workspace, "i", issue).await;
    }
    let second = create(&ada, json!({"status": "paused", "priority": "high", "lead_type": "member",
        "lead_id": ada.id, "description": "d", "icon": "i", "resources": [repo("https://h/a"), repo("https://h/b")]})).await;
    assert_eq!(second["resource_count"], 2);
    assert_eq!(second["resources"].as_array().unwrap().len(), 2);
    assert_eq!(second["lead_id"], json!(ada.id));
    let list = ada.get("/api/projects").await.expect(200);
    assert_eq!(
        (&list["total"], &list["projects"][0]["id"], &list["projects"][1]["id"]),
        (&json!(2), &second["id"], &project["id"])
    );
    let counted = ada.get(path(&project)).await.expect(200);
    assert_eq!((&counted["issue_count"], &counted["done_count"]), (&json!(3), &json!(1)));
    for (query, total) in
        [("?status=paused", 1), ("?priority=none", 1), ("?status=paused&priority=none", 0), ("?status=x", 0)]
    {
        assert_eq!(ada.get(format!("/api/projects{query}")).await.expect(200)["total"], total, "{query}");
    }
}

/// What a creation refuses, in order; a refused one leaves nothing behind.
/// User item 92.
#[apply(on_both)]
async fn a_creation_is_refused_for_the_first_thing_that_is_wrong(gateway: &Gateway) {
    let ada = gateway.user();
    let status = "invalid status \"no\"; valid values: planned, in_progress, paused, completed, cancelled";
    let priority = "invalid priority \"no\"; valid values: urgent, high, medium, low, none";
    let constraint = "project create rejected: a field value failed a database constraint";
    for (body, code, message) in [
        (json!({"title": 1}), 400, "invalid request body"),
        (json!({"status": "no"}), 400, "title is required"),
        (json!({"title": "t", "status": "no", "priority": "no"}), 400, status),
        (json!({"title": "t", "priority": "no", "lead_id": "x"}), 400, priority),
        (json!({"title": "t", "lead_id": "x", "resources": [{}]}), 400, "invalid lead_id"),
        (json!({"title": "t", "resources": [{}]}), 400, "resources[].resource_type is required"),
        (
            json!({"title": "t", "resources": [repo("https://h/a"), repo("ftp://h/a")]}),
            400,
            "resources[1]: github_repo: url must be a valid http(s) or ssh git URL",
        ),
        (
            json!({"title": "t", "resources": [directory("/a", "d"), repo("https://h/a"), directory("/b", "d")]}),
            400,
            "resources[2]: duplicate local_directory for daemon (already at index 0); each daemon may attach at \
             most one local_directory per project",
        ),
        (
            json!({"title": "t", "resources": [repo("https://h/a"), repo(" https://h/a ")]}),
            409,
            "resources[1]: this resource is already attached",
        ),
        (json!({"title": "t", "lead_type": "squad"}), 400, constraint),
        (
            json!({"title": "t", "resources": vec![repo("https://h/a"); 201]}),
            400,
            "a project may have at most 200 resources",
        ),
    ] {
        ada.post("/api/projects", body).await.refused(code, message);
    }
    assert_eq!(ada.get("/api/projects").await.expect(200), json!({"projects": [], "total": 0}));
}

/// An edit changes what it names; null takes away what can be without.
#[apply(on_both)]
async fn an_edit_changes_what_it_names(gateway: &Gateway) {
    let ada = gateway.user();
    let bea = gateway.join("Bea", "member").await;
    let project = create(
        &ada,
        json!({"description": "d", "icon": "i", "lead_type": "agent", "lead_id": Uuid::new_v4()}),
    )
    .await;
    let nothing = json!({"title": null, "status": null, "priority": null});
    let same = bea.put(path(&project), nothing).await.expect(200);
    assert_eq!(
        (&same["title"], &same["description"], &same["lead_id"]),
        (&json!("Billing"), &json!("d"), &project["lead_id"])
    );
    let sent = json!({"title": "Else", "status": "completed", "priority": "urgent", "description": null, "icon": null,
        "lead_type": null, "lead_id": null});
    let changed = ada.put(path(&project), sent.clone()).await.expect(200);
    for (member, value) in sent.as_object().unwrap() {
        assert_eq!(&changed[member], value, "{member}");
    }
    for (body, message) in [
        (
            json!({"status": "no"}),
            "invalid status \"no\"; valid values: planned, in_progress, paused, completed, cancelled",
        ),
        (json!({"priority": ""}), "invalid priority \"\"; valid values: urgent, high, medium, low, none"),
        (json!({"lead_id": "x"}), "invalid lead_id"),
        (json!({"lead_type": "x"}), "project update rejected: a field value failed a database constraint"),
    ] {
        ada.put(path(&project), body).await.refused(400, message);
    }
    ada.put(path(&project), "{} x").await.refused(400, "invalid request body");
    ada.get("/api/projects/x").await.refused(400, "invalid project id");
    gateway.stranger("Cyn").await.get(path(&project)).await.refused(404, "project not found");
}

/// Only admins delete a project; its issues stay, without it.
/// User item 94.
#[apply(on_both)]
async fn a_deleted_project_leaves_its_issues(gateway: &Gateway) {
    let ada = gateway.user();
    let bea = gateway.join("Bea", "member").await;
    let project = create(&ada, json!({"resources": [repo("https://h/a")]})).await;
    let issue = gateway.seed_issue(gateway.workspace, "i", json!({"project_id": project["id"]})).await;
    bea.delete(path(&project)).await.refused(403, "insufficient permissions");
    assert_eq!(ada.delete(path(&project)).await.status, 204);
    ada.delete(path(&project)).await.refused(404, "project not found");
    assert_eq!(
        gateway.value("SELECT project_id FROM issue WHERE id = $1", json!([issue])).await,
        Value::Null
    );
}

/// What is attached is written down in one way, so that the same thing is the same.
#[apply(on_both)]
async fn a_resource_is_attached_once(gateway: &Gateway) {
    let ada = gateway.user();
    let project = create(&ada, json!({})).await;
    let resources = format!("{}/resources", path(&project));
    let sent = json!({"resource_type": "github_repo", "label": "main",
        "resource_ref": {"url": " https://h/a ", "ref": " v1 ", "default_branch_hint": "", "x": 1}});
    let first = ada.post(&resources, sent).await.expect(201);
    assert_eq!(
        first,
        json!({
            "id": first["id"], "project_id": project["id"], "workspace_id": gateway.workspace,
            "resource_type": "github_repo", "resource_ref": {"url": "https://h/a", "ref": "v1"}, "label": "main",
            "position": 0, "created_at": first["created_at"], "created_by": ada.id,
        })
    );
    let again = json!({"resource_type": "github_repo", "resource_ref": {"ref": "v1", "url": "https://h/a"}});
    ada.post(&resources, again).await.refused(409, "this resource is already attached to the project");
    let second = ada.post(&resources, directory("C:\\work", "d-1")).await.expect(201);
    assert_eq!(second["position"], 1);
    ada.post(&resources, directory("/other", "d-1")).await.refused(
        409,
        "this daemon already has a local_directory attached to the project; remove it before adding another",
    );
    let third =
        ada.post(&resources, over(directory("/other", "d-2"), json!({"position": -5}))).await.expect(201);
    let list = ada.get(&resources).await.expect(200);
    assert_eq!(list, json!({"resources": [third, first, second], "total": 3}));
    let project = ada.get(path(&project)).await.expect(200);
    assert_eq!(project["resource_count"], 3);
}

/// What no resource is.
/// User item 93.
#[apply(on_both)]
async fn what_is_no_resource_is_refused(gateway: &Gateway) {
    let ada = gateway.user();
    let project = create(&ada, json!({})).await;
    let resources = format!("{}/resources", path(&project));
    let of = |kind: &str, reference: Value| json!({"resource_type": kind, "resource_ref": reference});
    for (body, message) in [
        (json!({}), "resource_type is required"),
        (json!({"resource_type": "github_repo"}), "resource_ref is required"),
        (of("github_repo", Value::Null), "resource_ref is required"),
        (of("folder", json!({})), "unknown resource_type \"folder\""),
        (of("github_repo", json!({})), "github_repo: url is required"),
        (
            of("github_repo", json!({"url": "nowhere"})),
            "github_repo: url must be a valid http(s) or ssh git URL",
        ),
        (of("local_directory", json!({"daemon_id": "d"})), "local_directory: local_path is required"),
        (
            of("local_directory", json!({"local_path": "a/b", "daemon_id": "d"})),
            "local_directory: local_path must be an absolute path",
        ),
        (of("local_directory", json!({"local_path": "/a"})), "local_directory: daemon_id is required"),
        (
            of("github_repo", json!({"url": format!("https://h/{}", "x".repeat(4000))})),
            "github_repo: resource_ref must be 2048 bytes or fewer",
        ),
        (
            over(repo("https://h/a"), json!({"position": 3_000_000_000_i64})),
            "position must be an integer between -2147483648 and 2147483647",
        ),
        (over(repo("https://h/a"), json!({"label": 1})), "invalid request body"),
    ] {
        ada.post(&resources, body).await.refused(400, message);
    }
    for (kind, reference) in
        [("github_repo", json!("x")), ("github_repo", json!({"url": 1})), ("local_directory", json!([]))]
    {
        let reply = ada.post(&resources, of(kind, reference)).await;
        let message = reply["error"].as_str().unwrap();
        assert!(reply.status == 400 && message.starts_with(&format!("invalid {kind} payload: ")), "{reply}");
    }
    assert_eq!(ada.get(&resources).await.expect(200)["total"], 0);
}

/// What is attached can be changed and taken off, but stays of its type.
/// User item 93.
#[apply(on_both)]
async fn a_resource_is_changed_and_taken_off(gateway: &Gateway) {
    let ada = gateway.user();
    let project = create(
        &ada,
        json!({"resources": [repo("https://h/a"), repo("https://h/b"),
        directory("/a", "d-1"), directory("/b", "d-2")]}),
    )
    .await;
    let other = create(&ada, json!({})).await;
    let at = |project: &Value, resource: &Value| format!("{}/resources/{}", path(project), id_of(resource));
    let all = project["resources"].clone();
    let (first, directory) = (at(&project, &all[0]), at(&project, &all[2]));
    let changed = ada
        .put(&first, json!({"label": "l", "position": 9, "resource_ref": {"url": "git@h:c"}}))
        .await
        .expect(200);
    assert_eq!(
        (&changed["label"], &changed["position"], &changed["resource_ref"]),
        (&json!("l"), &json!(9), &json!({"url": "git@h:c"}))
    );
    assert_eq!(ada.put(&first, json!({"label": null})).await.expect(200)["label"], Value::Null);
    let same = ada.put(&first, json!({"resource_type": "local_directory"})).await.expect(200);
    assert_eq!((&same["resource_type"], &same["position"]), (&json!("github_repo"), &json!(9)));
    for (body, code, message) in [
        (json!({"label": 1}), 400, "label must be a string or null"),
        (json!({"position": "1"}), 400, "position must be an integer"),
        (json!({"position": 1.5}), 400, "position must be an integer"),
        (
            json!({"position": 3_000_000_000_i64}),
            400,
            "position must be an integer between -2147483648 and 2147483647",
        ),
        (json!({"resource_ref": null}), 400, "resource_ref is required"),
        (
            json!({"resource_ref": {"url": "x"}}),
            400,
            "github_repo: url must be a valid http(s) or ssh git URL",
        ),
        (
            json!({"resource_ref": {"url": "https://h/b"}}),
            409,
            "this resource is already attached to the project",
        ),
    ] {
        ada.put(&first, body).await.refused(code, message);
    }
    ada.put(&directory, json!({"resource_ref": {"local_path": "/c", "daemon_id": "d-2"}}))
        .await
        .refused(409, "another local_directory on this daemon is already attached to the project");
    ada.put(&directory, json!({"resource_ref": {"local_path": "/c", "daemon_id": "d-1"}})).await.expect(200);
    ada.put(at(&other, &all[0]), json!({})).await.refused(404, "project resource not found");
    ada.delete(at(&other, &all[0])).await.refused(404, "project resource not found");
    assert_eq!(ada.delete(&first).await.status, 204);
    ada.delete(&first).await.refused(404, "project resource not found");
    ada.put(&first, json!({})).await.refused(404, "project resource not found");
}
