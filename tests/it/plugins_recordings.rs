//! What plugins were given and gave, sampled without secrets, and played again with another
//! component.

use std::process::{Command, Output};

use macro_rules_attribute::apply;
use serde_json::{Value, json};

use crate::connected_apps::{allow, connect};
use crate::harness::{Gateway, Reply, ahead, id_of};
use crate::plugins_prepare::assign;
use crate::plugins_scene::{BUILT_IN, Scene, component, eventually, instructions, plugin};

const EVERYTHING: &str = "[recording]\nsample = 1.0\n";

async fn recordings(gateway: &Gateway, query: &str) -> Vec<Value> {
    let list = gateway.admin().get(format!("/admin/plugins/recordings{query}")).await.ok();
    list["recordings"].as_array().unwrap().clone()
}

async fn whole(gateway: &Gateway, recording: &Value) -> Value {
    let id = recording["id"].as_str().unwrap();
    gateway.admin().get(format!("/admin/plugins/recordings/{id}")).await.ok()
}

async fn recorded(gateway: &Gateway, query: &str, count: usize) -> Vec<Value> {
    eventually("the samples are written", async || recordings(gateway, query).await.len() >= count).await;
    let list = recordings(gateway, query).await;
    assert_eq!(list.len(), count, "{list:?}");
    list
}

fn echo(text: &str) -> String {
    plugin("extra", "test-echo", &format!("config = {{ text = \"{text}\" }}"))
}

#[apply(on_both)]
async fn what_is_wrong_with_a_recording_is_told(gateway: &Gateway) {
    for (table, pointer, part) in [
        ("recording = 1", "/recording", "must be a table"),
        ("[recording]", "/recording/sample", "is required"),
        ("[recording]\nsample = 1.5", "/recording/sample", "from 0 to 1"),
        ("[recording]\nsample = 1\ncolour = 1", "/recording/colour", "unknown key"),
        ("[recording]\nsample = 1\nstages = 1", "/recording/stages", "list"),
        ("[recording]\nsample = 1\nstages = [\"nap\"]", "/recording/stages/0", "no stage"),
        ("[recording]\nsample = 1\nkeep = 0", "/recording/keep", "from 1 to 10000"),
    ] {
        let answer = gateway.admin().apply(table).await.expect(422);
        let faults = answer["faults"].as_array().unwrap();
        assert_eq!(faults.len(), 1, "{answer}");
        assert_eq!(faults[0]["pointer"], pointer);
        assert!(faults[0]["message"].as_str().unwrap().contains(part), "{answer}");
    }
    for (query, part) in [("?limit=0", "limit"), ("?limit=x", "limit"), ("?stage=nap", "no stage")] {
        let answer: Reply = gateway.admin().get(format!("/admin/plugins/recordings{query}")).await;
        assert!(answer.expect(400)["error"].as_str().unwrap().contains(part));
    }
    gateway.admin().get("/admin/plugins/recordings/x").await.refused(400, "invalid recording");
    let nobody = format!("/admin/plugins/recordings/{}", uuid::Uuid::new_v4());
    gateway.admin().get(nobody).await.refused(404, "this recording is not kept");
}

#[apply(on_both)]
async fn calls_are_recorded_without_secrets_whatever_was_granted(gateway: &Gateway) {
    let scene = Scene::new(gateway).await;
    let config =
        json!({"mcpServers": {"a": {"url": "https://h.example/p?key=s3one", "headers": {"k": "s3two"}}}});
    gateway.change("agent", scene.world.g1, "mcp_config", config).await;
    gateway.change("agent", scene.world.g1, "custom_env", json!({"KEY": "s3three"})).await;
    let told = "Ask ann@example.com, password=s3four, or https://u:s3five@h.example/x";
    gateway.change("agent", scene.world.g1, "instructions", json!(told)).await;
    let nosy = "config = { show_claim = true, operations = [{ put-env = [\"KEY\", '\"s3six\"'] }] }
[plugin.grants]\nview = [\"custom_env\", \"mcp_secrets\"]\nenv = [\"KEY\"]\n";
    scene.apply(&(EVERYTHING.to_owned() + BUILT_IN + &plugin("extra", "test-echo", nosy))).await;
    let task = scene.claimed().await;
    assert!(instructions(&task).contains("s3three"), "the plugin itself saw it all");
    let list = recorded(gateway, "", 3).await;
    let mut stages: Vec<&str> = list.iter().map(|recording| recording["stage"].as_str().unwrap()).collect();
    stages.sort_unstable();
    assert_eq!(stages, ["enrichment", "mcp-overlay", "repo-resolution"]);
    for recording in &list {
        let text = whole(gateway, recording).await.to_string();
        for secret in ["s3one", "s3two", "s3three", "s3four", "s3five", "s3six", "ann@example.com", "mat_"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
    let of_extra = recorded(gateway, "?plugin=extra", 1).await;
    let shown = whole(gateway, &of_extra[0]).await;
    for member in ["at", "version", "sha256", "workspace_id", "times", "input", "output"] {
        assert!(!shown[member].is_null(), "{member} of {shown}");
    }
    assert_eq!((&shown["outcome"], &shown["task_id"]), (&json!("ok"), &json!(id_of(&task))));
    assert_eq!(shown["input"]["agent"]["custom_env"], json!({"KEY": "***"}));
    assert_eq!(shown["output"]["patch"][0], json!({"put-env": {"name": "KEY", "value": "***"}}));
    recorded(gateway, "?stage=mcp-overlay", 1).await;
    assert_eq!(recordings(gateway, "?limit=2").await.len(), 2);
}

#[apply(on_both)]
async fn recordings_are_bounded_and_of_the_stages_asked_for(gateway: &Gateway) {
    let scene = Scene::new(gateway).await;
    let table = "[recording]\nsample = 1\nstages = [\"enrichment\"]\nkeep = 2\n";
    scene.apply(&(table.to_owned() + BUILT_IN + &echo("x"))).await;
    let mut last = Value::Null;
    for _ in 0..5 {
        let task = scene.claimed().await;
        scene.end(&task).await;
        last = json!(id_of(&task));
    }
    eventually("the last one is there", async || {
        recordings(gateway, "").await.first().is_some_and(|newest| newest["task_id"] == last)
    })
    .await;
    let list = recordings(gateway, "").await;
    assert_eq!(list.len(), 2, "{list:?}");
    assert!(list.iter().all(|recording| recording["stage"] == "enrichment"));
    // Without the table, and with a share of nothing, nothing is added.
    for document in [echo("x"), "[recording]\nsample = 0\n".to_owned() + &echo("x")] {
        scene.apply(&document).await;
        let task = scene.claimed().await;
        scene.end(&task).await;
    }
    assert_eq!(recordings(gateway, "").await[0]["task_id"], last);
    // A failure is recorded as one.
    scene.apply(&(EVERYTHING.to_owned() + &plugin("extra", "test-trap", ""))).await;
    let task = id_of(&scene.claimed().await);
    eventually("the failure is there", async || recordings(gateway, "").await[0]["task_id"] == json!(task))
        .await;
    let failure = whole(gateway, &recordings(gateway, "").await[0]).await;
    assert_eq!((&failure["outcome"], &failure["output"]), (&json!("trap"), &Value::Null));
    assert!(failure["message"].as_str().unwrap().contains("trapped"), "{failure}");
}

#[apply(on_both)]
async fn what_is_too_large_is_left_out_and_the_oldest_go_first(gateway: &Gateway) {
    let scene = Scene::new(gateway).await;
    let table = "[recording]\nsample = 1\nstages = [\"enrichment\"]\n";
    scene.apply(&(table.to_owned() + BUILT_IN + &echo("x"))).await;
    // Two that are kept already, and with the next one more than the 64 MiB that all may have.
    let kept = |name: &str, bytes: i64| {
        json!({"at": ahead(-60), "plugin": name, "stage": "enrichment", "task_id": name, "generation": 1,
            "outcome": "ok", "bytes": bytes, "recording": "{}"})
    };
    gateway.seed("plugin_recording", kept("oldest", 1 << 20), json!({})).await;
    gateway.seed("plugin_recording", kept("older", (64 << 20) - 1000), json!({})).await;
    // The input of one call alone is larger than a sample may be.
    gateway.change("agent", scene.world.g1, "instructions", json!("x".repeat(256 << 10))).await;
    let large = scene.claimed().await;
    assert!(instructions(&large).len() > 256 << 10);
    scene.end(&large).await;
    gateway.change("agent", scene.world.g1, "instructions", json!("short")).await;
    let small = scene.claimed().await;
    scene.end(&small).await;
    eventually("the small one is there", async || {
        recordings(gateway, "").await.first().is_some_and(|newest| newest["task_id"] == small["id"])
    })
    .await;
    // They are written in order, so the large one would be there by now.
    let list = recordings(gateway, "").await;
    assert_eq!(list.len(), 1, "{list:?}");
}

/// What is attached is secret, so a recording has its shape alone; that is enough to see that
/// another component does otherwise.
#[apply(on_both)]
async fn what_was_prepared_is_recorded_bare_and_replayed(gateway: &Gateway) {
    let scene = Scene::new(gateway).await;
    allow(gateway, scene.world.g1, &["notion"]).await;
    connect(gateway, scene.world.a.id, "notion", "account-1", 10).await;
    let server = |url: &str| {
        json!({"mcpServers": {"a": {
            "url": format!("https://{url}/p?key=s3one"), "headers": {"authorization": "Bearer s3two"},
            "env": {"TOKEN": "s3three"}, "args": ["--token", "s3four"],
        }}})
    };
    let config = |url: &str| json!({"app": "notion", "overlay": server(url).to_string()});
    let attach = format!("config = {{ app = \"notion\", overlay = '{}' }}", server("h.example"));
    let table = "[recording]\nsample = 1\nstages = [\"prepare\"]\n";
    scene.apply(&(table.to_owned() + BUILT_IN + &plugin("attach", "test-prepare", &attach))).await;
    assign(&scene.world).await;
    let task = scene.daemon().claim_one(scene.world.r1).await;
    assert!(task["agent"]["mcp_config"].to_string().contains("s3one"), "the daemon gets it whole: {task}");
    scene.end(&task).await;
    let list = recorded(gateway, "", 1).await;
    let shown = whole(gateway, &list[0]).await;
    for secret in ["s3one", "s3two", "s3three", "s3four"] {
        assert!(!shown.to_string().contains(secret), "{secret} in {shown}");
    }
    assert_eq!(
        (&shown["stage"], &shown["outcome"], &shown["task_id"], &shown["workspace_id"]),
        (&json!("prepare"), &json!("ok"), &task["id"], &json!(scene.world.w1))
    );
    let input = json!({
        "kind": "direct", "agent_id": scene.world.g1, "owner_id": scene.world.a.id, "allowlist": ["notion"],
        "accounts": [{"toolkit": "notion", "account_id": "account-1"}],
    });
    assert_eq!(shown["input"], input);
    let kept = &shown["output"]["overlay"]["mcpServers"]["a"];
    assert!(kept["url"].as_str().unwrap().starts_with("https://h.example/p"), "{shown}");
    assert_eq!((&kept["args"][0], &kept["env"]), (&json!("--token"), &json!({"TOKEN": "***"})), "{shown}");
    assert_eq!(shown["output"]["apps"][0]["toolkit"], "notion");

    let (output, told) = switchyard(gateway, &["recordings", "--stage", "prepare", "--out", "calls.jsonl"]);
    assert!(output.status.success() && told.contains("1 recordings"), "{told}");
    let replay = |guest: &str, config: Value| {
        let (guest, config) = (component(guest), config.to_string());
        switchyard(gateway, &["replay", &guest, "--inputs", "calls.jsonl", "--config", &config])
    };
    let (output, told) = replay("test-prepare", config("h.example"));
    assert!(output.status.success() && told.contains("1 same, 0 different, 0 failed"), "{told}");
    let (output, told) = replay("test-prepare", config("other.example"));
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("1 different") && told.contains("/overlay/mcpServers/a/url"), "{told}");
    let (output, told) = replay("test-prepare", json!({"fail": "trap"}));
    assert!(!output.status.success() && told.contains("1 failed"), "{told}");
    let (output, told) = replay("test-echo", json!({"text": "x"}));
    assert!(output.status.success() && told.contains("1 of other stages"), "{told}");
}

fn switchyard(gateway: &Gateway, arguments: &[&str]) -> (Output, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchyard"));
    let admin = gateway.admin();
    command.current_dir(gateway.folder()).arg("plugin").args(arguments);
    command.env("SWITCHYARD_ADMIN_URL", admin.base()).env("SWITCHYARD_ADMIN_TOKEN", &admin.token);
    let output = command.output().unwrap();
    let told =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output, told)
}

#[apply(on_both)]
async fn a_component_is_replayed_on_what_was_recorded(gateway: &Gateway) {
    let scene = Scene::new(gateway).await;
    scene.apply(&(EVERYTHING.to_owned() + BUILT_IN + &echo("one"))).await;
    let task = scene.claimed().await;
    scene.end(&task).await;
    recorded(gateway, "?plugin=extra", 1).await;
    let (output, told) = switchyard(gateway, &["recordings", "--plugin", "extra"]);
    assert!(output.status.success() && told.contains("enrichment"), "{told}");
    let (output, told) =
        switchyard(gateway, &["recordings", "--stage", "enrichment", "--out", "calls.jsonl"]);
    assert!(output.status.success() && told.contains("1 recordings"), "{told}");

    let (echo, deny, trap) = (component("test-echo"), component("test-deny"), component("test-trap"));
    let replay = |component: &str, config: Value, more: &[&str]| {
        let config = config.to_string();
        let first = ["replay", component, "--inputs", "calls.jsonl", "--config", config.as_str()];
        switchyard(gateway, &[&first, more].concat())
    };
    let (output, told) = replay(&echo, json!({"text": "one"}), &[]);
    assert!(output.status.success() && told.contains("1 same, 0 different, 0 failed"), "{told}");
    let (output, told) = replay(&echo, json!({"text": "two"}), &[]);
    assert_eq!(output.status.code(), Some(1), "{told}");
    let change = r#"{"op":"replace","path":"/patch/0/append-instructions","value":"two"}"#;
    assert!(told.contains("0 same, 1 different") && told.contains(change), "{told}");
    let (output, told) = replay(&echo, json!({"text": "two"}), &["--allow-differences", "--json"]);
    assert!(output.status.success(), "{told}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["different"][0]["stage"], "enrichment");
    let (output, told) = replay(&trap, json!({}), &["--allow-differences"]);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("1 failed") && told.contains("(trap)"), "{told}");

    // Two components against each other, whatever was recorded.
    let denial = json!({"code": "no", "reason": "because"});
    let (output, told) = replay(&deny, denial.clone(), &["--against", &deny]);
    assert!(output.status.success() && told.contains("1 same"), "{told}");
    let other = json!({"text": "x"}).to_string();
    let (output, told) = replay(&deny, denial, &["--against", &echo, "--against-config", &other]);
    assert!(!output.status.success() && told.contains("1 different"), "{told}");
    std::fs::write(gateway.folder().join("calls.jsonl"), "{\n").unwrap();
    let (output, told) = replay(&echo, json!({"text": "one"}), &[]);
    assert!(!output.status.success() && told.contains("line 1 of calls.jsonl is not a recording"), "{told}");
}

/// What was recorded holds nothing of the world around, so a replay brings its own.
#[test]
fn what_a_plugin_reaches_in_a_replay_is_mocked() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    std::fs::copy(component("test-reach"), folder.path().join("reach.wasm")).unwrap();
    write(
        "plugins.toml",
        r#"[[plugin]]
        name = "reach"
        source = "file:reach.wasm"
        config = { steps = [
            { do = "increment", key = "count", by = 2 }, { do = "clock" },
            { do = "send", method = "GET", url = "https://tracker.example.com/a", headers = [["x-key", "{tracker}"]] },
        ] }
        [plugin.grants]
        kv = true
        clock = true
        random = true
        [[plugin.grants.http]]
        url = "https://tracker.example.com/"
        methods = ["GET"]
        [plugin.grants.secrets.tracker]
        from = "env:SWITCHYARD_PLUGIN_SECRET_X"
        hosts = ["tracker.example.com"]
        "#,
    );
    let call = |said: &str, at: &str| {
        let said = json!({"append-context": said});
        json!({"stage": "enrichment", "at": at, "input": {}, "output": {"patch": [said]}}).to_string() + "\n"
    };
    let said = |now: i64, answer: Value| json!([{"ok": 42}, {"ok": now}, {"ok": answer}]).to_string();
    let answer = json!({"status": 200, "headers": [], "body": "fine"});
    let first = call(&said(1_785_499_200_000, answer.clone()), "2026-07-31T12:00:00Z");
    let second = call(&said(1_785_499_260_000, answer), "2026-07-31T12:01:00Z");
    write("calls.jsonl", &(first + &second));
    write(
        "mocks.yaml",
        r#"
kv: { count: 40 }
secrets: { tracker: s3cret }
http:
  - request: { url: "https://tracker.example.com/a", headers: { x-key: s3cret } }
    response: { body: fine }
"#,
    );
    let replay = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_switchyard"));
        command.current_dir(folder.path()).args([
            "plugin",
            "replay",
            "reach.wasm",
            "--inputs",
            "calls.jsonl",
        ]);
        let output = command.args(more).output().unwrap();
        let told =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.success(), told)
    };
    let (same, told) = replay(&["--mocks", "mocks.yaml"]);
    assert!(same && told.contains("2 same, 0 different, 0 failed"), "{told}");
    // Without answers nobody is reached, and what the plugin makes of that is compared.
    let (same, told) = replay(&[]);
    assert!(!same && told.contains("0 same, 2 different, 0 failed"), "{told}");
    assert!(told.contains("no mock answers GET https://tracker.example.com/a"), "{told}");
    let (same, told) = replay(&["--against", "reach.wasm"]);
    assert!(same && told.contains("2 same"), "{told}");
    write("mocks.yaml", "nobody: here");
    let (same, told) = replay(&["--mocks", "mocks.yaml"]);
    assert!(!same && told.contains("mocks.yaml is not sound") && told.contains("nobody"), "{told}");
}

/// Each recording is tried, however many before it failed.
#[test]
fn a_component_that_fails_is_replayed_to_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let call = json!({"stage": "enrichment", "input": {}, "output": {"patch": []}}).to_string() + "\n";
    std::fs::write(folder.path().join("calls.jsonl"), call.repeat(12)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchyard"));
    command.current_dir(folder.path()).args(["plugin", "replay"]).arg(component("test-trap"));
    let output = command.args(["--inputs", "calls.jsonl", "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let failed = report["failed"].as_array().unwrap();
    let traps = failed.iter().filter(|call| call["why"].as_str().unwrap().contains("(trap)")).count();
    assert_eq!(traps, 12, "{report}");
}

/// The commands show what the API answers.
#[apply(on_both)]
async fn sets_and_nodes_are_shown_in_a_shell(gateway: &Gateway) {
    let scene = Scene::new(gateway).await;
    scene.apply(&echo("one")).await;
    let task = scene.claimed().await;
    scene.apply(&echo("two")).await;
    let id = id_of(&task).to_string();
    for (arguments, parts) in [
        (&["show", "2"][..], &["\"text\": \"one\""][..]),
        (&["diff", "2"], &["from generation 2 to 3", "replace /plugin/0/config/text \"two\""]),
        (&["diff", "1", "2"], &["+ extra", "- mcp-overlay"]),
        (&["nodes"], &["* ", "generation    3"]),
        (&["trace", &id], &["extra", "enrichment", "changed", "KiB of memory", "bytes in"]),
        (&["generations"], &["*    3"]),
    ] {
        let (output, told) = switchyard(gateway, arguments);
        assert!(output.status.success(), "{arguments:?}: {told}");
        for part in parts {
            assert!(told.contains(part), "{arguments:?}: no `{part}` in {told}");
        }
    }
}
