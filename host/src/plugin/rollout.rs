//! Plugins that do not simply run: a shadow is called beside the live ones and changes
//! nothing; a canary stands in for another plugin, for some of the tasks.

use std::collections::HashMap;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::document::{Fault, Wanted};
use super::plugin::Plugin;
use super::stage::Stage;

/// What a plugin is called for.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Its result counts.
    #[default]
    Live,
    /// It is called with what the live ones get, and changes nothing.
    Shadow,
    /// It stands in for another plugin, for so many of a hundred tasks.
    Canary { percent: u8, replaces: String },
}

impl Role {
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Shadow => "shadow",
            Self::Canary { .. } => "canary",
        }
    }

    /// The plugin that it stands in for.
    pub fn replaces(&self) -> Option<&str> {
        match self {
            Self::Canary { replaces, .. } => Some(replaces),
            Self::Live | Self::Shadow => None,
        }
    }

    /// Whether it stands in for this plugin in this task.
    pub fn stands_in(&self, plugin: &str, task_id: &str) -> bool {
        match self {
            Self::Canary { percent, replaces } => replaces == plugin && share(task_id) < *percent,
            Self::Live | Self::Shadow => false,
        }
    }
}

/// The task's place among a hundred: the same on every node and after every restart, so that
/// a canary that gets more tasks keeps those it had.
fn share(task_id: &str) -> u8 {
    let digest: [u8; 32] = Sha256::digest(task_id).into();
    let number = digest.iter().take(8).fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    u8::try_from(number % 100).unwrap_or_default()
}

/// Faults of canaries, as far as the document alone tells.
pub fn check(plugins: &[Wanted]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut replaced: HashMap<&str, &str> = HashMap::new();
    for canary in plugins {
        let Some(name) = canary.role.replaces() else { continue };
        let mut fault = |message: String| {
            faults.push(Fault::new(Some(&canary.name), format!("{}/replaces", canary.pointer), message));
        };
        match plugins.iter().find(|plugin| plugin.name == name) {
            None => fault(format!("no plugin is called `{name}`; a canary replaces one of this document")),
            Some(other) if other.role != Role::Live => fault(format!(
                "`{name}` is a {} itself; a canary replaces a plugin that is neither canary nor shadow",
                other.role.as_str()
            )),
            Some(other) if canary.enabled && !other.enabled => {
                fault(format!("`{name}` is disabled; enable it, or disable this canary"));
            }
            Some(_) if canary.enabled => {
                if let Some(first) = replaced.insert(name, &canary.pointer) {
                    fault(format!("`{name}` has a canary already, {first}; disable one of the two"));
                }
            }
            Some(_) => {}
        }
    }
    faults
}

/// Canaries that do not serve just the stages of the plugin they replace.
pub fn unlike<'a>(plugins: &[(&'a str, &'a Plugin)]) -> Vec<Fault> {
    let sorted = |plugin: &Plugin| -> Vec<&'static str> {
        let served = Stage::ALL.into_iter().filter(|stage| plugin.stages.contains(stage));
        served.map(Stage::as_str).collect()
    };
    let mut faults = Vec::new();
    for (pointer, canary) in plugins {
        let Some(name) = canary.role.replaces() else { continue };
        let Some((_, other)) = plugins.iter().find(|(_, plugin)| plugin.name == name) else { continue };
        let (own, theirs) = (sorted(canary), sorted(other));
        if own != theirs {
            let message = format!(
                "a canary serves the stages of the plugin it replaces: `{name}` serves {}, this one {}",
                theirs.join(", "),
                own.join(", ")
            );
            faults.push(Fault::new(Some(&canary.name), format!("{pointer}/stages"), message));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_gets_its_share_and_keeps_its_tasks() {
        let canary = |percent| Role::Canary { percent, replaces: "a".to_owned() };
        let tasks: Vec<String> = (0..2000).map(|number| format!("task-{number}")).collect();
        let of = |percent| -> Vec<&String> {
            tasks.iter().filter(|task| canary(percent).stands_in("a", task)).collect()
        };
        let (ten, twenty) = (of(10), of(20));
        assert!((150..250).contains(&ten.len()) && (320..480).contains(&twenty.len()), "{}", ten.len());
        assert!(ten.iter().all(|task| twenty.contains(task)));
        assert!(tasks.iter().all(|task| !canary(99).stands_in("b", task)));
    }
}
