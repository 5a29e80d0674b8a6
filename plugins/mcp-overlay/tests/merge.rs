//! The cases of the merge: pass-through to the byte, union, and what is refused.

use mcp_overlay::merge;
use serde_json::{Value, json};
use switchyard_sdk::mcp_overlay::Merged;

const ABSENT: [Option<&str>; 5] = [None, Some(""), Some("null"), Some(" \n\t"), Some(" null ")];
const FETCH: &str = r#"{"mcpServers":{"fetch":{"command":"uvx","args":["mcp-server-fetch"]}}}"#;
const COMPOSIO: &str = r#"{"mcpServers":{"composio":{"type":"http","url":"https://mcp.example/a","headers":{"x-api-key":"k"}}}}"#;

#[track_caller]
fn check(agent: Option<&str>, overlay: Option<&str>, expected: &Value) {
    match merge(agent, overlay) {
        Ok(Merged::Config(text)) => {
            let merged: Value = serde_json::from_str(&text).expect("valid JSON");
            assert_eq!(&merged, expected);
        }
        other => panic!("expected a configuration, got {other:?}"),
    }
}

#[track_caller]
fn refused(agent: Option<&str>, overlay: Option<&str>, code: &str) {
    let failure = merge(agent, overlay).expect_err("must be refused");
    assert_eq!(failure.code, code, "{failure:?}");
}

#[test]
fn both_absent_is_nothing() {
    for agent in ABSENT {
        for overlay in ABSENT {
            assert_eq!(merge(agent, overlay), Ok(Merged::None), "{agent:?} {overlay:?}");
        }
    }
}

#[test]
fn without_an_overlay_the_agents_bytes_pass_untouched() {
    for overlay in ABSENT {
        assert_eq!(merge(Some(FETCH), overlay), Ok(Merged::AgentConfig));
        assert_eq!(merge(Some("not json, and nobody asked"), overlay), Ok(Merged::AgentConfig));
    }
}

#[test]
fn without_an_agent_configuration_the_overlay_stands() {
    for agent in ABSENT {
        check(agent, Some(COMPOSIO), &serde_json::from_str(COMPOSIO).unwrap());
    }
    // Its other members stay and its servers are not looked at.
    let odd = r#"{"z":1, "mcpServers": {"": "text"}, "a": [null]}"#;
    assert_eq!(
        merge(None, Some(odd)),
        Ok(Merged::Config(r#"{"a":[null],"mcpServers":{"": "text"},"z":1}"#.into()))
    );
}

#[test]
fn servers_of_both_sides_are_united() {
    let agent = r#"{"mcpServers":{"fetch":{"command":"uvx"},"github":{"url":"https://g.example","n":1.50}}}"#;
    check(
        Some(agent),
        Some(r#"{"mcpServers":{"composio":{"type":"http"}}}"#),
        &json!({"mcpServers": {
            "fetch": {"command": "uvx"},
            "github": {"url": "https://g.example", "n": 1.5},
            "composio": {"type": "http"},
        }}),
    );
}

#[test]
fn the_overlay_wins_whole_on_equal_names() {
    check(
        Some(r#"{"mcpServers":{"composio":{"url":"https://a.example","headers":{"old":"1"}}}}"#),
        Some(r#"{"mcpServers":{"composio":{"url":"https://b.example"}}}"#),
        &json!({"mcpServers": {"composio": {"url": "https://b.example"}}}),
    );
    // Names are compared as text, however they are spelt.
    check(
        Some(r#"{"mcpServers":{"composio":{"url":"a"}}}"#),
        Some("{\"mcpServers\":{\"\\u0063omposio\":{\"url\":\"b\"}}}"),
        &json!({"mcpServers": {"composio": {"url": "b"}}}),
    );
}

#[test]
fn only_the_agents_other_members_survive() {
    check(
        Some(r#"{"experimental":{"foo":"bar"},"mcpServers":{"fetch":{}}}"#),
        Some(r#"{"mcpServers":{"composio":{}},"dropped":true}"#),
        &json!({"experimental": {"foo": "bar"}, "mcpServers": {"fetch": {}, "composio": {}}}),
    );
    check(Some(r#"{"x":1}"#), Some("{}"), &json!({"x": 1}));
    check(Some(r#"{"x":1,"mcpServers":{}}"#), Some(r#"{"y":2}"#), &json!({"x": 1}));
    check(
        Some(r#"{"x":1,"mcpServers":null}"#),
        Some(r#"{"mcpServers":{"composio":{}}}"#),
        &json!({"x": 1, "mcpServers": {"composio": {}}}),
    );
}

#[test]
fn a_result_without_members_is_nothing() {
    assert_eq!(merge(Some("{}"), Some("{}")), Ok(Merged::None));
    assert_eq!(merge(Some(r#"{"mcpServers":{}}"#), Some(r#"{"mcpServers":null,"z":1}"#)), Ok(Merged::None));
}

#[test]
fn a_side_that_is_not_an_object_is_refused() {
    for bad in
        ["{", "[]", "\"text\"", "1", "{\"a\":1}}", "{\"a\":tru}", "{\"a\":\"\\x\"}", "{\"a\":\"\u{1}\"}"]
    {
        refused(Some(FETCH), Some(bad), "bad-overlay");
        refused(Some(bad), Some(COMPOSIO), "bad-agent-config");
        refused(None, Some(bad), "bad-overlay");
    }
    // The agent's side is looked at first.
    refused(Some("{"), Some("["), "bad-agent-config");
}

#[test]
fn servers_must_be_named_objects() {
    for bad in [
        r#"{"mcpServers":[]}"#,
        r#"{"mcpServers":"text"}"#,
        r#"{"mcpServers":{"a":"text"}}"#,
        r#"{"mcpServers":{"a":null}}"#,
        r#"{"mcpServers":{"a":[]}}"#,
        r#"{"mcpServers":{"":{}}}"#,
        r#"{"mcpServers":{"a":{"b":}}}"#,
    ] {
        refused(Some(FETCH), Some(bad), "bad-overlay");
        refused(Some(bad), Some(COMPOSIO), "bad-agent-config");
    }
}

#[test]
fn depth_is_no_way_to_overflow_the_stack() {
    let deep = format!(r#"{{"mcpServers":{{"a":{{"b":{}{}}}}}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert!(matches!(merge(Some(&deep), Some(COMPOSIO)), Ok(Merged::Config(_))));
}
