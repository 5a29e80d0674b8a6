//! What a claimed task carries, rule by rule: repositories, people, comments, sessions. What
//! the protocol says of the answer is in `daemon_claim_contents`.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Client, Gateway, World, ahead, check_members, id_of, over};

/// Queues a task of the world's agent, claims it and ends it.
async fn claim(gateway: &Gateway, world: &World, more: Value) -> Value {
    let task = gateway.seed_task(world.g1, more).await;
    let claimed = world.a.claim_one(world.r1).await;
    assert_eq!(id_of(&claimed), task);
    world.a.fail(task, json!({"failure_reason": "agent_blocked"})).await;
    claimed
}

/// Domain items 227, 228 and 229: a project's repositories stand in for the workspace's where
/// there is a project; its resources are as they are stored.
#[apply(on_both)]
async fn repositories_are_the_projects_or_the_workspaces(gateway: &Gateway) {
    let world = gateway.world().await;
    let shared = json!([{"url": "https://git.example/shared", "description": "d", "ref": "x"}]);
    gateway.change("workspace", world.w1, "repos", shared.clone()).await;
    let project = gateway.seed_project(world.w1, "Site", json!({})).await;
    let mut ids = Vec::new();
    for (position, kind, reference, label) in [
        (2, "github_repo", json!({"url": "https://git.example/b", "ref": " dev "}), Some("b")),
        (1, "github_repo", json!({"url": "https://git.example/a", "ref": " "}), None),
        (3, "something_else", json!({}), None),
    ] {
        let more = json!({"position": position, "label": label});
        ids.push(gateway.seed_resource(project, kind, reference, more).await);
    }
    let issue = gateway.seed_issue(world.w1, "On the site", json!({"project_id": project})).await;
    let claimed = claim(gateway, &world, json!({"issue_id": issue})).await;
    let expected = json!([{"url": "https://git.example/a"}, {"url": "https://git.example/b", "ref": "dev"}]);
    assert_eq!(claimed["repos"], expected);
    let resources = json!([
        {"id": ids[1], "resource_type": "github_repo", "resource_ref": {"url": "https://git.example/a", "ref": " "}},
        {"id": ids[0], "resource_type": "github_repo", "resource_ref": {"url": "https://git.example/b", "ref": " dev "},
            "label": "b"},
        {"id": ids[2], "resource_type": "something_else", "resource_ref": {}},
    ]);
    assert_eq!(claimed["project_resources"], resources);

    let bare = gateway.seed_project(world.w1, "Bare", json!({})).await;
    let issue = gateway.seed_issue(world.w1, "On it", json!({"project_id": bare})).await;
    let claimed = claim(gateway, &world, json!({"issue_id": issue})).await;
    check_members(&claimed, &json!({"repos": shared, "project_resources": null}));
    let chat = gateway.seed_chat(world.g1, json!({})).await;
    let run = gateway.seed_autopilot_run(world.g1, "Nightly", json!({})).await;
    for elsewhere in [json!({"chat_session_id": chat}), json!({"autopilot_run_id": run})] {
        let claimed = claim(gateway, &world, elsewhere).await;
        check_members(&claimed, &json!({"repos": shared, "project_resources": null}));
    }
}

/// Domain items 231, 232 and 233: who asks is the machine's owner; who caused it is whoever
/// wrote last.
#[apply(on_both)]
async fn who_asks_and_who_caused_it_are_two(gateway: &Gateway) {
    let world = gateway.world().await;
    let colleague = gateway.seed_agent(world.r1, "Col", json!({})).await;
    let person = gateway.seed_comment(world.i1, "member", world.b.id, "Please", json!({})).await;
    let agent = gateway.seed_comment(world.i1, "agent", colleague, "Your turn", json!({})).await;
    let system = gateway.seed_comment(world.i1, "system", Uuid::nil(), "All done", json!({})).await;
    let chat = gateway.seed_chat(world.g1, json!({"creator_id": world.a.id})).await;
    let by_bea = json!({
        "initiator_type": "member", "initiator_id": world.b.id, "initiator_name": "Bea",
        "initiator_email": "bea@example.com",
    });
    let by = |kind: &str, id: Uuid, name: Option<&str>| json!({"initiator_type": kind, "initiator_id": id, "initiator_name": name, "initiator_email": null});
    let nobody = json!({
        "initiator_type": null, "initiator_id": null, "initiator_name": null, "initiator_email": null,
    });
    for (more, initiator) in [
        (json!({"issue_id": world.i1, "trigger_comment_id": person}), by_bea.clone()),
        (json!({"issue_id": world.i1, "trigger_comment_id": agent}), by("agent", colleague, Some("Col"))),
        (json!({"issue_id": world.i1, "trigger_comment_id": system}), by("system", Uuid::nil(), None)),
        (json!({"chat_session_id": chat, "initiator_user_id": world.b.id}), by_bea),
        (json!({"issue_id": world.i1}), nobody),
    ] {
        let claimed = claim(gateway, &world, more).await;
        check_members(&claimed, &initiator);
        assert_eq!(claimed["requesting_user_name"], "Ada");
    }
}

/// Domain items 234 and 235.
#[apply(on_both)]
async fn what_was_said_since_the_last_start_is_counted(gateway: &Gateway) {
    let world = gateway.world().await;
    let says = async |kind: &str, author: Uuid, age: i64, parent: Option<Uuid>| {
        let more = json!({"created_at": ahead(-age), "parent_id": parent});
        gateway.seed_comment(world.i1, kind, author, "word", more).await
    };
    let on = |comment: Uuid| json!({"issue_id": world.i1, "trigger_comment_id": comment});
    let nothing = json!({"new_comment_count": null, "new_comments_since": null});
    let root = says("member", world.b.id, 900, None).await;
    let first = claim(gateway, &world, on(root)).await;
    check_members(&first, &nothing);
    assert_eq!(first["trigger_thread_id"], json!(root));
    // A run began ten minutes ago, and took until now: what was said meanwhile is new.
    let began = ahead(-600);
    let ran = json!({
        "issue_id": world.i1, "status": "completed", "started_at": began, "completed_at": ahead(-1),
    });
    gateway.seed_task(world.g1, ran).await;
    let trigger = says("member", world.b.id, 300, Some(root)).await;
    says("agent", world.g1, 299, None).await;
    let alone = claim(gateway, &world, on(trigger)).await;
    check_members(&alone, &nothing);
    assert_eq!(alone["trigger_thread_id"], json!(root), "a reply's thread is the comment it answers");
    let deep = says("member", world.b.id, 298, Some(trigger)).await;
    says("member", world.a.id, 297, None).await;
    let counted = claim(gateway, &world, on(trigger)).await;
    let since = format!("{}Z", &began[..19]);
    check_members(&counted, &json!({"new_comment_count": 2, "new_comments_since": since}));
    assert_eq!(claim(gateway, &world, on(deep)).await["trigger_thread_id"], json!(trigger));
}

/// Domain item 236: a session is resumed where it ran, its directory is offered anywhere, and
/// what broke a run is passed over.
#[apply(on_both)]
async fn the_last_good_session_is_resumed(gateway: &Gateway) {
    let world = gateway.world().await;
    let other = world.a.register("dm-other", "claude").await;
    let on_issue = json!({"issue_id": world.i1});
    let ran = async |age: i64, more: Value| {
        let row = json!({
            "issue_id": world.i1, "status": "completed", "completed_at": ahead(-age),
            "session_id": format!("s{age}"), "work_dir": format!("/w{age}"),
        });
        gateway.seed_task(world.g1, over(row, more)).await;
        let claimed = claim(gateway, &world, on_issue.clone()).await;
        (claimed.get("prior_session_id").cloned(), claimed.get("prior_work_dir").cloned())
    };
    let good = (Some(json!("s90")), Some(json!("/w90")));
    assert_eq!(ran(90, json!({})).await, good);
    let refused = "API Error 400: INVALID_REQUEST_ERROR";
    for (age, more) in [
        (80, json!({"status": "failed", "failure_reason": "iteration_limit", "error": "no"})),
        (79, json!({"status": "failed", "failure_reason": "agent_error.unknown", "error": refused})),
        (78, json!({"status": "cancelled"})),
        (77, json!({"session_id": null})),
    ] {
        assert_eq!(ran(age, more).await, good, "{age}");
    }
    let fresh = claim(gateway, &world, over(on_issue.clone(), json!({"force_fresh_session": true}))).await;
    check_members(&fresh, &json!({"prior_session_id": null, "prior_work_dir": null}));
    assert_eq!(ran(70, json!({"runtime_id": other})).await, (None, Some(json!("/w70"))));
}

/// Domain items 237, 238 and 241, but for what is attached.
#[apply(on_both)]
async fn a_turn_carries_what_waits_for_an_answer(gateway: &Gateway) {
    let world = gateway.world().await;
    // It knows a session, and not on which machine.
    let chat = gateway.seed_chat(world.g1, json!({"session_id": "nowhere", "title": " "})).await;
    let ran = json!({
        "chat_session_id": chat, "status": "completed", "completed_at": ahead(-60), "session_id": "ran",
        "work_dir": "/ran",
    });
    gateway.seed_task(world.g1, ran).await;
    for (role, text, age) in
        [("user", "Zero", 50), ("assistant", "Answered", 40), ("user", "One", 30), ("user", "Two", 20)]
    {
        gateway.seed_chat_message(chat, role, text, json!({"created_at": ahead(-age)})).await;
    }
    let claimed = claim(gateway, &world, json!({"chat_session_id": chat})).await;
    let expected = json!({
        "prior_session_id": "ran", "prior_work_dir": "/ran", "chat_message": "One\n\nTwo",
        "thread_name": "One\n\nTwo", "chat_message_attachments": null,
    });
    check_members(&claimed, &expected);
}

/// Domain item 240.
#[apply(on_both)]
async fn a_turn_says_in_which_channel_it_is_held(gateway: &Gateway) {
    let world = gateway.world().await;
    for (channel, message, thread, shown) in [
        ("slack", Some("2.0"), Some("1.0"), json!({"chat_channel_type": "slack", "chat_in_thread": true})),
        ("slack", Some("2.0"), Some("2.0"), json!({"chat_channel_type": "slack", "chat_in_thread": null})),
        ("slack", Some("2.0"), Some(""), json!({"chat_channel_type": "slack", "chat_in_thread": null})),
        ("slack", None, None, json!({"chat_channel_type": "slack", "chat_in_thread": null})),
        ("lark", Some("2.0"), Some("1.0"), json!({"chat_channel_type": null, "chat_in_thread": null})),
        ("", None, None, json!({"chat_channel_type": null, "chat_in_thread": null})),
    ] {
        let chat = gateway.seed_chat(world.g1, json!({})).await;
        if !channel.is_empty() {
            let row = json!({
                "chat_session_id": chat, "channel_type": channel, "last_message_id": message,
                "last_thread_id": thread,
            });
            gateway.seed("channel_chat_session_binding", row, json!({})).await;
        }
        check_members(&claim(gateway, &world, json!({"chat_session_id": chat})).await, &shown);
        world.a.delete(format!("/api/chat/sessions/{chat}")).await.expect(204);
    }
    // A chat goes with what binds it.
    let left = "SELECT count(*) FROM channel_chat_session_binding";
    assert_eq!(gateway.value(left, Value::Null).await, 0);
}

/// Domain item 242.
#[apply(on_both)]
async fn an_autopilots_run_carries_what_set_it_off(gateway: &Gateway) {
    let world = gateway.world().await;
    let payload = json!({"b": [1, {"a": null}], "a": "x"});
    let run = gateway.seed_autopilot_run(
        world.g1,
        "Nightly",
        json!({"source": "webhook", "trigger_payload": payload}),
    );
    let run = run.await;
    let expected = json!({
        "autopilot_run_id": run, "autopilot_source": "webhook", "autopilot_trigger_payload": payload,
        "autopilot_title": "Nightly", "autopilot_description": "Nightly, described", "thread_name": "Nightly",
    });
    check_members(&claim(gateway, &world, json!({"autopilot_run_id": run})).await, &expected);
    gateway.execute("UPDATE autopilot SET description = NULL", Value::Null).await;
    let claimed = claim(gateway, &world, json!({"autopilot_run_id": run})).await;
    check_members(&claimed, &json!({"autopilot_title": "Nightly", "autopilot_description": null}));
}

/// Domain item 243.
#[apply(on_both)]
async fn a_prompt_carries_its_parent_even_when_that_is_gone(gateway: &Gateway) {
    let world = gateway.world().await;
    gateway.change("workspace", world.w1, "issue_prefix", json!("ACM")).await;
    let project = gateway.seed_project(world.w1, "Site", json!({"description": "The web site"})).await;
    let number = gateway.value("SELECT number FROM issue WHERE id = $1", json!([world.i1])).await;
    let asked = async || {
        let more =
            json!({"parent_issue_id": world.i1, "project_id": project, "attachment_ids": ["a1", "a2"]});
        let task = gateway.seed_quick_create(world.g1, "Make it so", more).await;
        let claimed = world.a.claim_one(world.r1).await;
        world.a.fail(task, json!({"failure_reason": "agent_blocked"})).await;
        claimed
    };
    let identifier = format!("ACM-{number}");
    let mut expected = json!({
        "kind": "quick_create", "quick_create_prompt": "Make it so", "thread_name": "Make it so",
        "quick_create_attachment_ids": ["a1", "a2"], "project_id": project, "project_title": "Site",
        "project_description": "The web site", "parent_issue_id": world.i1, "parent_issue_identifier": identifier,
        "prior_session_id": null,
    });
    check_members(&asked().await, &expected);
    gateway.execute("DELETE FROM issue WHERE id = $1", json!([world.i1])).await;
    expected["parent_issue_identifier"] = Value::Null;
    check_members(&asked().await, &expected);
}

/// Domain items 247 and 248: a token is its task's agent, whatever is said beside it, for a day; and
/// there is none where nobody owns the runtime.
#[apply(on_both)]
async fn a_tasks_token_is_its_agent(gateway: &Gateway) {
    const LIFE: &str =
        "SELECT user_id, workspace_id, agent_id FROM task_token WHERE expires_at > $1 AND expires_at < $2";
    let world = gateway.world().await;
    let other = gateway.seed_agent(world.r1, "Other", json!({})).await;
    let theirs = gateway.seed_issue_task(other, json!({"status": "running", "started_at": ahead(-1)})).await;
    let task = gateway.seed_task(world.g1, json!({"issue_id": world.i1})).await;
    let claimed = world.a.claim_one(world.r1).await;
    assert_eq!(id_of(&claimed), task);
    let day = 24 * 3600;
    let row = gateway.row(LIFE, json!([ahead(day - 60), ahead(day + 60)])).await;
    assert_eq!(row, json!({"user_id": world.a.id, "workspace_id": world.w1, "agent_id": world.g1}));
    let agent: Client = gateway.bearer(claimed["auth_token"].as_str().unwrap());
    world.a.start(task).await;
    let said = agent
        .post(format!("/api/issues/{}/comments", world.i1), json!({"content": "Here"}))
        .header("x-agent-id", &other.to_string())
        .header("x-task-id", &theirs.to_string())
        .header("x-user-id", &world.b.id.to_string())
        .header("x-workspace-id", &world.w2.to_string());
    let said = said.await.expect(201);
    assert_eq!((&said["author_type"], &said["author_id"]), (&json!("agent"), &json!(world.g1)));
    assert_eq!(said["source_task_id"], json!(task));
    gateway.execute("UPDATE task_token SET expires_at = $1", json!([ahead(-1)])).await;
    let runtime = world.m1.register("dm-1", "codex").await;
    let orphan = gateway.seed_agent(runtime, "Orphan", json!({"owner_id": world.a.id})).await;
    let lost = gateway.seed_issue_task(orphan, json!({})).await;
    gateway.expect_error("runtime owner required to mint task token");
    world.m1.claiming(runtime).await.refused(500, "runtime owner required to mint task token");
    assert_eq!(world.a.status_of(lost).await, "cancelled");
    let minted = "SELECT count(*) FROM task_token WHERE task_id = $1";
    assert_eq!(gateway.value(minted, json!([lost])).await, 0);
}

/// Domain item 249.
#[apply(on_both)]
async fn each_delivery_has_a_token_until_the_end(gateway: &Gateway) {
    let world = gateway.world().await;
    let task = gateway.seed_task(world.g1, json!({"issue_id": world.i1})).await;
    let token = async || {
        let claimed = world.a.claim_one(world.r1).await;
        assert_eq!(id_of(&claimed), task);
        gateway.bearer(claimed["auth_token"].as_str().unwrap())
    };
    let first = token().await;
    let sql = "UPDATE agent_task_queue SET dispatched_at = $2, prepare_lease_expires_at = $2 WHERE id = $1";
    gateway.execute(sql, json!([task, ahead(-100)])).await;
    let second = token().await;
    for agent in [&first, &second] {
        agent.get("/api/me").await.expect(200);
    }
    world.a.start(task).await;
    world.a.complete(task, json!({})).await;
    for agent in [&first, &second] {
        agent.get("/api/me").await.refused(401, "invalid token");
    }
    assert_eq!(gateway.value("SELECT count(*) FROM task_token", Value::Null).await, 0);
}
