//! The version of a daemon's command-line tool, and what it takes to use a feature.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

/// Three numbers: major, minor, patch.
pub type Version = (u64, u64, u64);

/// The oldest tool that can create issues from a prompt.
pub const QUICK_CREATE: Version = (0, 2, 21);
/// The oldest tool that hands an assigner's note to the agent.
pub const HANDOFF: Version = (0, 3, 28);

static NUMBERS: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(\d+)\.(\d+)\.(\d+)").ok());
/// What `git describe` says of a build between two releases.
static FROM_SOURCE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^v?\d+\.\d+\.\d+-\d+-g[0-9a-fA-F]+").ok());

/// What a runtime's metadata says its tool is; empty when it says nothing.
pub fn of_metadata(metadata: &Value) -> &str {
    metadata.get("cli_version").and_then(Value::as_str).unwrap_or_default()
}

/// Whether a tool is new enough. One that was built from source always is; one that does
/// not say its version is not.
pub fn supports(version: &str, least: Version) -> bool {
    let version = version.trim();
    if FROM_SOURCE.as_ref().is_some_and(|regex| regex.is_match(version)) {
        return true;
    }
    let found = NUMBERS.as_ref().and_then(|regex| regex.captures(version));
    found.is_some_and(|found| {
        // A number too long to read is a high one.
        let number = |group: usize| found[group].parse().unwrap_or(u64::MAX);
        (number(1), number(2), number(3)) >= least
    })
}

/// As people write it.
pub fn text((major, minor, patch): Version) -> String {
    format!("{major}.{minor}.{patch}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_and_unknown_tools_are_told_from_new_ones() {
        for (version, expected) in [
            ("0.2.21", true),
            ("v0.3.0", true),
            ("multica 1.0.0 (abc)", true),
            ("0.2.20", false),
            ("0.1.9-3-gabcdef0-dirty", true),
            ("0.1.9-rc1", false),
            ("", false),
            ("dev", false),
            ("1.0", false),
            ("99999999999999999999.0.0", true),
        ] {
            assert_eq!(supports(version, QUICK_CREATE), expected, "{version}");
        }
        assert_eq!(text(HANDOFF), "0.3.28");
    }
}
