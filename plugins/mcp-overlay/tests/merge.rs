//! The cases of the merge, which Domain item 193 numbers M1 to M9: pass-through to the byte, union,
//! and what is refused.

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

/// Domain item 193, M1.
#[test]
fn both_absent_is_nothing() {
    for agent in ABSENT {
        for overlay in ABSENT {
            assert_eq!(merge(agent, overlay), Ok(Merged::None), "{agent:?} {overlay:?}");
        }
    }
}

/// Domain item 193, M2.
#[test]
fn without_an_overlay_the_agents_bytes_pass_untouched() {
    for overlay in ABSENT {
        assert_eq!(merge(Some(FETCH), overlay), Ok(Merged::AgentConfig));
        assert_eq!(merge(Some("not json, and nobody asked"), overlay), Ok(Merged::AgentConfig));
    }
}

/// Domain item 193, M3.
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

/// Domain item 193, M4.
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

/// Domain item 193, M5.
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

/// Domain item 193, M6, and agents without servers.
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

/// Domain item 193, for two empty sides.
#[test]
fn a_result_without_members_is_nothing() {
    assert_eq!(merge(Some("{}"), Some("{}")), Ok(Merged::None));
    assert_eq!(merge(Some(r#"{"mcpServers":{}}"#), Some(r#"{"mcpServers":null,"z":1}"#)), Ok(Merged::None));
}

/// Domain item 193, M7 and M8.
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

/// Domain item 193, M9, and names that are empty.
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

mod laws {
    use proptest::prelude::*;
    use serde_json::Map;

    use super::*;

    /// Any JSON, some levels deep.
    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            r#"[a-z"\\{}é\u{1}]{0,6}"#.prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-c]{0,2}", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    fn object() -> impl Strategy<Value = Value> {
        prop::collection::btree_map("[a-c]{0,2}", json_value(), 0..3)
            .prop_map(|members| Value::Object(members.into_iter().collect()))
    }

    /// A configuration that is in order: named objects as servers, and anything beside them.
    fn config() -> impl Strategy<Value = Value> {
        let servers = prop::collection::btree_map("[a-d]", object(), 0..4);
        (object(), prop::option::of(servers)).prop_map(|(mut config, servers)| {
            if let Some(servers) = servers {
                config["mcpServers"] = Value::Object(servers.into_iter().collect());
            }
            config
        })
    }

    fn servers(config: &Value) -> Map<String, Value> {
        config.get("mcpServers").and_then(Value::as_object).cloned().unwrap_or_default()
    }

    proptest! {
        /// The servers of both, the overlay's where both have one; the agent's other members and
        /// none of the overlay's.
        #[test]
        fn a_merge_is_a_union_that_the_overlay_wins(agent in config(), overlay in config()) {
            let mut union = servers(&agent);
            union.extend(servers(&overlay));
            let mut expected = agent.as_object().cloned().unwrap_or_default();
            expected.remove("mcpServers");
            if !union.is_empty() {
                expected.insert("mcpServers".to_owned(), union.into());
            }
            let merged = merge(Some(&agent.to_string()), Some(&overlay.to_string()));
            match merged {
                Ok(Merged::Config(text)) => {
                    prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), Value::Object(expected));
                }
                Ok(Merged::None) => prop_assert!(expected.is_empty()),
                other => prop_assert!(false, "{:?}", other),
            }
        }

        /// Merged once more, nothing changes.
        #[test]
        fn a_merge_holds_still(agent in config(), overlay in config()) {
            let overlay = overlay.to_string();
            if let Ok(Merged::Config(once)) = merge(Some(&agent.to_string()), Some(&overlay)) {
                prop_assert_eq!(merge(Some(&once), Some(&overlay)), Ok(Merged::Config(once)));
            }
        }

        /// Whatever the sides are, there is an answer, and what it gives is an object.
        #[test]
        fn any_text_has_an_answer(
            agent in prop::option::of(r#"([{}\[\]",:a-z0-9 ]|mcpServers|null|\PC){0,30}"#),
            overlay in prop_oneof![
                json_value().prop_map(|value| Some(value.to_string())),
                prop::option::of(r#"([{}\[\]",:a-z0-9 ]|mcpServers|null|\PC){0,30}"#),
            ],
        ) {
            if let Ok(Merged::Config(text)) = merge(agent.as_deref(), overlay.as_deref()) {
                prop_assert!(serde_json::from_str::<Map<String, Value>>(&text).is_ok(), "{}", text);
            }
        }
    }
}
