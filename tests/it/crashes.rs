//! The gateway is killed again and again while it is given work: what it said yes to is there
//! afterwards, once. `SWITCHYARD_KILLS` sets how often; the suite kills only a few times.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use macro_rules_attribute::apply;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Call, Client, Gateway, Reply, World, id_of};

const PRODUCERS: usize = 4;
const DAEMONS: usize = 8;
/// Issues that wait for their end; producers hold back when there are more.
const BACKLOG: usize = 40;

fn kills() -> usize {
    std::env::var("SWITCHYARD_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(6)
}

/// What the gateway said yes to.
#[derive(Default)]
struct Accepted {
    /// Titles of issues, with their ids.
    issues: RefCell<BTreeMap<String, Uuid>>,
    /// Comments that call an agent.
    comments: RefCell<BTreeSet<Uuid>>,
    /// Completions: the task, and its output.
    completed: RefCell<BTreeMap<Uuid, String>>,
    /// Messages: the task, and the numbers.
    messages: RefCell<BTreeSet<(Uuid, u32)>>,
    /// Tasks whose usage was taken.
    usage: RefCell<BTreeSet<Uuid>>,
    /// Answers of any kind: the clock by which kills are timed.
    answers: Cell<usize>,
    /// Calls that got none.
    unanswered: Cell<usize>,
    /// How often it was killed.
    killed: Cell<usize>,
}

impl Accepted {
    /// The answer, unless the call was cut off; whoever made it does not know what it did.
    async fn tell(&self, call: Call) -> Option<Reply> {
        let answer = call.attempt().await;
        let Ok(reply) = answer else {
            self.unanswered.set(self.unanswered.get() + 1);
            // The next gateway may be a moment away; others have their turn meanwhile.
            tokio::task::yield_now().await;
            return None;
        };
        self.answers.set(self.answers.get() + 1);
        assert!(reply.status < 500 || reply.status == 503, "{reply}");
        (reply.status < 500).then_some(reply)
    }

    /// As [`Accepted::tell`], again until there is an answer.
    async fn insist(&self, call: impl Fn() -> Call) -> Reply {
        loop {
            if let Some(reply) = self.tell(call()).await {
                return reply;
            }
        }
    }

    /// Whether producers should wait until some work is done.
    fn is_full(&self) -> bool {
        let given = self.issues.borrow().len() + self.comments.borrow().len();
        given > self.completed.borrow().len() + BACKLOG
    }

    fn is_over(&self) -> bool {
        self.killed.get() >= kills()
    }
}

/// Gives work until the last kill. A call without an answer is not repeated: nobody knows
/// whether it was taken.
async fn produce(accepted: &Accepted, user: &Client, agents: &[Uuid], number: usize) {
    for nth in 0.. {
        while accepted.is_full() {
            if accepted.is_over() {
                return;
            }
            tokio::task::yield_now().await;
        }
        if accepted.is_over() {
            return;
        }
        let agent = agents[nth % agents.len()];
        if nth % 3 == 2 {
            call(accepted, user, agent).await;
            continue;
        }
        let title = format!("issue {number}-{nth}");
        let body = json!({"title": title, "assignee_type": "agent", "assignee_id": agent});
        if let Some(reply) = accepted.tell(user.post("/api/issues", body)).await {
            accepted.issues.borrow_mut().insert(title, id_of(&reply.expect(201)));
        }
    }
}

/// Calls the agent by name, on an issue that is nobody's.
async fn call(accepted: &Accepted, user: &Client, agent: Uuid) {
    let Some(made) = accepted.tell(user.post("/api/issues", json!({"title": Uuid::new_v4()}))).await else {
        return;
    };
    let comments = format!("/api/issues/{}/comments", id_of(&made.expect(201)));
    let words = json!({"content": format!("[@Agent](mention://agent/{agent}) look at this")});
    if let Some(reply) = accepted.tell(user.post(comments, words)).await {
        accepted.comments.borrow_mut().insert(id_of(&reply.expect(201)));
    }
}

/// Claims and works until `stop` says that there is nothing left.
async fn work(accepted: &Accepted, daemon: &Client, runtime: Uuid, stop: impl AsyncFn() -> bool) {
    loop {
        let claimed =
            accepted.tell(daemon.claiming(runtime)).await.map(|reply| reply.expect(200)["task"].clone());
        match claimed {
            Some(task) if !task.is_null() => run(accepted, daemon, id_of(&task)).await,
            _ if stop().await => return,
            _ => tokio::task::yield_now().await,
        }
    }
}

async fn run(accepted: &Accepted, daemon: &Client, task: Uuid) {
    let at = |what: &str| format!("/api/daemon/tasks/{task}/{what}");
    let started = accepted.insist(|| daemon.post(at("start"), ())).await;
    // Refused where a start went through whose answer was lost.
    assert!(matches!(started.status, 200 | 400), "{started}");
    for seq in 1..=3 {
        let body = json!({"messages": [{"seq": seq, "type": "text", "content": format!("line {seq}")}]});
        if let Some(reply) = accepted.tell(daemon.post(at("messages"), body)).await {
            reply.expect(200);
            accepted.messages.borrow_mut().insert((task, seq));
        }
    }
    let usage =
        json!({"usage": [{"provider": "claude", "model": "m", "input_tokens": 7, "output_tokens": 5}]});
    accepted.insist(|| daemon.post(at("usage"), usage.clone())).await.expect(200);
    accepted.usage.borrow_mut().insert(task);
    let output = format!("done with {task}");
    let answer = accepted.insist(|| daemon.post(at("complete"), json!({"output": output}))).await;
    assert_eq!(answer.expect(200)["status"], "completed");
    accepted.completed.borrow_mut().insert(task, output);
}

/// Kills it when a number of calls was answered that differs from kill to kill, so that the
/// blow falls on ever other calls.
async fn kill(accepted: &Accepted, gateway: &Gateway) {
    let mut next = 0;
    for kill in 0..kills() {
        next = accepted.answers.get().max(next) + 5 + (kill * 37) % 61;
        while accepted.answers.get() < next {
            tokio::task::yield_now().await;
        }
        gateway.crash();
        accepted.killed.set(kill + 1);
    }
}

#[apply(on_both)]
async fn what_was_accepted_outlives_the_gateway(gateway: &Gateway) {
    let world = gateway.world().await;
    let mut agents = Vec::new();
    for number in 0..4 {
        let room = json!({"max_concurrent_tasks": 5});
        agents.push(gateway.seed_agent(world.r1, &format!("Agent {number}"), room).await);
    }
    let accepted = Accepted::default();
    let producers = join_all((0..PRODUCERS).map(|number| produce(&accepted, &world.a, &agents, number)));
    let daemons =
        join_all((0..DAEMONS).map(|_| work(&accepted, &world.m1, world.r1, async || accepted.is_over())));
    tokio::join!(producers, daemons, kill(&accepted, gateway));
    finish(gateway, &world, &accepted).await;
    check(gateway, &accepted).await;
    println!(
        "{} kills under {} answered calls, {} cut off: {} issues, {} calls, {} completions, {} messages, {} usage reports kept",
        accepted.killed.get(),
        accepted.answers.get(),
        accepted.unanswered.get(),
        accepted.issues.borrow().len(),
        accepted.comments.borrow().len(),
        accepted.completed.borrow().len(),
        accepted.messages.borrow().len(),
        accepted.usage.borrow().len(),
    );
}

/// The daemon comes back, says what it lost, and works until nothing is left.
async fn finish(gateway: &Gateway, world: &World, accepted: &Accepted) {
    const LEFT: &str =
        "SELECT count(*) FROM agent_task_queue WHERE status NOT IN ('completed', 'failed', 'cancelled')";
    let recover = format!("/api/daemon/runtimes/{}/recover-orphans", world.r1);
    world.m1.post(&recover, ()).await.expect(200);
    let nothing_left = async || gateway.value(LEFT, json!([])).await == json!(0);
    work(accepted, &world.m1, world.r1, nothing_left).await;
}

async fn check(gateway: &Gateway, accepted: &Accepted) {
    let none = json!([]);
    // Issues: each that was accepted, none twice; each with the one task that it began with.
    const ISSUES: &str = "SELECT i.id, i.title, count(t.id) AS tasks FROM issue i
        LEFT JOIN agent_task_queue t ON t.issue_id = i.id AND t.parent_task_id IS NULL
        WHERE i.title LIKE 'issue %' GROUP BY i.id, i.title";
    let rows = gateway.rows(ISSUES, none.clone()).await;
    let mut found = BTreeMap::new();
    for row in &rows {
        let title = row["title"].as_str().unwrap().to_owned();
        assert_eq!(row["tasks"], 1, "{row}");
        assert_eq!(found.insert(title, id_of(row)), None, "{row} is there twice");
    }
    for (title, id) in accepted.issues.borrow().iter() {
        assert_eq!(found.get(title), Some(id), "{title} was accepted and lost");
    }
    // Calls: each that was accepted, and whichever is there has the one task that it began with.
    const CALLS: &str = "SELECT c.id, count(t.id) AS tasks FROM comment c
        LEFT JOIN agent_task_queue t ON t.trigger_comment_id = c.id AND t.parent_task_id IS NULL
        WHERE c.author_type = 'member' GROUP BY c.id";
    let rows = gateway.rows(CALLS, none.clone()).await;
    for row in &rows {
        assert_eq!(row["tasks"], 1, "a call without its task: {row}");
    }
    let found: BTreeSet<Uuid> = rows.iter().map(id_of).collect();
    let lost: Vec<Uuid> = accepted.comments.borrow().difference(&found).copied().collect();
    assert!(lost.is_empty(), "comments were accepted and lost: {lost:?}");
    // Completions, and the comments that they leave.
    const TASKS: &str = "SELECT id, status FROM agent_task_queue";
    let rows = gateway.rows(TASKS, none.clone()).await;
    let status: BTreeMap<Uuid, &Value> = rows.iter().map(|row| (id_of(row), &row["status"])).collect();
    const COMMENTS: &str = "SELECT content, count(*) AS copies FROM comment GROUP BY content";
    let rows = gateway.rows(COMMENTS, none.clone()).await;
    let copies: BTreeMap<&str, &Value> =
        rows.iter().map(|row| (row["content"].as_str().unwrap(), &row["copies"])).collect();
    for (task, output) in accepted.completed.borrow().iter() {
        assert_eq!(status[task], "completed", "the completion of {task} was lost");
        assert_eq!(copies.get(output.as_str()), Some(&&json!(1)), "{output}");
    }
    // Messages.
    const MESSAGES: &str = "SELECT task_id, seq, count(*) AS copies FROM task_message GROUP BY task_id, seq";
    let rows = gateway.rows(MESSAGES, none.clone()).await;
    let mut seen = BTreeSet::new();
    for row in &rows {
        assert_eq!(row["copies"], 1, "{row}");
        let task: Uuid = row["task_id"].as_str().unwrap().parse().unwrap();
        seen.insert((task, u32::try_from(row["seq"].as_u64().unwrap()).unwrap()));
    }
    let lost: Vec<_> = accepted.messages.borrow().difference(&seen).copied().collect();
    assert!(lost.is_empty(), "messages were accepted and lost: {lost:?}");
    // Usage.
    const USAGE: &str = "SELECT task_id, input_tokens, output_tokens FROM task_usage";
    let rows = gateway.rows(USAGE, none).await;
    let mut reported = BTreeSet::new();
    for row in &rows {
        assert_eq!((&row["input_tokens"], &row["output_tokens"]), (&json!(7), &json!(5)), "{row}");
        assert!(reported.insert(row["task_id"].as_str().unwrap().parse().unwrap()), "{row} is there twice");
    }
    let lost: Vec<Uuid> = accepted.usage.borrow().difference(&reported).copied().collect();
    assert!(lost.is_empty(), "usage was accepted and lost: {lost:?}");
}
