//! A crate, compiled for `wasm32-unknown-unknown` and encoded by the SDK beside it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, anyhow, ensure};

use super::tool::succeed;

#[path = "../../../../build/environment.rs"]
mod environment;
#[path = "../../../../build/toolchain.rs"]
mod toolchain;

const CURE: &str = "install Rust 1.95 or newer (rustup.rs), then try again";

pub fn build(folder: &Path, out: &Path) -> anyhow::Result<()> {
    let manifest = folder.join("Cargo.toml");
    let target = folder.join("target");
    let mut build = toolchain::cargo_build("cargo", "rustc").map_err(|fault| anyhow!(fault))?;
    build.arg("--release").arg("--manifest-path").arg(&manifest).arg("--target-dir").arg(&target);
    succeed(&mut build, CURE, "the plugin does not build")?;
    let crate_name = name(folder)?.replace('-', "_");
    let core = target.join(toolchain::TARGET).join("release").join(crate_name).with_extension("wasm");
    ensure!(core.is_file(), "there is no {}; is the crate's type `cdylib`?", core.display());

    let mut encode = Command::new("cargo");
    environment::clean(&mut encode);
    encode.args(["run", "--quiet", "--package", "switchyard-sdk-build", "--features", "encode"]);
    encode.arg("--bin").arg("switchyard-encode").arg("--manifest-path").arg(&manifest);
    encode.arg("--target-dir").arg(&target).arg("--").arg(&core).arg(out);
    succeed(&mut encode, CURE, "the module does not become a component")
}

pub fn name(folder: &Path) -> anyhow::Result<String> {
    let manifest = folder.join("Cargo.toml");
    let text =
        std::fs::read_to_string(&manifest).with_context(|| format!("cannot read {}", manifest.display()))?;
    let manifest: toml::Table = toml::from_str(&text).context("Cargo.toml is not sound")?;
    let name = manifest.get("package").and_then(|package| package.get("name"));
    Ok(name.and_then(toml::Value::as_str).context("Cargo.toml names no package")?.to_owned())
}
