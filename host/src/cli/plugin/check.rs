//! `switchyard plugin check`: what a gateway would say to a document, without a gateway.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::model::time::Clock;
use crate::plugin::document::DocumentFormat;
use crate::plugin::generation::{Generation, Origin};
use crate::plugin::plugins::{ApplyError, Plugins, Sent, Settings};
use crate::plugin::reach::Outside;
use crate::plugin::rules::Rules;

#[derive(clap::Args)]
pub struct Args {
    /// plugins.toml, or the same as .json
    file: PathBuf,
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    let shown = args.file.display();
    let text = std::fs::read_to_string(&args.file).with_context(|| format!("cannot read {shown}"))?;
    let is_json = args.file.extension().is_some_and(|extension| extension == "json");
    let format = if is_json { DocumentFormat::Json } else { DocumentFormat::Toml };
    let generation = make(text, format, Some(&args.file)).await?;
    println!("{shown} is sound; it would run:");
    for plugin in &generation.plugins {
        let stages: Vec<&str> = plugin.stages.iter().map(|stage| stage.as_str()).collect();
        let digest = plugin.sha256.get(..12).unwrap_or_default();
        println!("  {:<20} {:<8} {digest}  {}", plugin.name, plugin.version, stages.join(", "));
    }
    Ok(())
}

/// Makes the document's plugins as a gateway does, in an engine of their own. Relative paths
/// are below the folder of `file`.
pub async fn make(
    text: String,
    format: DocumentFormat,
    file: Option<&Path>,
) -> anyhow::Result<std::sync::Arc<Generation>> {
    let cache = tempfile::tempdir()?;
    let settings = Settings {
        cache_dir: cache.path().to_owned(),
        document: file.map(Path::to_owned),
        db: None,
        outside: Outside::of_a_tool(),
        rules: Rules::default(),
    };
    let plugins = Plugins::idle(settings, Clock::system())?;
    match plugins.apply(Sent { text, format, origin: Origin::Api }, false).await {
        Ok(generation) => Ok(generation),
        Err(ApplyError::Faults(faults)) => {
            for fault in &faults {
                let place = if fault.pointer.is_empty() { "(document)" } else { &fault.pointer };
                eprintln!("{place}: {}", fault.message);
            }
            bail!("{} faults", faults.len())
        }
        Err(error) => Err(error.into()),
    }
}
