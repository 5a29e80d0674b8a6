//! Who may enter `/api/daemon`, and what those read who may not. Checklist 10.1.

use std::time::SystemTime;

use chrono::{DateTime, Utc};
use macro_rules_attribute::apply;
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use crate::harness::{DAEMON_ROUTES, Gateway, ahead, fresh_token};

const BEAT: &str = "/api/daemon/heartbeat";

/// A heartbeat with this header, if any, is a 401 that says so.
async fn check(gateway: &Gateway, authorization: Option<&str>, error: &str) {
    let mut call = gateway.anonymous().post(BEAT, json!({"runtime_id": Uuid::new_v4()}));
    if let Some(text) = authorization {
        call = call.header("authorization", text);
    }
    let reply = call.await;
    reply.refused(401, error);
    assert_eq!(reply.header("content-type"), "application/json");
    assert_eq!(reply.header("www-authenticate"), "");
}

/// Daemon items 1, 2 and 3.
#[apply(on_both)]
async fn a_token_comes_in_a_bearer_header_spelt_exactly(gateway: &Gateway) {
    let token = gateway.user().token;
    check(gateway, None, "missing authorization header").await;
    check(gateway, Some(""), "missing authorization header").await;
    check(gateway, Some("Basic x"), "invalid authorization format").await;
    check(gateway, Some("Bearer"), "invalid authorization format").await;
    check(gateway, Some(&format!("bearer {token}")), "invalid authorization format").await;
    check(gateway, Some(&token), "invalid authorization format").await;
    // One space, and the rest is the token as it is.
    check(gateway, Some(&format!("Bearer  {token}")), "invalid token").await;
}

/// Daemon items 4, 6 and 14.
#[apply(on_both)]
async fn a_token_nobody_was_given_is_invalid(gateway: &Gateway) {
    let bearer = |prefix| format!("Bearer {}", fresh_token(prefix));
    check(gateway, Some(&bearer("mdt_")), "invalid daemon token").await;
    check(gateway, Some("Bearer mdt_"), "invalid daemon token").await;
    check(gateway, Some(&bearer("mul_")), "invalid token").await;
    // There is nobody who would vouch for it.
    check(gateway, Some(&bearer("mcn_")), "invalid token").await;
    check(gateway, Some("Bearer mul_"), "invalid token").await;
    check(gateway, Some("Bearer nonsense"), "invalid token").await;
}

/// Daemon items 5 and 8.
#[apply(on_both)]
async fn an_expired_token_is_invalid(gateway: &Gateway) {
    let daemon = fresh_token("mdt_");
    gateway.seed_daemon_token(&daemon, gateway.workspace, "dm-1", &ahead(-1)).await;
    check(gateway, Some(&format!("Bearer {daemon}")), "invalid daemon token").await;
    let user = gateway.user().id;
    let personal = gateway.seed_personal_token(user, json!({"expires_at": ahead(-1)})).await;
    check(gateway, Some(&format!("Bearer {personal}")), "invalid token").await;
}

/// Daemon item 8: what was found valid a moment ago is not believed past its end.
#[apply(on_both)]
async fn a_token_in_use_ends_when_it_expires(gateway: &Gateway) {
    let runtime = gateway.user().register("dm-1", "claude").await;
    let expires_at = ahead(1);
    let end: DateTime<Utc> = expires_at.parse().unwrap();
    let more = json!({"expires_at": expires_at});
    let personal = gateway.seed_personal_token(gateway.user().id, more).await;
    let daemon = fresh_token("mdt_");
    gateway.seed_daemon_token(&daemon, gateway.workspace, "dm-1", &expires_at).await;
    for (token, error) in [(personal, "invalid token"), (daemon, "invalid daemon token")] {
        loop {
            let over = DateTime::<Utc>::from(SystemTime::now()) >= end;
            let reply = gateway.bearer(&token).post(BEAT, json!({"runtime_id": runtime})).await;
            if over {
                reply.refused(401, error);
                break;
            }
        }
    }
}

/// Daemon item 19.
#[apply(on_both)]
async fn an_agents_token_opens_no_route_of_the_daemon_plane(gateway: &Gateway) {
    let world = gateway.world().await;
    gateway.seed_issue_task(world.g1, json!({})).await;
    let task = world.a.claim_one(world.r1).await;
    let agent = gateway.bearer(task["auth_token"].as_str().unwrap());
    for (method, path, _) in DAEMON_ROUTES {
        let method: Method = method.parse().unwrap();
        let path = path.replace(['{', '}'], "");
        agent.call(method, path, json!({})).await.refused(401, "invalid token");
    }
}

/// Daemon item 22.
#[apply(on_both)]
async fn a_client_cannot_say_who_it_is_by_header(gateway: &Gateway) {
    let world = gateway.world().await;
    let other = world.c.id.to_string();
    for name in ["x-user-id", "x-agent-id", "x-task-id", "x-actor-source"] {
        let beat = world.m1.post(BEAT, json!({"runtime_id": world.r2})).header(name, &other);
        beat.await.refused(404, "not found");
        let beat = world.a.post(BEAT, json!({"runtime_id": world.r2})).header(name, &other);
        beat.await.refused(404, "not found");
    }
}

/// Daemon items 23 and 24.
#[apply(on_both)]
async fn authentication_comes_before_matching_and_nothing_redirects(gateway: &Gateway) {
    let (nobody, user) = (gateway.anonymous(), gateway.user());
    for path in ["/api/daemon/no-such-thing", "/api/daemon", "/api/daemon/register/"] {
        nobody.get(path).await.refused(401, "missing authorization header");
        for reply in [user.get(path).await, user.post(path, json!({})).await] {
            assert_eq!((reply.status, reply.text.trim_end()), (404, "404 page not found"), "{reply}");
            assert_eq!(reply.header("location"), "");
        }
    }
    nobody.get("/api/daemon/register").await.refused(401, "missing authorization header");
    let reply = user.get("/api/daemon/register").await;
    assert_eq!((reply.status, reply.text.as_str()), (405, ""), "{reply}");
}

/// Daemon item 25.
#[apply(on_both)]
async fn cookies_are_never_looked_at(gateway: &Gateway) {
    let cookie = format!("multica_auth={}", gateway.user().token);
    let beat = gateway.anonymous().post(BEAT, json!({"runtime_id": Uuid::new_v4()}));
    beat.header("cookie", &cookie).await.refused(401, "missing authorization header");
}

/// Daemon item 26.
#[apply(on_both)]
async fn what_is_stored_is_the_digest_of_the_whole_token(gateway: &Gateway) {
    let runtime = gateway.user().register("dm-1", "claude").await;
    let row = json!({
        "id": Uuid::new_v4(), "workspace_id": gateway.workspace, "daemon_id": "dm-1",
        "token_hash": "06d6231a22d37d52d0d68ca411deeca5aeb53ceff8c4ff6238eda952a1e5de2d",
        "expires_at": ahead(60),
    });
    gateway.insert("daemon_token", row).await;
    gateway.bearer("mdt_0123456789abcdef0123456789abcdef01234567").beat(runtime).await;
    // A personal token was seeded by its digest alone.
    let token = gateway.seed_personal_token(gateway.user().id, json!({})).await;
    gateway.bearer(&token).beat(runtime).await;
}
