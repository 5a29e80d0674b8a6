//! Which compiler builds the guests: the one at hand when it has the WebAssembly target,
//! else Debian's, which brings the sources of the standard library instead.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::environment;

pub const TARGET: &str = "wasm32-unknown-unknown";

const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_SOURCES: &str = "/usr/lib/rustlib/src/rust/library/Cargo.toml";

/// `cargo build`, without packages yet.
pub fn cargo_build(cargo: &str, rustc: &str) -> Result<Command, String> {
    let sysroot = sysroot(rustc)?;
    if has_target(&sysroot) {
        return Ok(with_target(cargo, rustc));
    }
    if [DEBIAN_CARGO, DEBIAN_RUSTC, DEBIAN_SOURCES].iter().all(|path| Path::new(path).exists()) {
        return Ok(with_sources(&sysroot));
    }
    Err(format!(
        "the target {TARGET} is missing: `rustup target add {TARGET}` adds it, and where rustup cannot, \
         Debian's packages rustc-web, cargo-web and rust-web-src serve\n\
         in this repository `make toolchain` does whichever works"
    ))
}

fn has_target(sysroot: &Path) -> bool {
    sysroot.join("lib/rustlib").join(TARGET).join("lib").is_dir()
}

fn with_target(cargo: &str, rustc: &str) -> Command {
    let mut command = Command::new(cargo);
    environment::clean(&mut command);
    command.env("RUSTC", rustc).args(["build", "--target", TARGET]);
    command
}

/// Compiles the standard library too, once. Debian's Rust is a stable release, so it is
/// told to accept the flag for that.
fn with_sources(sysroot: &Path) -> Command {
    let mut command = Command::new(DEBIAN_CARGO);
    environment::clean(&mut command);
    command.env("RUSTC", DEBIAN_RUSTC).env("RUSTC_BOOTSTRAP", "1").args([
        "build",
        "--target",
        TARGET,
        "-Z",
        "build-std=std,panic_abort",
    ]);
    if let Some(linker) = linker(sysroot) {
        command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
    }
    command
}

/// The linker of the toolchain at hand, or one that is installed beside Debian's compiler.
/// Without either, that compiler looks for its own.
fn linker(sysroot: &Path) -> Option<PathBuf> {
    let targets = std::fs::read_dir(sysroot.join("lib/rustlib")).into_iter().flatten().flatten();
    let bundled = targets.map(|target| target.path().join("bin/rust-lld"));
    bundled.chain(["/usr/bin/rust-lld".into(), "/usr/bin/wasm-ld".into()]).find(|path| path.is_file())
}

fn sysroot(rustc: &str) -> Result<PathBuf, String> {
    let mut command = Command::new(rustc);
    let printed = command.args(["--print", "sysroot"]).output();
    let output = printed.map_err(|error| format!("cannot run {rustc}: {error}"))?;
    Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}
