//! What the tests of an author's commands share: the binary, run in a folder.

use std::path::Path;
use std::process::{Command, Output};

/// `switchyard plugin …` in a folder. What it compiles is kept between runs of the tests.
pub fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchyard"));
    command.current_dir(folder).env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"));
    command.arg("plugin").args(arguments);
    command
}

pub fn switchyard(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).output().unwrap()
}

pub fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[track_caller]
pub fn succeeds(folder: &Path, arguments: &[&str]) -> Output {
    let output = switchyard(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", told(&output));
    output
}

#[track_caller]
pub fn fails(folder: &Path, arguments: &[&str]) -> String {
    let output = switchyard(folder, arguments);
    assert!(!output.status.success(), "{arguments:?}: {}", told(&output));
    told(&output)
}

/// A tool of a language: npm, python3.
#[track_caller]
pub fn tool(folder: &Path, program: &str, arguments: &[&str]) {
    let output = Command::new(program).current_dir(folder).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}; `.ci/guests` installs it"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", told(&output));
}

/// Copies what lies in a folder, but for what tools made there.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_made = [".venv", "node_modules", "__pycache__"].contains(&name.as_str());
        if entry.path().is_dir() && !is_made {
            copy(&entry.path(), &to.join(name));
        } else if !is_made && entry.path().extension().is_none_or(|extension| extension != "wasm") {
            std::fs::copy(entry.path(), to.join(name)).unwrap();
        }
    }
}
