//! `switchyard plugin run`: one stage of a component, called with what a file says.

use std::path::PathBuf;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::beside;
use super::workbench::{self, Workbench};
use crate::plugin::plugin::Plugin;
use crate::plugin::stage::Stage;
use crate::telemetry;

#[derive(clap::Args)]
pub struct Target {
    /// The component
    pub component: PathBuf,
    /// The input as JSON: the claim for `enrichment`, the task for `finished`, else the
    /// stage's record
    #[arg(long, value_name = "FILE")]
    pub input: PathBuf,
    /// Which stage to call; needed when the component serves several
    #[arg(long)]
    pub stage: Option<String>,
    /// The plugin's configuration, as JSON (default: that of plugins.toml beside the component)
    #[arg(long, value_name = "JSON")]
    pub config: Option<String>,
}

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// Print output and figures as one JSON object
    #[arg(long)]
    json: bool,
}

impl Target {
    /// The members of its `[[plugin]]`, as plugins.toml beside it has them.
    pub fn entry(&self) -> anyhow::Result<Value> {
        let mut entry = beside::entry(&self.component)?;
        if let Some(config) = &self.config {
            entry["config"] = serde_json::from_str(config).context("--config is not JSON")?;
        }
        Ok(entry)
    }
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    // What the guest writes to the log goes to standard error.
    telemetry::init_for_tools();
    let (target, input) = (&args.target, workbench::read_json(&args.target.input)?);
    let plugin = Workbench::new()?.plugin(&target.component, target.entry()?).await?;
    let stage = workbench::stage(&plugin, target.stage.as_deref()).map_err(anyhow::Error::msg)?;
    let report = workbench::call(&plugin, stage, &input).await?;
    let memory = report.times.peak_memory_bytes;
    let figures = json!({
        "stage": stage.as_str(),
        "version": plugin.version,
        "instantiate_us": report.times.instantiate_us,
        "guest_us": report.times.guest_us,
        "peak_memory_bytes": memory,
    });
    let output = match report.result {
        Ok(output) => output,
        Err(error) => {
            if args.json {
                let told = json!({"code": error.code(), "message": error.to_string()});
                println!("{:#}", with(figures, "error", told));
            }
            bail!("{} ({})", error, error.code())
        }
    };
    let instructions = instructions(target, stage, &input).await?;
    if args.json {
        println!("{:#}", with(with(figures, "instructions", json!(instructions)), "output", output));
    } else {
        println!("{output:#}");
        let (instantiate, guest) = (report.times.instantiate_us, report.times.guest_us);
        eprintln!(
            "{} of {}: {} µs ({instantiate} to make the instance, {guest} in the guest), {instructions} instructions, \
             {} KiB of memory",
            stage.as_str(),
            plugin.version,
            instantiate + guest,
            memory.div_ceil(1024),
        );
    }
    Ok(())
}

/// How many instructions a call runs, which is the same on every machine. Counted on an engine
/// of its own, since counting takes time.
pub async fn instructions(target: &Target, stage: Stage, input: &Value) -> anyhow::Result<u64> {
    let mut entry = target.entry()?;
    for (limit, value) in [("cpu_ms", 10_000), ("wall_ms", 30_000)] {
        entry["limits"][limit] = json!(value);
    }
    let counted = Workbench::counting()?.plugin(&target.component, entry).await?;
    let report = workbench::call(&counted, stage, input).await?;
    report.instructions.context("the engine counted nothing")
}

fn with(mut object: Value, name: &str, value: Value) -> Value {
    object[name] = value;
    object
}

/// Calls often, one after the other, and gives what each took.
pub async fn calls(
    plugin: &Plugin,
    stage: Stage,
    input: &Value,
    times: u32,
) -> anyhow::Result<Vec<(u64, u64, u64)>> {
    let mut taken = Vec::new();
    for _ in 0..times.max(1) {
        let report = workbench::call(plugin, stage, input).await?;
        if let Err(error) = report.result {
            bail!("{} ({})", error, error.code());
        }
        taken.push((report.times.instantiate_us, report.times.guest_us, report.times.peak_memory_bytes));
    }
    Ok(taken)
}
