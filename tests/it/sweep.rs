//! Sweeping: what is bounded, what is purged, and what one bad row may not spoil. What ends
//! tasks is in `daemon_sweeps`.

use macro_rules_attribute::apply;
use serde_json::{Value, json};

use crate::harness::{Engine, Gateway, ahead, check_members, fresh_token, hash};

async fn sweep(gateway: &Gateway) -> Value {
    gateway.admin().post("/admin/sweep", ()).await.expect(200)
}

/// Domain item 117.
#[apply(on_both)]
async fn a_sweep_takes_on_so_many_and_the_oldest_first(gateway: &Gateway) {
    let world = gateway.world().await;
    let run = gateway.seed_autopilot_run(world.g1, "Nightly", json!({})).await;
    for age in 0..600 {
        let old = json!({"autopilot_run_id": run, "created_at": ahead(-8000 - age)});
        gateway.seed_task(world.g1, old).await;
    }
    let report = sweep(gateway).await;
    assert_eq!(report["tasks_failed"]["queued_expired"], 500, "{report}");
    const LEFT: &str = "SELECT count(*) AS all_of_them, count(CASE WHEN created_at > $1 THEN 1 END) AS young
        FROM agent_task_queue WHERE status = 'queued'";
    let left = gateway.row(LEFT, json!([ahead(-8105)])).await;
    assert_eq!(left, json!({"all_of_them": 100, "young": 100}), "the youngest are left");
    let report = sweep(gateway).await;
    assert_eq!(report["tasks_failed"]["queued_expired"], 100, "{report}");
    check_members(&sweep(gateway).await, &json!({"failed_steps": [], "tasks_retried": 0}));
    gateway.assert_settled().await;
}

/// Domain item 116, its other half: what waits for its time does not grow old.
#[apply(on_both)]
async fn a_deferred_task_does_not_expire(gateway: &Gateway) {
    let world = gateway.world().await;
    let deferred = json!({"status": "deferred", "fire_at": ahead(60), "created_at": ahead(-8000)});
    let task = gateway.seed_issue_task(world.g1, deferred).await;
    sweep(gateway).await;
    assert_eq!(world.a.status_of(task).await, "deferred");
}

/// A row that cannot be failed is told of, and the rest is done.
#[apply(on_both)]
async fn one_bad_row_does_not_keep_the_others(gateway: &Gateway) {
    let world = gateway.world().await;
    let old = json!({"status": "running", "started_at": ahead(-9001), "attempt": 2});
    let bad = gateway.seed_issue_task(world.g1, old.clone()).await;
    let mut good = Vec::new();
    for _ in 0..3 {
        good.push(gateway.seed_issue_task(world.g1, old.clone()).await);
    }
    // Stands for whatever a row of a real installation may run into.
    let spoil: &[&str] = match gateway.engine {
        Engine::Sqlite => &["CREATE TRIGGER spoil BEFORE UPDATE ON agent_task_queue WHEN OLD.attempt = 99
            BEGIN SELECT RAISE(ABORT, 'spoilt'); END"],
        Engine::Postgres => &[
            "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS
                'BEGIN RAISE EXCEPTION ''spoilt''; END'",
            "CREATE TRIGGER spoil BEFORE UPDATE ON agent_task_queue FOR EACH ROW WHEN (OLD.attempt = 99)
                EXECUTE FUNCTION spoil()",
        ],
    };
    gateway.change("agent_task_queue", bad, "attempt", json!(99)).await;
    for sql in spoil {
        gateway.execute(sql, Value::Null).await;
    }
    gateway.expect_error("a stuck task could not be failed");
    gateway.expect_error("a step of a sweep failed");
    let report = sweep(gateway).await;
    assert_eq!(report["tasks_failed"]["timeout"], 3, "{report}");
    assert_eq!(report["failed_steps"], json!(["run_timeout"]));
    for task in good {
        assert_eq!(world.a.status_of(task).await, "failed");
    }
    assert_eq!(world.a.status_of(bad).await, "running");
}

/// Domain item 269. Batch failures reach people: an issue gets a word, a chat closes its turn, and the token
/// of the run is worth nothing.
#[apply(on_both)]
async fn people_hear_of_what_a_sweep_ended(gateway: &Gateway) {
    let world = gateway.world().await;
    let last = json!({"attempt": 2});
    let task = gateway.seed_issue_task(world.g1, last.clone()).await;
    let claimed = world.a.claim_one(world.r1).await;
    world.a.start(task).await;
    let chat = gateway.seed_chat(world.g1, json!({})).await;
    let turn = crate::harness::over(json!({"chat_session_id": chat}), last);
    let turn = gateway.seed_task(world.g1, turn).await;
    world.a.run_one(world.r1).await;
    for task in [task, turn] {
        gateway.change("agent_task_queue", task, "started_at", json!(ahead(-9001))).await;
    }
    let agent = gateway.bearer(claimed["auth_token"].as_str().unwrap());
    agent.get("/api/me").await.expect(200);
    assert_eq!(sweep(gateway).await["tasks_failed"]["timeout"], 2);
    assert_eq!(agent.get("/api/me").await.status, 401);
    let words = "SELECT content, type, source_task_id FROM comment";
    let expected = json!({"content": "task timed out", "type": "system", "source_task_id": task});
    assert_eq!(gateway.row(words, json!([])).await, expected);
    let words = "SELECT content, role, failure_reason FROM chat_message";
    let expected = json!({"content": "task timed out", "role": "assistant", "failure_reason": "timeout"});
    assert_eq!(gateway.row(words, json!([])).await, expected);
    const IDLE: &str = "SELECT status FROM agent WHERE id = $1";
    assert_eq!(gateway.value(IDLE, json!([world.g1])).await, "idle");
}

/// Tokens past their time are deleted; others stay.
#[apply(on_both)]
async fn old_tokens_are_purged(gateway: &Gateway) {
    let world = gateway.world().await;
    let task = gateway.seed_issue_task(world.g1, json!({})).await;
    world.a.run_one(world.r1).await;
    let mut old = Vec::new();
    for expires in [ahead(-1), ahead(3600)] {
        let row = json!({
            "token_hash": hash(&fresh_token("mat_")), "task_id": task, "agent_id": world.g1,
            "workspace_id": world.w1, "user_id": world.a.id, "expires_at": expires,
        });
        old.push(gateway.seed("task_token", row, json!({})).await);
        gateway.seed_daemon_token(&fresh_token("mdt_"), world.w1, "dm-1", &expires).await;
    }
    const COUNT: &str =
        "SELECT (SELECT count(*) FROM task_token) AS tasks, (SELECT count(*) FROM daemon_token) AS daemons";
    let before = gateway.row(COUNT, json!([])).await;
    assert_eq!(sweep(gateway).await["tokens_purged"], 2);
    let after = gateway.row(COUNT, json!([])).await;
    for kind in ["tasks", "daemons"] {
        assert_eq!(after[kind].as_i64().unwrap(), before[kind].as_i64().unwrap() - 1, "{kind}");
    }
    let gone = gateway.rows("SELECT id FROM task_token WHERE id = $1", json!([old[0]])).await;
    assert_eq!(gone, Vec::<Value>::new());
}

/// Two nodes that sweep at once do everything once.
#[test]
fn nodes_that_sweep_together_do_everything_once() {
    crate::harness::run(Engine::Postgres, async |gateway: &Gateway| {
        let world = gateway.world().await;
        let mut tasks = Vec::new();
        for _ in 0..40 {
            let old = json!({"status": "running", "started_at": ahead(-9001)});
            tasks.push(gateway.seed_issue_task(world.g1, old).await);
        }
        gateway.change("agent", world.g1, "max_concurrent_tasks", json!(100)).await;
        let other = gateway.second_node().await;
        let (one, two) = tokio::join!(sweep(gateway), sweep(&other));
        let sum = |member: &str| one[member].as_i64().unwrap() + two[member].as_i64().unwrap();
        assert_eq!(sum("tasks_retried"), 40);
        const CHILDREN: &str = "SELECT parent_task_id, count(*) AS children FROM agent_task_queue
            WHERE parent_task_id IS NOT NULL GROUP BY parent_task_id";
        let children = gateway.rows(CHILDREN, json!([])).await;
        assert_eq!(children.len(), 40);
        assert!(children.iter().all(|row| row["children"] == 1), "{children:?}");
        other.finish().await;
    });
}

/// Only operators sweep.
#[apply(on_both)]
async fn a_sweep_asks_for_an_operators_token(gateway: &Gateway) {
    let nobody = gateway.admin().with_token("");
    assert_eq!(nobody.post("/admin/sweep", ()).await.status, 401);
    let user = gateway.admin().with_token(gateway.user().token);
    assert_eq!(user.post("/admin/sweep", ()).await.status, 401);
    assert_eq!(
        gateway.user().post("/admin/sweep", ()).await.status,
        404,
        "the public listener has no such route"
    );
}
