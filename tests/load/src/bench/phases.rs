//! The parts of a bench, a function each. Every part has servers of its own on fresh
//! databases, so that none inherits what another left.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use hyper::header::{CONTENT_LENGTH, DATE};

use super::figure::{Figure, Goal, from_rounds, median};
use super::server::{Gateways, Server, WORKSPACE, floor};
use super::{Engine, history, postgres};
use crate::connection::Connection;
use crate::course::Bounds;
use crate::fleet::{self, Fleet};
use crate::floor::{disk, storage};
use crate::report::{Report, as_f64};
use crate::scenario::{self, Scenario, Stage, claim_path};
use crate::{socket, sockets};

/// How much of everything.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub rounds: u32,
    /// Of each run that is bounded in time.
    pub time: Duration,
    pub claims: u64,
    pub lives: u64,
    pub wakeups: u64,
    pub sockets: u32,
    /// How long they stay.
    pub hold: Duration,
    pub history: u32,
    pub blocked: u32,
    /// Requests whose instructions are counted.
    pub counted: u64,
}

impl Size {
    pub const FULL: Self = Self {
        rounds: 3,
        time: Duration::from_secs(3),
        claims: 6_000,
        lives: 2_000,
        wakeups: 300,
        sockets: 10_000,
        hold: Duration::from_secs(30),
        history: 1_000_000,
        blocked: 100_000,
        counted: 200,
    };
    pub const QUICK: Self = Self {
        rounds: 1,
        time: Duration::from_millis(300),
        claims: 64,
        lives: 32,
        wakeups: 10,
        sockets: 40,
        hold: Duration::from_secs(1),
        history: 2_000,
        blocked: 320,
        counted: 10,
    };
}

/// Daemons and runtimes of each: 32 runtimes, as the goals say.
const DAEMONS: u32 = 8;
const RUNTIMES: u32 = 4;
const CLIENTS: u32 = 32;
/// No run takes longer, whatever its count.
const LONGEST: Duration = Duration::from_mins(1);
/// A server may bound the sockets of one owner.
const SOCKETS_OF_ONE: u32 = 500;
/// The unit of what beats take.
const CORE: &str = "% of a core";

pub struct Bench {
    pub postgres: postgres::Server,
    pub gateways: Gateways,
    pub size: Size,
    pub figures: Vec<Figure>,
    pub errors: u64,
}

impl Bench {
    /// So many requests, or as many as the time allows.
    fn bounds(requests: u64) -> Bounds {
        Bounds { clients: CLIENTS, requests, time: LONGEST, rate: 0 }
    }

    fn timed(&self) -> Bounds {
        Bounds { time: self.size.time, ..Self::bounds(u64::MAX) }
    }

    async fn gateway(&mut self, engine: Engine) -> anyhow::Result<Server> {
        let url = match engine {
            Engine::Sqlite => None,
            Engine::Postgres => Some(self.postgres.create().await?),
        };
        self.gateways.start(engine, url)
    }

    async fn scenario(
        &mut self,
        what: Scenario,
        who: &str,
        stage: &Stage,
        fleet: &Fleet,
        bounds: Bounds,
    ) -> anyhow::Result<Report> {
        let report = scenario::run(what, stage, fleet, bounds).await;
        let report = report.with_context(|| format!("{what:?} against {who} could not be run"))?;
        print!("\n[{who}]{}", report.table());
        self.errors += report.errors();
        Ok(report)
    }

    /// What a durable commit costs at least.
    pub fn disk(&mut self) -> anyhow::Result<()> {
        let synced = disk::syncs(&self.gateways.dir, self.size.time)?;
        for (name, micros) in [("synced append, p50", synced.p50_us), ("synced append, p99", synced.p99_us)] {
            self.figures.push(Figure::new(name, "none", as_f64(micros) / 1000.0, "ms"));
        }
        Ok(())
    }

    /// Heartbeats over both transports, and polls for nothing.
    pub async fn beats(&mut self) -> anyhow::Result<()> {
        let sqlite = self.gateway(Engine::Sqlite).await?;
        let postgres = self.gateway(Engine::Postgres).await?;
        let recorded = Recorded::from(&sqlite.stage).await?;
        let floor = floor(&recorded.of_beats())?;
        let servers = [("floor", &floor), ("sqlite", &sqlite), ("postgres", &postgres)];
        let mut fleets = Vec::new();
        for (_, server) in servers {
            let fleet = Fleet::register(&server.stage.target, WORKSPACE, DAEMONS, RUNTIMES).await?;
            // The first beats and polls learn what the others know.
            for what in [Scenario::Heartbeat, Scenario::Poll] {
                scenario::run(what, &server.stage, &fleet, Self::bounds(200)).await?;
            }
            fleets.push(fleet);
        }
        let kinds = [
            (Scenario::Heartbeat, "heartbeats over HTTP"),
            (Scenario::Beat, "heartbeats over WebSocket"),
            (Scenario::Poll, "empty polls"),
        ];
        for (what, name) in kinds {
            let mut rounds = Vec::new();
            for _ in 0..self.size.rounds {
                let mut round = Vec::new();
                for ((who, server), fleet) in servers.iter().zip(&fleets) {
                    let bounds = self.timed();
                    round.push(self.scenario(what, who, &server.stage, fleet, bounds).await?);
                }
                rounds.push(round);
            }
            for (place, engine) in [(1, Engine::Sqlite), (2, Engine::Postgres)] {
                let pairs: Vec<(f64, f64)> =
                    rounds.iter().map(|round| (round[place].per_second, round[0].per_second)).collect();
                let figure = from_rounds(name, engine.name(), "/s", &pairs);
                self.figures.push(figure.goal(Goal::RatioAtLeast(0.8)));
                let statements = rounds.iter().filter_map(|round| round[place].statements_per_done);
                let figure =
                    Figure::new(&format!("{name}: statements"), engine.name(), median(statements), "each");
                // What runs by the clock is shared out over many thousands of requests.
                self.figures.push(figure.goal(Goal::AtMost(0.01)));
            }
        }
        Ok(())
    }

    /// Claims as fast as they go, beside bare SQL; then at half of that rate.
    pub async fn claims(&mut self) -> anyhow::Result<()> {
        let recorded = {
            let sqlite = self.gateway(Engine::Sqlite).await?;
            Recorded::from(&sqlite.stage).await?
        };
        let floor = floor(&recorded.of_claims())?;
        let idle = Fleet::register(&floor.stage.target, WORKSPACE, DAEMONS, RUNTIMES).await?;
        for (engine, rate, latency) in [(Engine::Sqlite, 3_000.0, 15.0), (Engine::Postgres, 2_500.0, 25.0)] {
            let name = engine.name();
            let (mut rounds, mut singles, mut https) = (Vec::new(), Vec::new(), Vec::new());
            let (mut statements, mut cpu, mut p99s) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..self.size.rounds {
                let (single, grouped) = self.storage(engine).await?;
                let bounds = self.timed();
                let http = self.no_stock(Scenario::Poll, &floor.stage, &idle, bounds).await?;
                let gateway = self.gateway(engine).await?;
                let fleet = Fleet::register(&gateway.stage.target, WORKSPACE, DAEMONS, RUNTIMES).await?;
                let bounds = Self::bounds(self.size.claims);
                let report = self.scenario(Scenario::Claim, name, &gateway.stage, &fleet, bounds).await?;
                rounds.push((report.per_second, grouped));
                singles.push(single);
                https.push(http.per_second);
                statements.extend(report.statements_per_done);
                cpu.extend(report.server.as_ref().map(|server| server.cpu_us_per_done));
                p99s.extend(report.route("claim").map(|claim| as_f64(claim.p99_us) / 1000.0));
            }
            let claims = from_rounds("claims", name, "/s", &rounds).goal(Goal::AtLeast(rate));
            let reached = claims.value;
            self.figures.push(claims);
            let of = |values: Vec<f64>| median(values.into_iter());
            for (what, value, unit) in [
                ("claims: floor of storage, one a commit", of(singles), "/s"),
                ("claims: floor of HTTP, a claim's bytes", of(https), "/s"),
                ("claims: p99 at full load", of(p99s), "ms"),
                ("claims: CPU of the gateway", of(cpu), "µs each"),
            ] {
                self.figures.push(Figure::new(what, name, value, unit));
            }
            let trips = Figure::new("claims: statements", name, of(statements), "each");
            self.figures.push(trips.goal(Goal::AtMost(6.0)));
            let half = self.half_rate(engine, reached / 2.0).await?;
            self.figures.extend(half.map(|p99| {
                Figure::new("claims at half of that rate: p99", name, p99, "ms").goal(Goal::AtMost(latency))
            }));
        }
        Ok(())
    }

    async fn no_stock(
        &mut self,
        what: Scenario,
        stage: &Stage,
        fleet: &Fleet,
        bounds: Bounds,
    ) -> anyhow::Result<Report> {
        self.scenario(what, "floor", stage, fleet, bounds).await
    }

    /// The median of some rounds: one pause of the machine is more than a hundredth of a round.
    async fn half_rate(&mut self, engine: Engine, rate: f64) -> anyhow::Result<Option<f64>> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate of this machine")]
        let rate = rate.max(1.0) as u32;
        let claims = self.size.claims.min(u64::from(rate) * self.size.time.as_secs().max(1) * 4);
        let mut p99s = Vec::new();
        for _ in 0..self.size.rounds {
            let gateway = self.gateway(engine).await?;
            let fleet = Fleet::register(&gateway.stage.target, WORKSPACE, DAEMONS, RUNTIMES).await?;
            // Not counted: a gateway that has just started prepares its statements and fills its pools.
            let warm_up = Self::bounds((claims / 10).max(1));
            self.scenario(Scenario::Claim, engine.name(), &gateway.stage, &fleet, warm_up).await?;
            let bounds = Bounds { rate, ..Self::bounds(claims) };
            let report =
                self.scenario(Scenario::Claim, engine.name(), &gateway.stage, &fleet, bounds).await?;
            p99s.extend(report.route("claim").map(|claim| as_f64(claim.p99_us) / 1000.0));
        }
        Ok((!p99s.is_empty()).then(|| median(p99s.into_iter())))
    }

    /// Claims a second by bare SQL: one a commit, and a group.
    async fn storage(&mut self, engine: Engine) -> anyhow::Result<(f64, f64)> {
        let folder = tempfile::tempdir_in(&self.gateways.dir)?;
        let url = match engine {
            Engine::Sqlite => format!("sqlite:{}", folder.path().join("floor.db").display()),
            Engine::Postgres => self.postgres.create().await?,
        };
        let time = self.size.time;
        let mut bare = storage::Bare::open(&url, time).await?;
        let (single, grouped) = (bare.one_by_one(time).await?, bare.in_groups(time).await?);
        println!("\n[floor] bare claims on {}: {single:.0}/s, in groups {grouped:.0}/s", engine.name());
        Ok((single, grouped))
    }

    pub async fn lives(&mut self) -> anyhow::Result<()> {
        for (engine, goal) in [(Engine::Sqlite, 700.0), (Engine::Postgres, 500.0)] {
            let (mut rates, mut statements) = (Vec::new(), Vec::new());
            for _ in 0..self.size.rounds.min(2) {
                let gateway = self.gateway(engine).await?;
                let fleet = Fleet::register(&gateway.stage.target, WORKSPACE, DAEMONS, RUNTIMES).await?;
                let bounds = Self::bounds(self.size.lives);
                let report =
                    self.scenario(Scenario::Life, engine.name(), &gateway.stage, &fleet, bounds).await?;
                rates.push(report.per_second);
                statements.extend(report.statements_per_done);
            }
            let lives = Figure::new("whole lives", engine.name(), median(rates.into_iter()), "/s");
            self.figures.push(lives.goal(Goal::AtLeast(goal)));
            let statements = median(statements.into_iter());
            self.figures.push(Figure::new("whole lives: statements", engine.name(), statements, "each"));
        }
        Ok(())
    }

    /// On a box that does nothing else.
    pub async fn wakeups(&mut self) -> anyhow::Result<()> {
        for (engine, p50, p99) in [(Engine::Sqlite, 4.0, 15.0), (Engine::Postgres, 6.0, 20.0)] {
            let gateway = self.gateway(engine).await?;
            let fleet = Fleet::register(&gateway.stage.target, WORKSPACE, 1, 1).await?;
            let mut bounds = Bounds { clients: 1, ..Self::bounds(20) };
            // What the first ones learn is not counted.
            scenario::run(Scenario::Wakeup, &gateway.stage, &fleet, bounds).await?;
            bounds.requests = self.size.wakeups;
            let report =
                self.scenario(Scenario::Wakeup, engine.name(), &gateway.stage, &fleet, bounds).await?;
            let hold = report.route(socket::HOLD).context("no task was held")?;
            for (what, micros, most) in
                [("enqueue to hold, p50", hold.p50_us, p50), ("enqueue to hold, p99", hold.p99_us, p99)]
            {
                let figure = Figure::new(what, engine.name(), as_f64(micros) / 1000.0, "ms");
                self.figures.push(figure.goal(Goal::AtMost(most)));
            }
        }
        Ok(())
    }

    /// Memory at rest: after a start that finds its plugins compiled, as all but the first do, and
    /// after one that compiles them.
    pub async fn rest(&mut self) -> anyhow::Result<()> {
        for engine in Engine::ALL {
            let cold = tempfile::tempdir_in(&self.gateways.dir)?;
            let gateways = Gateways { code_cache: cold.path().to_owned(), ..self.gateways.clone() };
            for (name, goal) in
                [("memory at rest after compiling", None), ("memory at rest", Some(Goal::AtMost(60.0)))]
            {
                let url = match engine {
                    Engine::Sqlite => None,
                    Engine::Postgres => Some(self.postgres.create().await?),
                };
                let gateway = gateways.start(engine, url)?;
                tokio::time::sleep(Duration::from_secs(2)).await;
                let idle = gateway.stage.watched().await.used.context("there is no /proc")?;
                let idle = as_f64(idle.resident_kib) / 1024.0;
                self.figures.push(Figure { goal, ..Figure::new(name, engine.name(), idle, "MiB") });
            }
        }
        Ok(())
    }

    pub async fn sockets(&mut self) -> anyhow::Result<()> {
        let count = self.size.sockets;
        let floor = {
            let sqlite = self.gateway(Engine::Sqlite).await?;
            let recorded = Recorded::from(&sqlite.stage).await?;
            let mut floor = floor(&recorded.of_beats())?;
            self.crowd("floor", &mut floor).await?.more[sockets::CPU]
        };
        for engine in Engine::ALL {
            let mut gateway = self.gateway(engine).await?;
            gateway.stage.crowd.owners = self.gateways.owners(&gateway, count.div_ceil(SOCKETS_OF_ONE))?;
            let report = self.crowd(engine.name(), &mut gateway).await?;
            let goals = [
                ("connected daemons", as_f64(report.done), "sockets", Some(Goal::AtLeast(f64::from(count)))),
                (
                    "connected daemons: memory",
                    report.more[sockets::MEMORY],
                    "KiB each",
                    Some(Goal::AtMost(30.0)),
                ),
                (
                    "connected daemons: CPU of their beats",
                    report.more[sockets::CPU],
                    CORE,
                    Some(Goal::AtMost(5.0)),
                ),
            ];
            for (what, value, unit, goal) in goals {
                let figure = Figure::new(what, engine.name(), value, unit);
                let figure = if unit == CORE { figure.beside(floor) } else { figure };
                self.figures.push(Figure { goal, ..figure });
            }
        }
        Ok(())
    }

    /// So many daemons that are connected and only beat.
    async fn crowd(&mut self, who: &str, server: &mut Server) -> anyhow::Result<Report> {
        let crowd = &mut server.stage.crowd;
        (crowd.sockets, crowd.hold) = (self.size.sockets, self.size.hold);
        let fleet = Fleet::register(&server.stage.target, WORKSPACE, 1, 1).await?;
        let bounds = Self::bounds(u64::from(self.size.sockets));
        self.scenario(Scenario::Sockets, who, &server.stage, &fleet, bounds).await
    }

    /// The same claims in an empty database and beside a long history, in turn.
    pub async fn growth(&mut self) -> anyhow::Result<()> {
        for engine in Engine::ALL {
            let mut servers = Vec::new();
            for who in ["empty", "full"] {
                let gateway = self.gateway(engine).await?;
                let fleet = Fleet::register(&gateway.stage.target, WORKSPACE, DAEMONS, RUNTIMES).await?;
                let who = format!("{} {who}", engine.name());
                // Statements are prepared, pools filled, and there are issues for the past to be of.
                let warm_up = Self::bounds((self.size.claims / 10).max(1));
                self.scenario(Scenario::Claim, &who, &gateway.stage, &fleet, warm_up).await?;
                servers.push((who, gateway, fleet));
            }
            let [_, (_, full, fleet)] = &servers[..] else { continue };
            let url = full.database_url.as_deref().context("a gateway has a database")?;
            history::fill(url, fleet, self.size.history, self.size.blocked).await?;
            let bounds = Self::bounds(self.size.claims / 2);
            let mut rounds = Vec::new();
            for _ in 0..self.size.rounds {
                let mut costs = Vec::new();
                for (who, gateway, fleet) in &servers {
                    let report = self.scenario(Scenario::Claim, who, &gateway.stage, fleet, bounds).await?;
                    costs.push(1e6 / report.per_second);
                }
                rounds.push((costs[1], costs[0]));
            }
            let name = "claim beside a long history";
            let figure = from_rounds(name, engine.name(), "µs of the machine", &rounds);
            self.figures.push(figure.goal(Goal::RatioAtMost(1.2)));
        }
        Ok(())
    }
}

/// Answers of a real gateway, for the floor to give.
struct Recorded {
    _folder: tempfile::TempDir,
    heartbeat: PathBuf,
    beat: PathBuf,
    poll: PathBuf,
    claim: PathBuf,
    headers: PathBuf,
}

impl Recorded {
    async fn from(stage: &Stage) -> anyhow::Result<Self> {
        let target = &stage.target;
        let fleet = Fleet::register(target, WORKSPACE, 1, 1).await?;
        let runtime = fleet.runtimes().pop().context("no runtime was registered")?;
        let mut daemon = Connection::new(target);
        let body = serde_json::json!({"runtime_id": &*runtime.id, "supports_batch_import": true}).to_string();
        let post = hyper::Method::POST;
        let heartbeat = daemon.send(post.clone(), "/api/daemon/heartbeat", body.as_bytes()).await?;
        let poll = daemon.send(post.clone(), &claim_path(&runtime), b"").await?.body;
        let mut producer = Connection::new(target).within(&fleet.workspace);
        fleet::enqueue(&mut producer, &runtime, 0).await?;
        let claim = daemon.send(post, &claim_path(&runtime), b"").await?.body;
        let mut socket = socket::open(target, &target.authorization, &runtime.id).await?;
        let beat = socket::answered(&mut socket, socket::beat(&runtime.id)).await?;
        // Those that a server's library does not write by itself.
        let headers = heartbeat.headers.iter().filter(|(name, _)| ![&DATE, &CONTENT_LENGTH].contains(name));
        let headers: Vec<_> = headers
            .map(|(name, value)| [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\n"].concat())
            .collect();
        let folder = tempfile::tempdir()?;
        let keep = |name: &str, bytes: &[u8]| {
            let file = folder.path().join(name);
            std::fs::write(&file, bytes).map(|()| file)
        };
        Ok(Self {
            headers: keep("headers", &headers.concat())?,
            heartbeat: keep("heartbeat", &heartbeat.body)?,
            beat: keep("beat", beat.as_bytes())?,
            poll: keep("poll", &poll)?,
            claim: keep("claim", &claim)?,
            _folder: folder,
        })
    }

    fn of_beats(&self) -> [(&'static str, &Path); 4] {
        let (beat, poll) = (("beat", &*self.beat), ("claim", &*self.poll));
        [("headers", &self.headers), ("heartbeat", &self.heartbeat), beat, poll]
    }

    fn of_claims(&self) -> [(&'static str, &Path); 2] {
        [("headers", &self.headers), ("claim", &self.claim)]
    }
}
