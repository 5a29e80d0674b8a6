//! Modules around `app.py`. What they need is installed into a virtual environment of the
//! folder, as requirements.txt says, when it is missing or says something else.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use super::tool::succeed;

const PYTHON: &str =
    "install Python 3.10 or newer (on Debian: apt-get install python3 python3-venv), then try again";
const TOOL: &str = "requirements.txt must name it: componentize-py==0.25.1";
/// What was installed last, in the environment.
const INSTALLED: &str = "installed.txt";

pub fn build(folder: &Path, out: &Path) -> anyhow::Result<()> {
    ensure!(
        folder.join("app.py").is_file(),
        "there is no app.py in {}; it is what is built",
        folder.display()
    );
    let environment = environment(folder)?;
    let mut componentize = Command::new(environment.join("bin/componentize-py"));
    componentize.current_dir(folder).env("VIRTUAL_ENV", &environment);
    componentize.args(["--quiet", "--wit-path", "wit", "--world", "plugin", "componentize", "app"]);
    componentize.arg("--stub-wasi").arg("--output").arg(out);
    succeed(&mut componentize, TOOL, "the plugin does not build")
}

/// That of the package of its world, `local:NAME`; without one that of the folder.
pub fn name(folder: &Path) -> anyhow::Result<String> {
    let world = fs::read_to_string(folder.join("wit/world.wit")).unwrap_or_default();
    let package = world.lines().find_map(|line| line.trim().strip_prefix("package "));
    let named = package.and_then(|package| package.trim_end_matches(';').rsplit(':').next());
    let own = || folder.file_name().and_then(|name| name.to_str());
    Ok(named.or_else(own).context("the folder has no name")?.to_owned())
}

fn environment(folder: &Path) -> anyhow::Result<PathBuf> {
    let environment = folder.join(".venv");
    let wanted = fs::read_to_string(folder.join("requirements.txt"))?;
    if fs::read_to_string(environment.join(INSTALLED)).is_ok_and(|installed| installed == wanted) {
        return Ok(environment);
    }
    let mut make = Command::new("python3");
    make.current_dir(folder).args(["-m", "venv"]).arg(&environment);
    succeed(
        &mut make,
        PYTHON,
        "python3 could not make a virtual environment; does it have `venv`? (on Debian: apt-get install python3-venv)",
    )?;
    let mut install = Command::new(environment.join("bin/python3"));
    install.current_dir(folder).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    install.args(["--requirement", "requirements.txt"]);
    succeed(&mut install, PYTHON, "pip could not install what requirements.txt names")?;
    fs::write(environment.join(INSTALLED), wanted)?;
    Ok(environment)
}
