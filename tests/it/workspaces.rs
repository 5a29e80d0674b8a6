//! Tenants: made, changed, found by whom they belong to, and taken away with all they hold.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Engine, Gateway, id_of};

/// User items 38, 39 and 40.
#[apply(on_both)]
async fn a_workspace_is_made_by_whoever_owns_it(gateway: &Gateway) {
    let user = gateway.user();
    let check = |body: Value, status: u16, error: &'static str| async move {
        gateway.user().post("/api/workspaces", body).await.refused(status, error);
    };
    check(json!({"name": "Acme"}), 400, "name and slug are required").await;
    check(json!({"name": "  ", "slug": "x"}), 400, "name and slug are required").await;
    let pattern = "slug must contain only lowercase letters, numbers, and hyphens";
    check(json!({"name": "Acme", "slug": "Bad Slug"}), 400, pattern).await;
    check(json!({"name": "Acme", "slug": "a--b"}), 400, pattern).await;
    check(json!({"name": "Acme", "slug": "api"}), 400, "slug is reserved").await;
    user.post("/api/workspaces", "").await.refused(400, "invalid request body");
    for (name, slug, given, expected) in [
        ("Acme Tools", "tools", Value::Null, "ACM"),
        ("1234", "digits", Value::Null, "WS"),
        ("x", "short", json!("  "), "X"),
        ("Acme", "given", json!(" ab "), "AB"),
    ] {
        let body =
            json!({"name": name, "slug": slug, "issue_prefix": given, "settings": {"a": 1}, "repos": 5});
        let made = user.post("/api/workspaces", body).await.expect(201);
        assert_eq!(made["issue_prefix"], json!(expected), "{made}");
        assert_eq!((&made["settings"], &made["repos"]), (&json!({}), &json!([])));
        assert_eq!((&made["description"], &made["avatar_url"]), (&Value::Null, &Value::Null));
    }
    check(json!({"name": "Acme", "slug": " TOOLS "}), 409, "workspace slug already exists").await;
    let listed = user.get("/api/workspaces").await.expect(200);
    let slugs: Vec<&str> =
        listed.as_array().unwrap().iter().map(|workspace| workspace["slug"].as_str().unwrap()).collect();
    assert_eq!(slugs[1..], ["tools", "digits", "short", "given"]);
    let members = user.get(format!("/api/workspaces/{}/members", id_of(&listed[1]))).await.expect(200);
    assert_eq!(members.as_array().unwrap().len(), 1);
    assert_eq!((&members[0]["role"], &members[0]["user_id"]), (&json!("owner"), &json!(user.id)));
    assert_eq!(gateway.seed_user("Loner").await.get("/api/workspaces").await.expect(200), json!([]));
}

#[apply(on_both)]
async fn an_instance_may_refuse_new_workspaces(engine: Engine) {
    let gateway = Gateway::setup(engine).env("DISABLE_WORKSPACE_CREATION", "true").start().await;
    // Said before the body is looked at.
    let refused = gateway.user().post("/api/workspaces", "nonsense").await;
    refused.refused(403, "workspace creation is disabled for this instance");
    let config = gateway.anonymous().get("/api/config").await.expect(200);
    assert_eq!(config["workspace_creation_disabled"], json!(true));
    gateway.finish().await;
}

/// User items 41 and 42.
#[apply(on_both)]
async fn what_is_sent_is_changed_and_nothing_else(gateway: &Gateway) {
    let user = gateway.user();
    let path = format!("/api/workspaces/{}", gateway.workspace);
    let check = |change: Value, error: &'static str| {
        let (user, path) = (user.clone(), path.clone());
        async move { user.patch(path, change).await.refused(400, error) }
    };
    check(json!({"name": " "}), "name is required").await;
    check(json!({"repos": [{"url": "ftp://x/y"}]}), "repos[0]: url must be a valid http(s) or ssh git URL")
        .await;
    check(json!({"repos": [{"url": "https://x/y"}, {}]}), "repos[1]: url is required").await;
    let shape = user.patch(&path, json!({"repos": {}})).await;
    let message = shape.clone().expect(400)["error"].as_str().unwrap().to_owned();
    assert!(message.starts_with("repos must be an array of repository objects: "), "{shape}");

    let changed = user
        .put(
            &path,
            json!({
                "name": " Acme ", "description": "", "context": "Be kind.", "settings": {"b": 1, "a": [null]},
                "issue_prefix": " new ",
                "repos": [
                    {"url": " git@host:a/b.git ", "description": " x ", "ref": "main"},
                    {"url": "git@host:a/b.git", "description": "y"},
                    {"url": "https://host/c"},
                ],
            }),
        )
        .await
        .expect(200);
    assert_eq!(changed["name"], json!("Acme"));
    assert_eq!(changed["description"], json!(""));
    assert_eq!(changed["issue_prefix"], json!("NEW"));
    assert_eq!(
        changed["repos"],
        json!([{"url": "git@host:a/b.git", "description": "x"}, {"url": "https://host/c"}])
    );
    let same = user
        .patch(&path, json!({"name": null, "settings": null, "repos": null, "issue_prefix": "  "}))
        .await
        .expect(200);
    for key in ["name", "description", "context", "settings", "repos", "issue_prefix"] {
        assert_eq!(same[key], changed[key], "{key}");
    }
    assert_eq!(
        user.patch(&path, json!({"settings": {"c": 2}})).await.expect(200)["settings"],
        json!({"c": 2})
    );
    assert_eq!(user.get(&path).await.expect(200)["settings"], json!({"c": 2}));
    assert_eq!(user.get(path.to_uppercase().replace("/API/WORKSPACES", "/api/workspaces")).await.status, 200);
}

/// User items 21, 22, 23 and 28.
#[apply(on_both)]
async fn a_workspace_is_chosen_and_its_doors_are_kept(gateway: &Gateway) {
    let user = gateway.user();
    let stranger = gateway.stranger("Cyn").await;
    let nowhere = user.in_workspace(Uuid::nil());
    let check = |client: &crate::harness::Client, query: &'static str, status: u16, error: &'static str| {
        let call = client.get(format!("/api/runtimes{query}"));
        async move {
            let reply = call.await;
            reply.refused(status, error);
            assert_eq!(reply.header("content-type"), "application/json");
        }
    };
    check(&nowhere, "", 400, "workspace_id or workspace_slug is required").await;
    check(&nowhere, "?workspace_slug=nobody", 404, "workspace not found").await;
    check(&nowhere, "?workspace_id=x", 400, "invalid workspace_id").await;
    check(&user.in_workspace(stranger.workspace), "", 404, "workspace not found").await;
    // The query's slug goes before the header's, that before the query's id, and the header's id is last.
    let slug = gateway.value("SELECT slug FROM workspace WHERE id = $1", json!([gateway.workspace])).await;
    let slug = slug.as_str().unwrap();
    let by_slug = stranger.in_workspace(Uuid::nil());
    let there = by_slug.get("/api/runtimes?workspace_slug=cyn-place").header("x-workspace-slug", slug).await;
    assert_eq!(there.status, 200);
    let there = by_slug.get("/api/runtimes?workspace_id=x").header("x-workspace-slug", "cyn-place").await;
    assert_eq!(there.status, 200);
    let there = user.get(format!("/api/runtimes?workspace_id={}", stranger.workspace)).await;
    there.refused(404, "workspace not found");

    let path = format!("/api/workspaces/{}", gateway.workspace);
    stranger.get(&path).await.refused(404, "workspace not found");
    user.get("/api/workspaces/nonsense").await.refused(400, "invalid workspace_id");
    user.get(format!("/api/workspaces/{slug}")).await.refused(400, "invalid workspace_id");
    user.get(format!("/api/workspaces/{}", Uuid::new_v4())).await.refused(404, "workspace not found");
    let member = gateway.join("Bea", "member").await;
    let admin = gateway.join("Adi", "admin").await;
    member.get(&path).await.expect(200);
    member.patch(&path, json!({"name": "x"})).await.refused(403, "insufficient permissions");
    admin.patch(&path, json!({"name": "x"})).await.expect(200);
    admin.delete(&path).await.refused(403, "insufficient permissions");
}

/// A workspace goes with everything in it, and with it every way in.
#[apply(on_both)]
async fn a_workspace_takes_all_it_holds_along(gateway: &Gateway) {
    let world = gateway.world().await;
    let agent = world.g1;
    gateway.seed_squad(world.w1, "Squad", agent, json!({})).await;
    gateway.seed_issue_task(agent, json!({})).await;
    let chat = gateway.seed_chat(agent, json!({})).await;
    gateway.seed_chat_message(chat, "user", "hello", json!({})).await;
    gateway.seed_autopilot_run(agent, "Nightly", json!({})).await;
    gateway.seed_skill(agent, "skill", "do it", &[("a.md", "a")]).await;
    let project = gateway.seed_project(world.w1, "Project", json!({})).await;
    gateway.seed_resource(project, "github_repo", json!({"url": "https://x/y"}), json!({})).await;
    let task = world.m1.claim(world.r1).await.expect("a task is queued");
    assert_eq!(world.m1.beat(world.r1).await["status"], json!("ok"));
    world.b.get(format!("/api/workspaces/{}", world.w1)).await.expect(200);

    assert_eq!(world.a.delete(format!("/api/workspaces/{}", world.w1)).await.status, 204);
    world.a.get(format!("/api/workspaces/{}", world.w1)).await.refused(404, "workspace not found");
    for table in ["member", "agent", "agent_runtime", "issue", "squad", "runtime_profile", "skill", "project"]
    {
        let sql = format!("SELECT count(*) AS n FROM {table} WHERE workspace_id = $1");
        assert_eq!(gateway.value(&sql, json!([world.w1])).await, json!(0), "{table}");
    }
    assert_eq!(gateway.value("SELECT count(*) AS n FROM agent_task_queue", json!([])).await, json!(0));
    let targets = "SELECT count(*) AS n FROM agent_invocation_target WHERE agent_id = $1";
    assert_eq!(gateway.value(targets, json!([agent])).await, json!(0));
    let beat = json!({"runtime_id": world.r1});
    world.m1.post("/api/daemon/heartbeat", beat.clone()).await.refused(401, "invalid daemon token");
    world.b.post("/api/daemon/heartbeat", beat).await.refused(404, "runtime not found");
    let status = world.a.get(format!("/api/daemon/tasks/{}/status", task["id"].as_str().unwrap())).await;
    status.refused(404, "task not found");
    // The other workspace has lost nothing.
    world.c.get(format!("/api/workspaces/{}", world.w2)).await.expect(200);
    assert_eq!(world.m2.beat(world.r2).await["status"], json!("ok"));
}
