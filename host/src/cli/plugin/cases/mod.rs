//! `switchyard plugin test`: calls a component as a file of cases says, and compares.

mod case;
mod matching;
pub mod mocks;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use self::case::{Case, Expected};
use self::mocks::Scenery;
use super::workbench::{self, Workbench};
use super::{beside, build};
use crate::plugin::error::PluginError;
use crate::telemetry;

#[derive(clap::Args)]
pub struct Args {
    /// A component, or the folder of a plugin that was built
    #[arg(default_value = ".")]
    target: PathBuf,
    /// The cases (default: cases.yaml beside the component)
    #[arg(long, value_name = "FILE")]
    cases: Option<PathBuf>,
    /// Print the results as a JSON array
    #[arg(long)]
    json: bool,
}

/// What came of a case.
pub struct Outcome {
    pub name: String,
    /// Each difference between what was expected and what was found; none when it passed.
    pub differences: Vec<String>,
    /// Making the instance, and the guest; nothing when it was not called.
    pub took_us: u64,
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    telemetry::init_for_tools();
    let component = if args.target.is_dir() { build::component(&args.target)? } else { args.target.clone() };
    ensure!(
        component.is_file(),
        "there is no {}; `switchyard plugin build` makes it out of its folder",
        component.display()
    );
    let cases = args.cases.unwrap_or_else(|| component.with_file_name("cases.yaml"));
    let outcomes = try_all(&component, &cases).await?;
    if args.json {
        let shown = outcomes.iter().map(|outcome| {
            json!({
                "name": outcome.name,
                "passed": outcome.differences.is_empty(),
                "differences": outcome.differences,
                "us": outcome.took_us,
            })
        });
        println!("{:#}", Value::Array(shown.collect()));
    } else {
        show(&outcomes);
    }
    let failed = failed(&outcomes);
    if failed > 0 {
        bail!("{failed} of {} cases failed", outcomes.len());
    }
    Ok(())
}

/// A line a case, and the differences below those that failed.
pub fn show(outcomes: &[Outcome]) {
    for outcome in outcomes {
        let mark = if outcome.differences.is_empty() { "ok  " } else { "FAIL" };
        println!("{mark}  {} ({} µs)", outcome.name, outcome.took_us);
        for difference in &outcome.differences {
            println!("        {difference}");
        }
    }
    println!("{} passed, {} failed", outcomes.len() - failed(outcomes), failed(outcomes));
}

pub fn failed(outcomes: &[Outcome]) -> usize {
    outcomes.iter().filter(|outcome| !outcome.differences.is_empty()).count()
}

/// Tries every case of the file, in its order. What is wrong with the file itself is an error.
pub async fn try_all(component: &Path, file: &Path) -> anyhow::Result<Vec<Outcome>> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {shown}"))?;
    let cases = case::read(&text).with_context(|| format!("{shown} is not sound"))?;
    let scenery = Scenery::new()?;
    let bench = Workbench::reaching(scenery.outside())?;
    let mut outcomes = Vec::new();
    for case in cases {
        let context = || format!("{shown}, case `{}`", case.name);
        let (differences, took_us) =
            try_one((&bench, &scenery), component, file, &case).await.with_context(context)?;
        outcomes.push(Outcome { name: case.name, differences, took_us });
    }
    Ok(outcomes)
}

async fn try_one(
    (bench, scenery): (&Workbench, &Scenery),
    component: &Path,
    file: &Path,
    case: &Case,
) -> anyhow::Result<(Vec<String>, u64)> {
    let input = case.input(file.parent().unwrap_or(Path::new(".")))?;
    // Limits as in the author's document; what a case depends on it says itself.
    let mut entry = beside::entry(component)?;
    entry["config"] = case.config.clone().unwrap_or(json!({}));
    if let Some(grants) = &case.grants {
        entry["grants"] = grants.clone();
    }
    scenery.set(&case.mocks, &mut entry)?;
    let plugin = match bench.try_plugin(component, entry).await? {
        Ok(plugin) => plugin,
        Err(faults) => {
            let told = faults.iter().map(workbench::told);
            return Ok((told.map(|fault| format!("the gateway would refuse it: {fault}")).collect(), 0));
        }
    };
    let stage = workbench::stage(&plugin, case.stage.as_deref()).map_err(anyhow::Error::msg)?;
    let report = workbench::call(&plugin, stage, &input).await?;
    let took_us = report.times.instantiate_us + report.times.guest_us;
    let mut differences = compare(&case.expect, report.result);
    differences.extend(scenery.differing_values(&case.expect_kv));
    differences.extend(scenery.differing_requests(case.expect_requests.as_deref()));
    Ok((differences, took_us))
}

fn compare(expected: &Expected, found: Result<Value, PluginError>) -> Vec<String> {
    let code = |error: &PluginError| match error {
        PluginError::Failed { code, .. } => code.clone(),
        other => other.code().to_owned(),
    };
    let denied = |output: &Value| output["deny"]["code"].as_str().map(str::to_owned);
    let differs = |wanted: String, found: String| vec![format!("expected {wanted}, found {found}")];
    match (expected, found) {
        (Expected::Failed(wanted), Err(error)) if code(&error) == *wanted => Vec::new(),
        (Expected::Denied(wanted), Ok(output)) if denied(&output).as_ref() == Some(wanted) => Vec::new(),
        (Expected::Output(wanted), Ok(output)) => matching::differences(wanted, &output),
        (Expected::Output(wanted), Err(error)) => {
            differs(wanted.to_string(), format!("a failed call: {error} ({})", code(&error)))
        }
        (Expected::Denied(wanted), Ok(output)) => differs(format!("a denial `{wanted}`"), output.to_string()),
        (Expected::Denied(wanted), Err(error)) => {
            differs(format!("a denial `{wanted}`"), format!("a failed call: {error} ({})", code(&error)))
        }
        (Expected::Failed(wanted), Ok(output)) => {
            differs(format!("a failure `{wanted}`"), output.to_string())
        }
        (Expected::Failed(wanted), Err(error)) => {
            differs(format!("a failure `{wanted}`"), format!("`{}`: {error}", code(&error)))
        }
    }
}

fn read_yaml<T: DeserializeOwned>(text: &str) -> anyhow::Result<T> {
    // In YAML 1.2 `n`, `no` and `off` are texts; keys and codes may well be called so.
    let options = serde_saphyr::options! { strict_booleans: true };
    Ok(serde_saphyr::from_str_with_options(text, options)?)
}
