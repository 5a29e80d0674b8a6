//! Heartbeats and claims go past the tree of routes where there is nothing odd about them. A page of
//! another site, of which a request's `Origin` speaks, is odd: such a request goes through the tree, so
//! that the same call with and without one must come to the same.

use macro_rules_attribute::apply;
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use crate::harness::{Client, Gateway, Payload, Reply};

const BEAT: &str = "/api/daemon/heartbeat";

/// What a client can tell of an answer; the date moves by itself.
fn told(reply: &Reply) -> (u16, String, Vec<(String, String)>) {
    let headers = reply.headers.iter().filter(|(name, _)| name.as_str() != "date");
    let mut headers: Vec<(String, String)> =
        headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    headers.sort_unstable();
    (reply.status, reply.text.clone(), headers)
}

/// The call both ways.
async fn both(client: &Client, method: Method, path: &str, body: impl Into<Payload> + Clone) -> Reply {
    let plain = client.call(method.clone(), path, body.clone()).await;
    let through_the_tree =
        client.call(method, path, body).header("origin", "https://elsewhere.example").await;
    assert_eq!(told(&plain), told(&through_the_tree));
    plain
}

#[apply(on_both)]
async fn a_short_cut_answers_as_the_tree_of_routes_does(gateway: &Gateway) {
    let world = gateway.world().await;
    let (daemon, runtime) = (&world.m1, world.r1);
    let claim = |runtime: &dyn std::fmt::Display| format!("/api/daemon/runtimes/{runtime}/tasks/claim");
    let post = async |client: &Client, path: &str, body: Payload| {
        both(client, Method::POST, path, body).await.status
    };
    let beat = |runtime: Uuid| Payload::from(json!({"runtime_id": runtime}));
    assert_eq!(post(daemon, BEAT, beat(runtime)).await, 200);
    assert_eq!(post(daemon, &claim(&runtime), ().into()).await, 200);
    assert_eq!(post(daemon, &claim(&runtime), json!({"more": "than is asked"}).into()).await, 200);
    assert_eq!(post(daemon, &format!("{BEAT}?x=1"), beat(runtime)).await, 200);
    let (stranger, nobody) = (Uuid::new_v4(), gateway.anonymous());
    for body in [beat(stranger), json!({}).into(), json!({"runtime_id": "x"}).into()] {
        post(daemon, BEAT, body).await;
    }
    for body in ["", "{", "[]", "null", r#"{"runtime_id": 5}"#, r#"{"Runtime_ID": ""}"#] {
        post(daemon, BEAT, body.into()).await;
    }
    assert_eq!(post(daemon, BEAT, format!("{{\"x\":\"{}\"}}", "y".repeat(70_000)).into()).await, 400);
    assert_eq!(post(daemon, BEAT, "y".repeat(2 << 20).into()).await, 413);
    for runtime in [stranger.to_string(), "x".to_owned(), "-".repeat(36), runtime.simple().to_string()] {
        post(daemon, &claim(&runtime), ().into()).await;
    }
    for client in [&nobody, &nobody.with_token("mdt_0"), &nobody.with_token("mul_0"), &world.c] {
        for (path, body) in [(BEAT.to_owned(), beat(runtime)), (claim(&runtime), ().into())] {
            assert!([401, 404].contains(&post(client, &path, body).await));
        }
    }
    for path in [BEAT.to_owned(), claim(&runtime), format!("{BEAT}/"), "/api//daemon/heartbeat".to_owned()] {
        for method in [Method::GET, Method::PUT, Method::OPTIONS] {
            both(daemon, method, &path, ()).await;
        }
        post(daemon, &path, ().into()).await;
    }
}

/// Both ways are counted as the one route that they are.
#[apply(on_both)]
async fn a_short_cut_is_counted_as_its_route(gateway: &Gateway) {
    let world = gateway.world().await;
    let claim = format!("/api/daemon/runtimes/{}/tasks/claim", world.r1);
    both(&world.m1, Method::POST, BEAT, json!({"runtime_id": world.r1})).await;
    both(&world.m1, Method::POST, &claim, ()).await;
    let text = gateway.admin().get("/metrics").await.text;
    for route in [BEAT, "/api/daemon/runtimes/{runtimeId}/tasks/claim"] {
        let counted = text.lines().filter(|line| {
            line.starts_with("multica_http_requests_total{") && line.contains(&format!("\"{route}\""))
        });
        let counted: Vec<&str> = counted.map(|line| line.rsplit(' ').next().unwrap()).collect();
        assert_eq!(counted, ["2"], "{route} in\n{text}");
    }
}
