//! A claim costs the same however long the past is and however much waits. What is held is what
//! the database does for it, which no machine's mood changes: rows that PostgreSQL looks at, steps
//! of SQLite's machine.

use macro_rules_attribute::apply;
use serde_json::json;
use uuid::Uuid;

use crate::harness::{About, Engine, Gateway, Past, World, ahead, id_of};
use crate::plugins_scene::eventually;

/// As much more as a claim may cost.
const GROWTH: f64 = 1.2;
/// The least of several claims counts: what the first ones learn is no part of one.
const LOOKS: usize = 4;

/// What reads more is shown, because it explains a failure.
const MANY: f64 = 100.0;

struct Claims<'a> {
    gateway: &'a Gateway,
    world: &'a World,
    runtime: Uuid,
    agent: Uuid,
}

impl Claims<'_> {
    async fn enqueue(&self) -> Uuid {
        let issue = json!({"title": Uuid::new_v4(), "assignee_type": "agent", "assignee_id": self.agent});
        let issue = id_of(&self.world.a.post("/api/issues", issue).await.expect(201));
        let task = "SELECT id FROM agent_task_queue WHERE issue_id = $1";
        self.gateway.value(task, json!([issue])).await.as_str().unwrap().parse().unwrap()
    }

    /// What one claim costs.
    async fn cost(&self) -> f64 {
        let daemon = &self.world.m1;
        let mut least = f64::MAX;
        for _ in 0..LOOKS {
            let queued = self.enqueue().await;
            let mut claimed = Uuid::nil();
            let claim = async || claimed = id_of(&daemon.claim_one(self.runtime).await);
            let statements = self.gateway.statements_of(claim).await;
            assert_eq!(claimed, queued);
            daemon.start(queued).await;
            daemon.complete(queued, json!({"output": "done"})).await;
            let cost = if self.gateway.engine == Engine::Sqlite {
                let task = self.enqueue().await;
                let about = About { runtime: self.runtime, agent: self.agent, task };
                let (steps, left) = self.gateway.steps(&statements, about).await;
                assert_eq!(left, 1, "the statements of a claim hand out what waits: {statements:?}");
                assert_eq!(daemon.run_one(self.runtime).await, task);
                daemon.complete(task, json!({"output": "done"})).await;
                f64::from(u32::try_from(steps).unwrap())
            } else {
                let mut rows = 0.0;
                for statement in &statements {
                    for read in self.gateway.reads(statement).await {
                        rows += read.rows;
                        if read.rows > MANY {
                            eprintln!(
                                "{} rows of {} by {} in\n{}",
                                read.rows, read.table, read.how, statement.text
                            );
                        }
                    }
                }
                rows
            };
            least = least.min(cost);
        }
        least
    }
}

#[track_caller]
fn held(what: &str, before: f64, after: f64) {
    eprintln!("{what}, rows or steps: {before} before, {after} after, {:.2} times", after / before);
    assert!(after <= before * GROWTH, "{what}: a claim costs {after}, and cost {before} before");
}

async fn observed(engine: Engine) -> Gateway {
    Gateway::setup(engine).observed().start().await
}

/// Tasks that ended, everywhere and of this very agent, and tasks that wait elsewhere.
#[apply(on_both)]
async fn a_claim_does_not_grow_with_the_past(engine: Engine) {
    let gateway = observed(engine).await;
    let world = gateway.world().await;
    let claims = Claims { gateway: &gateway, world: &world, runtime: world.r1, agent: world.g1 };
    let empty = claims.cost().await;
    gateway.seed_past(&world, Past { agents: 100, spread: 8000, piled: 8000, waiting: 1200 }).await;
    gateway.analyze().await;
    held("with a past", empty, claims.cost().await);
    gateway.finish().await;
}

/// What waits on the same runtime for an agent that is full, ahead of everything else.
#[apply(on_both)]
async fn a_claim_does_not_grow_with_what_waits_for_a_full_agent(engine: Engine) {
    let gateway = observed(engine).await;
    let world = gateway.world().await;
    let claims = Claims { gateway: &gateway, world: &world, runtime: world.r1, agent: world.g1 };
    let empty = claims.cost().await;
    let full = gateway.seed_agent(world.r1, "Full", json!({"max_concurrent_tasks": 1})).await;
    let running = json!({"status": "running", "dispatched_at": ahead(0), "started_at": ahead(0)});
    gateway.seed_issue_task(full, running).await;
    gateway.seed_many(full, world.r1, "queued", 12).await;
    let few = claims.cost().await;
    eprintln!("a blocked head costs {:.2} times a free one", few / empty);
    gateway.seed_many(full, world.r1, "queued", 3000).await;
    held("behind 3,012 blocked tasks", few, claims.cost().await);
    // What a database knows of its rows is no reason to read them, either.
    gateway.analyze().await;
    let counted = claims.cost().await;
    gateway.seed_many(full, world.r1, "queued", 6000).await;
    gateway.analyze().await;
    held("behind 9,012 blocked tasks that were counted", counted, claims.cost().await);
    gateway.finish().await;
}

/// Rows are mostly counted while nothing waits, because mostly nothing does. A database that expects
/// nothing in the queue must not read all of it when there is much.
#[apply(on_both)]
async fn a_claim_does_not_grow_where_rows_were_counted_while_nothing_waited(engine: Engine) {
    let gateway = observed(engine).await;
    let world = gateway.world().await;
    let claims = Claims { gateway: &gateway, world: &world, runtime: world.r1, agent: world.g1 };
    let empty = claims.cost().await;
    gateway.seed_many(world.g2, world.r2, "queued", 3000).await;
    let over = "UPDATE agent_task_queue SET status = 'cancelled' WHERE agent_id = $1";
    gateway.execute(over, json!([world.g2])).await;
    gateway.analyze().await;
    gateway.seed_many(world.g2, world.r2, "queued", 3000).await;
    held("beside 3,000 that nobody expected", empty, claims.cost().await);
    gateway.finish().await;
}

/// How often PostgreSQL was asked to count the table; what it counts by its own clock is not of it.
async fn counted(gateway: &Gateway, table: &str) -> i64 {
    const SQL: &str = "SELECT analyze_count FROM pg_stat_user_tables WHERE relname = $1";
    gateway.value(SQL, json!([table])).await.as_i64().unwrap()
}

/// While tasks come in, PostgreSQL counts the tables that filled up meanwhile. To count a long one
/// takes the time of a thousand claims, so that it is not done where a few rows more came to many.
#[tokio::test]
async fn a_table_is_counted_when_it_filled_up_and_not_for_a_few_rows_more() {
    let gateway = Gateway::setup(Engine::Postgres).flag("--sweep-every=0").start().await;
    let world = gateway.world().await;
    gateway.seed_many(world.g1, world.r1, "completed", 4000).await;
    gateway.execute("ANALYZE agent_task_queue", json!(null)).await;
    let before = counted(&gateway, "agent_task_queue").await;
    for number in 0..50 {
        let issue = json!({"title": format!("T{number}"), "assignee_type": "agent", "assignee_id": world.g1});
        world.a.post("/api/issues", issue).await.expect(201);
    }
    // The queue would be counted before issues are.
    eventually("issues are counted", async || counted(&gateway, "issue").await > 0).await;
    assert_eq!(counted(&gateway, "agent_task_queue").await, before);
    gateway.finish().await;
}
