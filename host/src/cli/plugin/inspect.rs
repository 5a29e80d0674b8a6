//! `switchyard plugin inspect`: what a component is, without running a stage of it.

use std::path::PathBuf;

use anyhow::Context;

use super::workbench;
use crate::plugin::inspect::inspect;

#[derive(clap::Args)]
pub struct Args {
    /// The component
    component: PathBuf,
    /// Print it as one JSON object
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    let shown = args.component.display();
    let bytes = std::fs::read(&args.component).with_context(|| format!("cannot read {shown}"))?;
    let cache = workbench::Cache::new()?;
    let found = inspect(cache.folder(), &bytes).await.with_context(|| format!("{shown} is no plugin"))?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
        return Ok(());
    }
    println!("{} {}: {}", found.name, found.version, found.summary);
    println!("  {:<16} {}", "stages", found.stages.join(", "));
    for import in &found.imports {
        let needs = match &import.grant {
            Some(grant) => format!("needs the grant `{grant}`"),
            None => "needs no grant".to_owned(),
        };
        println!("  {:<16} {:<34} {needs}", "imports", import.interface);
    }
    println!("  {:<16} {} KiB", "size", found.size_bytes.div_ceil(1024));
    println!("  {:<16} {}", "sha256", found.sha256);
    println!("  {:<16} {}", "core instances", found.parts.core_instances);
    let memory = found.parts.initial_memory_bytes.div_ceil(1024);
    println!("  {:<16} {}, {memory} KiB to begin with", "memories", found.parts.memories);
    match &found.config_schema {
        Some(schema) => println!("  {:<16} {schema:#}", "configuration"),
        None => println!("  {:<16} none", "configuration"),
    }
    Ok(())
}
