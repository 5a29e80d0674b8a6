//! How statements reach their rows: by an index, and no more rows than they need, in databases
//! of every shape. The statements are those that the gateway sends, so that none is forgotten.

use std::collections::{BTreeMap, BTreeSet};

use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Engine, Gateway, Past, World, ahead, id_of};

/// Tables of which there are never many rows, however long a gateway lives.
const SMALL: [&str; 7] = [
    "admin_token",
    "server_secret",
    "plugin_generation",
    "plugin_generation_member",
    "plugin_component",
    "plugin_node",
    "autopilot_trigger",
];

/// No step of a statement looks at more rows than this, however many there are.
const ROWS: f64 = 60.0;

/// Statements that may read more, by a part of their text, of which table where that is not said
/// by the reason, and why.
const EXCUSED: [(&str, &str, &str); 12] = [
    (
        "status = 'online' AND last_seen_at <",
        "",
        "a sweep's; runtimes are few, and an index would move with every beat",
    ),
    ("r.status = 'offline' AND r.last_seen_at <", "", "a sweep's; as above"),
    ("r.status = 'offline' AND t.status IN", "", "a sweep's; reads what is in flight"),
    ("AND status = 'dispatched' AND dispatched_at <", "", "a sweep's; reads what is in flight"),
    ("WHERE status = 'queued' AND created_at <", "", "a sweep's; reads what waits where that is little"),
    ("WHERE lower(status) = 'queued' AND created_at <", "", "as above"),
    (
        "WHERE runtime_id = $1 AND status IN ('dispatched'",
        "",
        "a daemon that starts; reads what is in flight",
    ),
    (
        "runtime_id = $1 AND status IN ('queued', 'dispatched')",
        "",
        "whoever looks into a runtime; reads what waits",
    ),
    ("started_at IS NOT NULL ORDER BY started_at DESC LIMIT 1", "", "reads an agent's runs on one issue"),
    ("ORDER BY COALESCE(completed_at, started_at, dispatched_at", "", "reads an agent's runs on one issue"),
    ("action = 'squad_leader_evaluated'", "activity_log", "reads what happened on one issue"),
    (
        "SELECT DISTINCT runtime_id, kind FROM pending_request",
        "",
        "once a minute; reads what no daemon fetched yet",
    ),
];

/// Statements that must have been looked at, by a part of their text: what daemons ask all day.
const HOT: [&str; 23] = [
    "AS claimable",
    "'deferred' AND fire_at <=",
    "claim_epoch = claim_epoch + 1",
    "WITH RECURSIVE waiting",
    "INSERT INTO task_token",
    "AS has_ended_runs",
    "FROM task_token WHERE token_hash",
    "FROM daemon_token WHERE token_hash",
    "FROM agent_runtime WHERE id",
    "SET status = 'online'",
    "SET status = 'running'",
    "SET status = 'completed'",
    "SET status = 'failed'",
    "SET prepare_lease_expires_at",
    "INSERT INTO task_message",
    "FROM task_message WHERE task_id",
    "INSERT INTO task_usage",
    "INSERT INTO agent_task_queue",
    "DELETE FROM task_token WHERE task_id",
    "UPDATE pending_request SET status = 'running'",
    "status = 'online' AND last_seen_at <",
    "status = 'dispatched' AND dispatched_at <",
    "FROM task_token WHERE expires_at",
];

/// Where a day's work is done.
struct Place<'a> {
    gateway: &'a Gateway,
    world: &'a World,
    runtime: Uuid,
    agent: Uuid,
}

impl Place<'_> {
    async fn issue(&self, title: &str) -> Uuid {
        // Two of one title that are open are one too many.
        let title = format!("{title} {}", Uuid::new_v4());
        let issue = json!({"title": title, "assignee_type": "agent", "assignee_id": self.agent});
        id_of(&self.world.a.post("/api/issues", issue).await.expect(201))
    }

    async fn report(&self, task: Uuid, what: &str, body: Value) {
        let reply = self.world.m1.post(format!("/api/daemon/tasks/{task}/{what}"), body).await;
        assert!([200, 204].contains(&reply.status), "{reply}");
    }

    /// A whole life of what is claimed next.
    async fn life(&self) {
        let daemon = &self.world.m1;
        let claimed = daemon.claim_one(self.runtime).await;
        let task = id_of(&claimed);
        self.gateway.bearer(claimed["auth_token"].as_str().unwrap()).get("/api/me").await.expect(200);
        let lease = format!("/api/daemon/runtimes/{}/tasks/{task}/prepare-lease", self.runtime);
        daemon.post(lease, ()).await.expect(200);
        daemon.start(task).await;
        let messages = json!({"messages": [{"seq": 1, "type": "text", "content": "Reading."}]});
        self.report(task, "messages", messages).await;
        let usage = json!({"usage": [{"provider": "claude", "model": "m", "input_tokens": 1}]});
        self.report(task, "usage", usage).await;
        self.report(task, "session", json!({"session_id": "one", "work_dir": "/w"})).await;
        daemon.get(format!("/api/daemon/tasks/{task}/messages")).await.expect(200);
        assert_eq!(daemon.status_of(task).await, "running");
        daemon.complete(task, json!({"output": "Done: the change is in the branch."})).await;
    }

    /// All that happens all day.
    async fn day(&self) {
        let (gateway, world, daemon) = (self.gateway, self.world, &self.world.m1);
        let owner = &world.a;
        daemon.beat(self.runtime).await;
        // What the day before left behind.
        while let Some(task) = daemon.claim(self.runtime).await {
            daemon.start(id_of(&task)).await;
            daemon.complete(id_of(&task), json!({"output": "done"})).await;
        }
        self.issue("New").await;
        self.life().await;
        // On an issue with a past, after a word of a person.
        let said = json!({"content": "And now?"});
        owner.post(format!("/api/issues/{}/comments", world.i1), said).await.expect(201);
        self.life().await;
        let chat =
            id_of(&owner.post("/api/chat/sessions", json!({"agent_id": self.agent})).await.expect(201));
        for words in ["Hello", "And?"] {
            let said = json!({"content": words});
            owner.post(format!("/api/chat/sessions/{chat}/messages"), said).await.expect(201);
            self.life().await;
        }
        gateway.seed_quick_create(self.agent, "write it down", json!({})).await;
        self.life().await;
        // One that fails is tried again.
        self.issue("Fails").await;
        let task = daemon.run_one(self.runtime).await;
        daemon.fail(task, json!({"error": "x", "failure_reason": "timeout"})).await;
        self.life().await;
        // One whose answer was lost is handed out again, and one is due.
        let lost = json!({"status": "dispatched", "dispatched_at": ahead(-100)});
        gateway.seed_issue_task(self.agent, lost).await;
        self.life().await;
        let due = json!({"status": "deferred", "fire_at": ahead(-1)});
        gateway.seed_issue_task(self.agent, due).await;
        self.life().await;
        let asked = owner.post(format!("/api/runtimes/{}/models", self.runtime), json!({})).await.expect(200);
        daemon.beat(self.runtime).await;
        let result =
            format!("/api/daemon/runtimes/{}/models/{}/result", self.runtime, asked["id"].as_str().unwrap());
        daemon.post(result, json!({"status": "completed", "models": []})).await.expect(200);
        daemon.get(format!("/api/daemon/runtimes/{}/tasks/pending", self.runtime)).await.expect(200);
        daemon.post(format!("/api/daemon/runtimes/{}/recover-orphans", self.runtime), ()).await.expect(200);
        daemon.post("/api/daemon/deregister", json!({"runtime_ids": [self.runtime]})).await.expect(200);
        daemon.beat(self.runtime).await;
        gateway.admin().post("/admin/sweep", ()).await.expect(200);
    }
}

/// Days of work in a database that was empty first and then is as `past` says, and counted.
async fn check(engine: Engine, past: Past) {
    let gateway = Gateway::setup(engine).observed().start().await;
    let world = gateway.world().await;
    let busy =
        gateway.seed_runtime(world.w1, world.a.id, json!({"daemon_id": "dm-1", "provider": "codex"})).await;
    let free = gateway.seed_agent(busy, "Free", json!({})).await;
    block(&gateway, busy).await;
    let places = [(world.r1, world.g1), (busy, free)];
    let mut faults = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for when in ["empty", "filled"] {
        if when == "filled" {
            gateway.seed_past(&world, past).await;
            gateway.analyze().await;
        }
        for (runtime, agent) in places {
            gateway.change("issue", world.i1, "assignee_type", json!("agent")).await;
            gateway
                .execute("UPDATE issue SET assignee_id = $2 WHERE id = $1", json!([world.i1, agent]))
                .await;
            let place = Place { gateway: &gateway, world: &world, runtime, agent };
            for statement in gateway.statements_of(async || place.day().await).await {
                let excused = |table: &str| {
                    EXCUSED
                        .iter()
                        .any(|(part, of, _)| statement.text.contains(part) && (of.is_empty() || *of == table))
                };
                for read in gateway.reads(&statement).await {
                    // PostgreSQL says how many rows it looked at, and may read a small table whole. SQLite
                    // says how it would go about it.
                    let whole = read.whole && engine == Engine::Sqlite;
                    let too_much = when == "filled" && (whole || read.rows > ROWS);
                    if too_much && !excused(&read.table) && !SMALL.contains(&&*read.table) {
                        let what = format!(
                            "{}: {} ({} rows) in\n{}",
                            read.table, read.how, read.rows, statement.text
                        );
                        faults.entry(what).or_insert(when);
                    }
                }
                seen.insert(statement.text);
            }
        }
    }
    let missing = HOT.iter().filter(|part| !seen.iter().any(|text| text.contains(**part)));
    assert_eq!(missing.collect::<Vec<_>>(), Vec::<&&str>::new(), "these were never sent");
    let faults: Vec<String> =
        faults.into_iter().map(|(what, when)| format!("when {when}, {what}\n")).collect();
    assert!(faults.is_empty(), "{} steps read too much:\n{}", faults.len(), faults.join("\n"));
    gateway.finish().await;
}

/// The head of the runtime's queue is blocked, which sends a claim the longer way.
async fn block(gateway: &Gateway, runtime: Uuid) {
    let full = gateway.seed_agent(runtime, "Full", json!({"max_concurrent_tasks": 1})).await;
    let running = json!({"status": "running", "dispatched_at": ahead(0), "started_at": ahead(0)});
    gateway.seed_issue_task(full, running).await;
    for _ in 0..12 {
        gateway.seed_issue_task(full, json!({"priority": 4})).await;
    }
}

/// Much of everything, nothing of it more than the rest.
#[apply(on_both)]
async fn in_a_huge_database_every_statement_finds_its_rows_by_an_index(engine: Engine) {
    check(engine, Past { agents: 2000, spread: 8000, piled: 0, waiting: 3000 }).await;
}

/// One agent and one issue have nearly all of it.
#[apply(on_both)]
async fn in_a_skewed_database_every_statement_finds_its_rows_by_an_index(engine: Engine) {
    check(engine, Past { agents: 2000, spread: 2000, piled: 8000, waiting: 200 }).await;
}

/// Tables that grow with use, and rows that hang on what may be deleted any day. A workspace or a
/// person goes with everything, and seldom.
const GROWING: [&str; 7] = [
    "agent_task_queue",
    "task_token",
    "task_message",
    "task_usage",
    "comment",
    "chat_message",
    "activity_log",
];
const SELDOM: [&str; 2] = ["workspace", "user"];
/// There are as many tokens as tasks in flight.
const FEW: (&str, &str) = ("task_token", "agent_id");

/// A row that is deleted takes others along, or makes them forget it. The database looks for them
/// itself, so it needs an index. The schemas are pairs, so one is looked at.
#[test]
fn what_hangs_on_a_row_is_found_by_an_index() {
    crate::harness::run(Engine::Sqlite, async |gateway: &Gateway| {
        const KEYS: &str = "SELECT t.name AS child, k.\"from\" AS name, k.\"table\" AS parent
            FROM sqlite_schema t, pragma_foreign_key_list(t.name) k WHERE t.type = 'table'";
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let mut looked_at = 0;
        for key in gateway.rows(KEYS, Value::Null).await {
            let [child, column, parent] = [&key["child"], &key["name"], &key["parent"]].map(text);
            let (child, column) = (child.as_str(), column.as_str());
            if !GROWING.contains(&child) || SELDOM.contains(&&*parent) || (child, column) == FEW {
                continue;
            }
            let sql = format!("EXPLAIN QUERY PLAN SELECT 1 FROM {child} WHERE {column} = $1");
            let plan = gateway.rows(&sql, Value::Null).await;
            assert!(text(&plan[0]["detail"]).starts_with("SEARCH"), "{child}.{column}: {plan:?}");
            looked_at += 1;
        }
        assert!(looked_at >= 10, "{looked_at}");
    });
}
