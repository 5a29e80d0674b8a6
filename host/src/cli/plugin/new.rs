//! `switchyard plugin new`: a plugin in a new folder, which builds and passes its tests.
//!
//! The contract is written beside it, and the SDK of a Rust plugin too, as this gateway has
//! them: they always fit, and a plugin is built years later from what is in its folder.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, bail, ensure};

use super::language::Language;
use super::starter;
use crate::plugin::stage::Stage;

#[derive(clap::Args)]
pub struct Args {
    /// The plugin's name, and that of its folder: lower-case words joined by hyphens
    name: String,
    /// What it is written in
    #[arg(long, value_enum, default_value_t = Language::Rust)]
    lang: Language,
    /// The stages it serves, joined by commas
    #[arg(long, value_name = "STAGE", value_delimiter = ',', default_value = "enrichment")]
    stage: Vec<String>,
    /// Where the folder is made
    #[arg(long, value_name = "DIR", default_value = ".")]
    into: PathBuf,
}

macro_rules! sdk {
    ($($path:literal),* $(,)?) => {
        [$((concat!("switchyard-sdk/", $path), include_str!(concat!("../../../../", $path)))),*]
    };
}

/// The SDK and the contract. They keep their places relative to each other.
const SDK: [(&str, &str); 28] = sdk![
    "plugins/sdk/Cargo.toml",
    "plugins/sdk/src/bindings.rs",
    "plugins/sdk/src/call.rs",
    "plugins/sdk/src/clock.rs",
    "plugins/sdk/src/failure.rs",
    "plugins/sdk/src/heap.rs",
    "plugins/sdk/src/http.rs",
    "plugins/sdk/src/kv.rs",
    "plugins/sdk/src/lib.rs",
    "plugins/sdk/src/log.rs",
    "plugins/sdk/src/plugin.rs",
    "plugins/sdk/src/random.rs",
    "plugins/sdk/src/secrets.rs",
    "plugins/sdk/src/stages/enrichment.rs",
    "plugins/sdk/src/stages/finished.rs",
    "plugins/sdk/src/stages/mcp_overlay.rs",
    "plugins/sdk/src/stages/mod.rs",
    "plugins/sdk/src/stages/prepare.rs",
    "plugins/sdk/src/stages/repo_resolution.rs",
    "plugins/sdk/src/stages/squad_briefing.rs",
    "plugins/sdk/src/testing.rs",
    "plugins/sdk-build/Cargo.toml",
    "plugins/sdk-build/src/lib.rs",
    "plugins/sdk-build/src/encode.rs",
    "wit/imports.wit",
    "wit/stages.wit",
    "wit/types.wit",
    "wit/worlds.wit",
];

pub fn run(args: &Args) -> anyhow::Result<()> {
    ensure!(
        is_name(&args.name),
        "`{}` is no name for a plugin: lower-case letters, digits and hyphens, beginning with a letter",
        args.name
    );
    let stages = stages(&args.stage)?;
    let folder = args.into.join(&args.name);
    let mut files = starter::files(&args.name, args.lang, &stages);
    if args.lang == Language::Rust {
        files.extend(SDK.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())));
    } else {
        let contract = SDK.iter().filter_map(|(path, text)| {
            let name = path.strip_prefix("switchyard-sdk/wit/")?;
            Some((format!("wit/deps/switchyard-plugin/{name}"), (*text).to_owned()))
        });
        files.extend(contract);
    }
    fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for (path, text) in files {
        let path = folder.join(path);
        if let Some(above) = path.parent() {
            fs::create_dir_all(above)?;
        }
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    println!("{} is a plugin that builds. Next:", folder.display());
    println!("  cd {}", folder.display());
    println!("  {:<28} # its unit tests, without WebAssembly", args.lang.unit_tests());
    println!("  {:<28} # makes {}.wasm", "switchyard plugin build", args.name);
    println!("  {:<28} # calls it as cases.yaml says", "switchyard plugin test");
    println!("  {:<28} # puts it into a running gateway, again after each change", "switchyard plugin dev");
    Ok(())
}

fn stages(names: &[String]) -> anyhow::Result<Vec<Stage>> {
    let mut stages = Vec::new();
    for name in names {
        let found = Stage::ALL.into_iter().find(|stage| stage.as_str() == name);
        match found {
            Some(stage) if stages.contains(&stage) => {}
            Some(stage) => stages.push(stage),
            None => {
                let known: Vec<&str> = Stage::ALL.iter().map(|stage| stage.as_str()).collect();
                bail!("`{name}` is no stage; there are {}", known.join(", "))
            }
        }
    }
    Ok(stages)
}

fn is_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}
