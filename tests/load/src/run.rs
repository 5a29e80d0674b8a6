//! `switchyard-load run`: scenarios against any server of the protocol.
//!
//! Every scenario is bounded in requests and in time, and reports throughput, percentiles of
//! each route, errors, and what the server's process used meanwhile.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;

use crate::connection::{Target, bearer};
use crate::course::Bounds;
use crate::fleet::Fleet;
use crate::report::Report;
use crate::scenario::{self, Scenario, Stage};
use crate::sockets::{Crowd, Owner};
use crate::statements::Counter;

/// Most clients, daemons and requests a run may ask for.
const MOST_CLIENTS: i64 = 4096;
const MOST_SOCKETS: i64 = 60_000;
const MOST_REQUESTS: u64 = 10_000_000;

#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Where the server listens, for example `http://127.0.0.1:8080`
    #[arg(long, env = "SWITCHYARD_LOAD_BASE_URL")]
    base_url: String,
    /// A personal token of somebody who may register daemons in the workspace
    #[arg(long, env = "SWITCHYARD_LOAD_TOKEN", hide_env_values = true)]
    token: String,
    /// The workspace, by id or slug
    #[arg(long, env = "SWITCHYARD_LOAD_WORKSPACE")]
    workspace: String,
    /// What to do, in this order
    #[arg(long, value_delimiter = ',', default_value = "heartbeat,beat,poll,claim,life,wakeup")]
    scenario: Vec<Scenario>,
    /// How many daemons there are
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=MOST_CLIENTS))]
    daemons: u32,
    /// Runtimes of each daemon
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    runtimes: u32,
    /// Clients that work at the same time, each on a connection of its own
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=MOST_CLIENTS))]
    clients: u32,
    /// Requests (or tasks) of each scenario
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u64).range(1..=MOST_REQUESTS))]
    requests: u64,
    /// Seconds after which a scenario ends in any case
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Begin this many requests a second, whatever the answers do (open loop); 0 begins the
    /// next one when the last was answered (closed loop)
    #[arg(long, default_value_t = 0)]
    rate: u32,
    /// Connected daemons of `sockets`; they stay for `--seconds`
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=MOST_SOCKETS))]
    sockets: u32,
    /// Seconds between two beats of each of them
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=3600))]
    beat_every: u64,
    /// Their owners, in turn, because a server may bound the sockets of one: a line has a token
    /// and, after a space, a workspace, which is `--workspace` when it is left out
    #[arg(long, value_name = "FILE")]
    socket_owners: Option<PathBuf>,
    /// Where the server's operators reach it, for `reload` and `--metrics-path`
    #[arg(long, value_name = "URL", requires = "admin_token")]
    admin_url: Option<String>,
    /// An admin token
    #[arg(long, env = "SWITCHYARD_ADMIN_TOKEN", hide_env_values = true)]
    admin_token: Option<String>,
    /// Where the server counts for Prometheus, below `--admin-url`
    #[arg(long, default_value = "/metrics")]
    metrics_path: String,
    /// The counter of statements that go to its database
    #[arg(long, default_value = "switchyard_db_statements_total")]
    statements_metric: String,
    /// The server's process, whose CPU and memory are then reported
    #[arg(long)]
    pid: Option<u32>,
    /// Write the report as JSON as well
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Threads of this program
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub threads: u16,
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    let bounds = Bounds {
        clients: args.clients,
        requests: args.requests,
        time: Duration::from_secs(args.seconds),
        rate: args.rate,
    };
    let stage = stage(&args)?;
    let fleet = Fleet::register(&stage.target, &args.workspace, args.daemons, args.runtimes).await?;
    let mut reports: Vec<Report> = Vec::new();
    for scenario in &args.scenario {
        let report = scenario::run(*scenario, &stage, &fleet, bounds).await;
        let report = report.with_context(|| format!("the scenario {scenario:?} could not be run"))?;
        print!("{}", report.table());
        reports.push(report);
    }
    if let Some(file) = &args.json {
        let text = serde_json::to_string_pretty(&reports)?;
        std::fs::write(file, text).with_context(|| format!("{} cannot be written", file.display()))?;
    }
    Ok(())
}

fn stage(args: &Args) -> anyhow::Result<Stage> {
    let admin = match (&args.admin_url, &args.admin_token) {
        (Some(url), Some(token)) => Some(Target::new(url, token)?),
        _ => None,
    };
    let counter = admin.clone().map(|target| Counter {
        target,
        path: args.metrics_path.clone(),
        metric: args.statements_metric.clone(),
    });
    let owners = match &args.socket_owners {
        Some(file) => {
            let text = std::fs::read_to_string(file)
                .with_context(|| format!("--socket-owners: {} cannot be read", file.display()))?;
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            lines.map(|line| owner(line, &args.workspace)).collect::<anyhow::Result<_>>()?
        }
        None => Vec::new(),
    };
    let crowd = Crowd {
        sockets: args.sockets,
        hold: Duration::from_secs(args.seconds),
        beat_every: Duration::from_secs(args.beat_every),
        owners,
    };
    Ok(Stage { target: Target::new(&args.base_url, &args.token)?, admin, counter, pid: args.pid, crowd })
}

/// A token, and perhaps a workspace.
fn owner(line: &str, workspace: &str) -> anyhow::Result<Owner> {
    let (token, workspace) = line.split_once(' ').unwrap_or((line, workspace));
    Ok(Owner { token: bearer(token)?, workspace: workspace.trim().to_owned() })
}
