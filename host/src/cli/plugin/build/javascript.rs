//! A package of npm, whose script `build` makes the component. What it needs is installed as
//! its lock file says, when it is missing or the file is newer.

use std::path::Path;
use std::process::Command;

use anyhow::Context;

use super::tool::succeed;

const CURE: &str =
    "install Node.js 18 or newer with npm (on Debian: apt-get install nodejs npm), then try again";

pub fn build(folder: &Path, out: &Path) -> anyhow::Result<()> {
    if !is_installed(folder) {
        let locked = folder.join("package-lock.json").is_file();
        let mut install = npm(folder);
        install.arg(if locked { "ci" } else { "install" }).args(["--no-audit", "--no-fund"]);
        succeed(&mut install, CURE, "npm could not install what package.json names")?;
    }
    let mut build = npm(folder);
    build.args(["run", "--silent", "build", "--", "-o"]).arg(out);
    succeed(&mut build, CURE, "the plugin does not build: the script `build` of package.json failed")
}

pub fn name(folder: &Path) -> anyhow::Result<String> {
    let path = folder.join("package.json");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let package: serde_json::Value = serde_json::from_str(&text).context("package.json is not JSON")?;
    Ok(package["name"].as_str().context("package.json has no `name`")?.to_owned())
}

fn npm(folder: &Path) -> Command {
    let mut command = Command::new("npm");
    command.current_dir(folder);
    command
}

/// Whether npm has installed since the lock file last changed; it leaves a list of its own.
fn is_installed(folder: &Path) -> bool {
    let changed = |path: &str| folder.join(path).metadata().and_then(|about| about.modified()).ok();
    match (changed("node_modules/.package-lock.json"), changed("package-lock.json")) {
        (Some(installed), Some(locked)) => installed >= locked,
        (installed, None) => installed.is_some(),
        (None, Some(_)) => false,
    }
}
