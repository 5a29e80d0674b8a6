//! A daemon's WebSocket. Checklist 10.7, but for what needs minutes.

use macro_rules_attribute::apply;
use serde_json::json;
use uuid::Uuid;

use crate::harness::{Client, Gateway, Socket, beat, id_of};

const WS: &str = "/api/daemon/ws";

/// Fails a running task in a way that is tried again; gives the attempt that follows.
async fn retried(gateway: &Gateway, daemon: &Client, runtime: Uuid) -> Uuid {
    let task = daemon.run_one(runtime).await;
    daemon.fail(task, json!({"error": "lost", "failure_reason": "timeout"})).await;
    const NEXT: &str = "SELECT id FROM agent_task_queue WHERE parent_task_id = $1";
    let next = gateway.value(NEXT, json!([task])).await;
    next.as_str().unwrap().parse().unwrap()
}

/// Asserts that nothing was sent before: the next frame answers a beat.
async fn silent(socket: &mut Socket, runtime: Uuid) {
    assert_eq!(socket.beat(runtime).await["runtime_id"], json!(runtime));
}

/// Daemon items 91, 92 and 95.
#[apply(on_both)]
async fn an_upgrade_is_refused_before_it_happens(gateway: &Gateway) {
    let world = gateway.world().await;
    let (a, r1, r2) = (&world.a, world.r1, world.r2);
    let with = |ids: String| format!("{WS}?runtime_ids={ids}");
    a.upgrade(WS).await.refused(400, "runtime_ids required");
    a.upgrade(format!("{WS}?runtime_ids=,%20,&runtime_id=")).await.refused(400, "runtime_ids required");
    let nobody = Uuid::new_v4();
    a.upgrade(with(format!("{r1},{nobody}"))).await.refused(404, "runtime not found");
    a.upgrade(with(format!("{r1},{r2}"))).await.refused(404, "not found");
    a.upgrade(with("zzz".to_owned())).await.refused(400, "invalid runtime_id");
    // The first id that is refused decides.
    a.upgrade(with(format!("{nobody},zzz"))).await.refused(404, "runtime not found");
    a.upgrade(with(format!("{r2},{nobody}"))).await.refused(404, "not found");
    let anonymous = gateway.anonymous();
    anonymous.upgrade(with(r1.to_string())).await.refused(401, "missing authorization header");
    let many: Vec<String> = (0..1100).map(|_| Uuid::new_v4().to_string()[..8].to_owned()).collect();
    a.upgrade(with(many.join(","))).await.expect(400);
    // Everything is right, but for the handshake.
    let plain = a.get(with(r1.to_string())).await;
    assert_eq!((plain.status, plain.header("content-type")), (400, "text/plain; charset=utf-8"), "{plain}");
}

/// Daemon item 93.
#[apply(on_both)]
async fn a_daemons_token_opens_a_socket_for_its_own_runtimes_only(gateway: &Gateway) {
    let world = gateway.world().await;
    let other = world.a.register("dm-2", "codex").await;
    world.m1.upgrade(format!("{WS}?runtime_ids={other}")).await.refused(404, "runtime not found");
    world.m1.upgrade(format!("{WS}?runtime_ids={}", world.r2)).await.refused(404, "not found");
    let mut socket = world.m1.daemon_socket(&[world.r1]).await;
    assert_eq!(socket.beat(world.r1).await["status"], "ok");
}

/// Daemon items 94 and 102: one subscription, one wakeup, and the claim that follows finds the task.
#[apply(on_both)]
async fn a_runtime_named_twice_is_woken_once(gateway: &Gateway) {
    let user = gateway.user();
    let runtime = user.register("dm-1", "claude").await;
    let agent = gateway.seed_agent(runtime, "Gus", json!({})).await;
    gateway.seed_issue_task(agent, json!({})).await;
    let mut socket =
        user.socket(format!("{WS}?runtime_id={runtime}&runtime_ids={runtime},%20{runtime}")).await;
    let task = retried(gateway, &user, runtime).await;
    let expected =
        json!({"type": "daemon:task_available", "payload": {"runtime_id": runtime, "task_id": task}});
    // What the end of the first attempt freed may be told of first, without a task.
    let mut frame = socket.next().await;
    if frame["payload"].get("task_id").is_none() {
        assert_eq!(frame["payload"], json!({"runtime_id": runtime}));
        frame = socket.next().await;
    }
    assert_eq!(frame, expected);
    assert_eq!(id_of(&user.claim_one(runtime).await), task);
    silent(&mut socket, runtime).await;
}

/// Daemon item 96.
#[apply(on_both)]
async fn a_beat_is_acknowledged(gateway: &Gateway) {
    let user = gateway.user();
    let runtime = user.register("dm-1", "claude").await;
    let mut socket = user.daemon_socket(&[runtime]).await;
    socket.send(beat(runtime)).await;
    let expected = json!({"type": "daemon:heartbeat_ack", "payload": {
        "runtime_id": runtime, "status": "ok",
        "feature_flags": {"version": 1, "flags": {"runtime_brief_slim": "off"}},
    }});
    assert_eq!(socket.next().await, expected);
    // A binary frame is read like a text.
    socket.send_bytes(beat(runtime).to_string().into_bytes()).await;
    assert_eq!(socket.next().await, expected);
    // The runtime is answered as it was spelt.
    let bare = runtime.simple().to_string();
    let mut socket = user.socket(format!("{WS}?runtime_ids={bare}")).await;
    assert_eq!(socket.beat(&bare).await["runtime_id"], json!(bare));
}

/// Daemon items 98 and 100.
#[apply(on_both)]
async fn what_makes_no_sense_is_passed_over(gateway: &Gateway) {
    let user = gateway.user();
    let runtime = user.register("dm-1", "claude").await;
    let other = user.register("dm-1", "codex").await;
    let mut socket = user.daemon_socket(&[runtime]).await;
    socket.send(beat(other)).await;
    for text in [
        "not json",
        "",
        "[]",
        r#"{"type":"future:x"}"#,
        r#"{"type":"daemon:heartbeat"}"#,
        r#"{"type":"daemon:heartbeat","payload":{}}"#,
        r#"{"type":"daemon:heartbeat","payload":{"runtime_id":7}}"#,
        r#"{"type":"daemon:heartbeat","payload":"x"}"#,
    ] {
        socket.send_text(text).await;
    }
    socket.send_bytes(vec![0xff, 0x00, 0xfe]).await;
    silent(&mut socket, runtime).await;
}

/// Daemon item 99.
#[apply(on_both)]
async fn a_deleted_runtime_is_said_to_be_gone(gateway: &Gateway) {
    let user = gateway.user();
    let runtime = user.register("dm-1", "claude").await;
    let mut socket = user.daemon_socket(&[runtime]).await;
    assert_eq!(socket.beat(runtime).await["status"], "ok");
    gateway.execute("DELETE FROM agent_runtime WHERE id = $1", json!([runtime])).await;
    let expected = json!({"runtime_id": runtime, "status": "runtime_gone", "runtime_gone": true});
    assert_eq!(socket.beat(runtime).await, expected);
    user.post("/api/daemon/heartbeat", json!({"runtime_id": runtime}))
        .await
        .refused(404, "runtime not found");
}

/// Daemon item 101.
#[apply(on_both)]
async fn a_message_that_is_too_long_ends_the_connection(gateway: &Gateway) {
    let user = gateway.user();
    let runtime = user.register("dm-1", "claude").await;
    let padded = |bytes: usize| {
        let text = beat(runtime).to_string();
        format!("{text}{}", " ".repeat(bytes - text.len()))
    };
    let mut socket = user.daemon_socket(&[runtime]).await;
    socket.send_text(padded(4096)).await;
    assert_eq!(socket.expect("daemon:heartbeat_ack").await["status"], "ok");
    socket.send_text(padded(4097)).await;
    assert_eq!(socket.closed().await, Some(1009));
    let mut socket = user.daemon_socket(&[runtime]).await;
    socket.send_text(padded(100_000)).await;
    socket.closed().await;
}

/// Daemon item 108: a beat over the socket counts as one over HTTP does.
#[apply(on_both)]
async fn a_beat_brings_a_runtime_online_before_it_is_acknowledged(gateway: &Gateway) {
    let user = gateway.user();
    let runtime = user.register("dm-1", "claude").await;
    let mut socket = user.daemon_socket(&[runtime]).await;
    for round in 0..3 {
        user.post("/api/daemon/deregister", json!({"runtime_ids": [runtime]})).await.expect(200);
        socket.beat(runtime).await;
        let status = gateway.value("SELECT status FROM agent_runtime WHERE id = $1", json!([runtime])).await;
        assert_eq!(status, "online", "round {round}");
    }
}

/// Daemon item 106: a peer that does not read is dropped, and the others hear everything. What is
/// dropped before that are answers to its own beats.
#[apply(on_both)]
async fn a_peer_that_stops_reading_is_dropped_alone(gateway: &Gateway) {
    let user = gateway.user();
    let runtime = user.register("dm-1", "claude").await;
    let agent = gateway.seed_agent(runtime, "Gus", json!({})).await;
    let mut quick = user.daemon_socket(&[runtime]).await;
    let mut deaf = user.narrow_socket(format!("{WS}?runtime_ids={runtime}")).await;
    // Far more than all buffers between the two hold.
    for _ in 0..40_000 {
        deaf.send(beat(runtime)).await;
    }
    let evictions = async || {
        let counts = user.get("/health/realtime").await.expect(200);
        counts["daemons"]["slow_evictions_total"].as_u64().unwrap()
    };
    let mut told = 0;
    while evictions().await == 0 {
        gateway.seed_issue_task(agent, json!({})).await;
        let next = retried(gateway, &user, runtime).await;
        while quick.wait_for("daemon:task_available").await.get("task_id") != Some(&json!(next)) {}
        user.post(format!("/api/tasks/{next}/cancel"), ()).await.expect(200);
        told += 1;
        assert!(told < 1000, "nobody was dropped");
    }
    assert_eq!(quick.answer(runtime).await["status"], "ok");
    deaf.closed().await;
}

/// The gateway says goodbye when it is told to stop.
#[apply(on_both)]
async fn a_socket_is_closed_with_a_word_when_the_gateway_stops(gateway: &Gateway) {
    let user = gateway.user();
    let runtime = user.register("dm-1", "claude").await;
    let mut sockets = [user.daemon_socket(&[runtime]).await, user.daemon_socket(&[runtime]).await];
    sockets[0].beat(runtime).await;
    gateway.restart();
    for socket in &mut sockets {
        assert_eq!(socket.closed().await, Some(1001));
    }
    let mut socket = user.daemon_socket(&[runtime]).await;
    assert_eq!(socket.beat(runtime).await["status"], "ok");
}
