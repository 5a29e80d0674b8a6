//! Daemons, producers, an operator and fate; what they do is drawn from the seed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use chrono::{TimeDelta, TimeZone, Utc};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use switchyard::dispatch::sweep;
use switchyard::model::time::Clock;
use uuid::Uuid;

use crate::broken::{self, Halfway, Variant};
use crate::call::{Answer, Call};
use crate::database::{Database, Place, Rows};
use crate::fate::Fate;
use crate::laws::Ledger;
use crate::server::Server;
use crate::tally::Tally;

const DAEMONS: u32 = 2;
const RUNTIMES: u32 = 2;
/// Longer than anything in the engine waits: a run's timeout is two and a half hours.
const PAST_EVERYTHING: TimeDelta = TimeDelta::seconds(9_001);
/// Rounds that bring everything to its end; one more than a retried task can need.
const ROUNDS: usize = 40;

/// What a daemon believes it runs.
#[derive(Clone, Debug)]
struct Run {
    task: Uuid,
    runtime: usize,
    started: bool,
}

struct Daemon {
    name: String,
    runtimes: Vec<String>,
    runs: Vec<Run>,
    is_up: bool,
}

struct Agent {
    id: Uuid,
    cap: usize,
}

pub struct World {
    random: StdRng,
    variant: Variant,
    loud: bool,
    faults: bool,
    clock: Clock,
    place: Place,
    rows: Rows,
    server: Option<Server>,
    token: String,
    workspace: String,
    daemons: Vec<Daemon>,
    agents: Vec<Agent>,
    issues: Vec<Uuid>,
    late: VecDeque<(usize, Call)>,
    halfway: Vec<Halfway>,
    ledger: Ledger,
    steps: usize,
    tally: Arc<Tally>,
}

impl World {
    pub async fn new(
        seed: u64,
        database: &Database,
        variant: Variant,
        loud: bool,
        tally: Arc<Tally>,
    ) -> Self {
        let clock = Clock::by_hand(Utc.with_ymd_and_hms(2026, 1, 1, 0, 0, 0).unwrap());
        let place = database.place().await;
        let server = Server::start(&place, &clock).await;
        let rows = Rows::open(&place).await;
        let made = switchyard::cli::bootstrap::bootstrap(&server.app().db, "ann@example.com", "Ann", "sim")
            .await
            .unwrap();
        let mut world = Self {
            random: StdRng::seed_from_u64(seed),
            variant,
            loud,
            faults: true,
            clock,
            place,
            rows,
            server: Some(server),
            token: made.token,
            workspace: made.workspace_id.to_string(),
            daemons: Vec::new(),
            agents: Vec::new(),
            issues: Vec::new(),
            late: VecDeque::new(),
            halfway: Vec::new(),
            ledger: Ledger::default(),
            steps: 0,
            tally,
        };
        world.populate().await;
        world
    }

    async fn populate(&mut self) {
        for number in 0..DAEMONS as usize {
            let name = format!("daemon-{number}");
            self.daemons.push(Daemon { name, runtimes: Vec::new(), runs: Vec::new(), is_up: true });
            self.register(number).await;
        }
        for (daemon, runtime, cap) in [(0, 0, 1), (0, 1, 2), (1, 0, 3), (1, 1, 1), (1, 1, 2)] {
            let body = json!({
                "name": format!("agent-{}", self.agents.len()),
                "runtime_id": self.daemons[daemon].runtimes[runtime],
                "permission_mode": "public_to",
                "max_concurrent_tasks": cap,
            });
            let made = self.send(&Call::post("/api/agents", body)).await.unwrap();
            assert!(made.is_ok(), "{made:?}");
            self.agents.push(Agent { id: id_of(&made, "/id").unwrap(), cap });
        }
    }

    /// One thing happens, and then the laws are looked at.
    pub async fn step(&mut self) -> Result<(), String> {
        self.steps += 1;
        let passed = TimeDelta::milliseconds(i64::from(self.draw(900)) + 1);
        self.clock.set(self.clock.now() + passed);
        self.deliver_late().await?;
        match self.draw(100) {
            0..=21 => self.produce().await?,
            22..=26 => self.comment().await?,
            27..=51 => self.claim().await?,
            52..=65 => self.start().await?,
            66..=79 => self.end().await?,
            80..=82 => self.cancel().await?,
            83..=84 => self.heartbeat().await?,
            85 => self.lease().await?,
            86..=87 => self.crash_daemon().await?,
            88..=89 => self.crash_gateway().await,
            90..=91 => self.jump(),
            92..=94 => self.sweep().await?,
            95 => self.recap().await?,
            96 => self.delete_issue().await?,
            _ => self.claims_at_once().await?,
        }
        self.look().await
    }

    /// Nothing is lost any more, everybody is up: within a bound every task comes to its end.
    pub async fn bring_to_an_end(&mut self) -> Result<(), String> {
        self.faults = false;
        self.restart_gateway().await;
        while let Some((_, call)) = self.late.pop_front() {
            self.finish_call(&call).await?;
        }
        for number in 0..self.daemons.len() {
            self.daemons[number].runs.clear();
            self.daemons[number].is_up = true;
            self.register(number).await;
            self.recover(number).await?;
        }
        for _ in 0..ROUNDS {
            let by = if self.draw(4) == 0 { PAST_EVERYTHING } else { TimeDelta::seconds(95) };
            self.clock.set(self.clock.now() + by);
            self.beat_all().await?;
            self.sweep().await?;
            self.work_it_off().await?;
            self.look().await?;
            let open: Vec<_> = self.rows.all().await.into_iter().filter(|row| !row.is_over()).collect();
            if open.is_empty() {
                return Ok(());
            }
        }
        let open: Vec<_> = self.rows.all().await.into_iter().filter(|row| !row.is_over()).collect();
        Err(format!("liveness: {} tasks never end, the first is {:?}", open.len(), open[0]))
    }

    /// Takes the database away with everybody who was connected to it.
    pub async fn leave(mut self) {
        if let Some(server) = self.server.take() {
            server.crash().await;
        }
        self.rows.close().await;
        self.place.remove().await;
    }

    async fn look(&mut self) -> Result<(), String> {
        let rows = self.rows.all().await;
        let caps = self.agents.iter().map(|agent| (agent.id, agent.cap)).collect();
        self.ledger.check(&rows, &caps)
    }

    // What producers do.

    async fn produce(&mut self) -> Result<(), String> {
        let agent = self.pick_agent();
        let priority = ["urgent", "high", "low", "none"][self.draw(4) as usize];
        let body = json!({"title": format!("issue {}", self.steps), "assignee_type": "agent",
            "assignee_id": agent, "priority": priority, "allow_duplicate": true});
        let Some(answer) = self.attempt(Call::post("/api/issues", body)).await? else { return Ok(()) };
        if let Some(issue) = id_of(&answer, "/id") {
            self.issues.push(issue);
            self.ledger.owes(issue);
        }
        Ok(())
    }

    async fn comment(&mut self) -> Result<(), String> {
        let Some(issue) = self.pick_issue() else { return Ok(()) };
        let agent = self.pick_agent();
        let body = json!({"content": format!("[@A](mention://agent/{agent}) look, {}", self.steps)});
        self.attempt(Call::post(format!("/api/issues/{issue}/comments"), body)).await.map(drop)
    }

    async fn cancel(&mut self) -> Result<(), String> {
        let rows = self.rows.all().await;
        if rows.is_empty() {
            return Ok(());
        }
        let task = rows[self.draw(u32::try_from(rows.len()).unwrap()) as usize].id;
        self.attempt(Call::post(format!("/api/tasks/{task}/cancel"), Value::Null)).await.map(drop)
    }

    async fn delete_issue(&mut self) -> Result<(), String> {
        let Some(issue) = self.pick_issue() else { return Ok(()) };
        self.ledger.forgives(issue);
        self.issues.retain(|kept| *kept != issue);
        self.attempt(Call::delete(format!("/api/issues/{issue}"))).await.map(drop)
    }

    /// An operator changes how much an agent may do at once.
    async fn recap(&mut self) -> Result<(), String> {
        let number = self.draw(u32::try_from(self.agents.len()).unwrap()) as usize;
        let cap = self.draw(3) as usize + 1;
        let body = json!({"max_concurrent_tasks": cap});
        let call = Call::put(format!("/api/agents/{}", self.agents[number].id), body);
        // Not lost: the laws have to know which cap holds.
        let answer = self.send(&call).await;
        if answer.is_some_and(|answer| answer.is_ok()) {
            self.agents[number].cap = cap;
        }
        Ok(())
    }

    // What daemons do.

    async fn register(&mut self, number: usize) {
        let runtimes: Vec<Value> = (0..RUNTIMES)
            .map(|index| json!({"name": format!("r{index}"), "type": format!("kind-{index}")}))
            .collect();
        let body = json!({"workspace_id": self.workspace, "daemon_id": self.daemons[number].name,
            "runtimes": runtimes});
        let Some(answer) = self.send(&Call::post("/api/daemon/register", body)).await else { return };
        let ids = (0..RUNTIMES).filter_map(|index| answer.text(&format!("/runtimes/{index}/id")));
        self.daemons[number].runtimes = ids.map(str::to_owned).collect();
        assert_eq!(self.daemons[number].runtimes.len(), RUNTIMES as usize, "{answer:?}");
    }

    async fn claim(&mut self) -> Result<(), String> {
        let Some((daemon, runtime)) = self.pick_runtime() else { return Ok(()) };
        if self.variant == Variant::CountsBeforeItLocks {
            return self.claim_in_halves(daemon, runtime).await;
        }
        let path = format!("/api/daemon/runtimes/{}/tasks/claim", self.daemons[daemon].runtimes[runtime]);
        if let Some(answer) = self.attempt(Call::post(path, Value::Null)).await? {
            self.took(daemon, runtime, &answer);
        }
        Ok(())
    }

    /// Several daemons, or one that does not wait, claim at the same moment.
    async fn claims_at_once(&mut self) -> Result<(), String> {
        if self.variant == Variant::CountsBeforeItLocks || self.server.is_none() {
            return Ok(());
        }
        let runtimes: Vec<(usize, usize)> = (0..6).filter_map(|_| self.pick_runtime()).collect();
        let calls: Vec<Call> = runtimes
            .iter()
            .map(|(daemon, runtime)| {
                let id = &self.daemons[*daemon].runtimes[*runtime];
                Call::post(format!("/api/daemon/runtimes/{id}/tasks/claim"), Value::Null)
            })
            .collect();
        let this = &*self;
        let answers = futures_util::future::join_all(calls.iter().map(|call| this.send(call))).await;
        for (answer, (daemon, runtime)) in answers.into_iter().zip(runtimes) {
            let answer = answer.ok_or("the gateway is gone")?;
            sane(&answer)?;
            self.took(daemon, runtime, &answer);
        }
        Ok(())
    }

    fn took(&mut self, daemon: usize, runtime: usize, answer: &Answer) {
        if let Some(task) = id_of(answer, "/task/id") {
            self.daemons[daemon].runs.retain(|run| run.task != task);
            self.daemons[daemon].runs.push(Run { task, runtime, started: false });
        }
    }

    async fn claim_in_halves(&mut self, daemon: usize, runtime: usize) -> Result<(), String> {
        if self.draw(2) == 0 && !self.halfway.is_empty() {
            let halfway = self.halfway.remove(0);
            broken::take(&mut self.rows, halfway).await;
            return Ok(());
        }
        let id = Uuid::parse_str(&self.daemons[daemon].runtimes[runtime]).unwrap();
        let caps: BTreeMap<Uuid, usize> = self.agents.iter().map(|agent| (agent.id, agent.cap)).collect();
        if let Some(halfway) = broken::count(&mut self.rows, id, &caps, &self.halfway).await {
            self.halfway.push(halfway);
        }
        Ok(())
    }

    async fn start(&mut self) -> Result<(), String> {
        let Some((daemon, at)) = self.pick_run(false) else { return Ok(()) };
        let task = self.daemons[daemon].runs[at].task;
        let call = Call::post(format!("/api/daemon/tasks/{task}/start"), Value::Null);
        match self.attempt(call).await? {
            // A daemon that is told no gives the run up, as the stock one does.
            Some(answer) if !answer.is_ok() => drop(self.daemons[daemon].runs.remove(at)),
            Some(_) => self.daemons[daemon].runs[at].started = true,
            None => {}
        }
        Ok(())
    }

    async fn end(&mut self) -> Result<(), String> {
        let Some((daemon, at)) = self.pick_run(true) else { return Ok(()) };
        let task = self.daemons[daemon].runs[at].task;
        let number = self.steps;
        if self.draw(2) == 0 {
            let messages =
                json!({"messages": [{"seq": number, "type": "text", "content": format!("step {number}")}]});
            self.attempt(Call::post(format!("/api/daemon/tasks/{task}/messages"), messages)).await?;
        }
        let call = match self.draw(5) {
            0 => Call::post(
                format!("/api/daemon/tasks/{task}/fail"),
                json!({"error": format!("broke at {number}"), "failure_reason": "timeout"}),
            ),
            1 => Call::post(
                format!("/api/daemon/tasks/{task}/fail"),
                json!({"error": format!("no, {number}")}),
            ),
            _ => Call::post(
                format!("/api/daemon/tasks/{task}/complete"),
                json!({"output": format!("done at {number}"), "session_id": format!("s{number}")}),
            ),
        };
        if self.attempt(call).await?.is_some_and(|answer| answer.is_ok()) {
            self.daemons[daemon].runs.remove(at);
        }
        Ok(())
    }

    async fn lease(&mut self) -> Result<(), String> {
        let Some((daemon, at)) = self.pick_run(false) else { return Ok(()) };
        let run = self.daemons[daemon].runs[at].clone();
        let runtime = &self.daemons[daemon].runtimes[run.runtime];
        let path = format!("/api/daemon/runtimes/{runtime}/tasks/{}/prepare-lease", run.task);
        self.attempt(Call::post(path, Value::Null)).await.map(drop)
    }

    async fn heartbeat(&mut self) -> Result<(), String> {
        let Some((daemon, runtime)) = self.pick_runtime() else { return Ok(()) };
        let body = json!({"runtime_id": self.daemons[daemon].runtimes[runtime]});
        self.attempt(Call::post("/api/daemon/heartbeat", body)).await.map(drop)
    }

    async fn beat_all(&mut self) -> Result<(), String> {
        for daemon in 0..self.daemons.len() {
            for runtime in self.daemons[daemon].runtimes.clone() {
                let call = Call::post("/api/daemon/heartbeat", json!({"runtime_id": runtime}));
                self.finish_call(&call).await?;
            }
        }
        Ok(())
    }

    /// The daemon forgets what it ran; some time later it is there again, as after a reboot.
    async fn crash_daemon(&mut self) -> Result<(), String> {
        let number = self.draw(DAEMONS) as usize;
        self.daemons[number].runs.clear();
        if self.daemons[number].is_up {
            self.daemons[number].is_up = false;
            self.tally.count("crashes of a daemon");
            return Ok(());
        }
        self.daemons[number].is_up = true;
        self.register(number).await;
        self.recover(number).await
    }

    async fn recover(&mut self, number: usize) -> Result<(), String> {
        for runtime in self.daemons[number].runtimes.clone() {
            let call = Call::post(format!("/api/daemon/runtimes/{runtime}/recover-orphans"), Value::Null);
            self.finish_call(&call).await?;
        }
        Ok(())
    }

    // What fate does.

    async fn crash_gateway(&mut self) {
        self.tally.count("crashes of the gateway");
        self.say("the gateway crashes");
        self.restart_gateway().await;
    }

    async fn restart_gateway(&mut self) {
        if let Some(server) = self.server.take() {
            server.crash().await;
        }
        self.server = Some(Server::start(&self.place, &self.clock).await);
    }

    fn jump(&mut self) {
        let by = match self.draw(6) {
            0 => TimeDelta::seconds(-5),
            1 => TimeDelta::seconds(20),
            2 => TimeDelta::seconds(46),
            3 => TimeDelta::seconds(91),
            4 => TimeDelta::seconds(301),
            _ => PAST_EVERYTHING,
        };
        self.tally.count("jumps of the clock");
        self.say(&format!("the clock jumps by {by}"));
        self.clock.set(self.clock.now() + by);
    }

    async fn sweep(&mut self) -> Result<(), String> {
        self.tally.count("sweeps");
        self.say("a sweep");
        if let Some(server) = &self.server {
            sweep::once(server.app(), sweep::Caller::Operator).await;
        }
        Ok(())
    }

    async fn deliver_late(&mut self) -> Result<(), String> {
        while let Some((due, _)) = self.late.front()
            && *due <= self.steps
        {
            let Some((_, call)) = self.late.pop_front() else { break };
            self.finish_call(&call).await?;
            // By itself: what happens next may change what was allowed.
            self.look().await?;
        }
        Ok(())
    }

    /// Daemons do what there is to do, and nothing goes wrong.
    async fn work_it_off(&mut self) -> Result<(), String> {
        for daemon in 0..self.daemons.len() {
            for runtime in self.daemons[daemon].runtimes.clone() {
                let path = format!("/api/daemon/runtimes/{runtime}/tasks/claim");
                while let Some(answer) = self.send(&Call::post(path.as_str(), Value::Null)).await {
                    sane(&answer)?;
                    let Some(task) = id_of(&answer, "/task/id") else { break };
                    let verb = |verb: &str| format!("/api/daemon/tasks/{task}/{verb}");
                    self.finish_call(&Call::post(verb("start"), Value::Null)).await?;
                    self.finish_call(&Call::post(verb("complete"), json!({"output": "at last"}))).await?;
                    self.look().await?;
                }
            }
        }
        Ok(())
    }

    // How calls travel.

    /// Sends a call through whatever befalls it; what its caller learns, if anything.
    async fn attempt(&mut self, call: Call) -> Result<Option<Answer>, String> {
        let fate = self.fate();
        self.tally.count(fate.plural());
        self.say(&format!("{} {} {fate:?}", call.method, call.path));
        match fate {
            Fate::RequestLost => Ok(None),
            Fate::ComesLate => {
                self.put_off(call);
                Ok(None)
            }
            Fate::AnswerLost => {
                self.finish_call(&call).await?;
                Ok(None)
            }
            Fate::ComesTwice => {
                let answer = self.finish_call(&call).await?;
                self.put_off(call);
                Ok(answer)
            }
            Fate::Arrives => self.finish_call(&call).await,
        }
    }

    fn fate(&mut self) -> Fate {
        if !self.faults {
            return Fate::Arrives;
        }
        match self.draw(20) {
            0 => Fate::RequestLost,
            1 | 2 => Fate::AnswerLost,
            3 | 4 => Fate::ComesTwice,
            5 => Fate::ComesLate,
            _ => Fate::Arrives,
        }
    }

    fn put_off(&mut self, call: Call) {
        let due = self.steps + self.draw(12) as usize + 1;
        self.late.push_back((due, call));
        self.late.make_contiguous().sort_by_key(|(due, _)| *due);
    }

    /// The gateway does it. What it acknowledges is written into the ledger.
    async fn finish_call(&mut self, call: &Call) -> Result<Option<Answer>, String> {
        if let (Variant::EndsWithoutEpoch, Some((task, status))) = (self.variant, call.ends()) {
            broken::end(&mut self.rows, Uuid::parse_str(task).unwrap(), status).await;
            return Ok(None);
        }
        if self.variant == Variant::CountsBeforeItLocks && call.claims().is_some() {
            return Ok(None);
        }
        let Some(answer) = self.send(call).await else { return Ok(None) };
        sane(&answer)?;
        if call.ends().is_some()
            && answer.is_ok()
            && let (Some(task), Some(status)) = (id_of(&answer, "/id"), answer.text("/status"))
            && matches!(status, "completed" | "failed" | "cancelled")
        {
            self.ledger.promises(task, status);
        }
        Ok(Some(answer))
    }

    async fn send(&self, call: &Call) -> Option<Answer> {
        let server = self.server.as_ref()?;
        Some(server.call(call, &self.token, &self.workspace).await)
    }

    // What is drawn.

    fn draw(&mut self, below: u32) -> u32 {
        self.random.random_range(0..below)
    }

    fn pick_agent(&mut self) -> Uuid {
        let at = self.draw(u32::try_from(self.agents.len()).unwrap()) as usize;
        self.agents[at].id
    }

    fn pick_issue(&mut self) -> Option<Uuid> {
        let issues = u32::try_from(self.issues.len()).ok().filter(|count| *count > 0)?;
        let at = self.draw(issues) as usize;
        Some(self.issues[at])
    }

    fn pick_runtime(&mut self) -> Option<(usize, usize)> {
        let daemon = self.draw(DAEMONS) as usize;
        let runtime = self.draw(RUNTIMES) as usize;
        self.daemons[daemon].is_up.then_some((daemon, runtime))
    }

    fn pick_run(&mut self, started: bool) -> Option<(usize, usize)> {
        let runs: Vec<(usize, usize)> = (0..self.daemons.len())
            .flat_map(|daemon| {
                let runs = self.daemons[daemon].runs.iter().enumerate();
                runs.filter(|(_, run)| run.started == started)
                    .map(move |(at, _)| (daemon, at))
                    .collect::<Vec<_>>()
            })
            .collect();
        let count = u32::try_from(runs.len()).ok().filter(|count| *count > 0)?;
        Some(runs[self.draw(count) as usize])
    }

    fn say(&self, what: &str) {
        if self.loud {
            println!("{:>4} {} {what}", self.steps, self.clock.now().format("%H:%M:%S%.3f"));
        }
    }
}

fn id_of(answer: &Answer, pointer: &str) -> Option<Uuid> {
    answer.text(pointer).and_then(|text| Uuid::parse_str(text).ok())
}

/// A fault outside never becomes a fault inside.
fn sane(answer: &Answer) -> Result<(), String> {
    if answer.status >= 500 {
        return Err(format!("sanity: a call was answered {}: {}", answer.status, answer.body));
    }
    Ok(())
}
