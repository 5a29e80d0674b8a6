//! People connect apps: begun, come back from, listed, taken away.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use macro_rules_attribute::apply;
use serde_json::{Value, json};
use sha2::Sha256;
use uuid::Uuid;

use crate::composio_service::{Service, auth_config, sent_to, state_of};
use crate::harness::{Client, Engine, Gateway, Reply, check_values};

const INIT: &str = "/api/integrations/composio/connect/init";
const CONNECTIONS: &str = "/api/integrations/composio/connections";
const FAILED: &str = "error=composio_connect_failed";

/// Begins to connect the app and gives the state that the browser carries.
async fn begin(service: &Service, client: &Client, slug: &str) -> String {
    service.says("POST /connected_accounts/link", 201, json!({"redirect_url": "https://composio.example/x"}));
    let begun = client.post(INIT, json!({"toolkit_slug": slug})).await.expect(200);
    assert_eq!(begun, json!({"redirect_url": "https://composio.example/x"}));
    let asked = service.asked("POST /connected_accounts/link");
    assert_eq!(asked.len(), 1);
    state_of(&asked[0])
}

async fn come_back(gateway: &Gateway, state: &str, status: &str, account: &str) -> Reply {
    let query = format!("state={state}&status={status}&connected_account_id={account}");
    gateway.anonymous().get(format!("/api/integrations/composio/callback?{query}")).await
}

fn account(service: &Service, id: &str, user: Uuid, auth_config: &str) {
    let item = json!({"id": id, "user_id": user, "auth_config": {"id": auth_config}, "status": "ACTIVE"});
    service.says("GET /connected_accounts", 200, json!({"items": [item]}));
}

fn signed(claims: &Value) -> String {
    let body = URL_SAFE_NO_PAD.encode(claims.to_string());
    let mac = Hmac::<Sha256>::new_from_slice(b"hush").unwrap().chain_update(&body).finalize();
    format!("{body}.{}", URL_SAFE_NO_PAD.encode(mac.into_bytes()))
}

/// Domain item 206.
#[apply(on_both)]
async fn only_what_can_be_connected_is_begun(engine: Engine) {
    let service = Service::start().await;
    let gateway = service.setup(engine).start().await;
    let user = gateway.user();
    service.says("POST /connected_accounts/link", 500, json!({"error": {"message": "down"}}));
    for blank in [json!({}), json!({"toolkit_slug": "  "}), json!({"toolkit_slug": null})] {
        user.post(INIT, blank).await.refused(400, "toolkit_slug is required");
    }
    user.post(INIT, json!({"toolkit_slug": 5})).await.refused(400, "invalid request body");
    user.post(INIT, json!({"toolkit_slug": "gmail"})).await.refused(400, "toolkit not supported");
    let refused = user.post(INIT, json!({"toolkit_slug": " Notion "})).await;
    refused.refused(502, "failed to start composio connect");
    let asked = service.asked("POST /connected_accounts/link");
    let expected = json!({"auth_config_id": "ac_notion", "user_id": user.id});
    check_values(&asked[0]["body"], &expected);
    gateway.anonymous().post(INIT, json!({})).await.refused(401, "missing authorization");
    gateway.finish().await;
}

/// User item 173. Domain item 206, for a gateway without it.
#[apply(on_both)]
async fn without_a_key_there_are_no_apps(gateway: &Gateway) {
    const NONE: &str = "composio integration not configured";
    gateway.expect_error("status=503");
    let user = gateway.user();
    user.post(INIT, "{").await.refused(503, NONE);
    user.get(CONNECTIONS).await.refused(503, NONE);
    user.get("/api/integrations/composio/toolkits").await.refused(503, NONE);
    user.delete(format!("{CONNECTIONS}/x")).await.refused(503, NONE);
    gateway.anonymous().get("/api/integrations/composio/callback?state=x").await.refused(503, NONE);
}

/// Domain items 18, 207 and 209.
#[apply(on_both)]
async fn a_connected_app_is_one_however_often_it_is(engine: Engine) {
    const ROW: &str =
        "SELECT id, user_id, toolkit_slug, auth_config_id, connected_account_id, composio_user_id, status,
        connected_at FROM user_composio_connection";
    let service = Service::start().await;
    let gateway = service.setup(engine).start().await;
    let user = gateway.user();
    let state = begin(&service, &user, " NOTION").await;
    account(&service, "ca_1", user.id, "ac_notion");
    assert_eq!(sent_to(&come_back(&gateway, &state, "success", "ca_1").await), "connected=notion");
    let first = gateway.row(ROW, Value::Null).await;
    let expected = json!({
        "user_id": user.id, "toolkit_slug": "notion", "auth_config_id": "ac_notion",
        "connected_account_id": "ca_1", "composio_user_id": user.id, "status": "active",
    });
    check_values(&first, &expected);
    let listed = user.get(CONNECTIONS).await.expect(200);
    let shown = json!([{
        "id": first["id"], "toolkit_slug": "notion", "status": "active",
        "connected_at": listed[0]["connected_at"], "last_used_at": null,
    }]);
    assert_eq!(listed, shown);
    // Once more, after it was taken away: the same row, connected since the first time.
    gateway.execute("UPDATE user_composio_connection SET status = 'revoked'", Value::Null).await;
    assert_eq!(user.get(CONNECTIONS).await.expect(200), json!([]));
    assert_eq!(sent_to(&come_back(&gateway, &state, " SUCCESS ", "ca_1").await), "connected=notion");
    assert_eq!(gateway.row(ROW, Value::Null).await, first);
    let other = gateway.join("Bea", "member").await;
    assert_eq!(other.get(CONNECTIONS).await.expect(200), json!([]));
    gateway.finish().await;
}

/// Domain items 205 and 208: whatever is not as it should be, the browser reads one thing and
/// nothing is kept.
#[apply(on_both)]
async fn nobody_elses_account_is_slipped_in(engine: Engine) {
    let service = Service::start().await;
    let gateway = service.setup(engine).start().await;
    let user = gateway.user();
    let state = begin(&service, &user, "notion").await;
    account(&service, "ca_1", user.id, "ac_notion");
    let (body, signature) = state.split_once('.').unwrap();
    let now = chrono::Utc::now().timestamp();
    let claims = |auth_config: &str, expires: i64| {
        signed(&json!({"u": user.id, "t": "notion", "a": auth_config, "e": expires}))
    };
    let other =
        URL_SAFE_NO_PAD.encode(json!({"u": user.id, "t": "gmail", "a": "x", "e": now + 60}).to_string());
    for bad in [
        "",
        body,
        &format!("{body}."),
        &format!("{other}.{signature}"),
        &format!("{body}.{}", &signature[2..]),
        &claims("ac_notion", now - 1),
        &claims("", now + 60),
        &claims("ac_other", now + 60),
        &signed(&json!({"u": "nobody", "t": "notion", "a": "ac_notion", "e": now + 60})),
    ] {
        assert_eq!(sent_to(&come_back(&gateway, bad, "success", "ca_1").await), FAILED, "{bad}");
    }
    for (status, id) in [("failed", "ca_1"), ("", "ca_1"), ("success", ""), ("success", "ca_2")] {
        assert_eq!(sent_to(&come_back(&gateway, &state, status, id).await), FAILED, "{status} {id}");
    }
    for (owner, auth_config) in [(Uuid::new_v4(), "ac_notion"), (user.id, "ac_other"), (user.id, "")] {
        account(&service, "ca_1", owner, auth_config);
        assert_eq!(sent_to(&come_back(&gateway, &state, "success", "ca_1").await), FAILED, "{auth_config}");
    }
    service.says("GET /connected_accounts", 500, json!("what"));
    assert_eq!(sent_to(&come_back(&gateway, &state, "success", "ca_1").await), FAILED);
    let kept = "SELECT count(*) FROM user_composio_connection";
    assert_eq!(gateway.value(kept, Value::Null).await, 0);
    // A moment before its end it is good.
    account(&service, "ca_1", user.id, "ac_notion");
    let last = claims("ac_notion", now + 60);
    assert_eq!(sent_to(&come_back(&gateway, &last, "success", "ca_1").await), "connected=notion");
    gateway.finish().await;
}

/// Domain item 210.
#[apply(on_both)]
async fn an_app_is_taken_away_there_before_here(engine: Engine) {
    let service = Service::start().await;
    let gateway = service.setup(engine).start().await;
    let (user, other) = (gateway.user(), gateway.join("Bea", "member").await);
    let connected = async || {
        let row = json!({
            "user_id": user.id, "toolkit_slug": "notion", "auth_config_id": "ac_notion",
            "connected_account_id": format!("ca/{}", Uuid::new_v4()), "composio_user_id": user.id,
        });
        gateway.seed("user_composio_connection", row, json!({})).await
    };
    let status = async |id: Uuid| {
        gateway.value("SELECT status FROM user_composio_connection WHERE id = $1", json!([id])).await
    };
    let id = connected().await;
    let path = |id: Uuid| format!("{CONNECTIONS}/{id}");
    other.delete(path(id)).await.refused(404, "composio connection not found");
    user.delete(path(Uuid::new_v4())).await.refused(404, "composio connection not found");
    user.delete(format!("{CONNECTIONS}/x")).await.refused(400, "invalid connection id");
    assert_eq!(service.count(), 0);

    // Nothing that the service knows of: gone there, gone here.
    user.delete(path(id)).await.expect(204);
    assert_eq!((status(id).await, service.count()), (json!("revoked"), 2));
    user.delete(path(id)).await.expect(204);
    assert_eq!(service.count(), 2);

    let id = connected().await;
    let account = "SELECT connected_account_id FROM user_composio_connection WHERE id = $1";
    let account = gateway.value(account, json!([id])).await;
    let account = account.as_str().unwrap().replace('/', "%2F");
    let (revoke, delete) = (
        format!("POST /connected_accounts/{account}/revoke"),
        format!("DELETE /connected_accounts/{account}"),
    );
    service.says(&revoke, 200, json!({}));
    service.says(&delete, 500, json!({}));
    user.delete(path(id)).await.refused(502, "failed to disconnect composio connection");
    assert_eq!(status(id).await, "active");
    service.says(&revoke, 404, json!({}));
    service.says(&delete, 204, json!({}));
    user.delete(path(id)).await.expect(204);
    assert_eq!(status(id).await, "revoked");
    assert_eq!(service.asked(&revoke).len(), 2);
    gateway.finish().await;
}

/// Domain items 211 and 212, as far as five minutes go: the way to log in that counts is looked
/// up once.
#[apply(on_both)]
async fn a_projects_own_way_to_log_in_counts(engine: Engine) {
    let service = Service::start().await;
    let at = |id: &str, managed: bool, at: &str| json!({"id": id, "toolkit": {"slug": "notion"}, "is_composio_managed": managed, "last_updated_at": at});
    for (listed, counts) in [
        (json!([at("managed", true, "2026-02-01"), at("custom", false, "2026-01-01")]), "custom"),
        (json!([at("older", false, "2026-01-01"), at("newer", false, "2026-02-01")]), "newer"),
    ] {
        service.auth_configs(&listed);
        let gateway = service.setup(engine).start().await;
        for _ in 0..2 {
            let state = begin(&service, &gateway.user(), "notion").await;
            let body = URL_SAFE_NO_PAD.decode(state.split_once('.').unwrap().0).unwrap();
            let claims: Value = serde_json::from_slice(&body).unwrap();
            check_values(&claims, &json!({"u": gateway.user().id, "t": "notion", "a": counts}));
            let left = claims["e"].as_i64().unwrap() - chrono::Utc::now().timestamp();
            assert!((290..=300).contains(&left), "{left}");
        }
        assert_eq!(service.asked("GET /auth_configs").len(), 1);
        gateway.finish().await;
    }
}

/// Domain item 213.
#[apply(on_both)]
async fn apps_that_can_be_connected_come_first(engine: Engine) {
    let service = Service::start().await;
    let listed = json!([
        {"slug": "gmail", "name": "Gmail", "logo": "http://logo", "categories": ["mail"]},
        {"slug": "slack", "name": "Slack"}, {"slug": ""}, {"slug": "notion", "name": "Notion"}, {"slug": "GMAIL"},
    ]);
    service.says("GET /toolkits", 200, json!({"items": listed}));
    service.auth_configs(&json!([auth_config("notion", "a"), auth_config("slack", "b")]));
    let list = async |gateway: &Gateway| gateway.user().get("/api/integrations/composio/toolkits").await;
    let order = |list: &Value| -> Vec<(String, bool)> {
        let one =
            |app: &Value| (app["slug"].as_str().unwrap().to_owned(), app["connectable"].as_bool().unwrap());
        list.as_array().unwrap().iter().map(one).collect()
    };
    let expected =
        |list: [(&str, bool); 3]| list.map(|(slug, connectable)| (slug.to_owned(), connectable)).to_vec();
    let gateway = service.setup(engine).start().await;
    let found = list(&gateway).await.expect(200);
    assert_eq!(order(&found), expected([("slack", true), ("notion", true), ("gmail", false)]));
    let gmail = json!({"slug": "gmail", "name": "Gmail", "logo": "http://logo", "category": "mail", "connectable": false});
    assert_eq!(found[2], gmail);
    let notion = json!({
        "slug": "notion", "name": "Notion", "logo": "https://logos.composio.dev/api/notion", "connectable": true,
    });
    assert_eq!(found[1], notion);
    gateway.finish().await;

    service.says("GET /auth_configs", 503, json!({}));
    let gateway = service.setup(engine).start().await;
    let found = list(&gateway).await.expect(200);
    assert_eq!(order(&found), expected([("gmail", false), ("slack", false), ("notion", false)]));
    service.says("GET /toolkits", 503, json!({}));
    list(&gateway).await.refused(502, "failed to list composio toolkits");
    gateway.finish().await;
}
