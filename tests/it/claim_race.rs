//! Many daemons at once: each task is handed out once, and no agent gets more than it may.
//! And the trap that a claim in one statement is.

use std::collections::HashMap;
use std::sync::Mutex;

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};
use uuid::Uuid;

use crate::harness::{Engine, Gateway, World, ahead, id_of};

/// Agents that hold more than they may, and lanes that hold two.
async fn check_never(gateway: &Gateway) {
    const OVER: &str =
        "SELECT a.name, count(*) AS held FROM agent a JOIN agent_task_queue t ON t.agent_id = a.id
        WHERE t.status IN ('dispatched', 'running', 'waiting_local_directory')
        GROUP BY a.id, a.name, a.max_concurrent_tasks HAVING count(*) > a.max_concurrent_tasks";
    const DOUBLED: &str = "SELECT agent_id, issue_id, chat_session_id FROM agent_task_queue
        WHERE status IN ('dispatched', 'running', 'waiting_local_directory') AND autopilot_run_id IS NULL
        GROUP BY agent_id, issue_id, chat_session_id HAVING count(*) > 1";
    for sql in [OVER, DOUBLED] {
        let found = gateway.rows(sql, Value::Null).await;
        assert!(found.is_empty(), "{found:?}");
    }
}

/// Agents of different room on two runtimes, and work of every kind for them.
async fn fill(gateway: &Gateway, world: &World) -> (Vec<Uuid>, usize) {
    let other = gateway.seed_runtime(world.w1, world.a.id, json!({"daemon_id": "dm-7"})).await;
    let runtimes = vec![world.r1, other];
    let mut tasks = 0;
    for (number, room) in [1, 2, 3, 1].into_iter().enumerate() {
        let home = runtimes[number % 2];
        let more = json!({"max_concurrent_tasks": room});
        let agent = gateway.seed_agent(home, &format!("Agent {number}"), more).await;
        let chat = gateway.seed_chat(agent, json!({})).await;
        for nth in 0..4 {
            // One in four was queued before the agent moved, and waits where it was.
            let runtime = runtimes[(number + usize::from(nth == 3)) % 2];
            let at = json!({"runtime_id": runtime, "priority": nth});
            gateway.seed_issue_task(agent, at.clone()).await;
            gateway.seed_task(agent, crate::harness::over(at, json!({"chat_session_id": chat}))).await;
            gateway.seed_quick_create(agent, "Do it", json!({})).await;
            tasks += 3;
        }
    }
    (runtimes, tasks)
}

/// Domain items 37 and 38: clients that claim, start and complete as fast as they can.
#[apply(on_both)]
async fn many_daemons_share_the_work_without_doubling_it(gateway: &Gateway) {
    let world = gateway.world().await;
    let (runtimes, tasks) = fill(gateway, &world).await;
    let done: Mutex<HashMap<Uuid, u32>> = Mutex::default();
    let left = || done.lock().unwrap().len() < tasks;
    let work = async |number: usize| {
        let runtime = runtimes[number % runtimes.len()];
        while left() {
            let Some(task) = world.a.claim(runtime).await else { continue };
            let task = id_of(&task);
            assert_eq!(done.lock().unwrap().insert(task, 1), None, "{task} was handed out twice");
            world.a.start(task).await;
            world.a.complete(task, json!({"output": "done"})).await;
        }
    };
    let watch = async {
        while left() {
            check_never(gateway).await;
        }
    };
    tokio::join!(futures_util::future::join_all((0..12).map(work)), watch);
    const ONCE: &str = "SELECT count(*) FROM agent_task_queue WHERE status = 'completed' AND claim_epoch = 1";
    assert_eq!(gateway.value(ONCE, Value::Null).await, json!(tasks));
    gateway.assert_settled().await;
}

/// Claims, cancellations and ends of the same tasks, all at once: one wins, and nobody hears
/// of a failure.
#[apply(on_both)]
async fn a_task_that_is_claimed_and_cancelled_at_once_comes_to_one_end(gateway: &Gateway) {
    let world = gateway.world().await;
    let mut tasks = Vec::new();
    for _ in 0..12 {
        tasks.push(gateway.seed_issue_task(world.g1, json!({})).await);
    }
    let claim = async |_: usize| {
        while let Some(task) = world.a.claim(world.r1).await {
            let task = id_of(&task);
            let started = world.a.post(format!("/api/daemon/tasks/{task}/start"), ()).await;
            assert!(matches!(started.status, 200 | 400), "{started}");
            let ended = world.a.complete(task, json!({"output": "done"})).await;
            assert!(matches!(ended["status"].as_str(), Some("completed" | "cancelled")), "{ended}");
        }
    };
    let cancel = tasks.iter().map(|task| world.a.post(format!("/api/tasks/{task}/cancel"), ()).into_future());
    let (_, cancelled) = tokio::join!(
        futures_util::future::join_all((0..4).map(claim)),
        futures_util::future::join_all(cancel)
    );
    for reply in cancelled {
        assert_eq!(reply.status, 200, "{reply}");
    }
    gateway.assert_settled().await;
}

/// A claim that takes the lock and counts in one statement counts on a snapshot from before
/// it got the lock. Here another transaction fills the agent while the statement waits.
const ONE_STATEMENT: &str =
    "WITH held AS (SELECT id, max_concurrent_tasks FROM agent WHERE id = $1 FOR UPDATE),
    room AS (SELECT max_concurrent_tasks - (SELECT count(*) FROM agent_task_queue t WHERE t.agent_id = held.id
        AND t.status IN ('dispatched', 'running', 'waiting_local_directory')) AS free FROM held)
    UPDATE agent_task_queue SET status = 'dispatched', dispatched_at = created_at WHERE id IN
        (SELECT t.id FROM agent_task_queue t WHERE t.agent_id = $1 AND t.status = 'queued'
            ORDER BY t.created_at DESC LIMIT (SELECT free FROM room) FOR UPDATE SKIP LOCKED)";

/// Holds an agent's row, with as much taken as it may hold, until it is let go.
struct Holder(PgConnection);

impl Holder {
    async fn take(gateway: &Gateway, agent: Uuid, room: i64) -> Self {
        const LOCK: &str = "SELECT id FROM agent WHERE id = $1 FOR UPDATE";
        const TAKE: &str = "UPDATE agent_task_queue SET status = 'running', started_at = created_at WHERE id IN
            (SELECT id FROM agent_task_queue WHERE agent_id = $1 AND status = 'queued' ORDER BY created_at LIMIT $2)";
        let mut conn = PgConnection::connect(&gateway.database_url()).await.unwrap();
        conn.execute("BEGIN").await.unwrap();
        sqlx::query(LOCK).bind(agent).execute(&mut conn).await.unwrap();
        sqlx::query(TAKE).bind(agent).bind(room).execute(&mut conn).await.unwrap();
        Self(conn)
    }

    async fn let_go(mut self) {
        self.0.execute("COMMIT").await.unwrap();
        self.0.close().await.unwrap();
    }
}

/// Returns when somebody waits for a row.
async fn somebody_waits(gateway: &Gateway) {
    const WAITING: &str = "SELECT count(*) FROM pg_stat_activity
        WHERE wait_event_type = 'Lock' AND datname = current_database()";
    while gateway.value(WAITING, Value::Null).await == 0 {}
}

#[test]
fn counting_and_locking_in_one_statement_breaks_the_cap_and_ours_does_not() {
    crate::harness::run(Engine::Postgres, async |gateway: &Gateway| {
        const HELD: &str = "SELECT count(*) FROM agent_task_queue WHERE agent_id = $1
            AND status IN ('dispatched', 'running', 'waiting_local_directory')";
        let world = gateway.world().await;
        let room = 3;
        let agent = gateway.seed_agent(world.r1, "Full", json!({"max_concurrent_tasks": room})).await;
        for _ in 0..8 {
            gateway.seed_issue_task(agent, json!({})).await;
        }
        let holder = Holder::take(gateway, agent, room).await;
        let naive = async {
            let mut conn = PgConnection::connect(&gateway.database_url()).await.unwrap();
            sqlx::query(ONE_STATEMENT).bind(agent).execute(&mut conn).await.unwrap();
            conn.close().await.unwrap();
        };
        let fill = async {
            somebody_waits(gateway).await;
            holder.let_go().await;
        };
        tokio::join!(naive, fill);
        assert_eq!(gateway.value(HELD, json!([agent])).await, 2 * room, "the trap is not one any more");

        const RESET: &str =
            "UPDATE agent_task_queue SET status = 'queued', dispatched_at = NULL, started_at = NULL";
        gateway.execute(RESET, Value::Null).await;
        let holder = Holder::take(gateway, agent, room).await;
        let fill = async {
            somebody_waits(gateway).await;
            holder.let_go().await;
        };
        let (claimed, ()) = tokio::join!(world.a.claim(world.r1), fill);
        assert_eq!(claimed, None);
        assert_eq!(gateway.value(HELD, json!([agent])).await, room);
    });
}

/// Beside tasks that may not leave: the daemon must not be sent away as if none could.
#[test]
fn a_task_whose_agent_somebody_holds_is_waited_for() {
    crate::harness::run(Engine::Postgres, async |gateway: &Gateway| {
        let world = gateway.world().await;
        let full = gateway.seed_agent(world.r1, "Full", json!({"max_concurrent_tasks": 1})).await;
        let running = json!({"status": "running", "dispatched_at": ahead(0), "started_at": ahead(0)});
        gateway.seed_issue_task(full, running).await;
        for _ in 0..2 {
            gateway.seed_issue_task(full, json!({"priority": 4})).await;
        }
        let held = gateway.seed_agent(world.r1, "Held", json!({})).await;
        let task = gateway.seed_issue_task(held, json!({})).await;
        let holder = Holder::take(gateway, held, 0).await;
        let mut claim = std::pin::pin!(world.a.claim(world.r1));
        tokio::select! {
            sent_away = &mut claim => panic!("nobody waited: {sent_away:?}"),
            () = somebody_waits(gateway) => holder.let_go().await,
        }
        assert_eq!(claim.await.map(|task| id_of(&task)), Some(task));
        assert_eq!(world.a.claim(world.r1).await, None);
    });
}
