//! `switchyard plugin replay`: runs a component on recorded inputs and tells what comes out
//! otherwise than it did, or than it does of another component. It runs at the times of the
//! recordings, and what it reaches are mocks.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::beside;
use super::cases::mocks::{Mocks, Scenery};
use super::workbench::{self, Workbench};
use crate::enrich::record;
use crate::plugin::plugin::Plugin;
use crate::plugin::stage::{Kind, Stage, Subject};
use crate::telemetry;

/// A call is slower when it takes twice as long as before, and this much more.
const SLOWER_US: u64 = 1000;

#[derive(clap::Args)]
pub struct Args {
    /// The component
    component: PathBuf,
    /// What `switchyard plugin recordings --out` wrote
    #[arg(long, value_name = "FILE.jsonl")]
    inputs: PathBuf,
    /// The plugin's configuration, as JSON (default: that of plugins.toml beside the component,
    /// of which grants and limits are, too)
    #[arg(long, value_name = "JSON")]
    config: Option<String>,
    /// What it finds outside, as `mocks` of a case says it; without it no request is answered and
    /// nothing is kept
    #[arg(long, value_name = "FILE.yaml")]
    mocks: Option<PathBuf>,
    /// Compare with what this component makes of the inputs, instead of what was recorded
    #[arg(long, value_name = "COMPONENT")]
    against: Option<PathBuf>,
    /// The other component's configuration, as JSON (default: the same where one is given, else that
    /// of plugins.toml beside it)
    #[arg(long, value_name = "JSON", requires = "against")]
    against_config: Option<String>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    /// Exit with 0 though outputs differ; failures still count
    #[arg(long)]
    allow_differences: bool,
}

/// A line of the file.
#[derive(Deserialize)]
struct Recorded {
    #[serde(default)]
    id: String,
    stage: Stage,
    /// Absent from a file that was written by hand.
    at: Option<String>,
    #[serde(default)]
    task_id: String,
    #[serde(default)]
    workspace_id: String,
    input: Value,
    #[serde(default)]
    output: Value,
    #[serde(default)]
    outcome: String,
    #[serde(default)]
    times: Took,
}

#[derive(Default, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_field_names, reason = "the members of a recording")]
struct Took {
    instantiate_us: u64,
    guest_us: u64,
    host_us: u64,
}

/// What one call gave: a value, or the code of its failure.
struct Gave {
    value: Value,
    failure: Option<String>,
    micros: u64,
}

#[derive(Default, Serialize)]
struct Summary {
    same: usize,
    different: Vec<Difference>,
    failed: Vec<Failed>,
    slower: Vec<Slower>,
    /// Of stages that the component does not serve.
    passed_over: usize,
}

#[derive(Serialize)]
struct Difference {
    line: usize,
    id: String,
    stage: Stage,
    /// JSON Patch from what was to what is.
    diff: json_patch::Patch,
}

#[derive(Serialize)]
struct Failed {
    line: usize,
    id: String,
    stage: Stage,
    why: String,
}

#[derive(Serialize)]
struct Slower {
    line: usize,
    id: String,
    stage: Stage,
    before_us: u64,
    now_us: u64,
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    // What the guest writes to the log goes to standard error.
    telemetry::init_for_tools();
    let mocks = args.mocks.as_deref().map(Mocks::of_file).transpose()?.unwrap_or_default();
    let new = Desk::of(&args.component, args.config.as_deref(), &mocks).await?;
    let other = match &args.against {
        Some(path) => {
            let config = args.against_config.as_deref().or(args.config.as_deref());
            Some(Desk::of(path, config, &mocks).await?)
        }
        None => None,
    };
    let mut summary = Summary::default();
    let shown = args.inputs.display();
    let file = File::open(&args.inputs).with_context(|| format!("cannot read {shown}"))?;
    for (index, text) in BufReader::new(file).lines().enumerate() {
        let line = index + 1;
        let text = text.with_context(|| format!("cannot read {shown}"))?;
        if text.trim().is_empty() {
            continue;
        }
        let recorded: Recorded = serde_json::from_str(&text)
            .with_context(|| format!("line {line} of {shown} is not a recording"))?;
        if !new.plugin.stages.contains(&recorded.stage) {
            summary.passed_over += 1;
            continue;
        }
        let about = || format!("line {line} of {shown}");
        let now = new.call(&recorded).await.with_context(about)?;
        let before = match &other {
            Some(other) => other.call(&recorded).await.with_context(about)?,
            None => recorded.gave(),
        };
        summary.add(line, &recorded, before, now);
    }
    if args.json {
        println!("{:#}", serde_json::to_value(&summary)?);
    } else {
        summary.print();
    }
    let differs = !summary.different.is_empty() && !args.allow_differences;
    if differs || !summary.failed.is_empty() {
        bail!("{} different, {} failed", summary.different.len(), summary.failed.len());
    }
    Ok(())
}

/// A component with what it finds around it.
struct Desk<'a> {
    plugin: Arc<Plugin>,
    /// Its `[[plugin]]`.
    entry: Value,
    mocks: &'a Mocks,
    scenery: Scenery,
    _bench: Workbench,
}

impl<'a> Desk<'a> {
    async fn of(component: &Path, config: Option<&str>, mocks: &'a Mocks) -> anyhow::Result<Self> {
        let mut entry = beside::entry(component)?;
        if let Some(config) = config {
            entry["config"] = serde_json::from_str(config).context("the configuration is not JSON")?;
        }
        let scenery = Scenery::new()?;
        let bench = Workbench::reaching(scenery.outside())?;
        scenery.set(mocks, &mut entry)?;
        let plugin = bench.plugin(component, entry.clone()).await?;
        Ok(Self { plugin, entry, mocks, scenery, _bench: bench })
    }

    /// One call that knows of no other, its output made as bare as a recording's.
    async fn call(&self, recorded: &Recorded) -> anyhow::Result<Gave> {
        let mocks = self.mocks.clone();
        let mocks = recorded.at.iter().fold(mocks, |mocks, at| mocks.at(at));
        self.scenery.set(&mocks, &mut self.entry.clone())?;
        let subject = Subject {
            task_id: recorded.task_id.clone(),
            workspace_id: recorded.workspace_id.clone(),
            // Nobody chooses among plugins here.
            agent_id: String::new(),
            kind: Kind::Direct,
        };
        let report = workbench::call_for(&self.plugin, &subject, recorded.stage, &recorded.input).await?;
        let micros = report.times.instantiate_us + report.times.guest_us + report.times.host_us;
        Ok(match report.result {
            Ok(value) => {
                let mut value = record::withheld(value);
                record::clean(&mut value);
                Gave { value, failure: None, micros }
            }
            Err(error) => {
                Gave { value: Value::Null, failure: Some(format!("{error} ({})", error.code())), micros }
            }
        })
    }
}

impl Recorded {
    fn gave(&self) -> Gave {
        let Took { instantiate_us, guest_us, host_us } = self.times;
        let failure = (!matches!(self.outcome.as_str(), "" | "ok")).then(|| self.outcome.clone());
        let micros = instantiate_us.saturating_add(guest_us).saturating_add(host_us);
        Gave { value: self.output.clone(), failure, micros }
    }
}

impl Summary {
    fn add(&mut self, line: usize, recorded: &Recorded, before: Gave, now: Gave) {
        let (id, stage) = (recorded.id.clone(), recorded.stage);
        if now.micros > before.micros.saturating_mul(2).saturating_add(SLOWER_US) && before.micros > 0 {
            let (before_us, now_us) = (before.micros, now.micros);
            self.slower.push(Slower { line, id: id.clone(), stage, before_us, now_us });
        }
        match (&before.failure, now.failure) {
            (_, Some(why)) => self.failed.push(Failed { line, id, stage, why }),
            // It failed before and does not now: that is another output.
            (failure, None) => {
                let was = if failure.is_some() { Value::Null } else { before.value };
                let diff = json_patch::diff(&was, &now.value);
                if diff.0.is_empty() && failure.is_none() {
                    self.same += 1;
                } else {
                    self.different.push(Difference { line, id, stage, diff });
                }
            }
        }
    }

    fn print(&self) {
        println!(
            "{} same, {} different, {} failed, {} slower, {} of other stages",
            self.same,
            self.different.len(),
            self.failed.len(),
            self.slower.len(),
            self.passed_over
        );
        for Difference { line, id, stage, diff } in &self.different {
            println!("different: line {line}, {} {id}", stage.as_str());
            for change in &diff.0 {
                println!("  {}", serde_json::to_string(change).unwrap_or_default());
            }
        }
        for Failed { line, id, stage, why } in &self.failed {
            println!("failed: line {line}, {} {id}: {why}", stage.as_str());
        }
        for Slower { line, id, stage, before_us, now_us } in &self.slower {
            println!("slower: line {line}, {} {id}: {before_us} µs before, {now_us} µs now", stage.as_str());
        }
    }
}
