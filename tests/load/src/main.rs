//! `switchyard-load`: daemons and producers under load, over the protocol alone.
//!
//! Every scenario is bounded in requests and in time, and reports throughput, percentiles
//! of each route, errors, and what the server's process used meanwhile.

mod connection;
mod fleet;
mod process;
mod reload;
mod report;
mod scenario;
mod socket;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;

use crate::fleet::Fleet;
use crate::report::Report;
use crate::scenario::Scenario;

/// Most clients, daemons and requests a run may ask for.
const MOST_CLIENTS: i64 = 4096;
const MOST_REQUESTS: i64 = 10_000_000;

#[derive(Parser, Clone, Debug)]
#[command(version, about)]
struct Args {
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
    #[arg(long, value_delimiter = ',', default_value = "heartbeat,poll,claim,life,wakeup")]
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
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u64).range(1..=MOST_REQUESTS.unsigned_abs()))]
    requests: u64,
    /// Seconds after which a scenario ends in any case
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Begin this many requests a second, whatever the answers do (open loop); 0 begins the
    /// next one when the last was answered (closed loop)
    #[arg(long, default_value_t = 0)]
    rate: u32,
    /// Where the server's operators reach it, for `reload`
    #[arg(long, value_name = "URL", requires = "admin_token")]
    admin_url: Option<String>,
    /// An admin token
    #[arg(long, env = "SWITCHYARD_ADMIN_TOKEN", hide_env_values = true)]
    admin_token: Option<String>,
    /// The server's process, whose CPU and memory are then reported
    #[arg(long)]
    pid: Option<u32>,
    /// Write the report as JSON as well
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Threads of this program
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: u16,
}

/// What every scenario is bounded by.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub clients: u32,
    pub requests: u64,
    pub time: Duration,
    pub rate: u32,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(usize::from(args.threads))
        .enable_all()
        .build()?;
    runtime.block_on(run(args))
}

async fn run(args: Args) -> anyhow::Result<()> {
    let bounds = Bounds {
        clients: args.clients,
        requests: args.requests,
        time: Duration::from_secs(args.seconds),
        rate: args.rate,
    };
    let target = connection::Target::new(&args.base_url, &args.token)?;
    let admin = match (&args.admin_url, &args.admin_token) {
        (Some(url), Some(token)) => Some(connection::Target::new(url, token)?),
        _ => None,
    };
    let fleet = Fleet::register(&target, &args.workspace, args.daemons, args.runtimes).await?;
    let mut reports: Vec<Report> = Vec::new();
    for scenario in &args.scenario {
        let report = scenario::run(*scenario, &target, admin.as_ref(), &fleet, bounds, args.pid).await;
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
