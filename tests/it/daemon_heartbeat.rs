//! A daemon says that a runtime lives. Checklist 10.6, but for what is pending.

use macro_rules_attribute::apply;
use serde_json::{Value, json};

use crate::harness::{Engine, Gateway, ahead};

/// Daemon item 77.
#[apply(on_both)]
async fn a_beat_is_answered_with_the_flags_and_nothing_else(gateway: &Gateway) {
    let user = gateway.user();
    let runtime = user.register("dm-1", "claude").await;
    let expected = json!({
        "status": "ok", "feature_flags": {"version": 1, "flags": {"runtime_brief_slim": "off"}},
    });
    assert_eq!(user.beat(runtime).await, expected);
    let batch = json!({"runtime_id": runtime, "supports_batch_import": true});
    assert_eq!(user.post("/api/daemon/heartbeat", batch).await.expect(200), expected);
}

/// Daemon item 77: the flag is what the environment says.
#[apply(on_both)]
async fn the_slim_brief_is_switched_by_the_environment(engine: Engine) {
    for (text, expected) in [("yes", "on"), ("0", "off"), ("", "off"), ("v2", "v2")] {
        let gateway = Gateway::setup(engine).env("FF_RUNTIME_BRIEF_SLIM", text).start().await;
        let runtime = gateway.user().register("dm-1", "claude").await;
        let beat = gateway.user().beat(runtime).await;
        assert_eq!(beat["feature_flags"]["flags"]["runtime_brief_slim"], expected, "{text}");
        gateway.finish().await;
    }
}

/// Daemon item 77: what the environment says nothing of, the rule file decides, for each daemon.
#[apply(on_both)]
async fn the_slim_brief_is_switched_by_a_rule_file(engine: Engine) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("flags.yaml");
    let rules = "
runtime_brief_slim:
  default: true
  variant: slim-2
  deny: [dm-2]
  deny_by: daemon_id
another_switch: { default: true }
";
    std::fs::write(&file, rules).unwrap();
    for (variable, expected) in
        [(None, ["slim-2", "off"]), (Some("on"), ["on", "on"]), (Some(""), ["off", "off"])]
    {
        let setup = Gateway::setup(engine).env("MULTICA_FEATURE_FLAGS_FILE", file.to_str().unwrap());
        let setup = match variable {
            Some(text) => setup.env("FF_RUNTIME_BRIEF_SLIM", text),
            None => setup,
        };
        let gateway = setup.start().await;
        let user = gateway.user();
        for (daemon, expected) in ["dm-1", "dm-2"].into_iter().zip(expected) {
            let runtime = user.register(daemon, "claude").await;
            let flags = json!({"version": 1, "flags": {"runtime_brief_slim": expected}});
            assert_eq!(user.beat(runtime).await["feature_flags"], flags, "{variable:?}, {daemon}");
            let mut socket = user.daemon_socket(&[runtime]).await;
            assert_eq!(socket.beat(runtime).await["feature_flags"], flags, "{variable:?}, {daemon}");
        }
        gateway.finish().await;
    }
}

const ROW: &str = "SELECT status, last_seen_at, updated_at FROM agent_runtime WHERE id = $1";

/// Daemon item 87.
#[apply(on_both)]
async fn a_beat_brings_a_runtime_online_before_it_is_answered(gateway: &Gateway) {
    let user = gateway.user();
    let gone = user.register("dm-1", "claude").await;
    user.beat(gone).await;
    user.post("/api/daemon/deregister", json!({"runtime_ids": [gone]})).await.expect(200);
    let never = json!({"status": "offline", "last_seen_at": null});
    let never = gateway.seed_runtime(gateway.workspace, user.id, never).await;
    for runtime in [gone, never] {
        assert_eq!(gateway.row(ROW, json!([runtime])).await["status"], "offline");
        user.beat(runtime).await;
        let row = gateway.row(ROW, json!([runtime])).await;
        assert_eq!(row["status"], "online");
        assert_eq!(row["last_seen_at"], row["updated_at"]);
    }
}

/// Daemon item 86: the row of a runtime that beats is refreshed, at the latest when the gateway stops,
/// and `updated_at` is left alone.
#[apply(on_both)]
async fn when_a_runtime_was_last_seen_is_written_down(gateway: &Gateway) {
    let user = gateway.user();
    let runtime = user.register("dm-1", "claude").await;
    let long_ago = ahead(-100);
    gateway.execute("UPDATE agent_runtime SET last_seen_at = $1", json!([long_ago])).await;
    let before = gateway.row(ROW, json!([runtime])).await;
    user.beat(runtime).await;
    gateway.restart();
    let after = gateway.row(ROW, json!([runtime])).await;
    assert!(after["last_seen_at"].as_str() > before["last_seen_at"].as_str(), "{before} then {after}");
    assert_eq!(after["updated_at"], before["updated_at"]);
}

/// Beats by many at once are all answered.
#[apply(on_both)]
async fn many_runtimes_beat_at_once(gateway: &Gateway) {
    let user = gateway.user();
    let mut runtimes = Vec::new();
    for number in 0..10 {
        runtimes.push(user.register(&format!("dm-{number}"), "claude").await);
    }
    user.post("/api/daemon/deregister", json!({"runtime_ids": runtimes})).await.expect(200);
    let beats = (0..50).map(|number| user.beat(runtimes[number % 10]));
    futures_util::future::join_all(beats).await;
    const ONLINE: &str = "SELECT count(*) FROM agent_runtime WHERE status = 'online'";
    assert_eq!(gateway.value(ONLINE, Value::Null).await, 10);
}

/// On a database that only the gateway writes to, a beat of a runtime that has nothing
/// waiting runs no statement at all.
#[test]
fn a_beat_runs_no_sql() {
    crate::harness::run(Engine::Sqlite, async |gateway: &Gateway| {
        let user = gateway.user();
        let runtime = user.register("dm-1", "claude").await;
        let mut socket = user.daemon_socket(&[runtime]).await;
        let statements = async || {
            let metrics = gateway.admin().get("/metrics").await.text;
            let line = metrics.lines().find(|line| line.starts_with("switchyard_db_statements_total"));
            line.and_then(|line| line.split(' ').nth(1)).unwrap().parse::<u64>().unwrap()
        };
        user.beat(runtime).await;
        let before = statements().await;
        const BEATS: u64 = 200;
        for _ in 0..BEATS / 2 {
            user.beat(runtime).await;
            socket.beat(runtime).await;
        }
        let ran = statements().await - before;
        // What runs by the clock, and the operator's own token.
        assert!(ran < BEATS / 10, "{BEATS} beats ran {ran} statements");
    });
}
