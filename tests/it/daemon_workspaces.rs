//! What a daemon synchronises of a workspace. Checklist 10.8.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Client, Gateway, Reply};

async fn repos(client: &Client, workspace: impl ToString) -> Reply {
    client.get(format!("/api/daemon/workspaces/{}/repos", workspace.to_string())).await
}

async fn profiles(client: &Client, workspace: impl ToString) -> Reply {
    client.get(format!("/api/daemon/workspaces/{}/runtime-profiles", workspace.to_string())).await
}

async fn set_repos(gateway: &Gateway, stored: Value) {
    let sql = "UPDATE workspace SET repos = $2 WHERE id = $1";
    gateway.execute(sql, json!([gateway.workspace, stored])).await;
}

/// Daemon item 109.
#[apply(on_both)]
async fn a_workspace_is_shown_to_its_members_and_unknown_to_others(gateway: &Gateway) {
    let world = gateway.world().await;
    for client in [&world.m1, &world.b] {
        repos(client, world.w1).await.expect(200);
        profiles(client, world.w1).await.expect(200);
        for other in [Uuid::new_v4().to_string(), "xyz".to_owned(), "%20".to_owned()] {
            repos(client, &other).await.refused(404, "not found");
            profiles(client, &other).await.refused(404, "not found");
        }
    }
    for client in [&world.m2, &world.c] {
        repos(client, world.w1).await.refused(404, "not found");
        profiles(client, world.w1).await.refused(404, "not found");
    }
}

/// Daemon item 110.
#[apply(on_both)]
async fn repositories_are_normalised(gateway: &Gateway) {
    let user = gateway.user();
    let stored = json!([
        {"url": " u1 ", "description": "d"}, {"url": "u1"}, {"url": ""}, {"url": "u2", "ref": "x"},
    ]);
    set_repos(gateway, stored).await;
    let answer = repos(&user, format!("%20{}%20", gateway.workspace)).await.expect(200);
    assert_eq!(answer["workspace_id"], gateway.workspace.to_string());
    assert_eq!(answer["repos"], json!([{"url": "u1", "description": "d"}, {"url": "u2"}]));
    for unreadable in [json!({"url": "u1"}), json!([5]), json!({})] {
        set_repos(gateway, unreadable).await;
        assert_eq!(repos(&user, gateway.workspace).await.expect(200)["repos"], json!([]));
    }
}

/// Daemon item 111. Domain item 230.
#[apply(on_both)]
async fn the_version_of_repositories_is_that_of_their_urls(gateway: &Gateway) {
    let user = gateway.user();
    let version = async |stored: Value| {
        set_repos(gateway, stored).await;
        repos(&user, gateway.workspace).await.expect(200)["repos_version"].clone()
    };
    let (a, b) = ("https://github.com/acme/a", "https://github.com/acme/b");
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(version(json!([])).await, empty);
    let both = "35a738fae452f390d76c84d5d3da0e31a5f1c8bfce9a9afeb0ec32d39be1a5a4";
    assert_eq!(version(json!([{"url": b}, {"url": a}])).await, both);
    assert_eq!(version(json!([{"url": a, "description": "d"}, {"url": b}])).await, both);
    let one = "2f38c43052f7e83338a5ec6b2ea7f71446aee2e214eb61f64e4e91829c0e128a";
    assert_eq!(version(json!([{"url": "git@h:x.git"}])).await, one);
    assert_ne!(version(json!([{"url": a}, {"url": b}, {"url": "c"}])).await, both);
}

/// Daemon item 112.
#[apply(on_both)]
async fn settings_are_as_they_are_now(gateway: &Gateway) {
    let user = gateway.user();
    for settings in [json!({"github_enabled": false}), json!({"co_authored_by_enabled": true, "x": [1]})] {
        let sql = "UPDATE workspace SET settings = $2 WHERE id = $1";
        gateway.execute(sql, json!([gateway.workspace, settings])).await;
        assert_eq!(repos(&user, gateway.workspace).await.expect(200)["settings"], settings);
        // And as a person changes them.
        let changed = json!({"settings": {"github_enabled": true, "before": settings}});
        let path = format!("/api/workspaces/{}", gateway.workspace);
        user.patch(path, changed.clone()).await.expect(200);
        assert_eq!(repos(&user, gateway.workspace).await.expect(200)["settings"], changed["settings"]);
    }
}

/// Daemon items 113 and 114.
#[apply(on_both)]
async fn enabled_profiles_are_listed_whole_and_in_order(gateway: &Gateway) {
    let world = gateway.world().await;
    let more = json!({
        "display_name": "Later", "protocol_family": "codex", "description": "d", "fixed_args": ["-x"],
        "created_by": world.a.id, "created_at": "2036-01-01T00:00:00Z",
    });
    let later = gateway.seed_profile(world.w1, more).await;
    let answer = profiles(&world.m1, world.w1).await.expect(200);
    assert_eq!(answer["workspace_id"], world.w1.to_string());
    let listed = answer["runtime_profiles"].as_array().unwrap();
    let times = ["created_at", "updated_at"].map(|name| listed[0][name].clone());
    assert!(times.iter().all(|time| time.as_str().unwrap().len() == 20), "{answer}");
    let expected = json!({
        "id": world.p1, "workspace_id": world.w1, "display_name": "My Claude", "protocol_family": "claude",
        "command_name": "my-claude", "description": null, "fixed_args": [], "visibility": "workspace",
        "created_by": null, "enabled": true, "created_at": times[0], "updated_at": times[1],
    });
    assert_eq!(listed[0], expected);
    assert_eq!(listed.len(), 2);
    assert_eq!(listed[1]["id"], later.to_string());
    assert_eq!(listed[1]["description"], "d");
    assert_eq!(listed[1]["fixed_args"], json!(["-x"]));
    assert_eq!(listed[1]["created_by"], world.a.id.to_string());
    gateway.execute("DELETE FROM runtime_profile", Value::Null).await;
    let answer = profiles(&world.a, world.w1).await.expect(200);
    assert_eq!(answer["runtime_profiles"], json!([]));
}
