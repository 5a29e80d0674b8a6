//! What the fault tests share: a PostgreSQL server of their own, three nodes on it, daemons that
//! go to another node at every call, and a ledger of everything they were told.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::harness::{Client, Engine, Gateway, World, id_of, postgres};
use crate::plugins_scene::eventually;

pub const NODES: usize = 3;
const DAEMONS: usize = 6;
/// Issues of an agent that wait to be claimed; producers hold back when there are more.
const BACKLOG: usize = 4;
/// A node that does not answer within this is asked no more, as a daemon would do.
const PATIENCE: Duration = Duration::from_secs(3);
/// What keeps the load from being all that the machine does.
const PACE: Duration = Duration::from_millis(15);

/// Commits are written before they are answered, so that a crash of the server shows what is
/// lost; a word on standard input crashes it and starts it again.
const SCRIPT: &str = r#"
set -e
"$1/initdb" -D "$2/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync --no-instructions >"$2/initdb.log" 2>&1
start() {
    "$1/pg_ctl" -D "$2/data" -w -t 120 -l "$2/server.log" \
        -o "-k $2 -c listen_addresses= -c fsync=off -c max_connections=200 -c shared_buffers=64MB" start >/dev/null
}
start "$1" "$2"
echo ready
while read -r word; do
    "$1/pg_ctl" -D "$2/data" -m immediate stop >/dev/null
    start "$1" "$2"
    echo ready
done
"$1/pg_ctl" -D "$2/data" -m immediate stop >/dev/null
rm -rf "$2"
"#;

/// A server that a test may take away.
pub struct Server {
    folder: PathBuf,
    shell: RefCell<Child>,
    words: RefCell<Option<BufReader<std::process::ChildStdout>>>,
}

impl Server {
    pub async fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("switchyard-it-").tempdir_in("/tmp").unwrap().keep();
        let mut shell = postgres::script(SCRIPT, &postgres::binaries(), &folder).spawn().unwrap();
        let words = BufReader::new(shell.stdout.take().unwrap());
        let server = Self { folder, shell: RefCell::new(shell), words: RefCell::new(Some(words)) };
        server.ready().await;
        server
    }

    pub fn url(&self) -> String {
        format!("postgres://postgres@localhost/postgres?host={}", self.folder.display())
    }

    /// Ends it as a crash would, and starts it again.
    pub async fn crash(&self) {
        self.shell.borrow_mut().stdin.as_mut().unwrap().write_all(b"crash\n").unwrap();
        self.ready().await;
    }

    async fn ready(&self) {
        let mut words = self.words.borrow_mut().take().unwrap();
        let read = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            words.read_line(&mut line).unwrap();
            (words, line)
        });
        let (words, line) = read.await.unwrap();
        assert_eq!(line, "ready\n", "PostgreSQL did not start");
        *self.words.borrow_mut() = Some(words);
    }

    /// Waits until nothing is left of it.
    pub fn end(self) {
        let mut shell = self.shell.into_inner();
        drop(shell.stdin.take());
        shell.wait().unwrap();
    }
}

/// What was answered with a yes.
#[derive(Default)]
pub struct Ledger {
    issues: RefCell<BTreeMap<String, Uuid>>,
    /// Each task once, with its agent: nobody may get one that another got.
    claimed: RefCell<BTreeMap<Uuid, Uuid>>,
    started: RefCell<BTreeSet<Uuid>>,
    completed: RefCell<BTreeMap<Uuid, String>>,
    /// How many tasks each node handed out.
    handed: RefCell<[u64; NODES]>,
    pub refused: Cell<usize>,
    pub unanswered: Cell<usize>,
    over: Cell<bool>,
}

pub struct Scene {
    pub nodes: Vec<Gateway>,
    pub world: World,
    /// A runtime and its one agent, for each daemon.
    pub places: Vec<(Uuid, Uuid)>,
    pub ledger: Ledger,
    http: reqwest::Client,
    turn: Cell<usize>,
}

impl Scene {
    pub async fn start(server: &Server) -> Self {
        // Only what is done under a fault counts; a sweep would end what a fault left behind.
        let setup = Gateway::setup(Engine::Postgres).flag("--sweep-every=0");
        let setup = setup.env("SWITCHYARD_EXCLUSIVE_DATABASE", "true");
        let first = setup.start_on(&server.url());
        let mut nodes = vec![first];
        for _ in 1..NODES {
            nodes.push(nodes[0].second_node().await);
        }
        let world = nodes[0].world().await;
        let mut places = Vec::new();
        for number in 0..DAEMONS {
            let runtime = world.a.register(&format!("machine-{number}"), "claude").await;
            let room = json!({"max_concurrent_tasks": 1000});
            places.push((runtime, nodes[0].seed_agent(runtime, &format!("Agent {number}"), room).await));
        }
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        Self { nodes, world, places, ledger: Ledger::default(), http, turn: Cell::new(0) }
    }

    /// Runs the load until `faults` is done.
    pub async fn under_load(&self, faults: impl Future<Output = ()>) {
        let daemons = futures_util::future::join_all((0..DAEMONS).map(|number| self.work(number)));
        let faults = async {
            faults.await;
            self.ledger.over.set(true);
        };
        let producers = futures_util::future::join_all((0..DAEMONS).map(|number| self.produce(number)));
        tokio::join!(producers, daemons, faults);
    }

    /// Waits until each of these nodes hands out tasks that it did not when this was called.
    pub async fn recovered(&self, cause: &str, since: Instant, nodes: &[usize]) {
        self.goes_on(cause, nodes).await;
        println!("recovery: {cause} {} ms", since.elapsed().as_millis());
    }

    /// As [`Scene::recovered`], without a word about it.
    pub async fn goes_on(&self, cause: &str, nodes: &[usize]) {
        let before = *self.ledger.handed.borrow();
        eventually(cause, async || {
            let now = self.ledger.handed.borrow();
            nodes.iter().all(|node| now[*node] > before[*node])
        })
        .await;
    }

    /// Waits until a task of the agent is handed out that was not when this was called.
    pub async fn agent_recovered(&self, cause: &str, since: Instant, agent: Uuid) {
        let count = || self.ledger.claimed.borrow().values().filter(|of| **of == agent).count();
        let before = count();
        eventually(cause, async || count() > before).await;
        println!("recovery: {cause} {} ms", since.elapsed().as_millis());
    }

    /// The next node's answer, if there is one; whoever gets none does not know what was done.
    async fn ask(&self, path: &str, body: Value) -> Option<(usize, u16, Value)> {
        self.turn.set(self.turn.get() + 1);
        let node = self.turn.get() % NODES;
        let owner: &Client = &self.world.a;
        let call = self.http.post(format!("{}{path}", self.nodes[node].user().base()));
        let call = call.bearer_auth(&owner.token).header("x-workspace-id", owner.workspace.to_string());
        let answer = async {
            let response = call.json(&body).send().await.ok()?;
            let status = response.status().as_u16();
            Some((status, response.json::<Value>().await.ok()?))
        };
        let Some((status, body)) = timeout(PATIENCE, answer).await.ok().flatten() else {
            self.ledger.unanswered.set(self.ledger.unanswered.get() + 1);
            sleep(PACE).await;
            return None;
        };
        if status >= 500 {
            assert!(matches!(status, 500 | 503), "{path} was answered {status}: {body}");
            self.ledger.refused.set(self.ledger.refused.get() + 1);
            sleep(PACE).await;
            return None;
        }
        Some((node, status, body))
    }

    /// Gives one agent work.
    async fn produce(&self, place: usize) {
        let (ledger, (_, agent)) = (&self.ledger, self.places[place]);
        let mut given = 0;
        let waits =
            |given| given > BACKLOG + ledger.claimed.borrow().values().filter(|of| **of == agent).count();
        for number in 0.. {
            while waits(given) && !ledger.over.get() {
                sleep(PACE).await;
            }
            if ledger.over.get() {
                return;
            }
            let title = format!("issue {place}-{number}");
            let issue = json!({"title": title, "assignee_type": "agent", "assignee_id": agent});
            if let Some((_, status, body)) = self.ask("/api/issues", issue).await {
                assert_eq!(status, 201, "{body}");
                ledger.issues.borrow_mut().insert(title, id_of(&body));
                given += 1;
            }
        }
    }

    async fn work(&self, number: usize) {
        let (runtime, agent) = self.places[number];
        let claim = format!("/api/daemon/runtimes/{runtime}/tasks/claim");
        while !self.ledger.over.get() {
            let Some((node, status, body)) = self.ask(&claim, Value::Null).await else { continue };
            assert_eq!(status, 200, "{body}");
            if body["task"].is_null() {
                sleep(PACE).await;
                continue;
            }
            let task = id_of(&body["task"]);
            let before = self.ledger.claimed.borrow_mut().insert(task, agent);
            assert_eq!(before, None, "{task} was handed out twice");
            self.ledger.handed.borrow_mut()[node] += 1;
            self.run(task).await;
        }
    }

    /// Asks again until there is an answer, or everything is over.
    async fn insist(&self, path: &str, body: Value) -> Option<(u16, Value)> {
        while !self.ledger.over.get() {
            if let Some((_, status, body)) = self.ask(path, body.clone()).await {
                return Some((status, body));
            }
        }
        None
    }

    async fn run(&self, task: Uuid) {
        let Some((status, body)) = self.insist(&format!("/api/daemon/tasks/{task}/start"), Value::Null).await
        else {
            return;
        };
        // Refused where a start went through whose answer was lost.
        assert!(matches!(status, 200 | 400), "{body}");
        if status == 200 {
            assert!(self.ledger.started.borrow_mut().insert(task), "{task} was started twice");
        }
        let output = format!("done with {task}");
        let complete = format!("/api/daemon/tasks/{task}/complete");
        let Some((status, body)) = self.insist(&complete, json!({"output": output})).await else { return };
        assert_eq!((status, &body["status"]), (200, &json!("completed")), "{body}");
        self.ledger.completed.borrow_mut().insert(task, output);
    }

    /// Nothing that was said yes to is lost, and nothing happened twice.
    pub async fn check(&self) {
        const ISSUES: &str = "SELECT i.id, i.title, count(t.id) AS tasks FROM issue i
            LEFT JOIN agent_task_queue t ON t.issue_id = i.id AND t.parent_task_id IS NULL
            WHERE i.title LIKE 'issue %' GROUP BY i.id, i.title";
        const TASKS: &str = "SELECT id, status, claim_epoch FROM agent_task_queue";
        const COMMENTS: &str = "SELECT content, count(*) AS copies FROM comment GROUP BY content";
        let gateway = &self.nodes[0];
        let mut issues = BTreeMap::new();
        for row in gateway.rows(ISSUES, Value::Null).await {
            assert_eq!(row["tasks"], 1, "{row}");
            let title = row["title"].as_str().unwrap().to_owned();
            assert_eq!(issues.insert(title, id_of(&row)), None, "{row} is there twice");
        }
        for (title, id) in self.ledger.issues.borrow().iter() {
            assert_eq!(issues.get(title), Some(id), "{title} was accepted and lost");
        }
        let tasks = gateway.rows(TASKS, Value::Null).await;
        let tasks: BTreeMap<Uuid, &Value> = tasks.iter().map(|row| (id_of(row), row)).collect();
        for task in self.ledger.claimed.borrow().keys() {
            assert_eq!(tasks[task]["claim_epoch"], 1, "{task} was claimed again: {}", tasks[task]);
        }
        for task in self.ledger.started.borrow().iter() {
            let status = tasks[task]["status"].as_str().unwrap();
            assert!(matches!(status, "running" | "completed"), "the start of {task} was lost: {status}");
        }
        let comments = gateway.rows(COMMENTS, Value::Null).await;
        let copies: BTreeMap<&str, &Value> =
            comments.iter().map(|row| (row["content"].as_str().unwrap(), &row["copies"])).collect();
        for (task, output) in self.ledger.completed.borrow().iter() {
            assert_eq!(tasks[task]["status"], "completed", "the completion of {task} was lost");
            assert_eq!(copies.get(output.as_str()), Some(&&json!(1)), "{output}");
        }
        println!(
            "{} issues, {} claims, {} starts, {} completions kept; {} calls refused, {} unanswered",
            issues.len(),
            self.ledger.claimed.borrow().len(),
            self.ledger.started.borrow().len(),
            self.ledger.completed.borrow().len(),
            self.ledger.refused.get(),
            self.ledger.unanswered.get(),
        );
    }
}
