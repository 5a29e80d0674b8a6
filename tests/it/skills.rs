//! `/api/skills`, the files of skills, and which agent has which skill.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Client, Gateway, id_of};

async fn create(client: &Client, body: Value) -> Value {
    client.post("/api/skills", body).await.expect(201)
}

fn path(skill: &Value) -> String {
    format!("/api/skills/{}", id_of(skill))
}

fn paths(skill: &Value) -> Vec<&str> {
    skill["files"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap()).collect()
}

/// A skill is made with its files, in the order sent; reading gives them by path, listing gives
/// neither them nor the content.
/// User items 83 and 84.
#[apply(on_both)]
async fn a_skill_is_made_with_its_files(gateway: &Gateway) {
    let ada = gateway.user();
    let files = json!([
        {"path": "z.md", "content": "z\u{0}"}, {"path": "docs/SKILL.md", "content": "kept"},
        {"path": "./skill.MD", "content": "dropped"}, {"path": "a/../SKILL.md", "content": "dropped"},
        {"path": "a.md"}, {"path": "z.md", "content": "last"},
    ]);
    let skill = create(
        &ada,
        json!({"name": "rust", "content": "# Rust", "files": files, "config": {"b": 1, "a": [2]}}),
    )
    .await;
    assert_eq!(paths(&skill), ["z.md", "docs/SKILL.md", "a.md"]);
    assert_eq!(skill["files"][0]["content"], "last");
    assert_eq!(skill["files"][0]["skill_id"], skill["id"]);
    for (member, value) in [
        ("description", json!("")),
        ("content", json!("# Rust")),
        ("config", json!({"a": [2], "b": 1})),
        ("created_by", json!(ada.id)),
        ("workspace_id", json!(gateway.workspace)),
    ] {
        assert_eq!(skill[member], value, "{member}");
    }
    let read = ada.get(path(&skill)).await.expect(200);
    assert_eq!(paths(&read), ["a.md", "docs/SKILL.md", "z.md"]);
    assert_eq!(ada.get(format!("{}/files", path(&skill))).await.expect(200), read["files"]);
    create(&ada, json!({"name": "a first one"})).await;
    let list = ada.get("/api/skills").await.expect(200);
    assert_eq!((&list[0]["name"], &list[1]["name"]), (&json!("a first one"), &json!("rust")));
    assert!(list[1].get("content").is_none() && list[1].get("files").is_none(), "{list}");
    assert_eq!(list[0]["config"], json!({}));
}

/// A file may not lead out of its skill, whichever separator it is written with.
/// User item 84.
#[apply(on_both)]
async fn a_file_may_not_lead_out(gateway: &Gateway) {
    let ada = gateway.user();
    let skill = create(&ada, json!({"name": "rust"})).await;
    let files = format!("{}/files", path(&skill));
    for bad in ["../x", "a/../../x", "/etc/x", "", "..", "a/..", "..\\x", "C:\\x"] {
        let body = json!({"name": "other", "files": [{"path": bad, "content": "x"}]});
        ada.post("/api/skills", body).await.refused(400, &format!("invalid file path: {bad}"));
        ada.put(&files, json!({"path": bad})).await.refused(400, "invalid file path");
    }
    for reserved in ["SKILL.md", "./skill.md", "a/../Skill.MD"] {
        let message = "SKILL.md is reserved for the primary skill content";
        ada.put(&files, json!({"path": reserved})).await.refused(400, message);
    }
    let long = json!({"path": "x".repeat(1025)});
    ada.put(&files, long).await.refused(400, "file path must be 1024 bytes or fewer");
    let crowd: Vec<Value> = (0..1001).map(|n| json!({"path": n.to_string()})).collect();
    let body = json!({"name": "other", "files": crowd});
    ada.post("/api/skills", body).await.refused(400, "a skill may have at most 1000 files");
    ada.put(&files, json!({"path": "x".repeat(1024)})).await.expect(200);
}

/// A name is there, and there once in a workspace.
/// User item 85.
#[apply(on_both)]
async fn a_name_is_unique_in_its_workspace(gateway: &Gateway) {
    let ada = gateway.user();
    create(&ada, json!({"name": "rust"})).await;
    let other = create(&ada, json!({"name": "go"})).await;
    for body in [json!({}), json!({"name": ""}), json!({"name": "\u{0}"})] {
        ada.post("/api/skills", body).await.refused(400, "name is required");
    }
    ada.post("/api/skills", json!({"name": 1})).await.refused(400, "invalid request body");
    ada.post("/api/skills", "").await.refused(400, "invalid request body");
    let long = json!({"name": "é".repeat(256)});
    ada.post("/api/skills", long).await.refused(400, "name must be 255 characters or fewer");
    let taken = "a skill with this name already exists";
    ada.post("/api/skills", json!({"name": "rust"})).await.refused(409, taken);
    ada.put(path(&other), json!({"name": "rust"})).await.refused(409, taken);
    create(&gateway.stranger("Cyn").await, json!({"name": "rust"})).await;
}

/// An edit changes what it names; files, when they are sent, replace all there are.
#[apply(on_both)]
async fn an_edit_changes_what_it_names(gateway: &Gateway) {
    let ada = gateway.user();
    let files = json!([{"path": "a.md", "content": "a"}, {"path": "b.md", "content": "b"}]);
    let skill =
        create(&ada, json!({"name": "rust", "content": "c", "config": {"x": 1}, "files": files})).await;
    let nothing = json!({"name": null, "content": null, "config": null, "files": null});
    let same = ada.put(path(&skill), nothing).await.expect(200);
    assert_eq!((&same["content"], &same["config"], paths(&same).len()), (&json!("c"), &json!({"x": 1}), 2));
    let sent = json!({"description": "d", "content": "", "config": [1], "files": [{"path": "c.md"}, {"path": "SKILL.md"}]});
    let changed = ada.put(path(&skill), sent).await.expect(200);
    assert_eq!(
        (&changed["name"], &changed["description"], &changed["content"], &changed["config"]),
        (&json!("rust"), &json!("d"), &json!(""), &json!([1]))
    );
    assert_eq!(paths(&changed), ["c.md"]);
    ada.put(path(&skill), json!({"files": [{"path": "../x"}]})).await.refused(400, "invalid file path: ../x");
    assert_eq!(paths(&ada.put(path(&skill), json!({"files": []})).await.expect(200)), [""; 0]);
}

/// Only its creator and admins change a skill; everybody in the workspace reads it.
/// User item 86.
#[apply(on_both)]
async fn only_its_creator_and_admins_change_a_skill(gateway: &Gateway) {
    let ada = gateway.user();
    let bea = gateway.join("Bea", "member").await;
    let cat = gateway.join("Cat", "admin").await;
    let skill = create(&ada, json!({"name": "rust", "files": [{"path": "a.md"}]})).await;
    let file = id_of(&skill["files"][0]);
    let message = "only the skill creator can manage this skill";
    bea.get(path(&skill)).await.expect(200);
    bea.put(path(&skill), json!({})).await.refused(403, message);
    bea.put(format!("{}/files", path(&skill)), json!({"path": "x"})).await.refused(403, message);
    bea.delete(format!("{}/files/{file}", path(&skill))).await.refused(403, message);
    bea.delete(path(&skill)).await.refused(403, message);
    cat.put(path(&skill), json!({"content": "c"})).await.expect(200);
    let own = create(&bea, json!({"name": "own"})).await;
    bea.put(path(&own), json!({"content": "c"})).await.expect(200);
    assert_eq!(bea.delete(path(&own)).await.status, 204);
    bea.get(path(&own)).await.refused(404, "skill not found");
    bea.get("/api/skills/x").await.refused(400, "invalid skill id");
    gateway.stranger("Cyn").await.get(path(&skill)).await.refused(404, "skill not found");
}

/// A file is added or replaced by its path, and deleted by its id.
#[apply(on_both)]
async fn a_file_is_replaced_by_its_path(gateway: &Gateway) {
    let ada = gateway.user();
    let skill = create(&ada, json!({"name": "rust"})).await;
    let other = create(&ada, json!({"name": "go"})).await;
    let files = format!("{}/files", path(&skill));
    let first = ada.put(&files, json!({"path": "a.md", "content": "1"})).await.expect(200);
    let second = ada.put(&files, json!({"path": "a.md", "content": "2"})).await.expect(200);
    assert_eq!((&second["id"], &second["content"]), (&first["id"], &json!("2")));
    assert_eq!(ada.get(&files).await.expect(200), json!([second]));
    ada.delete(format!("{files}/x")).await.refused(400, "invalid file id");
    let foreign = format!("{}/files/{}", path(&other), id_of(&first));
    ada.delete(foreign).await.refused(404, "skill file not found");
    let one = format!("{files}/{}", id_of(&first));
    assert_eq!(ada.delete(&one).await.status, 204);
    ada.delete(&one).await.refused(404, "skill file not found");
}

/// Assigning replaces an agent's skills, adding keeps them and may be repeated, and a skill of
/// another workspace changes nothing. What was assigned is in the next claim.
/// User item 87.
#[apply(on_both)]
async fn an_agent_has_the_skills_it_was_given(gateway: &Gateway) {
    let ada = gateway.user();
    let bea = gateway.join("Bea", "member").await;
    let foreign = create(&gateway.stranger("Cyn").await, json!({"name": "foreign"})).await;
    let runtime = ada.register("dm", "claude").await;
    let agent = gateway.seed_agent(runtime, "Gus", json!({})).await;
    let rust = create(&ada, json!({"name": "rust", "description": "d", "content": "c"})).await;
    let go = create(&ada, json!({"name": "go"})).await;
    let path = format!("/api/agents/{agent}/skills");
    let names = |list: &Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|skill| skill["name"].as_str().unwrap().to_owned()).collect()
    };
    let ids = |ids: &[&Value]| json!({"skill_ids": ids.iter().map(|skill| &skill["id"]).collect::<Vec<_>>()});
    let list = ada.put(&path, ids(&[&rust, &rust])).await.expect(200);
    assert_eq!(names(&list), ["rust"]);
    assert!(list[0].get("content").is_none() && list[0]["config"] == json!({}), "{list}");
    assert_eq!(names(&ada.post(format!("{path}/add"), ids(&[&go, &rust])).await.expect(200)), ["go", "rust"]);
    for verb in
        [ada.put(&path, ids(&[&foreign])).await, ada.post(format!("{path}/add"), ids(&[&go, &foreign])).await]
    {
        verb.refused(404, "skill not found");
    }
    assert_eq!(names(&bea.get(&path).await.expect(200)), ["go", "rust"]);
    let shown = ada.get(format!("/api/agents/{agent}")).await.expect(200);
    assert_eq!(
        shown["skills"],
        json!([
            {"id": go["id"], "name": "go", "description": ""}, {"id": rust["id"], "name": "rust", "description": "d"},
        ])
    );
    assert_eq!(ada.get("/api/agents").await.expect(200)[0]["skills"], shown["skills"]);
    ada.put(&path, json!({"skill_ids": ["x"]})).await.refused(400, "invalid skill_ids");
    let crowd = json!({"skill_ids": vec![rust["id"].clone(); 1001]});
    ada.put(&path, crowd).await.refused(400, "skill_ids may name at most 1000 skills");
    bea.put(&path, ids(&[])).await.refused(403, "only the agent owner can manage this agent");
    ada.get("/api/agents/x/skills").await.refused(400, "invalid agent id");
    ada.get(format!("/api/agents/{}/skills", Uuid::new_v4())).await.refused(404, "agent not found");

    gateway.seed_issue_task(agent, json!({})).await;
    let task = ada.claim_one(runtime).await;
    let taught: Vec<&Value> =
        task["agent"]["skills"].as_array().unwrap().iter().map(|skill| &skill["name"]).collect();
    assert_eq!(taught, ["go", "rust"]);

    assert_eq!(ada.delete(format!("/api/skills/{}", id_of(&go))).await.status, 204);
    assert_eq!(names(&ada.get(&path).await.expect(200)), ["rust"]);
    assert_eq!(names(&ada.put(&path, json!({})).await.expect(200)), [""; 0]);
}
