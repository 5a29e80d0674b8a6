//! `switchyard-load bench`: the gateway on both databases, in turn with the floors, in one run.
//!
//! Absolute figures move by a factor of two on a shared machine. So everything that has a
//! floor is measured in rounds, floor and gateways one after the other within each, and the
//! median round counts.

mod figure;
mod history;
mod instructions;
mod page;
mod phases;
mod plot;
mod postgres;
mod server;

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use self::figure::Figure;
use self::phases::Size;
use self::server::Gateways;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Engine {
    Sqlite,
    Postgres,
}

impl Engine {
    pub const ALL: [Self; 2] = [Self::Sqlite, Self::Postgres];

    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// The gateway's binary
    #[arg(long, default_value = "target/release/switchyard")]
    gateway: PathBuf,
    /// Where databases are made, on the disk that is to be measured; a short path
    #[arg(long, default_value = "/tmp")]
    dir: PathBuf,
    /// Small counts, to see that everything works; the figures mean nothing
    #[arg(long)]
    quick: bool,
    /// Only these parts
    #[arg(long, value_delimiter = ',', value_enum)]
    only: Vec<Part>,
    /// The figures as JSON; those that others wrote there stay
    #[arg(long, value_name = "FILE")]
    summary: Option<PathBuf>,
    /// The page whose table between the markers is replaced; plots are put beside it
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
    /// Instructions that were recorded before; more than 5 % off fails the bench
    #[arg(long, value_name = "FILE")]
    instructions: Option<PathBuf>,
    /// Record the instructions instead
    #[arg(long, requires = "instructions")]
    record: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Part {
    /// What the disk does at best
    Disk,
    /// Heartbeats and polls, beside the floors of HTTP and WebSocket
    Beats,
    /// Claims, beside the floor of storage; and their latency at half of the rate
    Claims,
    /// Whole lives
    Lives,
    /// From the enqueue to the daemon's hold
    Wakeups,
    /// Memory at rest, and ten thousand connected daemons
    Sockets,
    /// Claims beside a million ended tasks and a hundred thousand blocked ones
    Growth,
    /// Instructions of a claim and a heartbeat
    Instructions,
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    let binary = std::fs::canonicalize(&args.gateway).with_context(|| {
        format!("there is no gateway at {}: build it, or say --gateway", args.gateway.display())
    })?;
    let code_cache = tempfile::Builder::new().prefix("switchyard-code-").tempdir_in(&args.dir)?;
    let gateways = Gateways { binary, dir: args.dir.clone(), code_cache: code_cache.path().to_owned() };
    let size = if args.quick { Size::QUICK } else { Size::FULL };
    let mut bench = phases::Bench {
        postgres: postgres::Server::start(&args.dir)?,
        gateways,
        size,
        figures: Vec::new(),
        errors: 0,
    };
    let wants = |part| args.only.is_empty() || args.only.contains(&part);
    if wants(Part::Disk) {
        bench.disk()?;
    }
    if wants(Part::Beats) {
        bench.beats().await?;
    }
    if wants(Part::Claims) {
        bench.claims().await?;
    }
    if wants(Part::Lives) {
        bench.lives().await?;
    }
    if wants(Part::Wakeups) {
        bench.wakeups().await?;
    }
    if wants(Part::Sockets) {
        bench.rest().await?;
        bench.sockets().await?;
    }
    if wants(Part::Growth) {
        bench.growth().await?;
    }
    let mut off = Vec::new();
    if wants(Part::Instructions) {
        let counted = instructions::count(&bench.gateways, &size).await?;
        off = instructions::hold(&counted, args.instructions.as_deref(), args.record)?;
        bench.figures.extend(counted.figures());
    }
    let (figures, errors) = (bench.figures, bench.errors);
    println!("\n{}", figure::table(&figures));
    if let Some(file) = &args.summary {
        summarise(file, &figures)?;
    }
    if let Some(file) = &args.page {
        page::write(file, &figures)?;
        plot::write(file.parent().unwrap_or(Path::new(".")), &figures)?;
    }
    ensure!(errors == 0, "{errors} requests failed; the tables above say which");
    ensure!(off.is_empty(), "the gate of instructions: {}", off.join("; "));
    Ok(())
}

/// Puts the figures beside what others measured in the same run.
fn summarise(file: &Path, figures: &[Figure]) -> anyhow::Result<()> {
    let others: Vec<serde_json::Value> = match std::fs::read(file) {
        Ok(text) => {
            serde_json::from_slice(&text).with_context(|| format!("{} is no list", file.display()))?
        }
        Err(_) => Vec::new(),
    };
    let ours: Vec<serde_json::Value> = figures.iter().map(serde_json::to_value).collect::<Result<_, _>>()?;
    let is_ours = |other: &serde_json::Value| {
        ours.iter().any(|one| one["name"] == other["name"] && one["engine"] == other["engine"])
    };
    let mut all: Vec<serde_json::Value> = others.into_iter().filter(|other| !is_ours(other)).collect();
    all.extend(ours.iter().cloned());
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(file, serde_json::to_string_pretty(&all)? + "\n")
        .with_context(|| format!("{} cannot be written", file.display()))?;
    println!("written to {}", file.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_keeps_what_others_measured() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("bench/summary.json");
        summarise(&file, &[Figure::new("a", "sqlite", 1.0, "/s")]).unwrap();
        std::fs::write(&file, r#"[{"name":"stages/native","engine":"none"},{"name":"a","engine":"sqlite"}]"#)
            .unwrap();
        let again = [Figure::new("a", "sqlite", 2.0, "/s"), Figure::new("a", "postgres", 3.0, "/s")];
        summarise(&file, &again).unwrap();
        let read: Vec<serde_json::Value> = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        let names: Vec<String> =
            read.iter().map(|one| format!("{} {}", one["name"], one["engine"])).collect();
        assert_eq!(names, [r#""stages/native" "none""#, r#""a" "sqlite""#, r#""a" "postgres""#]);
        assert_eq!(read[1]["value"], 2.0);
    }
}
