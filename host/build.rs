//! Builds the guests: every plugin of this repository becomes a component that the gateway
//! embeds or that its tests run.
//!
//! One cargo call compiles them all to core modules, in a target directory of their own
//! (the outer build holds the lock of its own one) which every profile shares. Each module
//! is then encoded as a component. `SWITCHYARD_GUESTS` names the folder they lie in.

#[path = "build/environment.rs"]
mod environment;
#[path = "build/guests.rs"]
mod guests;
#[path = "build/migrations.rs"]
mod migrations;
#[path = "build/toolchain.rs"]
mod toolchain;

use std::path::{Path, PathBuf};

fn main() {
    if let Err(fault) = run() {
        for line in fault.lines() {
            println!("cargo::error={line}");
        }
        std::process::exit(1);
    }
}

fn run() -> Result<(), String> {
    let root = workspace_root()?;
    // The migrations are compiled in.
    println!("cargo::rerun-if-changed={}", root.join("migrations").display());
    migrations::list(&root, Path::new(&environment::variable("OUT_DIR")?))?;
    let inputs = guests::inputs(&root);
    for input in &inputs {
        println!("cargo::rerun-if-changed={}", input.display());
    }
    let target = guest_target_dir()?;
    guests::compile(&root, &target)?;
    let components = guests::encode(&target, guests::newest(&inputs))?;
    for component in &components {
        // So that a component somebody removed comes back.
        println!("cargo::rerun-if-changed={}", component.display());
    }
    println!("cargo::rustc-env=SWITCHYARD_GUESTS={}", target.join("components").display());
    Ok(())
}

fn workspace_root() -> Result<PathBuf, String> {
    let host = PathBuf::from(environment::variable("CARGO_MANIFEST_DIR")?);
    host.parent().map(Path::to_path_buf).ok_or_else(|| "the host's folder has no parent".into())
}

/// `guests` in the target directory of the build at hand, found by what cargo leaves in its
/// root; failing that by the depth at which it puts `OUT_DIR`.
fn guest_target_dir() -> Result<PathBuf, String> {
    let out = PathBuf::from(environment::variable("OUT_DIR")?);
    let marked = out.ancestors().find(|folder| folder.join(".rustc_info.json").is_file());
    let target = marked.or_else(|| out.ancestors().nth(4)).unwrap_or(&out);
    Ok(target.join("guests"))
}
