//! Skills whose content a daemon asks for after the claim. Checklist 10.9 and 10.10.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Gateway, Reply, World, hash, id_of};

/// The digest a daemon computes from what it got.
fn recomputed(bundle: &Value) -> String {
    let text = |member: &str| bundle[member].as_str().unwrap_or_default();
    let part = |text: &str| format!("{}:{text}\n", text.len());
    let mut fed = part("v1");
    for member in ["source", "id", "name", "description", "content"] {
        fed.push_str(&part(text(member)));
    }
    let mut files: Vec<&Value> = bundle["files"].as_array().into_iter().flatten().collect();
    files.sort_by_key(|file| file["path"].as_str().unwrap().as_bytes().to_vec());
    for file in files {
        let content = file["content"].as_str().unwrap();
        fed.push_str(&part(file["path"].as_str().unwrap()));
        fed.push_str(&part(&format!("sha256:{}", hash(content))));
        fed.push_str(&part(content));
    }
    format!("sha256:{}", hash(&fed))
}

async fn resolve(world: &World, task: Uuid, body: Value) -> Reply {
    let path = format!("/api/daemon/runtimes/{}/tasks/{task}/skill-bundles/resolve", world.r1);
    world.a.post(path, body).await
}

/// Claims a task and gives it with the references to its agent's skills.
async fn claim(gateway: &Gateway, world: &World) -> (Uuid, Vec<Value>) {
    gateway.seed_issue_task(world.g1, json!({})).await;
    let call = world.a.claiming(world.r1).header("x-client-capabilities", "skill-bundles-v1");
    let task = call.await.expect(200)["task"].clone();
    let references = task["agent"]["skill_refs"].as_array().cloned().unwrap_or_default();
    (id_of(&task), references)
}

/// Daemon item 133.
#[apply(on_both)]
async fn a_reference_carries_the_digest_of_what_it_stands_for(gateway: &Gateway) {
    let world = gateway.world().await;
    let deploy = Uuid::from_u128(0x1111_1111_1111_1111_1111_1111_1111_1111);
    let note = Uuid::from_u128(0x2222_2222_2222_2222_2222_2222_2222_2222);
    let skill = |id: Uuid, name: &str, description: &str, content: &str| {
        json!({
            "id": id, "workspace_id": world.w1, "name": name, "description": description, "content": content,
        })
    };
    gateway.insert("skill", skill(deploy, "deploy", "", "main")).await;
    gateway.insert("skill", skill(note, "n", "d", "")).await;
    for (skill, path, content) in [(deploy, "b.md", "b"), (deploy, "a.md", "a"), (note, "rules/x.md", "")] {
        let file = json!({"id": Uuid::new_v4(), "skill_id": skill, "path": path, "content": content});
        gateway.insert("skill_file", file).await;
    }
    for skill in [deploy, note] {
        gateway.insert("agent_skill", json!({"agent_id": world.g1, "skill_id": skill})).await;
    }
    let (_, references) = claim(gateway, &world).await;
    let digest = |text: &str| format!("sha256:{}", hash(text));
    let expected = json!([
        {
            "id": deploy, "source": "workspace", "name": "deploy",
            "hash": "sha256:ceeaf49ee3ed374596062dab034de19e2f3162d86df86aac59652a4d8b0bebfb",
            "size_bytes": 6, "file_count": 2,
            "files": [
                {"path": "a.md", "sha256": digest("a"), "size_bytes": 1},
                {"path": "b.md", "sha256": digest("b"), "size_bytes": 1},
            ],
        },
        {
            "id": note, "source": "workspace", "name": "n", "description": "d",
            "hash": "sha256:99d3d7f22b53605a0c31669389c2a3288aab855083e15c4177f91d77d75228a5",
            "size_bytes": 0, "file_count": 1,
            "files": [{"path": "rules/x.md", "sha256": digest(""), "size_bytes": 0}],
        },
    ]);
    assert_eq!(json!(references), expected);
}

/// Daemon items 150 and 151. Domain item 253.
#[apply(on_both)]
async fn a_reference_resolves_to_what_the_skill_is_now(gateway: &Gateway) {
    let world = gateway.world().await;
    let skill =
        gateway.seed_skill(world.g1, "review", "Look twice: héllo\n", &[("a.md", "a"), ("é.md", "")]).await;
    let (task, references) = claim(gateway, &world).await;
    let reference = references[0].clone();
    let bundle = async || {
        let body = resolve(&world, task, json!({"skills": [reference]})).await.expect(200);
        assert_eq!(body["bundles"].as_array().map(Vec::len), Some(1), "{body}");
        body["bundles"][0].clone()
    };
    let first = bundle().await;
    assert_eq!((&first["id"], &first["source"]), (&json!(skill), &json!("workspace")));
    assert_eq!(
        (&first["hash"], recomputed(&first)),
        (&reference["hash"], first["hash"].as_str().unwrap().to_owned())
    );
    assert_eq!(first["files"][0]["content"], "a");
    assert!(first["files"][1].get("size_bytes").is_none(), "{first}");
    gateway.execute("UPDATE skill SET content = 'Look thrice.'", Value::Null).await;
    let second = bundle().await;
    assert_eq!(second["content"], "Look thrice.");
    assert_ne!(second["hash"], reference["hash"]);
    assert_eq!(second["hash"], recomputed(&second));
}

/// Daemon items 152 and 154. Domain item 253.
#[apply(on_both)]
async fn references_are_resolved_in_order_and_only_the_agents_own(gateway: &Gateway) {
    let world = gateway.world().await;
    for name in ["a", "b", "c"] {
        gateway.seed_skill(world.g1, name, name, &[]).await;
    }
    let colleague = gateway.seed_agent(world.r1, "Col", json!({})).await;
    let foreign = gateway.seed_skill(colleague, "d", "d", &[]).await;
    let (task, mut references) = claim(gateway, &world).await;
    references.reverse();
    let body = resolve(&world, task, json!({"skills": references})).await.expect(200);
    let names: Vec<&Value> = body["bundles"].as_array().unwrap().iter().map(|b| &b["name"]).collect();
    assert_eq!(names, ["c", "b", "a"]);
    for none in [json!({"skills": []}), json!({}), json!(null)] {
        assert_eq!(resolve(&world, task, none).await.expect(200), json!({"bundles": []}));
    }
    let known = &references[0]["id"];
    let check = async |reference: Value, status: u16, error: &str| {
        resolve(&world, task, json!({"skills": [reference]})).await.refused(status, error);
    };
    check(json!({"id": known, "source": "workspace"}), 400, "invalid skill ref").await;
    check(json!({"id": known, "source": "", "hash": "x"}), 400, "invalid skill ref").await;
    check(json!({}), 400, "invalid skill ref").await;
    for (id, source) in [(json!(foreign), "workspace"), (json!("x"), "workspace"), (known.clone(), "builtin")]
    {
        let reference = json!({"id": id, "source": source, "hash": "x"});
        check(reference, 404, "skill bundle not found").await;
    }
    check(json!(5), 400, "invalid request body").await;
}

/// Daemon item 153. Domain item 253.
#[apply(on_both)]
async fn only_a_task_under_preparation_resolves(gateway: &Gateway) {
    let world = gateway.world().await;
    gateway.seed_skill(world.g1, "a", "a", &[]).await;
    let (task, references) = claim(gateway, &world).await;
    let body = json!({"skills": references});
    let other = world.a.register("dm-other", "claude").await;
    let elsewhere = format!("/api/daemon/runtimes/{other}/tasks/{task}/skill-bundles/resolve");
    world.a.post(elsewhere, body.clone()).await.refused(404, "task not found");
    world.a.post(format!("/api/daemon/tasks/{task}/wait-local-directory"), ()).await.expect(200);
    resolve(&world, task, body.clone()).await.expect(200);
    world.a.start(task).await;
    // Before the body is looked at.
    resolve(&world, task, json!([])).await.refused(409, "task is not preparing");
    world.a.complete(task, json!({})).await;
    resolve(&world, task, body).await.refused(409, "task is not preparing");
    resolve(&world, Uuid::new_v4(), json!({})).await.refused(404, "task not found");
    let queued = gateway.seed_issue_task(world.g1, json!({})).await;
    resolve(&world, queued, json!({})).await.refused(409, "task is not preparing");
}

/// A path that would fail the whole task on the daemon is left out everywhere.
#[apply(on_both)]
async fn a_file_that_a_daemon_would_refuse_is_left_out(gateway: &Gateway) {
    let world = gateway.world().await;
    let files = ["../x", "/abs", "a/../b", "a//b", "./a", "a\\b", "..", ".", "", "ok/deep.md"]
        .map(|path| (path, "x"));
    gateway.seed_skill(world.g1, "a", "a", &files).await;
    let (task, references) = claim(gateway, &world).await;
    assert_eq!(references[0]["file_count"], 1);
    let body = resolve(&world, task, json!({"skills": references})).await.expect(200);
    assert_eq!(body["bundles"][0]["files"][0]["path"], "ok/deep.md");
    assert_eq!(body["bundles"][0]["hash"], recomputed(&body["bundles"][0]));
}
