//! What the nested cargo may inherit.

use std::process::Command;

/// Where the outer cargo's settings end and those of the machine begin: how to reach the
/// registry, how to share cores, how to print.
const INHERITED: [&str; 7] = [
    "CARGO_HOME",
    "CARGO_MAKEFLAGS",
    "CARGO_HTTP_",
    "CARGO_NET_",
    "CARGO_REGISTRIES_",
    "CARGO_REGISTRY_",
    "CARGO_TERM_",
];

/// Takes away what the outer cargo set for this script, and flags meant for the host: with
/// them the guests would be built for the wrong machine, or again for each profile.
pub fn clean(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let Some(text) = name.to_str() else { continue };
        let is_foreign =
            text.starts_with("CARGO") || text.starts_with("RUSTC") || text.starts_with("RUSTDOC");
        let is_inherited = INHERITED.iter().any(|prefix| text.starts_with(prefix));
        if (is_foreign && !is_inherited) || matches!(text, "RUSTFLAGS" | "CLIPPY_ARGS" | "LD_LIBRARY_PATH") {
            command.env_remove(&name);
        }
    }
}

/// A variable cargo always sets for a build script.
#[allow(dead_code, reason = "the command line, which shares this file, is no build script")]
pub fn variable(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|error| format!("{name}: {error}; cargo sets it for build scripts"))
}
