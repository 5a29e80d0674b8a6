//! A session is asked for only behind every gate, for just the accounts that the agent may have.

use std::cell::RefCell;
use std::rc::Rc;

use mcp_overlay::{connect, display_name};
use serde_json::{Value, json};
use switchyard_sdk::prepare::{ConnectedAccount, Input, Output};
use switchyard_sdk::{Call, Failure, TaskKind, testing};

const CONFIG: &str =
    r#"{"composio": {"base_url": "https://composio.example/api", "api_key": "composio-api-key"}}"#;

fn input(allowlist: &[&str], accounts: &[(&str, &str)]) -> Input {
    let account = |(toolkit, account_id): &(&str, &str)| ConnectedAccount {
        toolkit: (*toolkit).to_owned(),
        account_id: (*account_id).to_owned(),
    };
    Input {
        kind: TaskKind::Direct,
        agent_id: "agent".to_owned(),
        owner_id: Some("owner".to_owned()),
        allowlist: allowlist.iter().map(ToString::to_string).collect(),
        accounts: accounts.iter().map(account).collect(),
        attributes: Vec::new(),
    }
}

/// What comes of it when Composio answers so, and the bodies it was sent.
fn asked(config: &str, input: &Input, status: u16, body: &str) -> (Result<Output, Failure>, Vec<Value>) {
    let bodies = Rc::<RefCell<Vec<Value>>>::default();
    let (seen, body) = (bodies.clone(), body.to_owned());
    testing::grant_secret("composio-api-key");
    testing::answer(move |request| {
        let place = (request.method.as_str(), request.url.as_str());
        assert_eq!(place, ("POST", "https://composio.example/api/tool_router/session"));
        let key = request.headers.iter().find(|header| header.name == "x-api-key");
        assert_eq!(key.map(|header| header.value.as_str()), Some("secret:composio-api-key"));
        let sent = request.body.as_deref().unwrap_or_default();
        seen.borrow_mut().push(serde_json::from_slice(sent).expect("JSON is sent"));
        Ok(testing::response(status, body.as_bytes()))
    });
    let output = connect(&Call::with_config(config), input);
    (output, bodies.take())
}

const GIVEN: &str = r#"{"mcp": {"type": "http", "url": "https://mcp.example/s"}}"#;

/// Domain items 197, 198 and 200.
#[test]
fn the_newest_account_of_each_app_on_the_list_is_reached() {
    let accounts = [("notion", "new"), ("NOTION ", "old"), ("slack", "s"), ("gmail", "g"), (" ", "x")];
    let input = input(&[" Notion\n", "", "gmail"], &accounts);
    let (output, bodies) = asked(CONFIG, &input, 201, GIVEN);
    let expected = json!({
        "user_id": "owner",
        "toolkits": {"enable": ["gmail", "notion"]},
        "connected_accounts": {"gmail": ["g"], "notion": ["new"]},
    });
    assert_eq!(bodies, [expected]);
    let output = output.expect("a session was given");
    let overlay: Value = serde_json::from_str(&output.overlay.expect("an overlay")).expect("JSON");
    let server = json!({
        "type": "http", "url": "https://mcp.example/s", "headers": {"x-api-key": "secret:composio-api-key"},
    });
    assert_eq!(overlay, json!({"mcpServers": {"composio": server}}));
    let apps: Vec<&str> = output.apps.iter().map(|app| app.toolkit.as_str()).collect();
    assert_eq!(apps, ["gmail", "notion"]);
}

/// Domain item 196.
#[test]
fn behind_a_closed_gate_nobody_is_asked() {
    let mine = [("notion", "mine")];
    let orphan = Input { owner_id: None, ..input(&["notion"], &mine) };
    let closed = [
        (orphan, CONFIG),
        (input(&[], &mine), CONFIG),
        (input(&[" ", ""], &mine), CONFIG),
        (input(&["jira"], &mine), CONFIG),
        (input(&["notion"], &[]), CONFIG),
        (input(&["notion"], &mine), "{}"),
    ];
    for (input, config) in closed {
        let (output, bodies) = asked(config, &input, 200, GIVEN);
        assert_eq!((output, bodies), (Ok(Output::nothing()), Vec::new()), "{input:?}");
    }
}

/// Domain item 201.
#[test]
fn what_is_no_session_is_none() {
    let input = input(&["notion"], &[("notion", "mine")]);
    for body in ["{}", r#"{"mcp": null}"#, r#"{"mcp": {}}"#, r#"{"mcp": {"url": ""}}"#] {
        assert_eq!(asked(CONFIG, &input, 200, body).0, Ok(Output::nothing()), "{body}");
    }
    let long = format!(r#"{{"error": {{"message": "{}"}}}}"#, "é".repeat(1000));
    for (status, body, code, told) in [
        (429, r#"{"error": {"message": "slow down"}}"#, "refused", "Composio answered 429 slow down"),
        (500, "<html>", "refused", "Composio answered 500 "),
        (302, "", "refused", "Composio answered 302 "),
        (404, &long, "refused", &format!("Composio answered 404 {}", "é".repeat(200))),
        (200, "what", "bad-answer", "the answer does not fit"),
        (200, r#"{"mcp": {"url": 5}}"#, "bad-answer", "the answer does not fit"),
    ] {
        let failure = asked(CONFIG, &input, status, body).0.expect_err(body);
        assert_eq!(failure.code, code, "{failure:?}");
        assert!(failure.message.starts_with(told), "{failure:?}");
    }
}

/// Domain item 203.
#[test]
fn apps_have_names_for_people() {
    for (slug, name) in [
        ("github", "GitHub"),
        ("gmail", "Gmail"),
        ("linkedin", "LinkedIn"),
        ("google_drive", "Google Drive"),
        ("SLACK-bot", "Slack Bot"),
        ("__", "__"),
        ("", ""),
        ("é_x", "é X"),
    ] {
        assert_eq!(display_name(slug), name, "{slug}");
    }
}
