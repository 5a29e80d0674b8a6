//! What each route asks of the database: exact, so that a statement that creeps in is seen the
//! day it does, on whatever machine. A change that makes a route cheaper or dearer on purpose
//! changes its line in [`COSTS`].
//!
//! Every statement counts, those that begin and end a transaction included. On PostgreSQL each
//! is a round trip.

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Engine, Gateway, World, ahead, id_of};

/// A route, and what one call of it costs on SQLite and on PostgreSQL once everything is
/// remembered that is remembered between calls.
const COSTS: [(&str, i64, i64); 13] = [
    ("heartbeat", 0, 0),
    ("heartbeat over the socket", 0, 0),
    ("first heartbeat over a socket", 0, 0),
    ("empty poll", 0, 0),
    ("poll while a task is not started", 1, 1),
    ("poll while all that is queued is blocked", 5, 2),
    ("claim of an issue task", 7, 3),
    ("start", 5, 1),
    ("two messages", 3, 1),
    ("usage of one model", 3, 1),
    ("usage of eight models", 3, 1),
    ("status", 1, 1),
    ("complete", 12, 5),
];

/// What a node does by its own clock may fall between two looks at the counter, so the least
/// of several looks counts; nothing makes it too little.
const LOOKS: usize = 4;

struct Bill<'a> {
    gateway: &'a Gateway,
    /// What asking costs by itself.
    asking: i64,
    lines: Vec<(&'static str, i64)>,
}

impl<'a> Bill<'a> {
    async fn new(gateway: &'a Gateway) -> Self {
        let mut asking = i64::MAX;
        for _ in 0..LOOKS {
            let before = statements(gateway).await;
            asking = asking.min(statements(gateway).await - before);
        }
        Self { gateway, asking, lines: Vec::new() }
    }

    /// Counts what one call costs. A first call, which is not counted, has the writer sync as
    /// this route wants it.
    async fn add(&mut self, route: &'static str, mut call: impl AsyncFnMut(usize)) {
        call(0).await;
        let mut least = i64::MAX;
        for look in 1..=LOOKS {
            let before = statements(self.gateway).await;
            call(look).await;
            least = least.min(statements(self.gateway).await - before - self.asking);
        }
        self.lines.push((route, least));
    }
}

async fn statements(gateway: &Gateway) -> i64 {
    let text = gateway.admin().get("/metrics").await.text;
    let line = text.lines().find_map(|line| line.strip_prefix("switchyard_db_statements_total "));
    line.expect("statements are counted").parse().unwrap()
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
    gateway.seed_issue_task(world.g1, json!({})).await;
    daemon.beat(runtime).await;
    socket.beat(runtime).await;
    let first = daemon.run_one(runtime).await;
    report(&world, first, "messages", messages()).await;
    report(&world, first, "usage", usage(1)).await;
    daemon.complete(first, done()).await;
    assert_eq!(daemon.claim(runtime).await, None);

    for number in 0..=LOOKS {
        // By the front door, so that the gateway knows of it.
        let issue = json!({"title": format!("T{number}"), "assignee_type": "agent", "assignee_id": world.g1});
        daemon.post("/api/issues", issue).await.ok();
    }
    let mut strangers = Vec::new();
    for number in 0..=LOOKS {
        let stranger = daemon.register(&format!("dm-new-{number}"), "claude").await;
        strangers.push((daemon.daemon_socket(&[stranger]).await, stranger));
    }
    let mut tasks = Vec::new();
    let mut bill = Bill::new(&gateway).await;
    bill.add("claim of an issue task", async |_| tasks.push(id_of(&daemon.claim_one(runtime).await))).await;
    assert_eq!(daemon.claim(runtime).await, None);
    bill.add("heartbeat", async |_| drop(daemon.beat(runtime).await)).await;
    bill.add("heartbeat over the socket", async |_| drop(socket.answer(runtime).await)).await;
    let first = "first heartbeat over a socket";
    bill.add(first, async |n| {
        let (socket, stranger) = &mut strangers[n];
        socket.answer(*stranger).await;
    })
    .await;
    let waits = "poll while a task is not started";
    bill.add(waits, async |_| assert_eq!(daemon.claim(runtime).await, None)).await;
    bill.add("start", async |n| drop(daemon.start(tasks[n]).await)).await;
    bill.add("two messages", async |n| report(&world, tasks[n], "messages", messages()).await).await;
    bill.add("usage of one model", async |n| report(&world, tasks[n], "usage", usage(1)).await).await;
    bill.add("usage of eight models", async |n| report(&world, tasks[n], "usage", usage(8)).await).await;
    bill.add("status", async |n| drop(daemon.status_of(tasks[n]).await)).await;
    bill.add("complete", async |n| drop(daemon.complete(tasks[n], done()).await)).await;
    bill.add("empty poll", async |_| assert_eq!(daemon.claim(runtime).await, None)).await;
    let full = gateway.seed_agent(runtime, "Full", json!({"max_concurrent_tasks": 1})).await;
    let running = json!({"status": "running", "dispatched_at": ahead(0), "started_at": ahead(0)});
    gateway.seed_issue_task(full, running).await;
    let behind = json!({"title": "Behind", "assignee_type": "agent", "assignee_id": full});
    daemon.post("/api/issues", behind).await.ok();
    // Somebody else wrote to the database just now, so that the runtime's row is read once more.
    daemon.beat(runtime).await;
    let blocked = "poll while all that is queued is blocked";
    bill.add(blocked, async |_| assert_eq!(daemon.claim(runtime).await, None)).await;

    let costs = COSTS.iter().map(|(route, sqlite, postgres)| {
        (*route, if engine == Engine::Sqlite { *sqlite } else { *postgres })
    });
    bill.lines.sort_unstable();
    let mut wanted: Vec<(&str, i64)> = costs.collect();
    wanted.sort_unstable();
    assert_eq!(bill.lines, wanted, "statements of each call on {engine:?}");
    gateway.finish().await;
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
