//! `/ws`: what happens in a workspace, as it happens.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Client, Engine, Gateway, Socket};

/// A socket that has said nothing yet.
async fn stranger(gateway: &Gateway, workspace: Uuid) -> Socket {
    gateway.anonymous().socket(format!("/ws?workspace_id={workspace}")).await
}

async fn introduce(socket: &mut Socket, token: &str) {
    socket.send(json!({"type": "auth", "payload": {"token": token}})).await;
}

/// What happens when something is made.
async fn make_skill(client: &Client, name: &str) {
    client.post("/api/skills", json!({"name": name})).await.expect(201);
}

/// User item 175.
#[apply(on_both)]
async fn an_upgrade_names_a_workspace_and_comes_from_the_own_site(gateway: &Gateway) {
    let anonymous = gateway.anonymous();
    let workspace = gateway.workspace;
    anonymous.upgrade("/ws").await.refused(400, "workspace_id or workspace_slug required");
    anonymous.upgrade("/ws?workspace_slug=nowhere").await.refused(404, "workspace not found");
    anonymous.upgrade("/ws?workspace_id=zzz").await.refused(400, "invalid workspace_id");
    anonymous.get(format!("/ws?workspace_id={workspace}")).await.expect(400);
    let path = format!("/ws?workspace_id={workspace}&workspace_slug=nowhere");
    let foreign = anonymous.get(&path).header("origin", "https://evil.example").await;
    assert_eq!(foreign.status, 403, "{foreign}");
    for origin in [anonymous.base(), "http://localhost:3000".to_owned()] {
        let mut socket = anonymous.socket_with(&path, &[("origin", &origin)]).await;
        introduce(&mut socket, &gateway.user().token).await;
        assert_eq!(socket.next().await, json!({"type": "auth_ack"}));
    }
}

/// User items 176 and 177, but for silence.
#[apply(on_both)]
async fn whoever_does_not_say_who_they_are_is_told_so_and_shut_out(gateway: &Gateway) {
    let world = gateway.world().await;
    let task = gateway.seed_issue_task(world.g1, json!({})).await;
    let claimed = world.a.claim_one(world.r1).await;
    assert_eq!(claimed["id"], json!(task));
    let first = |token: &str| json!({"type": "auth", "payload": {"token": token}}).to_string();
    for (text, error) in [
        ("not json".to_owned(), "expected auth message as first frame"),
        (json!({"type": "ping"}).to_string(), "expected auth message as first frame"),
        (json!({"type": "auth"}).to_string(), "expected auth message as first frame"),
        (first("mul_nonsense"), "invalid token"),
        (first("x.y.z"), "invalid token"),
        (first(&world.m1.token), "invalid token"),
        (first(claimed["auth_token"].as_str().unwrap()), "invalid token"),
        (first(&world.c.token), "not a member of this workspace"),
    ] {
        let mut socket = stranger(gateway, world.w1).await;
        socket.send_text(text.clone()).await;
        assert_eq!(socket.next().await, json!({"error": error}), "{text}");
        socket.closed().await;
    }
}

/// Every event of the workspace, to all who watch it and nobody else.
#[apply(on_both)]
async fn events_reach_the_workspace_they_are_of(gateway: &Gateway) {
    let world = gateway.world().await;
    let mut watchers = [world.a.watch().await, world.b.watch().await];
    let mut foreign = world.c.watch().await;
    make_skill(&world.b, "Review").await;
    for watcher in &mut watchers {
        let event = watcher.next().await;
        assert_eq!(
            (&event["type"], &event["payload"]["skill"]["name"]),
            (&json!("skill:created"), &json!("Review"))
        );
        assert_eq!((&event["actor_type"], &event["actor_id"]), (&json!("member"), &json!(world.b.id)));
        assert_eq!(event.as_object().unwrap().len(), 4, "{event}");
    }
    foreign.send(json!({"type": "ping"})).await;
    assert_eq!(foreign.next().await, json!({"type": "pong"}));
}

#[apply(on_both)]
async fn a_cookie_speaks_for_its_browser(gateway: &Gateway) {
    let world = gateway.world().await;
    let anonymous = gateway.anonymous();
    let path = "/ws?workspace_slug=acme";
    let cookie = |token: &str| format!("a=b; multica_auth={token}");
    let refused = async |token: &str| anonymous.get(path).header("cookie", &cookie(token)).await;
    refused("mul_nonsense").await.refused(401, "invalid token");
    refused(&world.c.token).await.refused(403, "not a member of this workspace");
    let mut socket = anonymous.socket_with(path, &[("cookie", &cookie(&world.b.token))]).await;
    // No acknowledgement: the first frame is the answer.
    socket.send(json!({"type": "ping"})).await;
    assert_eq!(socket.next().await, json!({"type": "pong"}));
    make_skill(&world.a, "Review").await;
    socket.wait_for("skill:created").await;
}

/// User item 178.
#[apply(on_both)]
async fn subscriptions_say_whether_they_could_be(gateway: &Gateway) {
    let world = gateway.world().await;
    let (own, foreign) = (
        gateway.seed_issue_task(world.g1, json!({})).await,
        gateway.seed_issue_task(world.g2, json!({})).await,
    );
    let chat = gateway.seed_chat(world.g1, json!({})).await;
    let mut socket = world.a.watch().await;
    let mut others = world.b.watch().await;
    let nobody = Uuid::new_v4();
    for (scope, id, error) in [
        ("workspace", world.w1.to_string(), None),
        ("workspace", world.w2.to_string(), Some("forbidden")),
        ("user", world.a.id.to_string(), None),
        ("user", world.b.id.to_string(), Some("forbidden")),
        ("task", own.to_string(), None),
        ("task", foreign.to_string(), Some("forbidden")),
        ("task", nobody.to_string(), Some("forbidden")),
        ("task", "zzz".to_owned(), Some("forbidden")),
        ("chat", chat.to_string(), None),
        ("galaxy", nobody.to_string(), Some("unknown_scope")),
    ] {
        socket.send(json!({"type": "subscribe", "payload": {"scope": scope, "id": id}})).await;
        let mut payload = json!({"scope": scope, "id": id});
        let kind = if let Some(error) = error {
            payload["error"] = error.into();
            "subscribe_error"
        } else {
            "subscribe_ack"
        };
        assert_eq!(socket.next().await, json!({"type": kind, "payload": payload}));
        socket.send(json!({"type": "unsubscribe", "payload": {"scope": scope, "id": id}})).await;
        let payload = json!({"scope": scope, "id": id});
        assert_eq!(socket.next().await, json!({"type": "unsubscribe_ack", "payload": payload}));
    }
    others.send(json!({"type": "subscribe", "payload": {"scope": "chat", "id": chat}})).await;
    assert_eq!(others.next().await["payload"]["error"], "forbidden");
    for (payload, scope) in [
        (Value::Null, ""),
        (json!({}), ""),
        (json!({"scope": "task"}), "task"),
        (json!({"scope": 1, "id": 2}), ""),
        (json!("x"), ""),
    ] {
        for kind in ["subscribe", "unsubscribe"] {
            socket.send(json!({"type": kind, "payload": payload})).await;
            let told = json!({"scope": scope, "id": "", "error": "invalid payload"});
            assert_eq!(socket.next().await, json!({"type": format!("{kind}_error"), "payload": told}));
        }
    }
    // Everything else is passed over.
    for text in ["", "not json", "[]", r#"{"type":"auth"}"#, r#"{"type":7}"#] {
        socket.send_text(text).await;
    }
    socket.send(json!({"type": "ping"})).await;
    assert_eq!(socket.next().await, json!({"type": "pong"}));
}

#[apply(on_both)]
async fn a_message_that_is_too_long_ends_the_connection(gateway: &Gateway) {
    let mut socket = gateway.user().watch().await;
    socket.send_text(" ".repeat(100_000)).await;
    assert_eq!(socket.closed().await, Some(1009));
}

#[apply(on_both)]
async fn watchers_are_told_when_the_gateway_stops(gateway: &Gateway) {
    let mut watcher = gateway.user().watch().await;
    let mut silent = stranger(gateway, gateway.workspace).await;
    gateway.restart();
    assert_eq!(watcher.closed().await, Some(1001));
    silent.closed().await;
    let mut watcher = gateway.user().watch().await;
    make_skill(&gateway.user(), "Review").await;
    watcher.wait_for("skill:created").await;
}

/// How the sockets do, for this machine or whoever has the token.
#[apply(on_both)]
async fn the_counts_are_for_this_machine_or_whoever_has_the_token(engine: Engine) {
    let gateway = Gateway::start(engine).await;
    let anonymous = gateway.anonymous();
    let runtime = gateway.user().register("dm-1", "claude").await;
    let mut daemon = gateway.user().daemon_socket(&[runtime]).await;
    daemon.beat(runtime).await;
    let _watcher = gateway.user().watch().await;
    let counts = anonymous.get("/health/realtime").await.expect(200);
    assert_eq!((&counts["daemons"]["active"], &counts["people"]["active"]), (&json!(1), &json!(1)));
    anonymous.get("/health/realtime").header("x-forwarded-for", "1.2.3.4").await.expect(404);
    gateway.finish().await;

    let gateway = Gateway::setup(engine).env("REALTIME_METRICS_TOKEN", "s3cret").start().await;
    let anonymous = gateway.anonymous();
    let refused = anonymous.get("/health/realtime").await;
    assert_eq!((refused.status, refused.text.as_str()), (401, "unauthorized\n"));
    assert_eq!(refused.header("www-authenticate"), "Bearer realm=\"metrics\"");
    gateway.bearer("wrong").get("/health/realtime").await.expect(401);
    gateway.bearer("s3cret").get("/health/realtime").header("x-forwarded-for", "1.2.3.4").await.expect(200);
    gateway.finish().await;
}
