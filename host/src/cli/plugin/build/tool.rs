//! Running what others made: cargo, npm, Python.

use std::io::ErrorKind;
use std::process::Command;

use anyhow::{Context, bail};

/// Runs a tool to its end. Its own words go to the terminal; `cure` says where it comes from
/// when it is not there, `otherwise` what did not happen when it fails.
pub fn succeed(command: &mut Command, cure: &str, otherwise: &str) -> anyhow::Result<()> {
    let name = command.get_program().display().to_string();
    // Standard output is for what the command line itself has to say.
    let status = match command.stdout(std::io::stderr()).status() {
        Err(error) if error.kind() == ErrorKind::NotFound => bail!("{name} is not installed: {cure}"),
        other => other.with_context(|| format!("cannot run {name}"))?,
    };
    if !status.success() {
        bail!("{otherwise}");
    }
    Ok(())
}
