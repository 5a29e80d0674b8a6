//! Who calls the user plane: logins, tokens and what they may do, the person behind them, and
//! what every answer has in common.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use macro_rules_attribute::apply;
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;
use uuid::Uuid;

use crate::harness::{Engine, Gateway, Reply, ahead, fresh_token, hash};

const SECRET: &str = "a secret that only this test knows";

fn signed(algorithm: Algorithm, secret: &str, claims: &Value) -> String {
    encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
}

/// A 401 or 403 of the layer that authenticates people.
#[track_caller]
fn turned_away(reply: &Reply, status: u16, error: &str) {
    reply.refused(status, error);
    assert_eq!(reply.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(reply.header("x-content-type-options"), "nosniff");
    assert!(reply.text.ends_with("}\n"), "{reply}");
}

/// User items 3, 4, 5 and 14.
#[apply(on_both)]
async fn every_answer_follows_the_same_customs(gateway: &Gateway) {
    let (user, anonymous) = (gateway.user(), gateway.anonymous());
    let absent = anonymous.get("/api/nowhere").await;
    assert_eq!((absent.status, absent.text.as_str()), (404, "404 page not found\n"));
    assert_eq!(absent.header("content-type"), "text/plain; charset=utf-8");
    for prefix in ["workspaces", "tokens", "runtimes", "issues", "agents"] {
        let below = format!("/api/{prefix}/a/b/c/d/e");
        turned_away(&anonymous.get(&below).await, 401, "missing authorization");
        assert_eq!(user.get(&below).await.status, 404, "{below}");
    }
    assert_eq!(user.get("/api/me/").await.status, 404);
    let plain = user.get("/api/workspaces").await;
    assert_eq!(plain.text, user.get("/api/workspaces/").await.text);
    assert_eq!(plain.header("content-type"), "application/json");

    // A method that is not served, on a route of its own and below a guarded prefix.
    for (method, path) in [
        (Method::DELETE, "/api/me"),
        (Method::HEAD, "/api/me"),
        (Method::HEAD, "/health"),
        (Method::OPTIONS, "/api/me"),
        (Method::PUT, "/api/tokens"),
        (Method::HEAD, "/api/workspaces"),
    ] {
        let reply = user.call(method.clone(), path, ()).await;
        assert_eq!((reply.status, reply.text.as_str()), (405, ""), "{method} {path}");
        assert!(reply.header("allow").contains("GET"), "{method} {path}: {}", reply.header("allow"));
        assert!(!reply.header("allow").contains("HEAD"), "{}", reply.header("allow"));
    }
    assert_eq!(anonymous.call(Method::HEAD, "/api/nowhere", ()).await.status, 404);
    assert_eq!(anonymous.call(Method::HEAD, "/api/workspaces", ()).await.status, 401);
    // A single route says so before it asks who calls.
    for path in ["/api/me", "/api/invitations", "/api/cli-token", "/api/agent-task-snapshot"] {
        assert_eq!(anonymous.delete(path).await.status, 405, "{path}");
    }

    let marked = user.get("/api/me").header("x-request-id", "mine").await;
    assert_eq!(marked.header("x-request-id"), "");
    assert!(marked.header("content-security-policy").contains("frame-ancestors 'none'"));
    assert!(absent.header("content-security-policy").starts_with("default-src 'self';"));
}

/// User item 13.
#[apply(on_both)]
async fn pages_of_named_sites_may_call_with_a_login(gateway: &Gateway) {
    let preflight = |origin: &'static str| async move {
        let call = gateway.anonymous().call(Method::OPTIONS, "/api/issues", ());
        call.header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "x-task-id")
            .await
    };
    let allowed = preflight("http://localhost:3000").await;
    assert_eq!(allowed.status, 200);
    assert_eq!(allowed.header("access-control-allow-origin"), "http://localhost:3000");
    assert_eq!(allowed.header("access-control-allow-credentials"), "true");
    assert_eq!(allowed.header("access-control-max-age"), "300");
    assert!(allowed.header("access-control-allow-headers").contains("x-task-id"));
    assert!(allowed.header("access-control-allow-methods").contains("PATCH"));
    assert_eq!(preflight("http://evil.example").await.header("access-control-allow-origin"), "");
    let read = gateway.user().get("/api/me").header("origin", "http://localhost:5173").await;
    assert_eq!(read.header("access-control-allow-origin"), "http://localhost:5173");
}

/// User items 15, 16, 17 and 19.
#[apply(on_both)]
async fn a_token_that_nobody_was_given_opens_nothing(gateway: &Gateway) {
    let check = |authorization: String, error: &'static str| async move {
        let reply = gateway.anonymous().get("/api/me").header("authorization", &authorization).await;
        turned_away(&reply, 401, error);
    };
    turned_away(&gateway.anonymous().get("/api/me").await, 401, "missing authorization");
    let token = gateway.user().token;
    check(format!("bearer {token}"), "missing authorization").await;
    check(format!("Basic {token}"), "missing authorization").await;
    for prefix in ["mul_", "mat_", "mdt_", "mcn_"] {
        check(format!("Bearer {}", fresh_token(prefix)), "invalid token").await;
    }
    check("Bearer nonsense".to_owned(), "invalid token").await;
    // A daemon's token is of the other plane.
    let daemon = gateway.daemon(gateway.workspace, "dm-1").await;
    turned_away(&daemon.get("/api/workspaces").await, 401, "invalid token");
    let expired = json!({"expires_at": ahead(-1)});
    let expired = gateway.seed_personal_token(gateway.user().id, expired).await;
    check(format!("Bearer {expired}"), "invalid token").await;
}

/// User item 18. Daemon items 9 to 13 and 25.
#[apply(on_both)]
async fn a_signed_login_opens_both_planes(engine: Engine) {
    let gateway = Gateway::setup(engine).env("JWT_SECRET", SECRET).start().await;
    let user = gateway.user();
    let check = async |token: &str, expected: Result<(), &str>| {
        let me = gateway.bearer(token).get("/api/me").await;
        let beat = gateway.bearer(token).post("/api/daemon/heartbeat", json!({})).await;
        match expected {
            Ok(()) => {
                assert_eq!(me.expect(200)["id"], json!(user.id));
                beat.refused(400, "runtime_id is required");
            }
            Err(error) => {
                turned_away(&me, 401, error);
                beat.refused(401, error);
            }
        }
    };
    let sub = user.id;
    for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
        check(&signed(algorithm, SECRET, &json!({"sub": sub})), Ok(())).await;
    }
    let now = Utc::now().timestamp();
    for (claims, expected) in [
        (json!({"sub": sub, "exp": now + 60, "nbf": now - 60, "iat": now + 600, "aud": "x"}), Ok(())),
        (json!({"sub": sub, "exp": now - 1}), Err("invalid token")),
        (json!({"sub": sub, "nbf": now + 60}), Err("invalid token")),
        (json!({"sub": "  "}), Err("invalid claims")),
        (json!({"sub": 7}), Err("invalid claims")),
        (json!({}), Err("invalid claims")),
        (json!({"sub": "not a uuid"}), Err("invalid claims")),
    ] {
        check(&signed(Algorithm::HS256, SECRET, &claims), expected).await;
    }
    check(&signed(Algorithm::HS256, "another secret", &json!({"sub": sub})), Err("invalid token")).await;
    // `{"alg":"none"}` and `{"sub":"1"}`, not signed at all.
    check("eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.", Err("invalid token")).await;
    // Somebody who is gone passes the door and finds nobody inside.
    let stranger = signed(Algorithm::HS256, SECRET, &json!({"sub": Uuid::new_v4()}));
    gateway.bearer(&stranger).get("/api/me").await.refused(404, "user not found");
    gateway.bearer(&stranger).post("/api/cli-token", ()).await.refused(404, "user not found");
    // Cookies are nothing to the daemon plane.
    let cookie = format!("multica_auth={}", signed(Algorithm::HS256, SECRET, &json!({"sub": sub})));
    let beat = gateway.anonymous().post("/api/daemon/heartbeat", json!({})).header("cookie", &cookie).await;
    beat.refused(401, "missing authorization header");
    gateway.finish().await;
}

/// A browser's login, from the code to the end.
#[apply(on_both)]
async fn a_person_logs_in_with_a_code(engine: Engine) {
    let gateway = Gateway::setup(engine)
        .env("MULTICA_DEV_VERIFICATION_CODE", "424242")
        .env("FRONTEND_ORIGIN", "https://app.example")
        .start()
        .await;
    let browser = gateway.anonymous();
    let verify =
        |code: &str| browser.post("/auth/verify-code", json!({"email": " Ann@Example.com ", "code": code}));
    browser.post("/auth/send-code", json!({"email": " "})).await.refused(400, "email is required");
    browser.post("/auth/send-code", "").await.refused(400, "invalid request body");
    browser
        .post("/auth/verify-code", json!({"email": "a@b.c"}))
        .await
        .refused(400, "email and code are required");
    // The shortcut needs a code that was asked for.
    verify("424242").await.refused(400, "invalid or expired code");
    let sent = browser.post("/auth/send-code", json!({"email": "ann@example.com"})).await;
    assert_eq!(sent.expect(200), json!({"message": "Verification code sent"}));
    let again = browser.post("/auth/send-code", json!({"email": "ANN@example.com"})).await;
    again.refused(429, "please wait before requesting another code");
    verify("000000").await.refused(400, "invalid or expired code");

    let reply = verify("424242").await;
    let cookies: Vec<&str> =
        reply.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap()).collect();
    let value = |name: &str| {
        let cookie = cookies.iter().find(|cookie| cookie.starts_with(&format!("{name}="))).unwrap();
        for part in ["Path=/", "SameSite=Strict", "Secure", "Max-Age=2592000"] {
            assert!(cookie.split("; ").any(|given| given == part), "{cookie}");
        }
        assert_eq!(cookie.contains("HttpOnly"), name == "multica_auth");
        cookie[name.len() + 1..].split(';').next().unwrap().to_owned()
    };
    let (login, csrf) = (value("multica_auth"), value("multica_csrf"));
    let answer = reply.clone().expect(200);
    assert_eq!(answer["token"], json!(login));
    assert_eq!(
        (&answer["user"]["email"], &answer["user"]["name"]),
        (&json!("ann@example.com"), &json!("ann"))
    );
    verify("424242").await.refused(400, "invalid or expired code");

    let cookie = format!("other=1; multica_auth={login}; multica_csrf={csrf}");
    let me = browser.get("/api/me").header("cookie", &cookie).await;
    assert_eq!(me.expect(200)["id"], answer["user"]["id"]);
    let rename = || browser.patch("/api/me", json!({"name": "Ann"})).header("cookie", &cookie);
    turned_away(&rename().await, 403, "CSRF validation failed");
    turned_away(&rename().header("x-csrf-token", "00.00").await, 403, "CSRF validation failed");
    assert_eq!(rename().header("x-csrf-token", &csrf).await.expect(200)["name"], json!("Ann"));
    // As another client would make one: the HMAC is of the nonce's bytes.
    let mac = Hmac::<Sha256>::new_from_slice(login.as_bytes()).unwrap().chain_update([1, 2]).finalize();
    let own = format!("0102.{}", hex::encode(mac.into_bytes()));
    rename().header("x-csrf-token", &own).await.ok();

    let cli =
        browser.post("/api/cli-token", ()).header("cookie", &cookie).header("x-csrf-token", &csrf).await;
    let token = cli.expect(200)["token"].as_str().unwrap().to_owned();
    assert_eq!(gateway.bearer(&token).get("/api/me").await.expect(200)["name"], json!("Ann"));
    gateway
        .bearer(&token)
        .post("/api/tokens/current/renew", ())
        .await
        .refused(400, "only personal access tokens can be renewed");
    let out = browser.post("/auth/logout", ()).await;
    assert!(out.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(out.expect(200), json!({"message": "logged out"}));
    // The secret that nobody set was kept.
    gateway.restart();
    assert_eq!(gateway.bearer(&token).get("/api/me").await.status, 200);
    gateway.finish().await;
}

/// Five wrong tries end a code; the log has the right one.
#[apply(on_both)]
async fn a_code_bears_five_wrong_tries(gateway: &Gateway) {
    let browser = gateway.anonymous();
    let verify =
        |email: &str, code: &str| browser.post("/auth/verify-code", json!({"email": email, "code": code}));
    let code_of = async |email: &str| -> String {
        browser.post("/auth/send-code", json!({"email": email})).await.expect(200);
        let sql = "SELECT code FROM verification_code WHERE email = $1";
        gateway.value(sql, json!([email])).await.as_str().unwrap().to_owned()
    };
    let code = code_of("four@example.com").await;
    let wrong = if code == "000000" { "000001" } else { "000000" };
    for _ in 0..4 {
        verify("four@example.com", wrong).await.refused(400, "invalid or expired code");
    }
    let token = verify("four@example.com", &code).await.expect(200)["token"].as_str().unwrap().to_owned();
    assert_eq!(gateway.bearer(&token).get("/api/me").await.status, 200);
    let code = code_of("five@example.com").await;
    for _ in 0..5 {
        verify("five@example.com", "x").await.refused(400, "invalid or expired code");
    }
    verify("five@example.com", &code).await.refused(400, "invalid or expired code");
    // The operator can read the code.
    gateway.logged(&code, 1).await;
}

#[apply(on_both)]
async fn a_closed_door_opens_for_whoever_is_on_the_list(engine: Engine) {
    let gateway = Gateway::setup(engine)
        .env("ALLOW_SIGNUP", "false")
        .env("ALLOWED_EMAIL_DOMAINS", "friends.example")
        .start()
        .await;
    let send = |email: &str| gateway.anonymous().post("/auth/send-code", json!({"email": email}));
    const CLOSED: &str = "user registration is disabled on this self-hosted instance";
    send("new@example.com").await.refused(403, CLOSED);
    send("new@friends.example").await.expect(200);
    // Somebody with an account may always come in.
    send(&gateway.user().email).await.expect(200);
    let config = gateway.anonymous().get("/api/config").await.expect(200);
    assert_eq!(config["allow_signup"], json!(false));
    assert_eq!(config["feature_flags"], json!({"composio_mcp_apps": false}));
    assert_eq!(config.get("workspace_creation_disabled"), None);
    gateway.finish().await;
}

/// Daemon items 14 to 18 and 215: a service elsewhere vouches for `mcn_` tokens.
#[apply(on_both)]
async fn a_cloud_token_is_believed_for_as_long_as_it_is_vouched_for(engine: Engine) {
    #[derive(Default)]
    struct Fleet {
        asked: AtomicUsize,
        answer: std::sync::Mutex<(u16, Value)>,
    }
    async fn verify(
        State(fleet): State<Arc<Fleet>>,
        Json(_): Json<Value>,
    ) -> (axum::http::StatusCode, Json<Value>) {
        fleet.asked.fetch_add(1, Ordering::SeqCst);
        let (status, body) = fleet.answer.lock().unwrap().clone();
        (axum::http::StatusCode::from_u16(status).unwrap(), Json(body))
    }
    let fleet = Arc::new(Fleet::default());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let service = Router::new().route("/api/v1/pat/verify", post(verify)).with_state(fleet.clone());
    let serving = tokio::spawn(axum::serve(listener, service).into_future());

    let gateway = Gateway::setup(engine).env("MULTICA_CLOUD_FLEET_URL", &url).start().await;
    gateway.expect_error("status=503");
    let user = gateway.user();
    let token = fresh_token("mcn_");
    let says = |status: u16, body: Value| *fleet.answer.lock().unwrap() = (status, body);
    let check = async |status: u16, error: &str| {
        turned_away(&gateway.bearer(&token).get("/api/me").await, status, error);
        gateway.bearer(&token).post("/api/daemon/heartbeat", json!({})).await.refused(status, error);
    };
    says(200, json!({"valid": false, "reason": "revoked"}));
    check(401, "invalid token").await;
    says(500, json!({}));
    check(503, "cloud pat verifier unavailable").await;
    says(200, json!("what"));
    check(503, "cloud pat verifier unavailable").await;
    says(200, json!({"valid": true, "owner_id": ""}));
    check(503, "cloud pat verifier unavailable").await;
    says(200, json!({"valid": true, "owner_id": "x".repeat(70_000)}));
    check(503, "cloud pat verifier unavailable").await;
    says(200, json!({"valid": true, "owner_id": Uuid::new_v4()}));
    check(401, "invalid token").await;
    says(200, json!({"valid": true, "owner_id": user.id, "instance_id": "i-1"}));
    let before = fleet.asked.load(Ordering::SeqCst);
    for _ in 0..5 {
        assert_eq!(gateway.bearer(&token).get("/api/me").await.expect(200)["id"], json!(user.id));
        let beat = gateway.bearer(&token).post("/api/daemon/heartbeat", json!({})).await;
        beat.refused(400, "runtime_id is required");
    }
    assert_eq!(fleet.asked.load(Ordering::SeqCst), before + 1);
    gateway
        .bearer(&token)
        .post("/api/tokens/current/renew", ())
        .await
        .refused(400, "only personal access tokens can be renewed");
    serving.abort();
    let other = fresh_token("mcn_");
    let unreachable = gateway.bearer(&other).get("/api/me").await;
    turned_away(&unreachable, 503, "cloud pat verifier unavailable");
    let beat = gateway.bearer(&other).post("/api/daemon/heartbeat", json!({})).await;
    beat.refused(503, "cloud pat verifier unavailable");
    gateway.finish().await;
}

/// User item 20: what a client says of itself counts for nothing.
#[apply(on_both)]
async fn an_identity_cannot_be_forged(gateway: &Gateway) {
    let other = gateway.join("Bea", "admin").await;
    let forged = gateway
        .user()
        .get("/api/me")
        .header("x-user-id", &other.id.to_string())
        .header("x-actor-source", "task_token")
        .header("x-user-email", &other.email)
        .await;
    assert_eq!(forged.expect(200)["id"], json!(gateway.user().id));
}

/// User items 20, 24 and 25, and what an agent at work must not do.
#[apply(on_both)]
async fn a_task_token_stays_in_its_workspace_and_ends_with_its_task(gateway: &Gateway) {
    let user = gateway.user();
    let elsewhere = gateway.seed_workspace("elsewhere", json!({})).await;
    gateway.seed_member(elsewhere, user.id, "owner").await;
    let there = gateway.seed_runtime(elsewhere, user.id, json!({})).await;
    let runtime = user.register("dm-1", "claude").await;
    let agent = gateway.seed_agent(runtime, "Gus", json!({})).await;
    gateway.seed_issue_task(agent, json!({})).await;
    let claimed = user.claim_one(runtime).await;
    let task: Uuid = claimed["id"].as_str().unwrap().parse().unwrap();
    let agent = gateway.bearer(claimed["auth_token"].as_str().unwrap());

    assert_eq!(agent.get("/api/me").await.expect(200)["id"], json!(user.id));
    let runtimes = agent.in_workspace(elsewhere).get("/api/runtimes").await.expect(200);
    assert_eq!(runtimes.as_array().unwrap().len(), 1);
    assert_eq!(runtimes[0]["id"], json!(runtime));
    agent
        .get(format!("/api/workspaces/{elsewhere}"))
        .await
        .refused(403, "task token is bound to a different workspace");
    agent.get("/api/workspaces/nonsense").await.refused(403, "task token is bound to a different workspace");
    agent.get(format!("/api/workspaces/{}", gateway.workspace)).await.expect(200);
    assert_eq!(agent.get("/api/workspaces").await.expect(200).as_array().unwrap().len(), 2);
    // A person may, an agent may not.
    let publish = |client: &crate::harness::Client| {
        client.patch(format!("/api/runtimes/{there}"), json!({"visibility": "public"}))
    };
    publish(&agent).await.refused(404, "runtime not found");
    publish(&user).await.expect(200);
    let mint = agent.post("/api/tokens", json!({"name": "mine"})).await;
    mint.refused(403, "a task token cannot create personal access tokens");
    let login = agent.post("/api/cli-token", ()).await;
    login.refused(403, "a task token cannot create a login token");
    let renew = agent.post("/api/tokens/current/renew", ()).await;
    renew.refused(400, "only personal access tokens can be renewed");
    // On the other plane it is no token at all.
    agent.post("/api/daemon/heartbeat", json!({})).await.refused(401, "invalid token");

    user.start(task).await;
    user.complete(task, json!({"output": "done"})).await;
    turned_away(&agent.get("/api/me").await, 401, "invalid token");
}

/// User items 29 and 30.
#[apply(on_both)]
async fn a_person_says_who_they_are(gateway: &Gateway) {
    let user = gateway.user();
    let me = user.get("/api/me").await.expect(200);
    let keys: Vec<&str> = me.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        [
            "avatar_url",
            "created_at",
            "email",
            "id",
            "language",
            "name",
            "onboarded_at",
            "onboarding_questionnaire",
            "profile_description",
            "starter_content_state",
            "timezone",
            "updated_at"
        ]
    );
    for key in ["avatar_url", "language", "onboarded_at", "starter_content_state", "timezone"] {
        assert_eq!(me[key], Value::Null, "{key}");
    }
    assert_eq!(me["onboarding_questionnaire"], json!({}));
    let created = me["created_at"].as_str().unwrap();
    assert!(created.len() == 20 && created.ends_with('Z') && created.parse::<DateTime<Utc>>().is_ok());

    let check = |change: Value, error: &'static str| async move {
        gateway.user().patch("/api/me", change).await.refused(400, error);
    };
    check(json!({"name": "  "}), "name is required").await;
    check(json!({"language": "de"}), "unsupported language").await;
    check(json!({"profile_description": "ä".repeat(2001)}), "profile_description exceeds 2000 characters")
        .await;
    check(json!({"timezone": "Nowhere/X"}), "invalid timezone").await;
    check(json!({"name": 5}), "invalid request body").await;
    let changed = user.patch(
        "/api/me",
        json!({
            "name": " Ada ", "language": "zh-Hans", "timezone": "Europe/Berlin", "avatar_url": "", "x": 1,
            "profile_description": "ä".repeat(2000),
        }),
    );
    let changed = changed.await.expect(200);
    assert_eq!(changed["name"], json!("Ada"));
    assert_eq!(changed["timezone"], json!("Europe/Berlin"));
    assert_eq!(changed["avatar_url"], json!(""));
    let cleared = user.patch("/api/me", json!({"timezone": "", "name": null})).await.expect(200);
    assert_eq!((&cleared["timezone"], &cleared["name"]), (&Value::Null, &json!("Ada")));
    assert_eq!(cleared["language"], json!("zh-Hans"));
    user.patch("/api/me", "null").await.expect(200);
    // Text that no database could hold is cleaned, not refused.
    let odd = user.patch("/api/me", r#"{"NAME":"A\u0000B\ud800"}"#).await.expect(200);
    assert_eq!(odd["name"], json!("AB\u{fffd}"));
}

/// User items 19, 31, 32, 33 and 37.
#[apply(on_both)]
async fn tokens_are_made_listed_and_revoked(gateway: &Gateway) {
    let user = gateway.user();
    let reply = user.post("/api/tokens", json!({"name": "first", "expires_in_days": 90})).await;
    let first = reply.expect(201);
    let token = first["token"].as_str().unwrap();
    assert!(token.starts_with("mul_") && token.len() == 44, "{token}");
    assert!(token[4..].bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)));
    assert_eq!(first["token_prefix"], json!(token[..12]));
    assert_eq!(first["last_used_at"], Value::Null);
    let stored =
        gateway.value("SELECT name FROM personal_access_token WHERE token_hash = $1", json!([hash(token)]));
    assert_eq!(stored.await, json!("first"));
    for days in [json!(0), json!(-3), Value::Null] {
        let made = user.post("/api/tokens", json!({"name": "x", "expires_in_days": days})).await;
        assert_eq!(made.expect(201)["expires_at"], Value::Null);
    }
    user.post("/api/tokens", json!({"name": ""})).await.refused(400, "name is required");
    user.post("/api/tokens", json!({"name": "x", "expires_in_days": 1.0}))
        .await
        .refused(400, "invalid request body");
    let huge = user.post("/api/tokens", json!({"name": "x", "expires_in_days": i64::MAX})).await;
    assert_eq!(huge.status, 400, "{huge}");

    let mine = gateway.bearer(token);
    mine.get("/api/me").await.expect(200);
    let listed = user.get("/api/tokens").await.expect(200);
    let listed = listed.as_array().unwrap();
    assert_eq!(listed.len(), 5);
    assert!(listed.iter().all(|entry| entry.get("token").is_none()));
    let times: Vec<&str> = listed.iter().map(|entry| entry["created_at"].as_str().unwrap()).collect();
    assert!(times.is_sorted_by(|a, b| a >= b), "{times:?}");

    // Somebody else cannot revoke it, and is not told.
    let other = gateway.join("Bea", "owner").await;
    let path = format!("/api/tokens/{}", first["id"].as_str().unwrap());
    assert_eq!(other.delete(&path).await.status, 204);
    mine.get("/api/me").await.expect(200);
    assert_eq!(user.delete(&path).await.status, 204);
    turned_away(&mine.get("/api/me").await, 401, "invalid token");
    mine.post("/api/daemon/heartbeat", json!({})).await.refused(401, "invalid token");
    assert_eq!(user.delete(&path).await.status, 204);
    assert_eq!(user.get("/api/tokens").await.expect(200).as_array().unwrap().len(), 4);
    assert_eq!(user.delete(format!("/api/tokens/{}", Uuid::new_v4())).await.status, 204);
    user.delete("/api/tokens/not-a-uuid").await.refused(400, "invalid token id");
}

/// User items 34, 35 and 36. Daemon items 214 to 216.
#[apply(on_both)]
async fn a_token_about_to_expire_is_renewed_once(gateway: &Gateway) {
    const DAY: i64 = 86_400;
    const RENEW: &str = "/api/tokens/current/renew";
    let user = gateway.user();
    let forever = user.post(RENEW, "{}").await.expect(200);
    assert_eq!(forever, json!({"expires_at": "", "renewed": false}));
    let until =
        |days: i64| gateway.seed_personal_token(gateway.user().id, json!({"expires_at": ahead(days * DAY)}));
    let late = gateway.bearer(&until(30).await).post(RENEW, ()).await.expect(200);
    assert_eq!(late["renewed"], json!(false));
    assert_eq!(late["expires_at"].as_str().unwrap()[..10], ahead(30 * DAY)[..10]);

    let soon = gateway.bearer(&until(5).await);
    soon.get("/api/me").await.expect(200);
    let (one, two) = tokio::join!(soon.post(RENEW, ()), soon.post(RENEW, ()));
    let (one, two) = (one.expect(200), two.expect(200));
    let renewed = [&one, &two].iter().filter(|answer| answer["renewed"] == json!(true)).count();
    assert_eq!(renewed, 1, "{one} {two}");
    for answer in [one, two] {
        let at: DateTime<Utc> = answer["expires_at"].as_str().unwrap().parse().unwrap();
        assert!((at - Utc::now()).num_days() >= 89, "{answer}");
    }
    soon.get("/api/me").await.expect(200);
    let again = soon.post(RENEW, ()).await.expect(200);
    assert_eq!(again["renewed"], json!(false));
}
