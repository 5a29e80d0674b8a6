//! The command line: one file a subcommand. Calls anything, is called by nothing.

pub mod bootstrap;
mod data;
mod demo;
mod migrate;
mod plugin;
mod serve;
mod token;

use clap::{Parser, Subcommand};

/// Gateway between those who give work to coding agents and the daemons that run them.
#[derive(Parser)]
#[command(name = "switchyard", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the gateway
    Serve(serve::Args),
    /// Run the whole story by itself and print what happens
    Demo(demo::Args),
    /// Make a user and the workspace it owns, and print fresh tokens
    Bootstrap(bootstrap::Args),
    /// Mint a token for a daemon
    #[command(subcommand)]
    Token(token::Command),
    /// Show, check and apply the plugins of a running gateway
    #[command(subcommand)]
    Plugin(plugin::Command),
    /// Bring the database's schema up to date and stop
    Migrate(migrate::Args),
}

/// Runs what the arguments ask for.
pub fn run() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match cli.command {
            // It is larger than all others, and each would have to have room for it.
            Command::Serve(args) => Box::pin(serve::run(args)).await,
            Command::Demo(args) => demo::run(args).await,
            Command::Bootstrap(args) => bootstrap::run(args).await,
            Command::Token(command) => token::run(command).await,
            Command::Plugin(command) => plugin::run(command).await,
            Command::Migrate(args) => migrate::run(args).await,
        }
    })
}
