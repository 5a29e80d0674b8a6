//! Much work for many: every task is done exactly once, and no agent has more at a time than it
//! may. `SWITCHYARD_DRAIN` sets how many tasks; the suite has a few hundred.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use futures_util::future::join_all;
use macro_rules_attribute::apply;
use serde_json::json;
use tokio::sync::{Barrier, Notify};
use uuid::Uuid;

use crate::harness::{Client, Engine, Gateway, id_of};

const AGENTS: usize = 50;
const DAEMONS: usize = 20;
/// Tasks that a daemon works on side by side.
const SLOTS: usize = 4;
const PRODUCERS: usize = 4;
/// What an agent may have at a time.
const CAP: usize = 2;

fn tasks() -> usize {
    std::env::var("SWITCHYARD_DRAIN").ok().and_then(|text| text.parse().ok()).unwrap_or(400)
}

struct Work {
    given: Cell<usize>,
    claimed: RefCell<BTreeSet<Uuid>>,
    /// Tasks of each agent from the answer to their claim to the report of their end.
    at_once: RefCell<BTreeMap<String, usize>>,
    most_at_once: Cell<usize>,
    completed: Cell<usize>,
    /// Where each slot waits with its first task until every slot has one: by then agents have all
    /// they may have, however slow the machine is.
    all_busy: Barrier,
    over: Notify,
}

impl Work {
    fn new() -> Self {
        Self {
            given: Cell::default(),
            claimed: RefCell::default(),
            at_once: RefCell::default(),
            most_at_once: Cell::default(),
            completed: Cell::default(),
            all_busy: Barrier::new(DAEMONS * SLOTS),
            over: Notify::new(),
        }
    }

    async fn produce(&self, user: &Client, agents: &[Uuid]) {
        while self.given.get() < tasks() {
            let nth = self.given.replace(self.given.get() + 1);
            let agent = agents[nth % AGENTS];
            let issue =
                json!({"title": format!("issue {nth}"), "assignee_type": "agent", "assignee_id": agent});
            user.post("/api/issues", issue).await.expect(201);
        }
    }

    /// Claims while there is something, and waits to be woken when there is not.
    async fn slot(&self, daemon: &Client, runtime: Uuid) {
        let mut socket = daemon.daemon_socket(&[runtime]).await;
        let mut is_first = true;
        loop {
            while let Some(task) = daemon.claim(runtime).await {
                // As seldom as can be: a runtime that is silent for minutes is taken for gone.
                if self.claimed.borrow().len().is_multiple_of(16) {
                    daemon.beat(runtime).await;
                }
                self.run(daemon, id_of(&task), task["agent_id"].as_str().unwrap(), is_first).await;
                is_first = false;
            }
            if self.completed.get() == tasks() {
                return;
            }
            tokio::select! {
                () = self.over.notified() => return,
                _ = socket.next() => {}
            }
        }
    }

    async fn run(&self, daemon: &Client, task: Uuid, agent: &str, is_first: bool) {
        assert!(self.claimed.borrow_mut().insert(task), "{task} was handed out twice");
        let at_once = {
            let mut at_once = self.at_once.borrow_mut();
            let count = at_once.entry(agent.to_owned()).or_default();
            *count += 1;
            *count
        };
        assert!(at_once <= CAP, "an agent has {at_once} tasks and may have {CAP}");
        self.most_at_once.set(self.most_at_once.get().max(at_once));
        if is_first {
            self.all_busy.wait().await;
        }
        daemon.start(task).await;
        *self.at_once.borrow_mut().get_mut(agent).unwrap() -= 1;
        daemon.complete(task, json!({"output": format!("done with {task}")})).await;
        self.completed.set(self.completed.get() + 1);
        if self.completed.get() == tasks() {
            self.over.notify_waiters();
        }
    }
}

#[apply(on_both)]
async fn a_full_queue_is_drained_exactly_once(engine: Engine) {
    // A slot that has work does not look at its socket for minutes.
    let gateway = Gateway::setup(engine).env("SWITCHYARD_SOCKET_TIMEOUT", "3600").start().await;
    let user = gateway.user();
    let mut runtimes = Vec::new();
    for number in 0..DAEMONS {
        runtimes.push(user.register(&format!("dm-{number}"), "claude").await);
    }
    let mut agents = Vec::new();
    for number in 0..AGENTS {
        let cap = json!({"max_concurrent_tasks": CAP});
        agents.push(gateway.seed_agent(runtimes[number % DAEMONS], &format!("Agent {number}"), cap).await);
    }
    let (work, began) = (Work::new(), Instant::now());
    let producers = join_all((0..PRODUCERS).map(|_| work.produce(&user, &agents)));
    producers.await;
    let slots = runtimes.iter().flat_map(|runtime| (0..SLOTS).map(|_| work.slot(&user, *runtime)));
    join_all(slots).await;

    let total = json!(tasks());
    assert_eq!(work.most_at_once.get(), CAP, "the agents were never busy enough to show anything");
    let count = async |sql: &str| gateway.value(sql, json!([])).await;
    const DONE: &str = "SELECT count(*) FROM agent_task_queue WHERE status = 'completed' AND attempt = 1";
    assert_eq!(count(DONE).await, total);
    assert_eq!(count("SELECT count(*) FROM agent_task_queue").await, total);
    assert_eq!(count("SELECT count(DISTINCT issue_id) FROM agent_task_queue").await, total);
    // Each end left its one word.
    assert_eq!(count("SELECT count(*) FROM comment").await, total);
    assert_eq!(count("SELECT count(DISTINCT content) FROM comment").await, total);
    println!("{} tasks of {AGENTS} agents on {DAEMONS} daemons in {:.1?}", tasks(), began.elapsed());
    gateway.finish().await;
}
