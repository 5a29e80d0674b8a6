//! How the database finds rows: by an index, whatever the tables hold. The statements are
//! those that the gateway sends, read from its log; none is written down here.

use std::collections::BTreeSet;

use macro_rules_attribute::apply;
use serde_json::{Value, json};

use crate::harness::{Engine, Gateway, World, ahead, id_of};

/// Tables that grow without a bound. The rest is as large as the organisation.
const GROWING: [&str; 8] = [
    "agent_task_queue",
    "task_token",
    "task_message",
    "task_usage",
    "issue",
    "comment",
    "pending_request",
    "personal_access_token",
];

/// A statement, known by a piece of it, that may read a whole table; where, and why.
struct Excuse {
    piece: &'static str,
    engine: Option<Engine>,
    fill: Option<Fill>,
    why: &'static str,
}

const fn excuse(
    piece: &'static str,
    engine: Option<Engine>,
    fill: Option<Fill>,
    why: &'static str,
) -> Excuse {
    Excuse { piece, engine, fill, why }
}

const EXCUSED: [Excuse; 7] = [
    excuse("SELECT DISTINCT runtime_id, kind FROM pending_request", None, None, "rows live for minutes"),
    excuse("UPDATE pending_request SET status = 'timeout'", None, None, "rows live for minutes"),
    excuse(
        "INSERT INTO agent_runtime",
        Some(Engine::Sqlite),
        None,
        "looks at children that only a changed key needs",
    ),
    excuse("DELETE FROM agent_runtime", Some(Engine::Sqlite), None, "a sweep, of runtimes unused for a week"),
    // Not as it should be. The first two lack an index and read everything on each sweep; the
    // last reads past the history when much of the queue waits for one runtime.
    excuse("DELETE FROM task_token", None, Some(Fill::Empty), "the tokens of a day"),
    excuse("WHERE status = 'dispatched' AND dispatched_at < $1", Some(Engine::Sqlite), None, "all tasks"),
    excuse(
        "AS claimable",
        Some(Engine::Postgres),
        Some(Fill::Skewed),
        "the planner hopes for an early match",
    ),
];

fn excused(sql: &str, engine: Engine, fill: Fill) -> bool {
    let fits = |excuse: &Excuse| {
        sql.contains(excuse.piece)
            && excuse.engine.is_none_or(|only| only == engine)
            && excuse.fill.is_none_or(|only| only == fill)
            && !excuse.why.is_empty()
    };
    EXCUSED.iter().any(fits)
}

/// Statements that must be among those that were looked at: the claim, what was lost, the
/// token, what is due, and what waits for a daemon.
const MUST_HAVE: [&str; 5] = [
    "SET status = 'dispatched'",
    "SET dispatched_at = ",
    "INSERT INTO task_token",
    "status = 'deferred'",
    "FROM pending_request",
];

/// How full the tables are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fill {
    Empty,
    /// Everything that waits does so for one agent and one runtime, after a long history.
    Skewed,
    /// A longer history.
    Huge,
}

#[apply(on_both)]
async fn hot_statements_use_an_index_in_empty_tables(engine: Engine) {
    check(engine, Fill::Empty).await;
}

#[apply(on_both)]
async fn hot_statements_use_an_index_in_skewed_tables(engine: Engine) {
    check(engine, Fill::Skewed).await;
}

#[apply(on_both)]
async fn hot_statements_use_an_index_in_huge_tables(engine: Engine) {
    check(engine, Fill::Huge).await;
}

async fn check(engine: Engine, fill: Fill) {
    let gateway = Gateway::talkative(engine).start().await;
    let world = gateway.world().await;
    let statements = live(&gateway, &world).await;
    // A look at the log that found nothing would pass for ever.
    for piece in MUST_HAVE {
        assert!(
            statements.iter().any(|sql| sql.contains(piece)),
            "`{piece}` was never sent: {statements:#?}"
        );
    }
    gateway.execute("DELETE FROM agent_task_queue", Value::Null).await;
    fill_tables(&gateway, &world, fill).await;
    let partial = gateway.partial_indexes().await;
    // What is filled is read as the planner thinks best; what is empty, as it can be at best.
    let by_cost = fill != Fill::Empty;
    let growing = if by_cost { &GROWING[..1] } else { &GROWING[..] };
    let mut faults = Vec::new();
    for sql in statements.iter().filter(|sql| !excused(sql, engine, fill)) {
        let plan = gateway.plan(sql, by_cost).await;
        if let Some(line) = reads_all(&plan, sql, growing, &partial) {
            faults.push(format!("{line}\n  in {sql}\n  by\n{plan}"));
        }
    }
    assert!(faults.is_empty(), "{fill:?} on {engine:?}:\n{}", faults.join("\n\n"));
    gateway.execute("DELETE FROM agent_task_queue", Value::Null).await;
    gateway.finish().await;
}

/// The line of a plan that reads a growing table from end to end, or a whole index of one.
fn reads_all<'p>(plan: &'p str, sql: &str, growing: &[&str], partial: &BTreeSet<String>) -> Option<&'p str> {
    let lines: Vec<&str> = plan.lines().map(str::trim).collect();
    let whole_index = |name: &str| !partial.contains(name);
    lines.iter().enumerate().find_map(|(at, line)| {
        let words: Vec<&str> = line.split_whitespace().skip_while(|word| *word == "->").collect();
        let found = match words.as_slice() {
            // SQLite; a table is called by its alias.
            ["SCAN", table, "USING", rest @ ..] => {
                let index = rest.iter().skip_while(|word| **word != "INDEX").nth(1);
                is_growing(table, sql, growing) && index.is_some_and(|index| whole_index(index))
            }
            ["SCAN", table, ..] => is_growing(table, sql, growing),
            // PostgreSQL.
            ["Seq", "Scan", "on", table, ..] | ["Parallel", "Seq", "Scan", "on", table, ..] => {
                growing.contains(table)
            }
            ["Index", "Scan", "using", index, "on", table, ..]
            | ["Index", "Only", "Scan", "using", index, "on", table, ..] => {
                let narrowed = lines.get(at + 1).is_some_and(|next| next.starts_with("Index Cond"));
                growing.contains(table) && !narrowed && whole_index(index)
            }
            _ => false,
        };
        found.then_some(*line)
    })
}

fn is_growing(name: &str, sql: &str, growing: &[&str]) -> bool {
    let alias = |table: &&&str| {
        let mut words = sql.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
        words.any(|word| word == **table) && {
            let text = sql.split_whitespace().collect::<Vec<_>>().join(" ");
            [format!("{table} {name} "), format!("{table} AS {name} ")].iter().any(|pair| text.contains(pair))
        }
    };
    growing.contains(&name) || growing.iter().any(|table| alias(&table))
}

/// A daemon's whole day, in every way that is hot: gives each statement once.
async fn live(gateway: &Gateway, world: &World) -> BTreeSet<String> {
    let daemon = &world.a;
    let mut socket = daemon.daemon_socket(&[world.r1]).await;
    daemon.beat(world.r1).await;
    socket.beat(world.r1).await;
    assert_eq!(daemon.claim(world.r1).await, None);
    // What was lost, what is due, what waits.
    let lost = json!({"status": "dispatched", "dispatched_at": ahead(-120)});
    gateway.seed_issue_task(world.g1, lost).await;
    gateway.seed_issue_task(world.g1, json!({"status": "deferred", "fire_at": ahead(-5)})).await;
    let issue = json!({"title": "New", "assignee_type": "agent", "assignee_id": world.g1});
    daemon.post("/api/issues", issue).await.ok();
    let update = format!("/api/runtimes/{}/update", world.r1);
    daemon.post(update, json!({"target_version": "9.9.9"})).await;
    daemon.beat(world.r1).await;
    for _ in 0..3 {
        let Some(task) = daemon.claim(world.r1).await else { break };
        let task = id_of(&task);
        daemon.start(task).await;
        let path = |verb: &str| format!("/api/daemon/tasks/{task}/{verb}");
        let messages = json!({"messages": [{"seq": 1, "type": "text", "content": "x"}]});
        daemon.post(path("messages"), messages).await.expect(200);
        let usage = json!({"usage": [{"provider": "claude", "model": "m", "input_tokens": 1}]});
        daemon.post(path("usage"), usage).await.expect(200);
        daemon.status_of(task).await;
        daemon.complete(task, json!({"output": "Done: it works."})).await;
    }
    gateway.admin().post("/admin/sweep", ()).await.expect(200);
    gateway.logged_statements().await
}

async fn fill_tables(gateway: &Gateway, world: &World, fill: Fill) {
    let parts: &[(&str, i64)] = match fill {
        Fill::Empty => &[],
        Fill::Skewed => &[("completed", 50_000), ("queued", 10_000)],
        Fill::Huge => &[("completed", 100_000)],
    };
    for (status, count) in parts {
        gateway.seed_many(world.g1, world.r1, status, *count).await;
    }
    // An empty table that is known to be empty is read however the planner likes.
    if fill != Fill::Empty {
        gateway.execute("ANALYZE", Value::Null).await;
    }
}
