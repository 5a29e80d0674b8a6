//! `plugin test`, `bench` and `inspect`: what an author reads of a component.

use std::path::Path;

use serde_json::{Value, json};

use crate::plugins_author_scene::{fails, succeeds, told};
use crate::plugins_scene::component;

fn try_cases(folder: &Path, guest: &str, cases: &str) -> (bool, String) {
    std::fs::write(folder.join("cases.yaml"), cases).unwrap();
    let output = crate::plugins_author_scene::switchyard(
        folder,
        &["test", &component(guest), "--cases", "cases.yaml"],
    );
    (output.status.success(), told(&output))
}

#[test]
fn a_case_that_differs_is_told_with_the_place() {
    let folder = tempfile::tempdir().unwrap();
    let cases = r"
cases:
  - { name: kind, input: {}, config: { notice: Be kind. }, expect: { patch: [{ append-instructions: Be kind. }] } }
  - { name: mean, input: {}, config: { notice: Be kind. }, expect: { patch: [{ append-instructions: Be mean. }] } }
  - { name: denied, input: { agent: { custom_args: [-x] } }, config: { deny_args: [-x] }, expect: { denied: argument-denied } }
  - { name: not denied, input: {}, expect: { denied: argument-denied } }
  - { name: failed, input: { agent: 1 }, expect: { failed: bad-claim } }
  - { name: another failure, input: { agent: 1 }, expect: { failed: else } }
  - { name: a bad configuration, input: {}, config: { notise: x }, expect: { patch: [] } }
";
    let (passed, told) = try_cases(folder.path(), "example-policy", cases);
    assert!(!passed, "{told}");
    for (mark, name) in [
        ("ok  ", "kind"),
        ("FAIL", "mean"),
        ("ok  ", "denied"),
        ("FAIL", "not denied"),
        ("ok  ", "failed"),
        ("FAIL", "another failure"),
        ("FAIL", "a bad configuration"),
    ] {
        assert!(told.contains(&format!("{mark}  {name} (")), "{mark} {name} in {told}");
    }
    for difference in [
        "/patch/0/append-instructions: expected \"Be mean.\", found \"Be kind.\"",
        "expected a denial `argument-denied`, found {\"patch\":[]}",
        "expected a failure `else`, found `bad-claim`",
        "/plugin/0/config",
        "3 passed, 4 failed",
    ] {
        assert!(told.contains(difference), "{difference} in {told}");
    }
}

/// The built-in component as anybody may run it: with grants of its own. What it attaches has the
/// secret in its place, if the secret may go there.
#[test]
fn an_overlay_is_shown_as_it_would_be_kept() {
    let folder = tempfile::tempdir().unwrap();
    let cases = r#"
cases:
  - name: a session
    stage: prepare
    input: &input
      agent_id: g
      owner_id: o
      allowlist: [notion]
      accounts: [{ toolkit: notion, account_id: a }]
    config: &config { composio: { base_url: "https://composio.example/api", api_key: k } }
    grants: &grants
      http: [{ url: "https://composio.example/api/tool_router/session", methods: [POST] }]
      secrets: { k: { from: "env:SWITCHYARD_PLUGIN_SECRET_K", hosts: [composio.example], overlay: true } }
    mocks: &mocks
      secrets: { k: s3cret }
      http:
        - request: { method: POST, headers: { x-api-key: s3cret }, json: { user_id: o, connected_accounts: { notion: [a] } } }
          response: { json: { mcp: { url: "https://mcp.example/s" } } }
    expect:
      overlay: { mcpServers: { composio: { type: http, url: "https://mcp.example/s", headers: { x-api-key: s3cret } } } }
      apps: [{ provider: composio, server_name: composio, toolkit: notion, display_name: Notion }]
  - name: a secret that may not go there
    stage: prepare
    input: *input
    config: *config
    grants:
      http: [{ url: "https://composio.example/api/tool_router/session", methods: [POST] }]
      secrets: { k: { from: "env:SWITCHYARD_PLUGIN_SECRET_K", hosts: [composio.example] } }
    mocks: *mocks
    expect: { failed: invalid_output }
  - name: both sides
    stage: mcp-overlay
    input: { agent_config: { x: 1 }, overlay: { mcpServers: { a: {} } } }
    grants: *grants
    expect: { config: { x: 1, mcpServers: { a: {} } } }
  - name: one side
    stage: mcp-overlay
    input: { agent_config: { x: 1 } }
    grants: *grants
    expect: agent-config
  - name: without its grants
    stage: mcp-overlay
    input: {}
    expect: none
"#;
    let (passed, told) = try_cases(folder.path(), "mcp-overlay", cases);
    assert!(!passed, "{told}");
    assert!(told.contains("4 passed, 1 failed"), "{told}");
    for fault in ["the component imports `switchyard:plugin/http@1.0.0`", "/plugin/0/grants/secrets"] {
        assert!(told.contains(fault), "{fault} in {told}");
    }
}

/// The guest takes the steps of its configuration and tells what came of each.
#[test]
fn what_a_plugin_reaches_is_mocked_and_compared() {
    let folder = tempfile::tempdir().unwrap();
    let cases = r#"
cases:
  - name: all of it
    input: {}
    grants: &grants
      kv: true
      clock: true
      random: true
      http: [{ url: "https://tracker.example.com/", methods: [GET, POST] }]
      secrets: { tracker: { from: "env:SWITCHYARD_PLUGIN_SECRET_X", hosts: [tracker.example.com] } }
    config:
      steps:
        - { do: get, key: before }
        - { do: increment, key: count, by: 2 }
        - { do: clock }
        - do: send
          method: POST
          url: https://tracker.example.com/a
          headers: [[Authorization, "Bearer {tracker}"]]
          body: '{"a":1,"b":2}'
        - { do: send, method: GET, url: "https://elsewhere.example.com/" }
        - { do: send, method: GET, url: "https://tracker.example.com/unknown" }
        - { do: send, method: GET, url: "https://tracker.example.com/slow" }
        - { do: set, key: after, value: x }
        - { do: delete, key: before }
    mocks:
      now: "2026-07-31T12:00:00Z"
      kv: { before: b, count: 40 }
      secrets: { tracker: s3cret }
      http:
        - request: { method: POST, headers: { authorization: Bearer s3cret }, json: { a: 1 } }
          response: { status: 201, json: { c: 3 } }
        - request: { url: "https://tracker.example.com/slow" }
          response: { fails: timeout }
    expect: { patch: [{}] }
    expect_kv: { count: 42, after: x, before: null }
    expect_requests:
      - { method: POST, url: "https://tracker.example.com/a" }
      - { url: "https://tracker.example.com/unknown" }
      - { url: "https://tracker.example.com/slow" }
  - name: nothing is left of the case before
    input: {}
    grants: *grants
    config: { steps: [{ do: get, key: after }] }
    expect: { patch: [{}] }
    expect_kv: { count: null, after: null }
    expect_requests: []
  - name: differences
    input: {}
    grants: *grants
    config: { steps: [{ do: increment, key: tally, by: 1 }] }
    expect: { patch: [{}] }
    expect_kv: { tally: 2, more: 1 }
    expect_requests: [{ method: GET }]
"#;
    let (passed, told) = try_cases(folder.path(), "test-reach", cases);
    assert!(!passed, "{told}");
    for expected in [
        "ok    all of it (",
        "ok    nothing is left of the case before (",
        "FAIL  differences (",
        "kv `tally`: expected \"2\", found \"1\"",
        "kv `more`: expected \"1\", and it is not there",
        "requests/0: expected {\"method\":\"GET\"}, and it is not there",
        "2 passed, 1 failed",
    ] {
        assert!(told.contains(expected), "{expected} in {told}");
    }
}

#[test]
fn what_is_wrong_with_a_file_of_cases_is_told() {
    let folder = tempfile::tempdir().unwrap();
    for (cases, part) in [
        ("cases: []", "there are no cases"),
        ("case: 1", "unknown field"),
        ("cases:\n  - { name: a, input: {} }", "expect"),
        ("cases:\n  - { name: a, input: {}, expect: null, colour: 1 }", "colour"),
        ("cases:\n  - { name: a, input: nowhere.json, expect: null }", "cannot read"),
        ("cases:\n  - { name: a, stage: nap, input: {}, expect: null }", "does not serve `nap`"),
        ("cases:\n  - { name: a, input: {}, mocks: { now: noon }, expect: null }", "RFC 3339"),
        (
            "cases:\n  - { name: a, input: {}, expect: null }\n  - { name: a, input: {}, expect: null }",
            "two cases are called `a`",
        ),
    ] {
        let (passed, told) = try_cases(folder.path(), "example-policy", cases);
        assert!(!passed && told.contains(part), "{cases}: {part} in {told}");
    }
    assert!(fails(folder.path(), &["test"]).contains("holds no plugin"));
    std::fs::write(folder.path().join("package.json"), "{\"name\":\"a\"}").unwrap();
    assert!(fails(folder.path(), &["test"]).contains("`switchyard plugin build`"));
    std::fs::write(folder.path().join("Cargo.toml"), "").unwrap();
    assert!(fails(folder.path(), &["build"]).contains("in one language"));
}

#[test]
fn a_tool_that_is_missing_is_named_with_its_cure() {
    let folder = tempfile::tempdir().unwrap();
    for (file, text, part) in [
        ("package.json", "{\"name\":\"a\"}", "npm is not installed: install Node.js"),
        ("requirements.txt", "", "python3 is not installed: install Python"),
    ] {
        let plugin = folder.path().join(file.split('.').next().unwrap());
        std::fs::create_dir(&plugin).unwrap();
        std::fs::write(plugin.join(file), text).unwrap();
        std::fs::write(plugin.join("app.py"), "").unwrap();
        let mut build = crate::plugins_author_scene::command(&plugin, &["build"]);
        let output = build.env("PATH", "/nowhere").output().unwrap();
        assert!(!output.status.success() && told(&output).contains(part), "{part} in {}", told(&output));
    }
}

#[test]
fn a_component_is_inspected_and_measured() {
    let folder = tempfile::tempdir().unwrap();
    let shown = succeeds(folder.path(), &["inspect", &component("test-reach"), "--json"]);
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["stages"], json!(["enrichment"]));
    let imports = shown["imports"].as_array().unwrap();
    let grants: Vec<&str> = imports.iter().filter_map(|import| import["grant"].as_str()).collect();
    for grant in ["kv", "http", "secrets", "clock", "random"] {
        assert!(grants.contains(&grant), "{grant} in {shown}");
    }
    let log = imports.iter().find(|import| import["interface"] == "switchyard:plugin/types@1.0.0");
    assert!(log.is_none_or(|log| log["grant"].is_null()));
    let bytes = std::fs::read(component("test-reach")).unwrap();
    assert_eq!(shown["size_bytes"], bytes.len());
    assert_eq!(shown["sha256"].as_str().unwrap().len(), 64);
    assert_eq!(shown["memories"], 1);
    assert!(shown["core_instances"].as_u64().unwrap() >= 1);
    // The SDK's layout: half a mebibyte to begin with.
    assert_eq!(shown["initial_memory_bytes"], 512 << 10);
    let text = told(&succeeds(folder.path(), &["inspect", &component("example-policy")]));
    assert!(text.contains("example-policy") && text.contains("deny_args"), "{text}");
    assert!(fails(folder.path(), &["inspect", "/dev/null"]).contains("is no plugin"));

    std::fs::write(folder.path().join("input.json"), "{}").unwrap();
    let echo = component("test-echo");
    let arguments = ["bench", echo.as_str(), "--input", "input.json", "--calls", "20", "--json"];
    let measured = |config: &str| -> Value {
        let output = succeeds(folder.path(), &[&arguments[..], &["--config", config]].concat());
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let (short, long) =
        (measured("{\"text\":\"a\"}"), measured(&format!("{{\"text\":\"{}\"}}", "a".repeat(5000))));
    assert_eq!(short["calls"], 20);
    assert_eq!(short["limits"], json!({"cpu_ms": 50, "memory_mib": 64}));
    // The same on every machine and in every run: more work is more instructions.
    assert_eq!(short["instructions"], measured("{\"text\":\"a\"}")["instructions"]);
    assert!(short["instructions"].as_u64() < long["instructions"].as_u64(), "{short} {long}");
    assert!(short["guest_us"]["p50"].as_u64() <= short["guest_us"]["p99"].as_u64());
    assert!(fails(folder.path(), &["bench", "/dev/null", "--input", "input.json"]).contains("is not a file"));
}
