//! `switchyard plugin build`: from the code in a folder to a component.

mod javascript;
mod python;
mod rust;
mod tool;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use sha2::{Digest, Sha256};

use super::language::Language;

#[derive(clap::Args)]
pub struct Args {
    /// The plugin's folder
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// Where the component goes (default: NAME.wasm in the folder)
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let out = build(&args.folder, args.out.as_deref())?;
    let bytes = std::fs::read(&out)?;
    println!(
        "{}: {} KiB, sha256 {}",
        out.display(),
        bytes.len().div_ceil(1024),
        hex::encode(Sha256::digest(&bytes))
    );
    Ok(())
}

/// Builds the plugin in a folder and tells where its component is. It appears whole: a gateway
/// that watches the file never sees half of it.
pub fn build(folder: &Path, out: Option<&Path>) -> anyhow::Result<PathBuf> {
    let folder = std::path::absolute(folder)?;
    let language = Language::of(&folder)?;
    let out = match out {
        Some(out) => std::path::absolute(out)?,
        None => component(&folder)?,
    };
    let draft = out.with_extension("wasm.draft");
    match language {
        Language::Rust => rust::build(&folder, &draft)?,
        Language::Javascript => javascript::build(&folder, &draft)?,
        Language::Python => python::build(&folder, &draft)?,
    }
    std::fs::rename(&draft, &out)
        .with_context(|| format!("the build left no component to put at {}", out.display()))?;
    Ok(out)
}

/// Where the component of a folder goes: NAME.wasm in it.
pub fn component(folder: &Path) -> anyhow::Result<PathBuf> {
    let name = match Language::of(folder)? {
        Language::Rust => rust::name(folder)?,
        Language::Javascript => javascript::name(folder)?,
        Language::Python => python::name(folder)?,
    };
    // It becomes the name of a file here and nowhere else.
    if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\', '\0']) {
        bail!("`{name}` is no name for a plugin: lower-case letters, digits and hyphens")
    }
    Ok(folder.join(format!("{name}.wasm")))
}
