//! `switchyard-load`: daemons and producers under load, over the protocol alone; the floors
//! that a server can be held against; and the bench that puts both side by side.

#![cfg_attr(test, allow(clippy::float_cmp, reason = "what is compared was never rounded"))]

mod bench;
mod connection;
mod course;
mod fleet;
mod floor;
mod process;
mod reload;
mod report;
mod run;
mod scenario;
mod socket;
mod sockets;
mod statements;

use clap::{Parser, Subcommand};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Put a running server under load
    Run(run::Args),
    /// Be a floor: a server without logic, a bare loop of SQL, or the disk
    #[command(subcommand)]
    Floor(floor::Command),
    /// Measure the gateway on both databases, in turn with the floors
    Bench(bench::Args),
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    // Thousands of sockets are thousands of files, here and in what is started from here.
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, most, most);
    }
    let threads = match &cli.command {
        Command::Run(args) => usize::from(args.threads),
        // As many as the gateway takes.
        Command::Floor(_) => std::thread::available_parallelism().map_or(1, usize::from),
        Command::Bench(_) => 1,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    runtime.block_on(async {
        match cli.command {
            Command::Run(args) => run::run(args).await,
            Command::Floor(command) => floor::run(command).await,
            Command::Bench(args) => bench::run(args).await,
        }
    })
}
