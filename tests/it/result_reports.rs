//! What came of a request, reported by the daemon. Checklist 10.13.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Client, Gateway, Reply, id_of};

async fn ask(client: &Client, runtime: Uuid, what: &str, body: Value) -> String {
    let request = client.post(format!("/api/runtimes/{runtime}/{what}"), body).await.expect(200);
    request["id"].as_str().unwrap().to_owned()
}

async fn poll(client: &Client, runtime: Uuid, what: &str, id: &str) -> Value {
    client.get(format!("/api/runtimes/{runtime}/{what}/{id}")).await.expect(200)
}

async fn report(
    client: &Client,
    runtime: Uuid,
    what: &str,
    id: &str,
    body: impl Into<crate::harness::Payload>,
) -> Reply {
    client.post(format!("/api/daemon/runtimes/{runtime}/{what}/{id}/result"), body).await
}

/// Daemon item 198. User item 54, its result.
#[apply(on_both)]
async fn an_update_ends_once(gateway: &Gateway) {
    let user = gateway.user();
    let runtime = user.register("dm-1", "claude").await;
    let id = ask(&user, runtime, "update", json!({"target_version": "v1"})).await;
    user.beat(runtime).await;
    let body = json!({"status": "running"});
    assert_eq!(report(&user, runtime, "update", &id, body).await.expect(200), json!({"status": "ok"}));
    assert_eq!(poll(&user, runtime, "update", &id).await["status"], "running");
    report(&user, runtime, "update", &id, json!({"status": "completed", "output": "done\u{0}."}))
        .await
        .expect(200);
    let done = poll(&user, runtime, "update", &id).await;
    assert_eq!((&done["status"], &done["output"]), (&json!("completed"), &json!("done.")));
    report(&user, runtime, "update", &id, json!({"status": "failed", "error": "x"})).await.expect(200);
    report(&user, runtime, "update", &id, "not even json").await.expect(200);
    assert_eq!(poll(&user, runtime, "update", &id).await, done);
}

/// Daemon item 199.
#[apply(on_both)]
async fn an_update_report_must_make_sense(gateway: &Gateway) {
    let world = gateway.world().await;
    let (a, r1) = (&world.a, world.r1);
    let other = a.register("dm-1", "codex").await;
    let id = ask(a, r1, "update", json!({"target_version": "v1"})).await;
    let done = json!({"status": "completed"});
    report(a, r1, "update", &id, json!({"status": "bogus"})).await.refused(400, "invalid status: bogus");
    report(a, r1, "update", &id, json!({})).await.refused(400, "invalid status: ");
    report(a, r1, "update", &id, "[]").await.refused(400, "invalid request body");
    report(a, r1, "update", &"0".repeat(32), done.clone()).await.refused(404, "update not found");
    report(a, other, "update", &id, done.clone()).await.refused(404, "update not found");
    report(&world.c, r1, "update", &id, done.clone()).await.refused(404, "not found");
    let nobody = Uuid::new_v4();
    report(a, nobody, "update", &id, done.clone()).await.refused(404, "runtime not found");
    // A report may come before any beat, and by a daemon's own token.
    report(&world.m1, r1, "update", &id, done).await.expect(200);
    assert_eq!(poll(a, r1, "update", &id).await["status"], "completed");
}

/// Daemon items 201 and 202. User item 55.
#[apply(on_both)]
async fn models_come_back_as_they_were_reported(gateway: &Gateway) {
    let user = gateway.user();
    let runtime = user.register("dm-1", "claude").await;
    let models = json!([
        {"id": "opus", "label": "Opus", "provider": "anthropic", "default": true, "thinking": {
            "supported_levels": [{"value": "low", "label": "Low", "description": "quick"}], "default_level": "low",
        }},
        {"id": "haiku", "label": "Haiku"},
    ]);
    for (sent, expected) in [(Value::Null, true), (json!(false), false), (json!(true), true)] {
        let id = ask(&user, runtime, "models", json!({})).await;
        let body = json!({"status": "completed", "models": models, "supported": sent});
        report(&user, runtime, "models", &id, body).await.expect(200);
        let done = poll(&user, runtime, "models", &id).await;
        assert_eq!((&done["models"], &done["supported"]), (&models, &json!(expected)));
    }
    let id = ask(&user, runtime, "models", json!({})).await;
    report(&user, runtime, "models", &id, json!({"status": "completed", "models": null})).await.expect(200);
    let done = poll(&user, runtime, "models", &id).await;
    assert!(done.get("models").is_none() && done["supported"] == true, "{done}");

    let id = ask(&user, runtime, "models", json!({})).await;
    for body in ["{", r#"{"models":[1]}"#, r#"{"status":5}"#] {
        report(&user, runtime, "models", &id, body).await.refused(400, "invalid request body");
    }
    report(&user, runtime, "models", &id, json!({"status": "oops", "error": "broken"})).await.expect(200);
    let failed = poll(&user, runtime, "models", &id).await;
    assert_eq!((&failed["status"], &failed["error"]), (&json!("failed"), &json!("broken")));
    report(&user, runtime, "models", &id, "{").await.expect(200);
    report(&user, runtime, "models", "nothing", json!({})).await.refused(404, "request not found");
}

/// Daemon item 204.
#[apply(on_both)]
async fn local_skills_are_shown_to_the_owner_alone(gateway: &Gateway) {
    let world = gateway.world().await;
    let (a, r1) = (&world.a, world.r1);
    let skills = json!([
        {"key": "k", "name": "Review", "description": "d", "source_path": "/s", "provider": "claude",
            "root": "universal", "file_count": 3},
        {"key": "l", "name": "", "source_path": "", "provider": "", "file_count": 0},
    ]);
    let id = ask(a, r1, "local-skills", json!({})).await;
    let body = json!({"status": "completed", "skills": skills, "supported": false});
    report(a, r1, "local-skills", &id, body).await.expect(200);
    let done = poll(a, r1, "local-skills", &id).await;
    assert_eq!(
        (&done["skills"], &done["supported"], &done["status"]),
        (&skills, &json!(false), &json!("completed"))
    );
    let path = format!("/api/runtimes/{r1}/local-skills/{id}");
    world.b.get(path).await.refused(403, "insufficient permissions");
}

const IMPORT: &str = "local-skills/import";

#[expect(clippy::needless_pass_by_value, reason = "a value made at the call reads best")]
fn bundle(name: &str, files: Value) -> Value {
    json!({"status": "completed", "skill": {
        "name": name, "description": "from disk", "content": "# Do\u{0} it", "source_path": "/skills/x",
        "provider": "claude", "files": files,
    }})
}

/// Daemon item 205. User item 58.
#[apply(on_both)]
async fn an_imported_skill_is_created_with_overrides_and_without_unsafe_files(gateway: &Gateway) {
    let user = gateway.user();
    let runtime = user.register("dm-1", "claude").await;
    let mut watcher = user.watch().await;
    let body = json!({"skill_key": "k", "name": "Mine", "description": "better"});
    let id = ask(&user, runtime, IMPORT, body).await;
    let files = json!([
        {"path": "a.md", "content": "A\u{0}"},
        {"path": "docs/b.md", "content": "B"},
        {"path": "", "content": "x"},
        {"path": "/etc/passwd", "content": "x"},
        {"path": "../up", "content": "x"},
        {"path": "a/../../up", "content": "x"},
        {"path": "./skill.md", "content": "x"},
        null,
    ]);
    report(&user, runtime, IMPORT, &id, bundle("Theirs", files)).await.expect(200);
    let done = poll(&user, runtime, IMPORT, &id).await;
    assert_eq!(done["status"], "completed", "{done}");
    let skill = &done["skill"];
    assert!(skill.get("files").is_none(), "{skill}");
    let event = watcher.wait_for("skill:created").await;
    assert_eq!(event["skill"]["id"], skill["id"]);
    let stored = user.get(format!("/api/skills/{}", id_of(skill))).await.expect(200);
    assert_eq!((&stored["name"], &stored["description"]), (&json!("Mine"), &json!("better")));
    assert_eq!((&stored["content"], &stored["created_by"]), (&json!("# Do it"), &json!(user.id)));
    let origin = json!({"origin": {
        "type": "runtime_local", "runtime_id": runtime, "provider": "claude", "source_path": "/skills/x",
    }});
    assert_eq!(stored["config"], origin);
    let kept: Vec<_> =
        stored["files"].as_array().unwrap().iter().map(|file| (&file["path"], &file["content"])).collect();
    assert_eq!(kept, [(&json!("a.md"), &json!("A")), (&json!("docs/b.md"), &json!("B"))]);
}

/// Daemon item 206.
#[apply(on_both)]
async fn a_taken_name_is_a_conflict_for_those_who_asked_and_a_failure_for_others(gateway: &Gateway) {
    let world = gateway.world().await;
    let (a, b, r1) = (&world.a, &world.b, world.r1);
    let mine = id_of(&a.post("/api/skills", json!({"name": "Mine"})).await.expect(201));
    let theirs = id_of(&b.post("/api/skills", json!({"name": "Theirs"})).await.expect(201));
    for (name, existing, owner, can_overwrite) in
        [("Mine", mine, a.id, true), ("Theirs", theirs, b.id, false)]
    {
        let id = ask(a, r1, IMPORT, json!({"skill_key": "k", "supports_conflict": true})).await;
        report(a, r1, IMPORT, &id, bundle(name, json!([]))).await.expect(200);
        let ended = poll(a, r1, IMPORT, &id).await;
        assert_eq!(ended["status"], "conflict");
        let expected = json!({
            "existing_skill_id": existing, "existing_created_by": owner, "can_overwrite": can_overwrite,
        });
        assert_eq!(ended["conflict"], expected);
        let id = ask(a, r1, IMPORT, json!({"skill_key": "k"})).await;
        report(a, r1, IMPORT, &id, bundle(name, json!([]))).await.expect(200);
        let ended = poll(a, r1, IMPORT, &id).await;
        assert_eq!(
            (&ended["status"], &ended["error"]),
            (&json!("failed"), &json!("a skill with this name already exists"))
        );
        assert!(ended.get("conflict").is_none());
    }
}

/// Daemon item 207.
#[apply(on_both)]
async fn a_skill_is_overwritten_by_its_creator_while_it_is_the_same(gateway: &Gateway) {
    let world = gateway.world().await;
    let (a, b, r1) = (&world.a, &world.b, world.r1);
    let made = json!({"name": "Mine", "content": "old", "files": [{"path": "old.md", "content": "x"}]});
    let target = id_of(&a.post("/api/skills", made).await.expect(201));
    let overwrite = async |target: Uuid, name: &str| {
        let body = json!({"skill_key": "k", "action": "overwrite", "target_skill_id": target});
        let id = ask(a, r1, IMPORT, body).await;
        let files = json!([{"path": "new.md", "content": "N"}]);
        report(a, r1, IMPORT, &id, bundle(name, files)).await.expect(200);
        poll(a, r1, IMPORT, &id).await
    };
    let refused = |ended: Value, text: &str| {
        assert_eq!((&ended["status"], &ended["error"]), (&json!("failed"), &json!(text)));
    };
    let mut watcher = a.watch().await;
    let done = overwrite(target, "Mine").await;
    assert_eq!((&done["status"], &done["skill"]["id"]), (&json!("completed"), &json!(target)));
    assert_eq!(watcher.wait_for("skill:updated").await["skill"]["id"], json!(target));
    let stored = a.get(format!("/api/skills/{target}")).await.expect(200);
    assert_eq!((&stored["content"], &stored["description"]), (&json!("# Do it"), &json!("from disk")));
    assert_eq!(stored["files"].as_array().unwrap().len(), 1);
    assert_eq!(stored["files"][0]["path"], "new.md");

    refused(overwrite(target, "Another").await, "target skill name no longer matches the imported skill");
    let theirs = id_of(&b.post("/api/skills", json!({"name": "Theirs"})).await.expect(201));
    refused(overwrite(theirs, "Theirs").await, "you no longer have permission to overwrite this skill");
    let elsewhere = id_of(&world.c.post("/api/skills", json!({"name": "Mine"})).await.expect(201));
    refused(overwrite(elsewhere, "Mine").await, "target skill no longer exists");
    a.delete(format!("/api/skills/{target}")).await.expect(204);
    refused(overwrite(target, "Mine").await, "target skill no longer exists");
}

/// Daemon item 208.
#[apply(on_both)]
async fn an_import_without_a_skill_fails(gateway: &Gateway) {
    let user = gateway.user();
    let runtime = user.register("dm-1", "claude").await;
    for (body, error) in [
        (json!({"status": "completed"}), "daemon returned an empty skill bundle"),
        (json!({"status": "completed", "skill": null}), "daemon returned an empty skill bundle"),
        (json!({"status": "completed", "skill": {"content": "x"}}), "name is required"),
        (json!({"status": "failed", "error": "unreadable"}), "unreadable"),
    ] {
        let id = ask(&user, runtime, IMPORT, json!({"skill_key": "k"})).await;
        assert_eq!(report(&user, runtime, IMPORT, &id, body).await.expect(200), json!({"status": "ok"}));
        let ended = poll(&user, runtime, IMPORT, &id).await;
        assert_eq!((&ended["status"], &ended["error"]), (&json!("failed"), &json!(error)));
    }
}

/// Several reports of one import at once make one skill.
#[apply(on_both)]
async fn an_import_reported_twice_makes_one_skill(gateway: &Gateway) {
    let user = gateway.user();
    let runtime = user.register("dm-1", "claude").await;
    for round in 0..5 {
        let id = ask(&user, runtime, IMPORT, json!({"skill_key": "k"})).await;
        let name = format!("Skill {round}");
        let reports = (0..4).map(|_| report(&user, runtime, IMPORT, &id, bundle(&name, json!([]))));
        for reply in futures_util::future::join_all(reports).await {
            reply.expect(200);
        }
        assert_eq!(poll(&user, runtime, IMPORT, &id).await["status"], "completed");
    }
    assert_eq!(gateway.value("SELECT count(*) FROM skill", Value::Null).await, 5);
}
