//! `switchyard plugin run`: one stage of a component, called with what a file says.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{check, input, output};
use crate::plugin::document::DocumentFormat;
use crate::plugin::plugin::Plugin;
use crate::plugin::report::Report;
use crate::plugin::stage::{Kind, Stage, Subject};
use crate::telemetry;

#[derive(clap::Args)]
pub struct Args {
    /// The component
    component: PathBuf,
    /// The input as JSON: the claim for `enrichment`, the task for `finished`, else the
    /// stage's record
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// Which stage to call; needed when the component serves several
    #[arg(long)]
    stage: Option<String>,
    /// The plugin's configuration, as JSON
    #[arg(long, value_name = "JSON", default_value = "{}")]
    config: String,
    /// Call it so often, and tell how long it took
    #[arg(long, value_name = "N", default_value_t = 1)]
    repeat: u32,
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    // What the guest writes to the log goes to standard error.
    telemetry::init_for_tools();
    let config: Value = serde_json::from_str(&args.config).context("--config is not JSON")?;
    let component = std::path::absolute(&args.component)?;
    let source = format!("file:{}", component.display());
    let mut entry = json!({"name": "under-test", "source": source, "config": config});
    if let Some(stage) = &args.stage {
        entry["stages"] = json!([stage]);
    }
    let document = json!({"plugin": [entry]}).to_string();
    let generation = check::make(document, DocumentFormat::Json, None).await?;
    let Some(plugin) = generation.plugins.first() else { bail!("nothing to run") };
    let stage = match plugin.stages.as_slice() {
        [stage] => *stage,
        stages => {
            let names: Vec<&str> = stages.iter().map(|stage| stage.as_str()).collect();
            bail!("the component serves {}; choose one with --stage", names.join(", "))
        }
    };
    let mut times = Vec::new();
    let mut last = None;
    for _ in 0..args.repeat.max(1) {
        let report = call(plugin, stage, &args.input).await?;
        times.push(report.times.instantiate_us + report.times.guest_us);
        last = Some(report.result);
    }
    match last {
        Some(Ok(value)) => println!("{value:#}"),
        Some(Err(error)) => bail!("{} ({})", error, error.code()),
        None => {}
    }
    times.sort_unstable();
    let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
    eprintln!("{} of {}: {median} µs, {worst} µs at the most", stage.as_str(), plugin.version);
    Ok(())
}

async fn call(plugin: &Plugin, stage: Stage, file: &Path) -> anyhow::Result<Report<Value>> {
    let subject = Subject {
        task_id: "00000000-0000-4000-8000-000000000001".to_owned(),
        workspace_id: "00000000-0000-4000-8000-000000000002".to_owned(),
        agent_id: "00000000-0000-4000-8000-000000000003".to_owned(),
        kind: Kind::Direct,
    };
    Ok(match stage {
        Stage::RepoResolution => {
            let report = plugin.resolve_repos(&subject, &read::<input::RepoResolution>(file)?.into()).await;
            report.map(|resolution| output::resolution(&resolution))
        }
        Stage::McpOverlay => {
            let report = plugin.merge_mcp(&subject, &read::<input::Mcp>(file)?.into(), Ok).await;
            report.map(|merged| output::merged(&merged))
        }
        Stage::SquadBriefing => {
            let report = plugin.brief_squad(&subject, &read::<input::Briefing>(file)?.into()).await;
            report.map(|text| json!(text))
        }
        Stage::Enrichment => {
            let report = plugin.enrich(&subject, read::<Value>(file)?.to_string(), Ok).await;
            report.map(|decision| output::decision(&decision))
        }
        Stage::Finished => {
            let report = plugin.finished(&subject, &read::<Value>(file)?.to_string()).await;
            report.map(|()| Value::Null)
        }
        Stage::Prepare => bail!("stage `prepare` is not called by this release"),
    })
}

fn read<T: DeserializeOwned>(file: &Path) -> anyhow::Result<T> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {shown}"))?;
    serde_json::from_str(&text).with_context(|| format!("{shown} is not an input of this stage"))
}
