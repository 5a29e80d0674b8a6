//! What a plugin sees, changes and calls: what was granted by name, and nothing else.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Gateway, id_of};
use crate::plugins_scene::{Scene, beside_built_in, instructions, plugin};

/// What the agent holds that a plugin must not see.
const SECRETS: [&str; 6] =
    ["env-s3cret", "header-s3cret", "query-s3cret", "arg-s3cret", "user-s3cret", "other-s3cret"];

async fn give_secrets(gateway: &Gateway, agent: Uuid) {
    let env = json!({"API_TOKEN": "env-s3cret"});
    let config = json!({"mcpServers": {
        "search": {
            "url": "https://user-s3cret@search.example/mcp?key=query-s3cret",
            "headers": {"authorization": "header-s3cret"},
            "bearer": "other-s3cret",
        },
        "files": {"command": "npx", "args": ["-y", "files", "--token", "arg-s3cret"], "env": {"T": "env-s3cret"}},
    }});
    let sql = "UPDATE agent SET custom_env = $2, mcp_config = $3 WHERE id = $1";
    gateway.execute(sql, json!([agent, env, config])).await;
}

#[apply(on_both)]
async fn secrets_are_withheld_unless_granted(gateway: &Gateway) {
    let scene = Scene::new(gateway).await;
    give_secrets(gateway, scene.world.g1).await;
    for (granted, seen) in [
        ("", vec![]),
        ("grants = { view = [\"custom_env\"] }", vec!["env-s3cret"]),
        ("grants = { view = [\"custom_env\", \"mcp_secrets\"] }", SECRETS.to_vec()),
    ] {
        scene
            .apply(&beside_built_in("test-echo", &format!("config = {{ show_claim = true }}\n{granted}")))
            .await;
        let task = scene.claimed().await;
        let shown = instructions(&task);
        for secret in SECRETS {
            assert_eq!(shown.contains(secret), seen.contains(&secret), "{secret} under `{granted}`: {shown}");
        }
        for open in ["API_TOKEN", "search.example", "authorization", "npx"] {
            assert!(shown.contains(open), "{open} under `{granted}`: {shown}");
        }
        let token = task["auth_token"].as_str().unwrap();
        assert!(!shown.contains(token), "nobody sees the token: {shown}");
        // The daemon gets everything, whatever the plugin saw.
        assert_eq!(task["agent"]["custom_env"]["API_TOKEN"], "env-s3cret");
        assert_eq!(task["agent"]["mcp_config"]["mcpServers"]["search"]["bearer"], "other-s3cret");
        scene.end(&task).await;
    }
}

/// The operations under these grants: what became of the claim, or why nothing did.
async fn tried(scene: &Scene<'_>, operations: &Value, grants: &str) -> (Value, Value) {
    let config = format!("config = {{ operations = {} }}", inline(operations));
    let document = beside_built_in("test-echo", &format!("{config}\n{grants}"));
    scene.apply(&document).await;
    let task = scene.claimed().await;
    let step = scene.step(id_of(&task)).await;
    scene.end(&task).await;
    (task, step)
}

/// A JSON value as TOML on one line.
fn inline(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let members: Vec<String> =
                map.iter().map(|(name, value)| format!("{} = {}", json!(name), inline(value))).collect();
            format!("{{ {} }}", members.join(", "))
        }
        Value::Array(list) => format!("[{}]", list.iter().map(inline).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

#[apply(on_both)]
async fn a_change_needs_its_grant(gateway: &Gateway) {
    let scene = Scene::new(gateway).await;
    let put_env = json!([{"put-env": ["REGION", "\"eu\""]}]);
    let (task, step) = tried(&scene, &put_env, "").await;
    assert_eq!(task["agent"].get("custom_env"), None);
    assert!(step["message"].as_str().unwrap().contains("grants.env"), "{step}");
    let (task, step) = tried(&scene, &put_env, "[plugin.grants]\nenv = [\"REGION\"]").await;
    assert_eq!(task["agent"]["custom_env"], json!({"REGION": "eu"}));
    assert_eq!(step["outcome"], "changed");

    let set = json!([{"set": ["/agent/model", "\"opus\""]}]);
    let (task, step) = tried(&scene, &set, "").await;
    assert_eq!(task["agent"].get("model"), None);
    assert!(step["message"].as_str().unwrap().contains("grants.write"), "{step}");
    let (task, _) = tried(&scene, &set, "[plugin.grants]\nwrite = [\"/agent/model\"]").await;
    assert_eq!(task["agent"]["model"], "opus");
    let wrong = json!([{"set": ["/agent/model", "42"]}]);
    let (task, step) = tried(&scene, &wrong, "[plugin.grants]\nwrite = [\"/agent/model\"]").await;
    assert_eq!(task["agent"].get("model"), None, "a daemon could not read it");
    assert_eq!(step["code"], "invalid_output");
}

#[apply(on_both)]
async fn what_needs_no_grant_is_applied_in_order(gateway: &Gateway) {
    let scene = Scene::new(gateway).await;
    let operations = json!([
        {"append-instructions": "One."},
        {"append-instructions": "Two."},
        {"append-context": "Here."},
        {"add-repo": "https://git.example/x"},
        {"add-repo": "https://git.example/x"},
        {"add-arg": "--quiet"},
        {"put-mcp-server": ["search", "{\"url\":\"https://search.example\"}"]},
    ]);
    let (task, step) = tried(&scene, &operations, "").await;
    assert_eq!(instructions(&task), "One.\n\nTwo.");
    assert_eq!(task["workspace_context"], "Here.");
    assert_eq!(task["repos"], json!([{"url": "https://git.example/x"}]));
    assert_eq!(task["agent"]["custom_args"], json!(["--quiet"]));
    assert_eq!(
        task["agent"]["mcp_config"],
        json!({"mcpServers": {"search": {"url": "https://search.example"}}})
    );
    let paths: Vec<&str> =
        step["changes"].as_array().unwrap().iter().map(|change| change["path"].as_str().unwrap()).collect();
    let expected =
        ["/agent/instructions", "/workspace_context", "/repos", "/agent/custom_args", "/agent/mcp_config"];
    assert_eq!(paths, expected, "{step}");
}

#[apply(on_both)]
async fn a_trace_shows_what_changed_and_no_secret(gateway: &Gateway) {
    let scene = Scene::new(gateway).await;
    give_secrets(gateway, scene.world.g1).await;
    let operations = json!([
        {"put-env": ["API_TOKEN", "\"new-s3cret\""]},
        {"put-mcp-server": ["more", "{\"url\":\"https://more.example/?k=new-s3cret\",\"headers\":{\"a\":\"new-s3cret\"}}"]},
    ]);
    let (task, step) = tried(&scene, &operations, "[plugin.grants]\nenv = [\"API_TOKEN\"]").await;
    assert_eq!(task["agent"]["custom_env"]["API_TOKEN"], "new-s3cret");
    assert_eq!(step["outcome"], "changed");
    let text = step.to_string();
    assert!(!text.contains("s3cret"), "{text}");
    assert!(text.contains("API_TOKEN") && text.contains("more.example"), "{text}");
    let token = task["auth_token"].as_str().unwrap();
    assert!(!gateway.admin().trace(id_of(&task)).await.to_string().contains(token));
}

#[apply(on_both)]
async fn an_import_that_nobody_granted_is_refused(gateway: &Gateway) {
    let admin = gateway.admin();
    let refused = admin.apply(&plugin("extra", "test-import", "")).await.expect(422);
    let fault = &refused["faults"][0];
    assert_eq!(
        (&fault["plugin"], &fault["pointer"]),
        (&json!("extra"), &json!("/plugin/0/source")),
        "{refused}"
    );
    let message = fault["message"].as_str().unwrap();
    assert!(message.contains("wasi:clocks/monotonic-clock") && message.contains("no WASI"), "{message}");
    assert_eq!(admin.plugins().await["generation"], 1);
}
