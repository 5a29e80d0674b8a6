//! `switchyard plugin new`: a plugin in a new folder, which builds with nothing but Rust.
//!
//! The SDK is written beside it, as this gateway has it: the two always fit, and a plugin is
//! built years later from what is in its folder.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, ensure};

#[derive(clap::Args)]
pub struct Args {
    /// The plugin's name, and that of its folder: lower-case words joined by hyphens
    name: String,
    /// Where the folder is made
    #[arg(long, value_name = "DIR", default_value = ".")]
    into: PathBuf,
}

/// The worked example of this repository, which every plugin begins as.
const EXAMPLE: &str = include_str!("../../../../plugins/examples/rust/src/lib.rs");
/// Its name, wherever it stands.
const EXAMPLE_NAME: &str = "example-policy";

/// Files that are the plugin's own; `{{name}}` is its name and `{{version}}` the SDK's.
const TEMPLATE: [(&str, &str); 6] = [
    // Versions that are known to fit; cargo drops what a plugin does not need.
    ("Cargo.lock", include_str!("../../../../Cargo.lock")),
    ("Cargo.toml", include_str!("template/Cargo.toml.tmpl")),
    ("build.rs", include_str!("../../../../plugins/examples/rust/build.rs")),
    ("input.json", include_str!("template/input.json")),
    ("plugins.toml", include_str!("template/plugins.toml.tmpl")),
    (".gitignore", include_str!("template/gitignore")),
];

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
    let folder = args.into.join(&args.name);
    fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let filled =
        |text: &str| text.replace("{{name}}", &args.name).replace("{{version}}", env!("CARGO_PKG_VERSION"));
    let mut files: Vec<(String, String)> =
        TEMPLATE.iter().map(|(path, text)| ((*path).to_owned(), filled(text))).collect();
    files.push(("src/lib.rs".to_owned(), EXAMPLE.replace(EXAMPLE_NAME, &args.name)));
    files.extend(SDK.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())));
    for (path, text) in files {
        let path = folder.join(path);
        if let Some(above) = path.parent() {
            fs::create_dir_all(above)?;
        }
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    println!("{} is a plugin that builds. Next:", folder.display());
    println!("  cd {}", folder.display());
    println!("  cargo test                                         # its unit tests, without WebAssembly");
    println!("  switchyard plugin build                            # makes {}.wasm", args.name);
    println!(
        "  switchyard plugin run {}.wasm --input input.json --config '{{\"notice\":\"Be kind.\"}}'",
        args.name
    );
    println!("  switchyard plugin check plugins.toml");
    Ok(())
}

fn is_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}
