//! Polls for nothing: what they cost, and that they never hide work.

use macro_rules_attribute::apply;
use serde_json::json;
use uuid::Uuid;

use crate::harness::{Engine, Gateway, World, ahead, id_of};
use crate::plugins_scene::eventually;

/// How many statements went to the database so far. Asking costs some, always as many.
async fn statements(gateway: &Gateway) -> i64 {
    let text = gateway.admin().get("/metrics").await.text;
    let line = text.lines().find_map(|line| line.strip_prefix("switchyard_db_statements_total "));
    line.expect("statements are counted").parse().unwrap()
}

/// How many statements `polls` empty polls of the runtime cost, once it was polled before.
async fn cost(gateway: &Gateway, world: &World, runtime: Uuid, polls: usize) -> i64 {
    // A daemon that polls beats, too; and a first poll finds out.
    world.a.beat(runtime).await;
    assert_eq!(world.a.claim(runtime).await, None);
    let asking = {
        let before = statements(gateway).await;
        statements(gateway).await - before
    };
    let before = statements(gateway).await;
    for _ in 0..polls {
        assert_eq!(world.a.claim(runtime).await, None);
    }
    statements(gateway).await - before - asking
}

/// A gateway that does nothing by itself, so that its statements can be counted.
async fn quiet(engine: Engine) -> Gateway {
    Gateway::setup(engine).flag("--sweep-every=0").start().await
}

/// The same, which is told that nobody else writes.
async fn exclusive(engine: Engine) -> Gateway {
    let setup = Gateway::setup(engine).flag("--sweep-every=0");
    setup.env("SWITCHYARD_EXCLUSIVE_DATABASE", "true").start().await
}

/// Domain items 51 and 54: what was proved holds, also for a runtime that nobody ever queued
/// anything for.
#[apply(on_both)]
async fn an_empty_poll_asks_the_database_nothing(engine: Engine) {
    let gateway = quiet(engine).await;
    let world = gateway.world().await;
    let polls = 200;
    let cost = cost(&gateway, &world, world.r1, polls).await;
    match engine {
        // The clock of autopilots may tick meanwhile.
        Engine::Sqlite => assert!(cost < 10, "{polls} polls cost {cost} statements"),
        // Others may write to the database, so each poll looks at the runtime and at its queue.
        Engine::Postgres => {
            assert!(cost < 2 * i64::try_from(polls).unwrap() + 10, "{polls} polls cost {cost} statements");
        }
    }
    gateway.finish().await;
}

/// Where nobody but gateways writes to PostgreSQL, what they tell each other is proof enough; and
/// what one of them queues, takes away or finds silent is found by the next poll at the other.
#[test]
fn where_gateways_alone_write_an_empty_poll_asks_postgres_nothing() {
    crate::harness::run_with(Engine::Postgres, async |engine| {
        let gateway = exclusive(engine).await;
        let world = gateway.world().await;
        let other = gateway.second_node().await;
        let polls = 200;
        let polled = cost(&gateway, &world, world.r1, polls).await;
        assert!(polled < 10, "{polls} polls cost {polled} statements");
        let issue = json!({"title": "New", "assignee_type": "agent", "assignee_id": world.g1});
        other.bearer(&world.a.token).post("/api/issues", issue).await.expect(201);
        let task = hinted(&world).await;
        world.a.start(task).await;
        world.a.complete(task, json!({"output": "done"})).await;
        let polled = cost(&gateway, &world, world.r1, polls).await;
        assert!(polled < 10, "{polls} polls cost {polled} statements");
        // A daemon that says goodbye at the other node is not answered from memory here.
        let goodbye = json!({"runtime_ids": [world.r1]});
        other.bearer(&world.a.token).post("/api/daemon/deregister", goodbye).await.expect(200);
        eventually("the next beat brings it back", async || {
            world.a.beat(world.r1).await;
            gateway.value("SELECT status FROM agent_runtime WHERE id = $1", json!([world.r1])).await
                == "online"
        })
        .await;
        other.finish().await;
        gateway.finish().await;
    });
}

/// Where the gateway alone writes to SQLite, it does not look whether somebody else did; what it
/// queues itself is found, and so is then what others did.
#[test]
fn where_the_gateway_alone_writes_others_are_not_looked_for() {
    crate::harness::run_with(Engine::Sqlite, async |engine| {
        let gateway = exclusive(engine).await;
        let world = gateway.world().await;
        cost(&gateway, &world, world.r1, 2).await;
        let unseen = gateway.seed_issue_task(world.g1, json!({})).await;
        assert_eq!(world.a.claim(world.r1).await, None);
        let issue = json!({"title": "New", "assignee_type": "agent", "assignee_id": world.g1});
        world.a.post("/api/issues", issue).await.expect(201);
        assert_eq!(id_of(&world.a.claim_one(world.r1).await), unseen);
        gateway.finish().await;
    });
}

/// The task that another node queued, as soon as this one has heard of it.
async fn hinted(world: &World) -> Uuid {
    let mut claimed = None;
    eventually("the other node's hint arrives", async || {
        claimed = world.a.claim(world.r1).await;
        claimed.is_some()
    })
    .await;
    id_of(&claimed.unwrap())
}

/// Domain items 52 and 58: whatever brings a task into the queue ends the proof that it is empty.
#[apply(on_both)]
async fn work_is_found_by_the_next_poll_however_it_came(engine: Engine) {
    let gateway = quiet(engine).await;
    let world = gateway.world().await;
    cost(&gateway, &world, world.r1, 2).await;

    // Given to the agent by a person.
    let issue = json!({"title": "New", "assignee_type": "agent", "assignee_id": world.g1});
    world.a.post("/api/issues", issue).await.ok();
    let task = world.a.run_one(world.r1).await;
    assert_eq!(world.a.claim(world.r1).await, None);

    // Tried again after a failure.
    world.a.fail(task, json!({"error": "x", "failure_reason": "timeout"})).await;
    let again = world.a.run_one(world.r1).await;
    world.a.complete(again, json!({"output": "ok"})).await;
    assert_eq!(world.a.claim(world.r1).await, None);

    // Said in a chat.
    let chat = world.a.post("/api/chat/sessions", json!({"agent_id": world.g1})).await.expect(201);
    let path = format!("/api/chat/sessions/{}/messages", id_of(&chat));
    world.a.post(path, json!({"content": "Hi"})).await.expect(201);
    let task = world.a.run_one(world.r1).await;
    world.a.complete(task, json!({"output": "ok"})).await;
    assert_eq!(world.a.claim(world.r1).await, None);

    // Put there by an autopilot, without a word to anybody but the daemon.
    let autopilot = json!({"title": "T", "assignee_id": world.g1, "execution_mode": "run_only"});
    let autopilot = id_of(&world.a.post("/api/autopilots", autopilot).await.expect(201));
    world.a.post(format!("/api/autopilots/{autopilot}/trigger"), ()).await.expect(200);
    let task = world.a.run_one(world.r1).await;
    world.a.complete(task, json!({"output": "ok"})).await;
    assert_eq!(world.a.claim(world.r1).await, None);

    // Tried again by the sweep.
    let stuck = gateway.seed_issue_task(world.g1, json!({})).await;
    world.a.run_one(world.r1).await;
    gateway.change("agent_task_queue", stuck, "started_at", json!(ahead(-9100))).await;
    assert_eq!(world.a.claim(world.r1).await, None);
    gateway.admin().post("/admin/sweep", ()).await.expect(200);
    let again = world.a.run_one(world.r1).await;
    world.a.complete(again, json!({"output": "ok"})).await;
    assert_eq!(world.a.claim(world.r1).await, None);

    // Brought along by a daemon that changed its name.
    let old = world.a.register("dm-old", "codex").await;
    let agent = gateway.seed_agent(old, "Moved", json!({})).await;
    let new = world.a.register("dm-new", "codex").await;
    cost(&gateway, &world, new, 1).await;
    let task = gateway.seed_issue_task(agent, json!({})).await;
    let merge = json!({
        "daemon_id": "dm-new", "device_name": "mac", "cli_version": "1", "legacy_daemon_ids": ["dm-old"],
        "runtimes": [{"type": "codex", "version": "1", "status": "online"}],
    });
    world.a.register_with(merge).await.ok();
    assert_eq!(id_of(&world.a.claim_one(new).await), task);
    gateway.finish().await;
}

/// Rows that an operator writes with a tool of their own count at once.
#[apply(on_both)]
async fn rows_that_others_write_are_found(engine: Engine) {
    let gateway = quiet(engine).await;
    let world = gateway.world().await;
    for _ in 0..3 {
        cost(&gateway, &world, world.r1, 2).await;
        let task = gateway.seed_issue_task(world.g1, json!({})).await;
        assert_eq!(world.a.run_one(world.r1).await, task);
        world.a.complete(task, json!({"output": "ok"})).await;
    }
    gateway.finish().await;
}

/// Domain items 46 and 50: a task that may be handed out again and a queue that is only blocked are
/// no empty queue.
#[apply(on_both)]
async fn only_an_idle_runtime_is_remembered(engine: Engine) {
    let gateway = quiet(engine).await;
    let world = gateway.world().await;
    let lost = gateway.seed_issue_task(world.g1, json!({})).await;
    world.a.claim_one(world.r1).await;
    assert_eq!(world.a.claim(world.r1).await, None);
    let row = "UPDATE agent_task_queue SET dispatched_at = $2, prepare_lease_expires_at = $2 WHERE id = $1";
    gateway.execute(row, json!([lost, ahead(-100)])).await;
    assert_eq!(id_of(&world.a.claim_one(world.r1).await), lost);
    world.a.start(lost).await;

    gateway.change("agent", world.g1, "max_concurrent_tasks", json!(1)).await;
    let blocked = gateway.seed_issue_task(world.g1, json!({})).await;
    assert_eq!(world.a.claim(world.r1).await, None);
    gateway.change("agent", world.g1, "max_concurrent_tasks", json!(2)).await;
    assert_eq!(id_of(&world.a.claim_one(world.r1).await), blocked);
    world.a.start(blocked).await;
    for task in [lost, blocked] {
        world.a.complete(task, json!({"output": "ok"})).await;
    }

    let later = json!({"status": "deferred", "fire_at": ahead(300)});
    let fallback = gateway.seed_issue_task(world.g1, later).await;
    assert_eq!(world.a.claim(world.r1).await, None);
    gateway.change("agent_task_queue", fallback, "fire_at", json!(ahead(-1))).await;
    assert_eq!(id_of(&world.a.claim_one(world.r1).await), fallback);
    gateway.finish().await;
}

/// A runtime that is gone is said to be gone, also by a poll that is answered from memory.
#[apply(on_both)]
async fn a_deleted_runtime_is_absent_at_its_next_poll(engine: Engine) {
    let gateway = quiet(engine).await;
    let world = gateway.world().await;
    let runtime = world.a.register("dm-9", "codex").await;
    cost(&gateway, &world, runtime, 2).await;
    world.a.delete(format!("/api/runtimes/{runtime}")).await.ok();
    world.a.claiming(runtime).await.refused(404, "runtime not found");
    world.m2.claiming(world.r1).await.refused(404, "not found");
    gateway.finish().await;
}

/// Domain item 53: a task that comes while a poll finds nothing is found by the next.
#[apply(on_both)]
async fn a_task_that_comes_during_a_poll_is_found_by_the_next(engine: Engine) {
    let gateway = quiet(engine).await;
    let world = gateway.world().await;
    for round in 0..25 {
        let body =
            json!({"title": format!("Round {round}"), "assignee_type": "agent", "assignee_id": world.g1});
        let polls = (0..3).map(|_| world.a.claim(world.r1));
        let write = async { world.a.post("/api/issues", body).await.expect(201) };
        let (found, _) = tokio::join!(futures_util::future::join_all(polls), write);
        let task = match found.into_iter().flatten().next() {
            Some(task) => id_of(&task),
            None => id_of(&world.a.claim_one(world.r1).await),
        };
        world.a.start(task).await;
        world.a.complete(task, json!({"output": "ok"})).await;
        assert_eq!(world.a.claim(world.r1).await, None);
    }
    gateway.finish().await;
}

/// Domain item 56: whoever is woken finds the task, at once.
#[apply(on_both)]
async fn a_daemon_that_is_woken_finds_the_task(engine: Engine) {
    let gateway = quiet(engine).await;
    let world = gateway.world().await;
    let mut daemon = world.a.daemon_socket(&[world.r1]).await;
    daemon.beat(world.r1).await;
    for round in 0..10 {
        assert_eq!(world.a.claim(world.r1).await, None);
        let body =
            json!({"title": format!("Round {round}"), "assignee_type": "agent", "assignee_id": world.g1});
        let write = async { world.a.post("/api/issues", body).await.expect(201) };
        let wake = async {
            let woken = daemon.wait_for("daemon:task_available").await;
            let task = id_of(&world.a.claim_one(world.r1).await);
            assert_eq!(woken["task_id"], json!(task));
            task
        };
        let (_, task) = tokio::join!(write, wake);
        world.a.start(task).await;
        world.a.complete(task, json!({"output": "ok"})).await;
    }
    gateway.finish().await;
}

/// Domain item 57: a client that hangs up once its task is stored leaves no runtime that is
/// taken for idle.
#[apply(on_both)]
async fn a_client_that_hangs_up_leaves_its_task_to_be_found(engine: Engine) {
    let gateway = quiet(engine).await;
    let world = gateway.world().await;
    cost(&gateway, &world, world.r1, 2).await;
    let base = world.a.base();
    let host = base.strip_prefix("http://").unwrap();
    let body = json!({"title": "Gone", "assignee_type": "agent", "assignee_id": world.g1}).to_string();
    let request = format!(
        "POST /api/issues HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {}\r\nx-workspace-id: {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        world.a.token,
        world.w1,
        body.len(),
    );
    let mut caller = tokio::net::TcpStream::connect(host).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut caller, request.as_bytes()).await.unwrap();
    const STORED: &str = "SELECT count(*) FROM agent_task_queue";
    while gateway.value(STORED, json!([])).await == 0 {}
    drop(caller);
    let polling = async {
        loop {
            if let Some(task) = world.a.claim(world.r1).await {
                break task;
            }
        }
    };
    let patience = std::time::Duration::from_mins(1);
    let found = tokio::time::timeout(patience, polling).await.expect("the task is found");
    assert_eq!(found["thread_name"], "Gone");
    gateway.finish().await;
}
