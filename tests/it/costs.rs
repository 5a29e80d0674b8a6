//! What each route asks of the database: exact, so that a statement that creeps in is seen the
//! day it does, on whatever machine. A change that makes a route cheaper or dearer on purpose
//! changes its line in [`COSTS`].
//!
//! Every statement counts, those that begin and end a transaction included. On PostgreSQL each
//! is a round trip.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Engine, Gateway, World, id_of};

/// A route, and what one call of it costs on SQLite and on PostgreSQL once everything that is
/// remembered between calls is remembered.
const COSTS: [(&str, i64, i64); 10] = [
    ("heartbeat", 0, 0),
    ("heartbeat over the socket", 0, 0),
    ("empty poll", 0, 0),
    ("claim of an issue task", 0, 0),
    ("start", 0, 0),
    ("two messages", 0, 0),
    ("usage of one model", 0, 0),
    ("usage of eight models", 0, 0),
    ("status", 0, 0),
    ("complete", 0, 0),
];

/// How often each is called: what one of them did at random would show as a fraction.
const CALLS: i64 = 5;

struct Bill<'a> {
    gateway: &'a Gateway,
    /// What asking costs by itself.
    asking: i64,
    lines: Vec<(&'static str, i64)>,
}

impl<'a> Bill<'a> {
    async fn new(gateway: &'a Gateway) -> Self {
        statements(gateway).await;
        let before = statements(gateway).await;
        let asking = statements(gateway).await - before;
        Self { gateway, asking, lines: Vec::new() }
    }

    /// Counts what the calls cost together, `CALLS` of them.
    async fn add(&mut self, route: &'static str, calls: impl Future<Output = ()>) {
        let before = statements(self.gateway).await;
        calls.await;
        self.lines.push((route, statements(self.gateway).await - before - self.asking));
    }
}

async fn statements(gateway: &Gateway) -> i64 {
    let text = gateway.admin().get("/metrics").await.text;
    let line = text.lines().find_map(|line| line.strip_prefix("switchyard_db_statements_total "));
    line.expect("statements are counted").parse().unwrap()
}

/// Tasks on issues of their own, so that no lane holds one back.
async fn stock(gateway: &Gateway, world: &World, count: i64) {
    for _ in 0..count {
        gateway.seed_issue_task(world.g1, json!({})).await;
    }
}

/// Sweeps and the clock of autopilots rest, and nobody else writes.
async fn quiet(engine: Engine) -> Gateway {
    let setup = Gateway::setup(engine).flag("--sweep-every=0");
    setup.env("SWITCHYARD_EXCLUSIVE_DATABASE", "true").start().await
}

#[apply(on_both)]
async fn every_route_costs_as_many_statements_as_the_table_says(engine: Engine) {
    let gateway = quiet(engine).await;
    let world = gateway.world().await;
    gateway.execute("UPDATE agent SET max_concurrent_tasks = 100 WHERE id = $1", json!([world.g1])).await;
    let (daemon, runtime) = (&world.a, world.r1);
    let mut socket = daemon.daemon_socket(&[runtime]).await;
    // A first life fills every cache.
    stock(&gateway, &world, 1).await;
    daemon.beat(runtime).await;
    socket.beat(runtime).await;
    let first = daemon.run_one(runtime).await;
    live_on(&world, &[first]).await;
    assert_eq!(daemon.claim(runtime).await, None);

    let mut bill = Bill::new(&gateway).await;
    bill.add("heartbeat", async {
        for _ in 0..CALLS {
            daemon.beat(runtime).await;
        }
    })
    .await;
    bill.add("heartbeat over the socket", async {
        for _ in 0..CALLS {
            socket.answer(runtime).await;
        }
    })
    .await;
    bill.add("empty poll", async {
        for _ in 0..CALLS {
            assert_eq!(daemon.claim(runtime).await, None);
        }
    })
    .await;
    let mut tasks = Vec::new();
    for number in 0..CALLS {
        // By the front door, so that the gateway knows of it.
        let issue = json!({"title": format!("T{number}"), "assignee_type": "agent", "assignee_id": world.g1});
        daemon.post("/api/issues", issue).await.ok();
    }
    bill.add("claim of an issue task", async {
        for _ in 0..CALLS {
            tasks.push(id_of(&daemon.claim_one(runtime).await));
        }
    })
    .await;
    bill.add("start", each(&tasks, async |task| drop(daemon.start(task).await))).await;
    bill.add("two messages", each(&tasks, async |task| report(&world, task, "messages", messages()).await))
        .await;
    bill.add("usage of one model", each(&tasks, async |task| report(&world, task, "usage", usage(1)).await))
        .await;
    bill.add(
        "usage of eight models",
        each(&tasks, async |task| report(&world, task, "usage", usage(8)).await),
    )
    .await;
    bill.add("status", each(&tasks, async |task| drop(daemon.status_of(task).await))).await;
    bill.add("complete", each(&tasks, async |task| drop(daemon.complete(task, done()).await))).await;

    let wanted: Vec<(&str, i64)> = COSTS
        .iter()
        .map(|(route, sqlite, postgres)| {
            (*route, CALLS * if engine == Engine::Sqlite { sqlite } else { postgres })
        })
        .collect();
    assert_eq!(bill.lines, wanted, "five calls of each on {engine:?}");
    gateway.finish().await;
}

/// What runs through a long history costs what it costs in an empty database.
#[apply(on_both)]
async fn a_claim_costs_as_many_statements_beside_a_thousand_tasks(engine: Engine) {
    let gateway = quiet(engine).await;
    let world = gateway.world().await;
    gateway.execute("UPDATE agent SET max_concurrent_tasks = 5000 WHERE id = $1", json!([world.g1])).await;
    let mut costs = Vec::new();
    for _ in 0..2 {
        stock(&gateway, &world, 2).await;
        let first = world.a.run_one(world.r1).await;
        let mut bill = Bill::new(&gateway).await;
        let mut second = Uuid::nil();
        bill.add("claim", async { second = id_of(&world.a.claim_one(world.r1).await) }).await;
        costs.push(bill.lines[0].1);
        world.a.start(second).await;
        live_on(&world, &[first, second]).await;
        history(&gateway, &world, 1000).await;
    }
    assert_eq!(costs[0], costs[1]);
    gateway.finish().await;
}

/// Ended tasks of the agent and runtime, made by the database alone.
async fn history(gateway: &Gateway, world: &World, count: i64) {
    let sqlite = "INSERT INTO agent_task_queue (id, agent_id, runtime_id, status, completed_at, created_at)
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $3)
        SELECT randomblob(16), $1, $2, 'completed', '2020-01-01T00:00:00.000000+00:00',
            '2020-01-01T00:00:00.000000+00:00' FROM n";
    let postgres = "INSERT INTO agent_task_queue (id, agent_id, runtime_id, status, completed_at, created_at)
        SELECT gen_random_uuid(), $1, $2, 'completed', '2020-01-01Z', '2020-01-01Z' FROM generate_series(1, $3)";
    let sql = if gateway.engine == Engine::Sqlite { sqlite } else { postgres };
    gateway.execute(sql, json!([world.g1, world.r1, count])).await;
}

async fn each(tasks: &[Uuid], mut call: impl AsyncFnMut(Uuid)) {
    for task in tasks {
        call(*task).await;
    }
}

async fn live_on(world: &World, tasks: &[Uuid]) {
    for task in tasks {
        report(world, *task, "messages", messages()).await;
        report(world, *task, "usage", usage(1)).await;
        world.a.complete(*task, done()).await;
    }
}

async fn report(world: &World, task: Uuid, what: &str, body: Value) {
    world.a.post(format!("/api/daemon/tasks/{task}/{what}"), body).await.expect(200);
}

fn messages() -> Value {
    json!({"messages": [{"seq": 1, "type": "text", "content": "Reading."}, {"seq": 2, "type": "text", "content": "Writing."}]})
}

fn usage(models: usize) -> Value {
    let entries: Vec<Value> = (0..models)
        .map(|n| json!({"provider": "claude", "model": format!("m-{n}"), "input_tokens": 1}))
        .collect();
    json!({"usage": entries})
}

fn done() -> Value {
    json!({"output": "Done: the change is in the branch.", "session_id": "s"})
}
