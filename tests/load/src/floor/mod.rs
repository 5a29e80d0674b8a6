//! What the machine can do at best, so that a figure has something to stand beside.

pub mod disk;
pub mod http;
pub mod storage;

use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;

#[derive(Subcommand)]
pub enum Command {
    /// Serve the bytes of the protocol's answers, without any logic, until stopped
    Http(http::Args),
    /// Claim by bare SQL
    Storage {
        /// `sqlite:PATH` (made anew) or `postgres://…` (a schema of its own is made anew)
        #[arg(long)]
        database_url: String,
        #[arg(long, default_value_t = 3)]
        seconds: u64,
    },
    /// Append 4 KiB and sync, again and again
    Disk {
        /// The folder whose disk is measured
        #[arg(long)]
        dir: PathBuf,
        #[arg(long, default_value_t = 3)]
        seconds: u64,
    },
}

pub async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Http(args) => http::serve(args).await,
        Command::Storage { database_url, seconds } => {
            let time = Duration::from_secs(seconds);
            let mut bare = storage::Bare::open(&database_url, time).await?;
            println!("one claim a commit: {:.0}/s", bare.one_by_one(time).await?);
            println!("{} claims a commit: {:.0}/s", storage::GROUP, bare.in_groups(time).await?);
            Ok(())
        }
        Command::Disk { dir, seconds } => {
            let synced = disk::syncs(&dir, Duration::from_secs(seconds))?;
            println!("a synced append: p50 {} us, p99 {} us", synced.p50_us, synced.p99_us);
            Ok(())
        }
    }
}
