//! Instructions of a claim and of a heartbeat, as callgrind counts them: they do not depend
//! on what else the machine does, so that five hundredths more are seen.
//!
//! Counted on SQLite, which runs inside the process, and without plugins, because the pool
//! that their sandboxes come from is larger than what valgrind can map.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

use super::Engine;
use super::figure::{Figure, median};
use super::phases::Size;
use super::server::{Gateways, WORKSPACE};
use crate::course::Bounds;
use crate::fleet::Fleet;
use crate::report::as_f64;
use crate::scenario::{self, Scenario};

/// How far off a count may be from what was recorded.
const TOLERANCE: f64 = 0.05;
/// How long the gateway is watched at rest, to know what its clocks cost.
const REST: Duration = Duration::from_secs(3);
/// What a clock of the gateway does now and then falls into some of the parts, and is no part of a
/// request; the median has none of it.
const PARTS: usize = 5;

#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counted {
    pub heartbeat: f64,
    pub claim: f64,
}

impl Counted {
    pub fn figures(&self) -> [Figure; 2] {
        let figure = |name, value: f64| Figure::new(name, "sqlite", value / 1000.0, "thousand each");
        [
            figure("heartbeat over HTTP: instructions", self.heartbeat),
            figure("claim without plugins: instructions", self.claim),
        ]
    }
}

pub async fn count(gateways: &Gateways, size: &Size) -> anyhow::Result<Counted> {
    let found = Command::new("valgrind").arg("--version").output();
    ensure!(found.is_ok(), "valgrind is not installed: `.ci/valgrind` does it");
    let folder = tempfile::tempdir_in(&gateways.dir)?;
    let out = folder.path().join("out");
    let below = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--fair-sched=yes"];
    let mut below: Vec<String> = below.map(str::to_owned).to_vec();
    below.push(format!("--callgrind-out-file={}", out.display()));
    let none = folder.path().join("plugins.toml");
    std::fs::write(&none, "")?;
    let flags = ["--sweep-every=0".to_owned(), "--plugins".to_owned(), none.to_string_lossy().into_owned()];
    let server = gateways.start_with(Engine::Sqlite, None, &below, &flags)?;
    // Fewer at once than a group of writes would like: what shares a commit would otherwise
    // depend on how threads fall.
    let bounds = |requests| Bounds { clients: 1, requests, time: Duration::from_mins(2), rate: 0 };
    let fleet = Fleet::register(&server.stage.target, WORKSPACE, 1, 1).await?;
    for what in [Scenario::Heartbeat, Scenario::Claim] {
        scenario::run(what, &server.stage, &fleet, bounds(20)).await?;
    }
    let mut dumps = 0;
    let mut dump = || {
        control(server.pid, &["--dump"])?;
        dumps += 1;
        let file = format!("{}.{dumps}", out.display());
        total(&std::fs::read_to_string(&file).with_context(|| format!("callgrind wrote no {file}"))?)
    };
    control(server.pid, &["--instr=on"])?;
    dump()?;
    tokio::time::sleep(REST).await;
    let rest = dump()? / REST.as_secs_f64();
    let mut each = Vec::new();
    for what in [Scenario::Heartbeat, Scenario::Claim] {
        let mut parts = Vec::new();
        for _ in 0..PARTS {
            let stocked = scenario::stocked(what, &server.stage, &fleet, bounds(size.counted)).await?;
            dump()?;
            let began = Instant::now();
            let report = scenario::run_stocked(what, &server.stage, &fleet, bounds(stocked)).await?;
            let took = began.elapsed().as_secs_f64();
            ensure!(report.errors() == 0, "requests failed under valgrind:{}", report.table());
            parts.push((dump()? - rest * took) / as_f64(report.done.max(1)));
        }
        println!("\n{what:?}: instructions of each, in parts: {parts:.0?}");
        each.push(median(parts.into_iter()));
    }
    println!("\nat rest {:.1} million instructions a second", rest / 1e6);
    Ok(Counted { heartbeat: each[0], claim: each[1] })
}

fn control(pid: u32, arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("callgrind_control").args(arguments).arg(pid.to_string()).output();
    let output = output.context("callgrind_control cannot be run")?;
    ensure!(output.status.success(), "callgrind_control: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// The instructions of a dump.
fn total(dump: &str) -> anyhow::Result<f64> {
    let line = dump.lines().find_map(|line| line.strip_prefix("totals:").or(line.strip_prefix("summary:")));
    line.context("the dump has no total")?.trim().parse().context("the dump's total is no number")
}

/// What is too far from what was recorded, or records it.
pub fn hold(counted: &Counted, file: Option<&Path>, record: bool) -> anyhow::Result<Vec<String>> {
    let Some(file) = file else { return Ok(Vec::new()) };
    if record {
        let text = serde_json::to_string_pretty(counted)? + "\n";
        std::fs::write(file, text).with_context(|| format!("{} cannot be written", file.display()))?;
        return Ok(Vec::new());
    }
    let Ok(text) = std::fs::read_to_string(file) else {
        println!("{} is not there: record it with --record", file.display());
        return Ok(Vec::new());
    };
    let recorded: Counted =
        serde_json::from_str(&text).with_context(|| format!("{} cannot be read", file.display()))?;
    Ok(compare(counted, &recorded))
}

fn compare(counted: &Counted, recorded: &Counted) -> Vec<String> {
    let pairs =
        [("heartbeat", counted.heartbeat, recorded.heartbeat), ("claim", counted.claim, recorded.claim)];
    let off = pairs.into_iter().filter_map(|(what, now, then)| {
        let change = now / then - 1.0;
        (change.abs() > TOLERANCE || !change.is_finite()).then(|| {
            format!(
                "a {what} takes {now:.0} instructions, {:+.1} % of the {then:.0} recorded",
                change * 100.0
            )
        })
    });
    off.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_more_than_a_twentieth_is_off_both_ways() {
        let recorded = Counted { heartbeat: 1000.0, claim: 1000.0 };
        let off = |heartbeat, claim| compare(&Counted { heartbeat, claim }, &recorded).len();
        assert_eq!(off(1049.0, 951.0), 0);
        assert_eq!(off(1051.0, 1000.0), 1);
        assert_eq!(off(949.0, 2000.0), 2);
    }

    #[test]
    fn a_dump_has_a_total() {
        assert!((total("events: Ir\nfn=(1)\n1 2\ntotals: 123\n").unwrap() - 123.0).abs() < 0.5);
        assert!(total("events: Ir\n").is_err());
    }
}
