//! What operators count. The names and labels are a contract with dashboards.

use macro_rules_attribute::apply;
use serde_json::json;

use crate::harness::{Gateway, id_of};

pub async fn scrape(gateway: &Gateway) -> String {
    let reply = gateway.admin().get("/metrics").await;
    assert_eq!(reply.status, 200, "{reply}");
    assert!(reply.header("content-type").starts_with("text/plain; version=0.0.4"));
    reply.text
}

/// The value of a series, its labels in any order; 0 when it is not there.
pub fn value(text: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
    let holds = |line: &&str| {
        let named = line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        named && labels.iter().all(|(label, value)| line.contains(&format!("{label}=\"{value}\"")))
    };
    let values = text.lines().filter(holds).map(|line| line.rsplit(' ').next().unwrap());
    values.map(|value| value.parse::<f64>().unwrap()).sum()
}

/// A task's whole way shows.
#[apply(on_both)]
async fn a_task_is_counted_on_its_way(gateway: &Gateway) {
    let world = gateway.world().await;
    let issue = json!({"title": "New", "assignee_type": "agent", "assignee_id": world.g1});
    world.a.post("/api/issues", issue).await.ok();
    let text = scrape(gateway).await;
    let issue = [("source", "issue"), ("runtime_mode", "local")];
    assert_eq!(value(&text, "multica_agent_task_enqueued_total", &issue), 1.0);
    assert_eq!(value(&text, "switchyard_tasks", &[("source", "issue"), ("status", "queued")]), 1.0);

    let task = world.a.run_one(world.r1).await;
    let text = scrape(gateway).await;
    assert_eq!(value(&text, "multica_agent_task_dispatched_total", &issue), 1.0);
    assert_eq!(value(&text, "multica_agent_task_queue_wait_seconds_count", &issue), 1.0);
    let started = [("source", "issue"), ("runtime_mode", "local"), ("provider", "claude")];
    assert_eq!(value(&text, "multica_agent_task_started_total", &started), 1.0);
    assert_eq!(value(&text, "multica_agent_task_in_progress", &issue), 1.0);

    let usage = json!({"usage": [
        {"provider": "Claude", "model": "m-1", "input_tokens": 10, "output_tokens": 5, "cache_read_tokens": 30},
    ]});
    world.a.post(format!("/api/daemon/tasks/{task}/usage"), usage).await.expect(200);
    world.a.complete(task, json!({"output": "ok"})).await;
    let failed = gateway.seed_issue_task(world.g1, json!({})).await;
    world.a.run_one(world.r1).await;
    world.a.fail(failed, json!({"error": "HTTP 429"})).await;
    let text = scrape(gateway).await;
    let tokens = |kind| [("provider", "claude"), ("model", "m-1"), ("token_type", kind)];
    assert_eq!(value(&text, "multica_llm_tokens_total", &tokens("input")), 10.0);
    assert_eq!(value(&text, "multica_llm_tokens_total", &tokens("cache_read")), 30.0);
    assert_eq!(value(&text, "multica_llm_request_total", &[("model", "m-1")]), 1.0);
    let ended = |status| [("source", "issue"), ("runtime_mode", "local"), ("terminal_status", status)];
    assert_eq!(value(&text, "multica_agent_task_terminal_total", &ended("completed")), 1.0);
    assert_eq!(value(&text, "multica_agent_task_run_seconds_count", &ended("completed")), 1.0);
    assert_eq!(value(&text, "multica_agent_task_total_seconds_count", &ended("failed")), 1.0);
    let reason = "agent_error.provider_capacity_or_rate_limit";
    assert_eq!(value(&text, "multica_agent_task_failed_total", &[("failure_reason", reason)]), 1.0);
    assert_eq!(value(&text, "multica_issue_executed_total", &[("source", "issue")]), 1.0);
    assert_eq!(value(&text, "multica_agent_task_in_progress", &issue), 0.0);
    assert_eq!(value(&text, "switchyard_claims_total", &[("outcome", "claimed")]), 2.0);
    assert_eq!(value(&text, "multica_runtime_registered_total", &[("provider", "claude")]), 2.0);
    for id in [task, world.w1, world.a.id, world.g1, world.r1] {
        assert!(!text.contains(&id.to_string()), "an id is no label");
    }
}

/// Requests are told apart by the pattern of their route, never by what is in it.
#[apply(on_both)]
async fn requests_are_counted_by_route(gateway: &Gateway) {
    let world = gateway.world().await;
    for _ in 0..3 {
        world.a.claim(world.r1).await;
    }
    world.a.get("/nowhere/at/all").await;
    world.a.get("/api/issues/x/y/z").await;
    gateway.anonymous().get("/health").await.expect(200);
    gateway.anonymous().get("/readyz").await.expect(200);
    let text = scrape(gateway).await;
    let claim = "/api/daemon/runtimes/{runtimeId}/tasks/claim";
    let labels = [("method", "POST"), ("route", claim), ("status", "200")];
    assert_eq!(value(&text, "multica_http_requests_total", &labels), 3.0);
    assert_eq!(value(&text, "multica_http_request_duration_seconds_count", &labels), 3.0);
    let unmatched = [("route", "unmatched"), ("status", "404")];
    assert_eq!(value(&text, "multica_http_requests_total", &unmatched), 2.0);
    assert_eq!(value(&text, "multica_http_in_flight_requests", &[]), 1.0, "the scrape itself");
    assert!(!text.contains("route=\"/health\"") && !text.contains("route=\"/readyz\""));
}

/// Sockets and beats are counted.
#[apply(on_both)]
async fn signs_of_life_are_counted(gateway: &Gateway) {
    let world = gateway.world().await;
    let before = scrape(gateway).await;
    assert_eq!(value(&before, "multica_daemonws_active_connections", &[]), 0.0);
    for _ in 0..3 {
        world.a.beat(world.r1).await;
    }
    let text = scrape(gateway).await;
    assert_eq!(value(&text, "switchyard_heartbeats_total", &[("transport", "http")]), 3.0);
    for name in
        ["multica_daemonws_connects_total", "multica_daemonws_disconnects_total", "switchyard_watchers"]
    {
        assert!(text.lines().any(|line| line.starts_with(name)), "{name} is missing");
    }
}

/// Numbers of what plugins do, and of failures that come from words of others.
#[apply(on_both)]
async fn words_of_others_make_only_so_many_series(gateway: &Gateway) {
    let world = gateway.world().await;
    gateway.seed_issue_task(world.g1, json!({})).await;
    let task = world.a.run_one(world.r1).await;
    let entries: Vec<_> =
        (0..400).map(|n| json!({"provider": "p", "model": format!("m-{n}"), "input_tokens": 1})).collect();
    let usage = json!({"usage": entries});
    world.a.post(format!("/api/daemon/tasks/{task}/usage"), usage).await.expect(200);
    let text = scrape(gateway).await;
    let series = text.lines().filter(|line| line.starts_with("multica_llm_request_total")).count();
    assert!(series <= 201, "{series}");
    assert_eq!(value(&text, "multica_llm_request_total", &[]), 400.0);
    assert!(value(&text, "switchyard_plugin_calls_total", &[]) >= 1.0, "{text}");
}

/// Each request leaves one line that says who and what, with the id its caller gave it.
#[apply(on_both)]
async fn a_request_leaves_a_line(gateway: &Gateway) {
    let user = gateway.user();
    let call = user.get("/api/me").header("x-request-id", "req-77").header("x-client-platform", "cli");
    let reply = call.await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("x-request-id"), "", "the id is for the log alone");
    gateway.bearer("mul_no").get("/api/me").header("x-request-id", "req-78").await;
    let gone = uuid::Uuid::new_v4();
    let status = format!("/api/daemon/tasks/{gone}/status");
    user.get(&status).header("x-request-id", "req-79").await.refused(404, "task not found");
    // Lines travel through a pipe: the last of them comes when it comes.
    let line = async |id: &str| {
        let find = async || loop {
            let lines = gateway.log().into_iter();
            match lines.rev().find(|line| line.contains("http request") && line.contains(id)) {
                Some(line) => return line,
                None => tokio::task::yield_now().await,
            }
        };
        let found = tokio::time::timeout(std::time::Duration::from_secs(30), find()).await;
        found.unwrap_or_else(|_| panic!("no line of {id}"))
    };
    let ok = line("req-77").await;
    for part in ["INFO", "/api/me", "status=200", "cli", &user.id.to_string()] {
        assert!(ok.contains(part), "{part} in {ok}");
    }
    assert!(line("req-78").await.contains("WARN"));
    assert!(line("req-79").await.contains("INFO"), "a daemon that asks for what is gone is no trouble");
    let all = gateway.log().join("\n");
    assert!(!all.contains(&user.token), "a token is in the log");
}

/// Metrics are for operators.
#[apply(on_both)]
async fn a_scrape_asks_for_an_operators_token(gateway: &Gateway) {
    assert_eq!(gateway.admin().with_token("").get("/metrics").await.status, 401);
    assert_eq!(gateway.admin().with_token("mop_x").get("/metrics").await.status, 401);
    assert_eq!(gateway.user().get("/metrics").await.status, 404);
    assert_eq!(id_of(&gateway.user().get("/api/me").await.expect(200)), gateway.user().id);
}

/// Daemons' sockets, what they send and what they are told.
#[apply(on_both)]
async fn sockets_are_counted(gateway: &Gateway) {
    let world = gateway.world().await;
    let mut socket = world.a.daemon_socket(&[world.r1]).await;
    socket.beat(world.r1).await;
    socket.send(json!({"type": "future:x"})).await;
    world.a.beat(world.r1).await;
    let issue = json!({"title": "New", "assignee_type": "agent", "assignee_id": world.g1});
    world.a.post("/api/issues", issue).await.ok();
    socket.wait_for("daemon:task_available").await;
    // Everything sent before was read when this is answered.
    socket.beat(world.r1).await;
    let text = scrape(gateway).await;
    assert_eq!(value(&text, "multica_daemonws_connects_total", &[]), 1.0);
    assert_eq!(value(&text, "multica_daemonws_active_connections", &[]), 1.0);
    assert_eq!(value(&text, "multica_daemonws_wakeup_delivered_total", &[("result", "hit")]), 1.0);
    let received = |kind| value(&text, "multica_daemon_ws_message_received_total", &[("kind", kind)]);
    assert_eq!((received("heartbeat"), received("other")), (2.0, 1.0));
    let beats = |transport| value(&text, "switchyard_heartbeats_total", &[("transport", transport)]);
    assert_eq!((beats("http"), beats("websocket")), (1.0, 2.0));
}
