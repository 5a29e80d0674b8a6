//! A daemon says which agent CLIs it has. Checklist 10.4.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Client, Gateway, Reply, check_values, id_of};

const REGISTER: &str = "/api/daemon/register";

async fn register(client: &Client, runtimes: Value) -> Reply {
    register_on(client, "mac", runtimes).await
}

async fn register_on(client: &Client, device: &str, runtimes: Value) -> Reply {
    client.register_with(json!({"daemon_id": "dm-1", "device_name": device, "runtimes": runtimes})).await
}

/// The one runtime that was registered.
fn only(reply: Reply) -> Value {
    let body = reply.expect(200);
    let runtimes = body["runtimes"].as_array().unwrap();
    assert_eq!(runtimes.len(), 1, "{body}");
    runtimes[0].clone()
}

/// Daemon items 47, 48 and 49.
#[apply(on_both)]
async fn what_is_required_is_asked_for_in_order(gateway: &Gateway) {
    let user = gateway.user();
    let check = async |body: Value, error: &str| user.post(REGISTER, body).await.refused(400, error);
    let runtimes = json!([{"type": "claude"}]);
    check(json!({}), "daemon_id is required").await;
    check(json!({"daemon_id": " \t", "workspace_id": "nope"}), "daemon_id is required").await;
    check(json!({"daemon_id": "d", "runtimes": runtimes}), "workspace_id is required").await;
    check(json!({"daemon_id": "d", "workspace_id": "  "}), "workspace_id is required").await;
    let neither = "at least one runtime or failed profile is required";
    check(json!({"daemon_id": "d", "workspace_id": "nope"}), neither).await;
    check(json!({"daemon_id": "d", "workspace_id": "nope", "runtimes": []}), neither).await;
    let malformed = json!({"daemon_id": "d", "workspace_id": "nope", "runtimes": runtimes});
    check(malformed, "invalid workspace_id").await;
}

/// Daemon item 50.
#[apply(on_both)]
async fn only_members_register_and_nobody_learns_which_workspaces_exist(gateway: &Gateway) {
    let world = gateway.world().await;
    let into = |workspace: Uuid| json!({"daemon_id": "d", "workspace_id": workspace, "runtimes": [{"type": "claude"}]});
    for client in [&world.c, &world.m2] {
        client.post(REGISTER, into(world.w1)).await.refused(404, "workspace not found");
    }
    for client in [&world.a, &world.m1] {
        client.post(REGISTER, into(Uuid::new_v4())).await.refused(404, "workspace not found");
    }
    // The daemon id of the body is not compared with that of the token.
    world.m1.post(REGISTER, into(world.w1)).await.expect(200);
}

/// Daemon item 51.
#[apply(on_both)]
async fn a_runtime_is_stored_as_it_was_described(gateway: &Gateway) {
    let user = gateway.user();
    let body = json!({
        "daemon_id": "  dm-1 ", "device_name": " mac ", "cli_version": "v0.3.1", "launched_by": "desktop",
        "runtimes": [{"name": " Claude (mac) ", "type": " Claude ", "version": "1.0", "status": "online"}],
    });
    let runtime = only(user.register_with(body).await);
    let expected = json!({
        "id": runtime["id"], "workspace_id": gateway.workspace, "daemon_id": "dm-1", "name": "Claude (mac)",
        "runtime_mode": "local", "provider": "claude", "launch_header": "claude (stream-json)",
        "status": "online", "device_info": "mac · 1.0",
        "metadata": {"version": "1.0", "cli_version": "v0.3.1", "launched_by": "desktop"},
        "owner_id": user.id, "visibility": "private", "profile_id": null,
        "last_seen_at": runtime["last_seen_at"], "created_at": runtime["created_at"],
        "updated_at": runtime["updated_at"],
    });
    assert_eq!(runtime, expected);
    for time in ["last_seen_at", "created_at", "updated_at"] {
        let text = runtime[time].as_str().unwrap();
        assert!(text.len() == 20 && text.ends_with('Z'), "{time} is whole seconds: {text}");
    }
}

/// Daemon items 52, 53, 54 and 55.
#[apply(on_both)]
async fn what_a_runtime_does_not_say_is_filled_in(gateway: &Gateway) {
    let user = gateway.user();
    let check = async |device: &str, entry: Value, expected: Value| {
        let runtime = only(register_on(&user, device, json!([entry])).await);
        for (member, value) in expected.as_object().unwrap() {
            assert_eq!(&runtime[member], value, "{member} for {entry} on `{device}`");
        }
    };
    check("mac", json!({"name": " ", "type": "claude"}), json!({"name": "claude (mac)"})).await;
    check("", json!({"type": "claude"}), json!({"name": "claude"})).await;
    let unknown = json!({"name": "unknown (mac)", "provider": "unknown", "launch_header": ""});
    check("mac", json!({"type": "  "}), unknown).await;
    check("", json!({"type": "codex", "version": "2"}), json!({"device_info": "2"})).await;
    check("mac", json!({"type": "codex"}), json!({"device_info": "mac"})).await;
    check("", json!({"type": "codex"}), json!({"device_info": ""})).await;
    check("", json!({"type": "codex", "status": "offline"}), json!({"status": "offline"})).await;
    check("", json!({"type": "codex", "status": "weird"}), json!({"status": "online"})).await;
    check("", json!({"type": "codex", "status": "Offline"}), json!({"status": "online"})).await;
    check("", json!({"type": "codex"}), json!({"status": "online"})).await;
}

/// The launch header of every provider that has one.
#[apply(on_both)]
async fn every_known_provider_has_its_launch_header(gateway: &Gateway) {
    let headers = [
        ("antigravity", "agy -p (non-interactive)"),
        ("claude", "claude (stream-json)"),
        ("codebuddy", "codebuddy (stream-json)"),
        ("codex", "codex app-server"),
        ("copilot", "copilot (json)"),
        ("cursor", "cursor-agent (stream-json)"),
        ("hermes", "hermes acp"),
        ("kimi", "kimi acp"),
        ("kiro", "kiro-cli acp"),
        ("openclaw", "openclaw agent (json)"),
        ("opencode", "opencode run (json)"),
        ("pi", "pi (json mode)"),
        ("qoder", "qodercli --acp"),
        ("traecli", "traecli acp serve"),
    ];
    let entries: Vec<Value> = headers.iter().map(|(provider, _)| json!({"type": provider})).collect();
    let body = register(&gateway.user(), json!(entries)).await.expect(200);
    for (runtime, (provider, header)) in body["runtimes"].as_array().unwrap().iter().zip(headers) {
        assert_eq!((&runtime["provider"], &runtime["launch_header"]), (&json!(provider), &json!(header)));
    }
}

/// Daemon item 56, and two entries for one key.
#[apply(on_both)]
async fn registering_again_changes_the_row_and_makes_no_other(gateway: &Gateway) {
    let user = gateway.user();
    let first = only(register(&user, json!([{"type": "claude", "version": "1.0"}])).await);
    gateway.execute("UPDATE agent_runtime SET visibility = 'public'", json!([])).await;
    let again = register(&user, json!([{"type": "claude", "version": "2.0"}, {"type": "CLAUDE"}])).await;
    let body = again.expect(200);
    for runtime in body["runtimes"].as_array().unwrap() {
        assert_eq!((&runtime["id"], &runtime["created_at"]), (&first["id"], &first["created_at"]));
        assert_eq!(runtime["visibility"], "public");
    }
    assert_eq!(body["runtimes"][0]["metadata"]["version"], "2.0");
    assert_eq!(body["runtimes"].as_array().unwrap().len(), 2);
    assert_eq!(gateway.value("SELECT count(*) FROM agent_runtime", json!([])).await, 1);
}

/// Daemon item 57.
#[apply(on_both)]
async fn a_runtime_belongs_to_whoever_registered_it_last(gateway: &Gateway) {
    let world = gateway.world().await;
    let runtimes = json!([{"type": "claude"}]);
    let by_daemon = only(register(&world.m1, runtimes.clone()).await);
    assert_eq!((id_of(&by_daemon), &by_daemon["owner_id"]), (world.r1, &json!(world.a.id)));
    let by_other = only(register(&world.b, runtimes).await);
    assert_eq!((id_of(&by_other), &by_other["owner_id"]), (world.r1, &json!(world.b.id)));
    let fresh = only(register(&world.m1, json!([{"type": "codex"}])).await);
    assert_eq!(fresh["owner_id"], Value::Null);
}

/// Daemon items 58 and 59.
#[apply(on_both)]
async fn a_custom_runtime_stands_beside_the_built_in_one(gateway: &Gateway) {
    let world = gateway.world().await;
    let custom = json!({"type": "codex", "profile_id": format!(" {} ", world.p1)});
    let body = register(&world.a, json!([{"type": "claude"}, custom])).await.expect(200);
    let (built_in, custom) = (&body["runtimes"][0], &body["runtimes"][1]);
    assert_ne!(built_in["id"], custom["id"]);
    assert_eq!((&built_in["provider"], &built_in["profile_id"]), (&json!("claude"), &Value::Null));
    assert_eq!((&custom["provider"], &custom["profile_id"]), (&json!("claude"), &json!(world.p1)));
    // Its default name is made before the profile's family replaces the type.
    assert_eq!(custom["name"], "codex (mac)");
    assert_eq!(custom["launch_header"], "claude (stream-json)");
}

/// Daemon items 60, 61, 62 and 63.
#[apply(on_both)]
async fn a_profile_must_be_of_the_workspace_and_enabled(gateway: &Gateway) {
    let world = gateway.world().await;
    let with = async |id: &str| register(&world.a, json!([{"type": "x", "profile_id": id}])).await;
    for unknown in [Uuid::new_v4(), world.p3] {
        with(&unknown.to_string()).await.refused(400, &format!("unknown runtime profile: {unknown}"));
        let odd = unknown.simple().to_string().to_uppercase();
        with(&odd).await.refused(400, &format!("unknown runtime profile: {odd}"));
    }
    with(&world.p2.to_string()).await.refused(409, &format!("runtime profile is disabled: {}", world.p2));
    with("zzz").await.refused(400, "invalid profile_id");
    // What came before the entry that is refused stays.
    let entries = json!([{"type": "codex"}, {"type": "x", "profile_id": "zzz"}]);
    register(&world.a, entries).await.refused(400, "invalid profile_id");
    const FOUND: &str = "SELECT status FROM agent_runtime WHERE provider = 'codex'";
    assert_eq!(gateway.value(FOUND, json!([])).await, "online");
}

const ROW: &str =
    "SELECT name, provider, status, device_info, metadata, owner_id FROM agent_runtime WHERE profile_id = $1";

/// Daemon items 64, 65 and 67.
#[apply(on_both)]
async fn a_profile_that_failed_is_an_offline_runtime_with_the_reason(gateway: &Gateway) {
    let world = gateway.world().await;
    let online = only(register(&world.a, json!([{"type": "x", "profile_id": world.p1}])).await);
    assert_eq!(online["status"], "online");
    let failed = async |device: &str, entry: Value| {
        let body = json!({
            "daemon_id": "dm-1", "device_name": device, "cli_version": "v1", "launched_by": "desktop",
            "failed_profiles": [entry],
        });
        let body = world.a.register_with(body).await.expect(200);
        assert_eq!(body["runtimes"], json!([]));
        gateway.row(ROW, json!([world.p1])).await
    };
    let row = failed(
        "mac",
        json!({"profile_id": world.p1, "command_name": " other ", "reason": " not on the path "}),
    );
    let expected = json!({
        "name": "My Claude (mac)", "provider": "claude", "status": "offline", "device_info": "mac",
        "owner_id": world.a.id,
        "metadata": {
            "version": "", "cli_version": "v1", "launched_by": "desktop",
            "runtime_profile_registration_error": true,
            "runtime_profile_failure_reason": "not on the path", "command_name": "other",
        },
    });
    assert_eq!(row.await, expected);
    let listed = world.b.get("/api/runtimes").await.expect(200);
    let shown = listed.as_array().unwrap().iter().find(|runtime| runtime["profile_id"] == json!(world.p1));
    check_values(
        shown.unwrap(),
        &json!({"status": "offline", "name": "My Claude (mac)", "metadata": expected["metadata"]}),
    );
    let row = failed("", json!({"profile_id": world.p1})).await;
    assert_eq!(row["name"], "My Claude");
    assert_eq!(row["metadata"]["command_name"], "my-claude");
    let reason = &row["metadata"]["runtime_profile_failure_reason"];
    assert_eq!(reason, "custom runtime command could not be resolved");
}

/// Daemon item 66.
#[apply(on_both)]
async fn a_failed_profile_that_is_not_there_is_passed_over(gateway: &Gateway) {
    let world = gateway.world().await;
    let failed = async |entries: Value| {
        world.a.register_with(json!({"daemon_id": "dm-1", "failed_profiles": entries})).await
    };
    let unknown = json!([
        {"profile_id": world.p2}, {"profile_id": world.p3}, {"profile_id": Uuid::new_v4()},
        {"profile_id": " "}, {}, null,
    ]);
    assert_eq!(failed(unknown).await.expect(200)["runtimes"], json!([]));
    const CUSTOM: &str = "SELECT count(*) FROM agent_runtime WHERE profile_id IS NOT NULL";
    assert_eq!(gateway.value(CUSTOM, json!([])).await, 0);
    failed(json!([{"profile_id": "zzz"}])).await.refused(400, "invalid profile_id");
}

/// Daemon item 68.
#[apply(on_both)]
async fn a_registration_tells_what_the_workspace_has(gateway: &Gateway) {
    let user = gateway.user();
    let answer = register(&user, json!([{"type": "claude"}])).await.expect(200);
    assert_eq!((&answer["repos"], &answer["settings"]), (&json!([]), &json!({})));
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(answer["repos_version"], empty);
    let change = "UPDATE workspace SET repos = $2, settings = $3 WHERE id = $1";
    let repos = json!([{"url": " https://github.com/acme/a ", "description": "d", "ref": "x"}]);
    gateway.execute(change, json!([gateway.workspace, repos, {"github_enabled": false}])).await;
    let answer = register(&user, json!([{"type": "claude"}])).await.expect(200);
    assert_eq!(answer["repos"], json!([{"url": "https://github.com/acme/a", "description": "d"}]));
    assert_eq!(answer["settings"], json!({"github_enabled": false}));
    assert_eq!(answer["repos_version"].as_str().unwrap().len(), 64);
}

const WHERE_IT_IS: &str = "SELECT
    (SELECT runtime_id FROM agent WHERE id = $1) AS agent,
    (SELECT count(*) FROM agent_task_queue WHERE runtime_id = $2) AS tasks,
    (SELECT count(*) FROM agent_runtime WHERE id = $3) AS old";

/// Daemon item 69.
#[apply(on_both)]
async fn a_daemon_that_changed_its_id_takes_along_what_it_had(gateway: &Gateway) {
    let user = gateway.user();
    let old = user.register("Host.local", "claude").await;
    let agent = gateway.seed_agent(old, "Gus", json!({})).await;
    gateway.seed_issue_task(agent, json!({})).await;
    let done = json!({"status": "completed", "completed_at": "2026-01-01T00:00:00Z"});
    gateway.seed_issue_task(agent, done).await;
    let body = json!({
        "daemon_id": "new-host", "legacy_daemon_ids": [" host.LOCAL ", "", "host.local"],
        "runtimes": [{"type": "claude"}],
    });
    let new = id_of(&only(user.register_with(body).await));
    assert_ne!(new, old);
    let found = gateway.row(WHERE_IT_IS, json!([agent, new, old])).await;
    assert_eq!(found, json!({"agent": new, "tasks": 2, "old": 0}));
    let legacy = "SELECT legacy_daemon_id FROM agent_runtime WHERE id = $1";
    assert_eq!(gateway.value(legacy, json!([new])).await, "host.LOCAL");
    // What waited is delivered through the new one.
    assert!(user.claim(new).await.is_some());
    user.claiming(old).await.refused(404, "runtime not found");
}

/// Daemon item 70, and a runtime that is its own legacy.
#[apply(on_both)]
async fn one_legacy_id_merges_every_spelling_of_it(gateway: &Gateway) {
    let user = gateway.user();
    for spelling in ["Foo.local", "foo.local"] {
        user.register(spelling, "claude").await;
    }
    let body = json!({
        "daemon_id": "FOO.LOCAL", "legacy_daemon_ids": ["foo.Local"], "runtimes": [{"type": "claude"}],
    });
    let new = only(user.register_with(body).await);
    let left = gateway.rows("SELECT id FROM agent_runtime", json!([])).await;
    assert_eq!(left, [json!({"id": new["id"]})]);
}

/// Daemon item 71.
#[apply(on_both)]
async fn another_providers_runtime_is_not_merged(gateway: &Gateway) {
    let user = gateway.user();
    let codex = user.register("old", "codex").await;
    const ROW: &str = "SELECT * FROM agent_runtime WHERE id = $1";
    let before = gateway.row(ROW, json!([codex])).await;
    let body = json!({
        "daemon_id": "new", "legacy_daemon_ids": ["old", "never-heard-of"], "runtimes": [{"type": "claude"}],
    });
    user.register_with(body).await.expect(200);
    assert_eq!(gateway.row(ROW, json!([codex])).await, before);
    user.beat(codex).await;
}
