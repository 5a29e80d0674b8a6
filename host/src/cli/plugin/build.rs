//! `switchyard plugin build`: from the code in a folder to a component.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, anyhow, bail, ensure};
use sha2::{Digest, Sha256};

#[path = "../../../build/environment.rs"]
mod environment;
#[path = "../../../build/toolchain.rs"]
mod toolchain;

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
    let manifest = args.folder.join("Cargo.toml");
    let name = package_name(&manifest)?;
    let target = args.folder.join("target");
    let mut build = toolchain::cargo_build("cargo", "rustc").map_err(|fault| anyhow!(fault))?;
    build.arg("--release").arg("--manifest-path").arg(&manifest).arg("--target-dir").arg(&target);
    succeed(&mut build, "the plugin does not build")?;
    let core =
        target.join(toolchain::TARGET).join("release").join(name.replace('-', "_")).with_extension("wasm");
    ensure!(core.is_file(), "there is no {}; is the crate's type `cdylib`?", core.display());

    let out = args.out.clone().unwrap_or_else(|| args.folder.join(&name).with_extension("wasm"));
    let mut encode = Command::new("cargo");
    environment::clean(&mut encode);
    encode.args(["run", "--quiet", "--package", "switchyard-sdk-build", "--features", "encode"]);
    encode.arg("--bin").arg("switchyard-encode").arg("--manifest-path").arg(&manifest);
    encode.arg("--target-dir").arg(&target).arg("--").arg(&core).arg(&out);
    succeed(&mut encode, "the module does not become a component")?;
    let bytes = std::fs::read(&out)?;
    println!(
        "{}: {} KiB, sha256 {}",
        out.display(),
        bytes.len().div_ceil(1024),
        hex::encode(Sha256::digest(&bytes))
    );
    Ok(())
}

fn package_name(manifest: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(manifest).with_context(|| {
        format!("{} is no plugin's: begin one with `switchyard plugin new`", manifest.display())
    })?;
    let manifest: toml::Table = toml::from_str(&text)?;
    let name = manifest.get("package").and_then(|package| package.get("name"));
    Ok(name.and_then(toml::Value::as_str).context("Cargo.toml names no package")?.to_owned())
}

fn succeed(command: &mut Command, otherwise: &str) -> anyhow::Result<()> {
    let status =
        command.status().with_context(|| format!("cannot run {}", command.get_program().display()))?;
    if !status.success() {
        bail!("{otherwise}");
    }
    Ok(())
}
