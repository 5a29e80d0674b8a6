//! What a claim touches does not grow with what happened before it: steps of SQLite's own
//! machine, pages and rows of PostgreSQL. Time would say less, and not the same every day.

use std::collections::BTreeSet;

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Engine, Gateway, World};

/// Rows of history, and tasks that wait for an agent that is busy.
const HISTORY: i64 = 100_000;
const BLOCKED: i64 = 2_000;

/// How much more a claim may touch beside the history than in an empty table: a level of an
/// index, a page that is half full.
const BESIDE_HISTORY: f64 = 1.2;
/// … and beside the blocked tasks, on SQLite and on PostgreSQL. Not as it should be: every
/// task ahead is looked at before one that may leave is found. A claim that passes over an
/// agent without room, whatever waits for it, has this down to [`BESIDE_HISTORY`].
const BESIDE_BLOCKED: (f64, f64) = (100.0, 100.0);

/// The statements of a claim that look for work: those that ask for a runtime's tasks.
async fn looks_for_work(gateway: &Gateway, world: &World) -> BTreeSet<String> {
    gateway.seed_issue_task(world.g1, json!({})).await;
    let task = world.a.run_one(world.r1).await;
    world.a.complete(task, json!({"output": "Done: it works."})).await;
    let all = gateway.logged_statements().await;
    let found: BTreeSet<String> = all
        .into_iter()
        .filter(|sql| sql.contains("agent_task_queue") && sql.contains("runtime_id = $"))
        .filter(|sql| sql.contains("status = 'queued'") || sql.contains("'dispatched'"))
        .collect();
    assert!(found.iter().any(|sql| sql.contains("SET status = 'dispatched'")), "no claim among {found:#?}");
    found
}

/// The statement with values in it, found by what each is compared with.
fn filled(sql: &str, engine: Engine, runtime: Uuid, agent: Uuid) -> String {
    let id = |id: Uuid| match engine {
        Engine::Sqlite => format!("X'{}'", id.simple()),
        Engine::Postgres => format!("'{id}'::uuid"),
    };
    let now = match engine {
        Engine::Sqlite => "strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')".to_owned(),
        Engine::Postgres => "now()".to_owned(),
    };
    let mut parts = sql.split('$');
    let mut text = parts.next().unwrap().to_owned();
    for part in parts {
        let digits = part.chars().take_while(char::is_ascii_digit).count();
        let value = if text.ends_with("runtime_id = ") {
            id(runtime)
        } else if text.ends_with("ANY(") {
            format!("ARRAY[{}]", id(agent))
        } else {
            now.clone()
        };
        text += &value;
        text += &part[digits..];
    }
    text
}

async fn cost(gateway: &Gateway, world: &World, statements: &BTreeSet<String>) -> u64 {
    let mut total = 0;
    for sql in statements {
        total += gateway.touched(&filled(sql, gateway.engine, world.r1, world.g1)).await;
    }
    total
}

#[apply(on_both)]
async fn a_claim_touches_no_more_beside_a_long_history(engine: Engine) {
    let gateway = Gateway::talkative(engine).start().await;
    let world = gateway.world().await;
    let statements = looks_for_work(&gateway, &world).await;
    gateway.seed_issue_task(world.g1, json!({})).await;
    let empty = cost(&gateway, &world, &statements).await;
    insert(&gateway, &world, world.g1, "completed", HISTORY).await;
    let full = cost(&gateway, &world, &statements).await;
    within(empty, full, BESIDE_HISTORY);
    gateway.finish().await;
}

#[apply(on_both)]
async fn a_claim_touches_no_more_beside_blocked_tasks(engine: Engine) {
    let gateway = Gateway::talkative(engine).start().await;
    let world = gateway.world().await;
    let statements = looks_for_work(&gateway, &world).await;
    let busy = gateway.seed_agent(world.r1, "Busy", json!({"max_concurrent_tasks": 1})).await;
    gateway.seed_quick_create(busy, "Now", json!({})).await;
    let running = world.a.run_one(world.r1).await;
    gateway.seed_quick_create(busy, "Later", json!({})).await;
    gateway.seed_issue_task(world.g1, json!({})).await;
    let few = cost(&gateway, &world, &statements).await;
    // All of them came before the one that may leave.
    insert(&gateway, &world, busy, "queued", BLOCKED).await;
    let many = cost(&gateway, &world, &statements).await;
    within(few, many, if engine == Engine::Sqlite { BESIDE_BLOCKED.0 } else { BESIDE_BLOCKED.1 });
    // What may leave does leave.
    let free = world.a.run_one(world.r1).await;
    assert_ne!(free, running);
    let agent = gateway.value("SELECT agent_id FROM agent_task_queue WHERE id = $1", json!([free])).await;
    assert_eq!(agent, json!(world.g1));
    let gone = "DELETE FROM agent_task_queue WHERE status = 'queued'";
    gateway.execute(gone, Value::Null).await;
    for task in [running, free] {
        world.a.complete(task, json!({"output": "Done: it works."})).await;
    }
    gateway.finish().await;
}

fn within(before: u64, after: u64, factor: f64) {
    let (before, after) =
        (f64::from(u32::try_from(before).unwrap()), f64::from(u32::try_from(after).unwrap()));
    assert!(before > 0.0, "nothing was measured");
    assert!(
        after <= before * factor,
        "{before} became {after}, which is {:.2} times as much",
        after / before
    );
}

async fn insert(gateway: &Gateway, world: &World, agent: Uuid, status: &str, count: i64) {
    gateway.seed_many(agent, world.r1, status, count).await;
    // What a server does by itself sooner or later.
    let tidy = if gateway.engine == Engine::Sqlite { "ANALYZE" } else { "VACUUM ANALYZE agent_task_queue" };
    gateway.execute(tidy, Value::Null).await;
}
