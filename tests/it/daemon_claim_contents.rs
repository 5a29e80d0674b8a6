//! What a claimed task carries. Checklist 10.9, second half.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Engine, Gateway, World, ahead, check_members, id_of, over};

/// Queues a run on the issue and claims it.
async fn claim_on(gateway: &Gateway, world: &World, issue: Uuid, more: Value) -> Value {
    let task = gateway.seed_task(world.g1, over(json!({"issue_id": issue}), more)).await;
    let claimed = world.a.claim_one(world.r1).await;
    assert_eq!(id_of(&claimed), task);
    claimed
}

/// Daemon item 132.
#[apply(on_both)]
async fn skills_come_whole_or_as_references(gateway: &Gateway) {
    let world = gateway.world().await;
    gateway.seed_skill(world.g1, "review", "Look twice.", &[("b.md", "b"), ("a.md", "a")]).await;
    gateway.seed_skill(world.g1, "deploy", "Ship it.", &[]).await;
    let claim = async |capabilities: &str| {
        gateway.seed_issue_task(world.g1, json!({})).await;
        let call = world.a.claiming(world.r1).header("x-client-capabilities", capabilities);
        call.await.expect(200)["task"]["agent"].clone()
    };
    for without in ["", "foo", "skill-bundles-v10", "SKILL-BUNDLES-V1"] {
        let agent = claim(without).await;
        check_members(&agent, &json!({"skill_refs": null}));
        let names: Vec<&Value> = agent["skills"].as_array().unwrap().iter().map(|s| &s["name"]).collect();
        assert_eq!(names, ["deploy", "review"]);
        let files = json!([{"path": "a.md", "content": "a"}, {"path": "b.md", "content": "b"}]);
        let whole = json!({
            "content": "Look twice.", "files": files, "description": null, "source": null, "hash": null,
            "size_bytes": null,
        });
        check_members(&agent["skills"][1], &whole);
        check_members(&agent["skills"][0], &json!({"content": "Ship it.", "files": null}));
    }
    let agent = claim("foo, skill-bundles-v1").await;
    check_members(&agent, &json!({"skills": null}));
    let reference = json!({
        "name": "review", "source": "workspace", "size_bytes": 13, "file_count": 2, "content": null,
    });
    check_members(&agent["skill_refs"][1], &reference);
}

/// Daemon item 134.
#[apply(on_both)]
async fn an_agents_settings_are_delivered_as_stored_and_left_out_when_empty(gateway: &Gateway) {
    let world = gateway.world().await;
    let members = ["custom_env", "custom_args", "mcp_config", "model", "thinking_level", "runtime_config"];
    gateway.change("agent", world.g1, "max_concurrent_tasks", json!(20)).await;
    let agent = claim_on(gateway, &world, world.i1, json!({})).await["agent"].clone();
    for member in members {
        check_members(&agent, &json!({member: null}));
    }
    let settings = json!({
        "custom_env": {"API_KEY": "sk-secret", "EMPTY": ""}, "custom_args": ["--verbose", ""],
        "mcp_config": {"mcpServers": {"db": {"url": "http://db", "token": "t"}}, "other": 1},
        "model": "opus", "thinking_level": "high", "runtime_config": {"sandbox": {"mode": "none"}},
        "instructions": "Be brief.",
    });
    for (column, value) in settings.as_object().unwrap() {
        gateway.change("agent", world.g1, column, value.clone()).await;
    }
    gateway.seed_issue_task(world.g1, json!({})).await;
    check_members(&world.a.claim_one(world.r1).await["agent"], &settings);
    let empty = json!({
        "custom_env": {}, "custom_args": [], "model": "", "thinking_level": "", "runtime_config": {},
    });
    for (column, value) in empty.as_object().unwrap() {
        gateway.change("agent", world.g1, column, value.clone()).await;
        gateway.seed_issue_task(world.g1, json!({})).await;
        check_members(&world.a.claim_one(world.r1).await["agent"], &json!({column: null}));
    }
}

/// Daemon item 135. Domain item 244.
#[apply(on_both)]
async fn the_workspaces_context_goes_with_every_kind_of_task(gateway: &Gateway) {
    let world = gateway.world().await;
    let chat = gateway.seed_chat(world.g1, json!({})).await;
    let run = gateway.seed_autopilot_run(world.g1, "Nightly", json!({})).await;
    for context in ["", "We write Rust."] {
        gateway.change("workspace", world.w1, "context", json!(context)).await;
        let expected = json!({"workspace_context": (!context.is_empty()).then_some(context)});
        gateway.seed_issue_task(world.g1, json!({})).await;
        gateway.seed_task(world.g1, json!({"chat_session_id": chat})).await;
        gateway.seed_task(world.g1, json!({"autopilot_run_id": run})).await;
        gateway.seed_quick_create(world.g1, "Make it so", json!({})).await;
        for _ in 0..4 {
            let claimed = world.a.claim_one(world.r1).await;
            check_members(&claimed, &expected);
            world.a.fail(id_of(&claimed), json!({"failure_reason": "agent_blocked"})).await;
        }
    }
}

/// Daemon item 136.
#[apply(on_both)]
async fn a_projects_repositories_stand_in_for_the_workspaces(gateway: &Gateway) {
    let world = gateway.world().await;
    let stored = json!([{"url": " u1 ", "description": "d", "ref": "main"}, {"url": " u1 "}]);
    gateway.change("workspace", world.w1, "repos", stored.clone()).await;
    let project = gateway.seed_project(world.w1, "Site", json!({})).await;
    let with = async |resources: &[(&str, Value)], expected: Value| {
        gateway.execute("DELETE FROM project_resource", Value::Null).await;
        let mut shown = Vec::new();
        for (position, (kind, reference)) in resources.iter().enumerate() {
            let more = json!({"position": position, "label": if position == 0 { "first" } else { "" }});
            let id = gateway.seed_resource(project, kind, reference.clone(), more).await;
            let mut resource = json!({"id": id, "resource_type": kind, "resource_ref": reference});
            if position == 0 {
                resource["label"] = "first".into();
            }
            shown.push(resource);
        }
        let issue = gateway.seed_issue(world.w1, "On the site", json!({"project_id": project})).await;
        let claimed = claim_on(gateway, &world, issue, json!({})).await;
        let shown = if shown.is_empty() { Value::Null } else { json!(shown) };
        check_members(&claimed, &json!({"repos": expected, "project_resources": shown}));
    };
    let two = [
        ("github_repo", json!({"url": "https://github.com/acme/a", "ref": " dev "})),
        ("github_repo", json!({"url": "https://github.com/acme/b"})),
    ];
    let repos = json!([
        {"url": "https://github.com/acme/a", "ref": "dev"}, {"url": "https://github.com/acme/b"},
    ]);
    with(&two, repos).await;
    // Without one that names a repository, the workspace's list goes out as it is stored.
    with(
        &[("local_directory", json!({"local_path": "/src"})), ("github_repo", json!({"url": ""}))],
        stored.clone(),
    )
    .await;
    with(&[], stored).await;
}

/// Daemon item 136: no repositories at all is no member.
#[apply(on_both)]
async fn an_empty_list_of_repositories_is_left_out(gateway: &Gateway) {
    let world = gateway.world().await;
    check_members(&claim_on(gateway, &world, world.i1, json!({})).await, &json!({"repos": null}));
}

/// Daemon item 137.
#[apply(on_both)]
async fn a_project_is_named_for_issues_and_quick_creation(gateway: &Gateway) {
    let world = gateway.world().await;
    let project = gateway.seed_project(world.w1, "Site", json!({"description": "The web site"})).await;
    let expected = json!({
        "project_id": project, "project_title": "Site", "project_description": "The web site",
    });
    let issue = gateway.seed_issue(world.w1, "On the site", json!({"project_id": project})).await;
    check_members(&claim_on(gateway, &world, issue, json!({})).await, &expected);
    gateway.seed_quick_create(world.g1, "Make it so", json!({"project_id": project})).await;
    check_members(&world.a.claim_one(world.r1).await, &expected);
    let bare = gateway.seed_project(world.w1, "Bare", json!({})).await;
    let issue = gateway.seed_issue(world.w1, "On it", json!({"project_id": bare})).await;
    let claimed = claim_on(gateway, &world, issue, json!({})).await;
    check_members(
        &claimed,
        &json!({"project_id": bare, "project_title": "Bare", "project_description": null}),
    );
}

/// Daemon item 138.
#[apply(on_both)]
async fn a_members_comment_tells_who_asked(gateway: &Gateway) {
    let world = gateway.world().await;
    let comment = gateway.seed_comment(world.i1, "member", world.b.id, "Please look", json!({})).await;
    let claimed = claim_on(gateway, &world, world.i1, json!({"trigger_comment_id": comment})).await;
    let expected = json!({
        "kind": "comment", "trigger_comment_id": comment, "trigger_comment_content": "Please look",
        "trigger_thread_id": comment, "trigger_author_type": "member", "trigger_author_name": "Bea",
        "initiator_type": "member", "initiator_id": world.b.id, "initiator_name": "Bea",
        "initiator_email": "bea@example.com",
    });
    check_members(&claimed, &expected);
    world.a.start(id_of(&claimed)).await;
    world.a.complete(id_of(&claimed), json!({})).await;
    let more = json!({"parent_id": comment});
    let reply = gateway.seed_comment(world.i1, "member", world.b.id, "And this", more).await;
    let claimed = claim_on(gateway, &world, world.i1, json!({"trigger_comment_id": reply})).await;
    check_members(&claimed, &json!({"trigger_thread_id": comment, "trigger_comment_content": "And this"}));
}

/// Daemon item 139.
#[apply(on_both)]
async fn an_agents_comment_has_no_address(gateway: &Gateway) {
    let world = gateway.world().await;
    let colleague = gateway.seed_agent(world.r1, "Col", json!({})).await;
    let comment = gateway.seed_comment(world.i1, "agent", colleague, "Your turn", json!({})).await;
    let claimed = claim_on(gateway, &world, world.i1, json!({"trigger_comment_id": comment})).await;
    let expected = json!({
        "trigger_author_type": "agent", "trigger_author_name": "Col", "initiator_type": "agent",
        "initiator_id": colleague, "initiator_name": "Col", "initiator_email": null,
    });
    check_members(&claimed, &expected);
}

/// Daemon item 140.
#[apply(on_both)]
async fn comments_since_the_last_start_are_counted(gateway: &Gateway) {
    let world = gateway.world().await;
    let says = async |kind: &str, author: Uuid, age: i64| {
        gateway.seed_comment(world.i1, kind, author, "word", json!({"created_at": ahead(-age)})).await
    };
    let none = json!({"new_comment_count": null, "new_comments_since": null});
    says("member", world.b.id, 900).await;
    let trigger = says("member", world.b.id, 800).await;
    let more = json!({"trigger_comment_id": trigger});
    let first = claim_on(gateway, &world, world.i1, more.clone()).await;
    check_members(&first, &none);
    let ended = async |task: Uuid, started: &str| {
        let sql = "UPDATE agent_task_queue SET status = 'completed', started_at = $2, completed_at = $3,
            prepare_lease_expires_at = NULL WHERE id = $1";
        gateway.execute(sql, json!([task, started, ahead(-10)])).await;
        gateway.execute("DELETE FROM task_token", Value::Null).await;
    };
    ended(id_of(&first), "2026-01-02T03:04:05.678Z").await;
    gateway.execute("UPDATE comment SET created_at = $1", json!(["2026-01-02T03:04:05.678Z"])).await;
    let second = claim_on(gateway, &world, world.i1, more).await;
    check_members(&second, &none);
    ended(id_of(&second), &ahead(-600)).await;
    says("agent", world.g1, 500).await;
    says("member", world.b.id, 400).await;
    let trigger = says("member", world.b.id, 300).await;
    let third = claim_on(gateway, &world, world.i1, json!({"trigger_comment_id": trigger})).await;
    let since = "SELECT started_at FROM agent_task_queue WHERE id = $1";
    let since = gateway.value(since, json!([id_of(&second)])).await;
    let since = format!("{}Z", &since.as_str().unwrap()[..19]);
    check_members(&third, &json!({"new_comment_count": 1, "new_comments_since": since}));
}

/// An ended run of the agent on the issue, so many seconds ago.
async fn ended_run(gateway: &Gateway, world: &World, age: i64, more: Value) {
    let row = json!({
        "issue_id": world.i1, "status": "completed", "completed_at": ahead(-age), "session_id": format!("s{age}"),
        "work_dir": format!("/w{age}"),
    });
    gateway.seed_task(world.g1, over(row, more)).await;
}

/// Daemon item 141.
#[apply(on_both)]
async fn a_session_is_resumed_where_it_ran(gateway: &Gateway) {
    let world = gateway.world().await;
    let other = world.a.register("dm-other", "claude").await;
    ended_run(gateway, &world, 50, json!({})).await;
    let fresh = claim_on(gateway, &world, world.i1, json!({"force_fresh_session": true})).await;
    check_members(&fresh, &json!({"prior_session_id": null, "prior_work_dir": null}));
    world.a.fail(id_of(&fresh), json!({"failure_reason": "agent_blocked"})).await;
    let same = claim_on(gateway, &world, world.i1, json!({})).await;
    check_members(&same, &json!({"prior_session_id": "s50", "prior_work_dir": "/w50"}));
    world.a.fail(id_of(&same), json!({"failure_reason": "agent_blocked"})).await;
    ended_run(gateway, &world, 40, json!({"runtime_id": other})).await;
    let moved = claim_on(gateway, &world, world.i1, json!({})).await;
    check_members(&moved, &json!({"prior_session_id": null, "prior_work_dir": "/w40"}));
}

/// Daemon item 142.
#[apply(on_both)]
async fn a_session_that_broke_the_run_is_not_resumed(gateway: &Gateway) {
    let world = gateway.world().await;
    let session = async |age: i64, more: Value| {
        ended_run(gateway, &world, age, more).await;
        let claimed = claim_on(gateway, &world, world.i1, json!({})).await;
        world.a.fail(id_of(&claimed), json!({"failure_reason": "agent_blocked"})).await;
        claimed["prior_session_id"].clone()
    };
    assert_eq!(session(90, json!({})).await, "s90");
    for (age, reason) in [
        (80, "iteration_limit"),
        (79, "agent_fallback_message"),
        (78, "api_invalid_request"),
        (77, "codex_semantic_inactivity"),
    ] {
        let failed = json!({"status": "failed", "failure_reason": reason, "error": "no"});
        assert_eq!(session(age, failed).await, "s90", "{reason}");
    }
    let error = "API Error: 400 {\"type\":\"Invalid_Request_Error\"}";
    let refused = json!({"status": "failed", "failure_reason": "agent_error.unknown", "error": error});
    assert_eq!(session(70, refused).await, "s90");
    let cancelled = json!({"status": "cancelled"});
    assert_eq!(session(65, cancelled).await, "s90");
    let recovered = json!({"status": "failed", "failure_reason": "runtime_recovery", "error": "gone"});
    assert_eq!(session(60, recovered).await, "s60");
}

/// Daemon item 147.
#[apply(on_both)]
async fn quick_creation_carries_the_prompt_and_the_parent(gateway: &Gateway) {
    let world = gateway.world().await;
    gateway.change("workspace", world.w1, "issue_prefix", json!("ACM")).await;
    let number = gateway.value("SELECT number FROM issue WHERE id = $1", json!([world.i1])).await;
    let more = json!({"parent_issue_id": world.i1, "attachment_ids": ["a1", "a2"]});
    gateway.seed_quick_create(world.g1, "Make it so", more.clone()).await;
    let claimed = world.a.claim_one(world.r1).await;
    let expected = json!({
        "kind": "quick_create", "issue_id": "", "quick_create_prompt": "Make it so", "thread_name": "Make it so",
        "quick_create_attachment_ids": ["a1", "a2"], "parent_issue_id": world.i1,
        "parent_issue_identifier": format!("ACM-{number}"), "squad_id": null, "project_id": null,
    });
    check_members(&claimed, &expected);
    world.a.fail(id_of(&claimed), json!({"failure_reason": "agent_blocked"})).await;
    gateway.execute("DELETE FROM issue WHERE id = $1", json!([world.i1])).await;
    gateway.seed_quick_create(world.g1, "Again", more).await;
    let claimed = world.a.claim_one(world.r1).await;
    check_members(&claimed, &json!({"parent_issue_id": world.i1, "parent_issue_identifier": null}));
}

/// Daemon item 148.
#[apply(on_both)]
async fn a_leader_is_told_how_to_lead(gateway: &Gateway) {
    let world = gateway.world().await;
    gateway.change("agent", world.g1, "instructions", json!("Be brief.")).await;
    let helper = gateway.seed_agent(world.r1, "Hal", json!({})).await;
    gateway.seed_skill(helper, "deploy", "Ship it.", &[]).await;
    let retired = gateway.seed_agent(world.r1, "Old", json!({"archived_at": ahead(-1)})).await;
    let more = json!({"instructions": "Mind the tests."});
    let squad = gateway.seed_squad(world.w1, "Core", world.g1, more).await;
    gateway.seed_squad_member(squad, "agent", helper, "builder").await;
    gateway.seed_squad_member(squad, "agent", retired, "").await;
    gateway.seed_squad_member(squad, "member", world.b.id, "").await;
    let leads = json!({"is_leader_task": true, "squad_id": squad});
    let claimed = claim_on(gateway, &world, world.i1, leads.clone()).await;
    let text = claimed["agent"]["instructions"].as_str().unwrap();
    assert!(text.starts_with("Be brief.\n\n## Squad Operating Protocol\n"), "{text}");
    let expected = [
        "\n## Squad Roster\n".to_owned(),
        "\n## Squad Instructions (Core)\n".to_owned(),
        "Mind the tests.".to_owned(),
        format!("- Hal — agent, role: \"builder\" — skills: deploy — `[@Hal](mention://agent/{helper})`"),
        format!("- Bea — member (human) — `[@Bea](mention://member/{})`", world.b.id),
        "multica squad activity".to_owned(),
    ];
    for part in expected {
        assert!(text.contains(&part), "{part:?} is not in {text}");
    }
    assert!(!text.contains("Old"), "{text}");
    world.a.fail(id_of(&claimed), json!({"failure_reason": "agent_blocked"})).await;
    gateway.change("squad", squad, "leader_id", json!(helper)).await;
    let claimed = claim_on(gateway, &world, world.i1, leads).await;
    assert_eq!(claimed["agent"]["instructions"], "Be brief.");
}

/// Daemon item 148: for quick creation, and for a leader who is alone.
#[apply(on_both)]
async fn a_squads_quick_creation_names_the_squad(gateway: &Gateway) {
    let world = gateway.world().await;
    let squad = gateway.seed_squad(world.w1, "Core", world.g1, json!({})).await;
    gateway.seed_quick_create(world.g1, "Make it so", json!({"squad_id": squad})).await;
    let claimed = world.a.claim_one(world.r1).await;
    check_members(&claimed, &json!({"squad_id": squad, "squad_name": "Core"}));
    let text = claimed["agent"]["instructions"].as_str().unwrap();
    assert!(text.starts_with("## Squad Operating Protocol\n"), "{text}");
    assert!(text.contains("Members: (none — you are the only member of this squad)"), "{text}");
    assert!(!text.contains("## Squad Instructions"), "{text}");
}

/// Daemon item 149.
#[apply(on_both)]
async fn the_runtimes_owner_is_who_requests(gateway: &Gateway) {
    let world = gateway.world().await;
    gateway.change("\"user\"", world.a.id, "profile_description", json!("Builds things.")).await;
    let claimed = claim_on(gateway, &world, world.i1, json!({"handoff_note": "Mind the gap"})).await;
    let expected = json!({
        "requesting_user_name": "Ada", "requesting_user_profile_description": "Builds things.",
        "initiator_type": null, "handoff_note": "Mind the gap",
    });
    check_members(&claimed, &expected);
}

const OVERLAY: &str =
    "UPDATE agent_task_queue SET runtime_mcp_overlay = $2, runtime_connected_apps = $3 WHERE id = $1";

/// The overlay and the connected apps are delivered when their switch is on, and only then.
#[apply(on_both)]
async fn an_overlay_is_delivered_when_it_is_switched_on(engine: Engine) {
    let overlay =
        json!({"mcpServers": {"mail": {"url": "http://mail"}, "db": {"url": "http://other"}}, "x": 1});
    let apps = json!([{"provider": "composio", "server_name": "mail", "toolkit_slug": "gmail"}]);
    for (switch, on) in [("on", true), ("off", false)] {
        let gateway = Gateway::setup(engine).env("FF_COMPOSIO_MCP_APPS", switch).start().await;
        let world = gateway.world().await;
        let own = json!({"mcpServers": {"db": {"url": "http://db"}}, "other": 1});
        gateway.change("agent", world.g1, "mcp_config", own.clone()).await;
        let task = gateway.seed_task(world.g1, json!({"issue_id": world.i1})).await;
        gateway.execute(OVERLAY, json!([task, overlay, apps])).await;
        let claimed = world.a.claim_one(world.r1).await;
        let merged = json!({
            "mcpServers": {"mail": {"url": "http://mail"}, "db": {"url": "http://other"}}, "other": 1,
        });
        let expected = if on { merged } else { own };
        assert_eq!(claimed["agent"]["mcp_config"], expected, "{switch}");
        check_members(&claimed, &json!({"connected_apps": on.then_some(apps.clone())}));
        // Both are forgotten when the task ends; the harness looks.
        world.a.fail(task, json!({"failure_reason": "agent_blocked"})).await;
        gateway.finish().await;
    }
}
