//! The plugin document (`plugins.toml`, or the same as JSON), read so that every fault is
//! found at once and named with its place.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::grants::Grants;
use super::limits::Limits;
use super::policy::{Match, Policy};
use super::reader::{Reader, unknown_keys};
use super::recording::Recording;
use super::rollout::{self, Role};
use super::source::{Signed, Source};
use super::stage::Stage;

const MAX_BYTES: usize = 1 << 20;
const MAX_PLUGINS: usize = 64;

/// What every gateway runs when no document is given.
pub const DEFAULT: &str = r#"
[[plugin]]
name = "repo-resolution"
source = "builtin:repo-resolution"

[[plugin]]
name = "mcp-overlay"
source = "builtin:mcp-overlay"

[[plugin]]
name = "squad-briefing"
source = "builtin:squad-briefing"
"#;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DocumentFormat {
    Toml,
    Json,
}

/// Something in a document that must be mended before it can run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Fault {
    /// The plugin's name, when it is about one that has a name.
    pub plugin: Option<String>,
    /// Where in the document, as a JSON Pointer; empty for all of it.
    pub pointer: String,
    pub message: String,
}

impl Fault {
    pub fn new(plugin: Option<&str>, pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { plugin: plugin.map(str::to_owned), pointer: pointer.into(), message: message.into() }
    }
}

/// One `[[plugin]]`, checked as far as the document alone tells.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Where it stands, for faults that are found later: `/plugin/<index>`.
    pub pointer: String,
    pub name: String,
    pub source: Source,
    /// The digest that the component must have.
    pub sha256: Option<String>,
    /// Absent: all that it serves.
    pub stages: Option<Vec<Stage>>,
    pub enabled: bool,
    pub policy: Policy,
    pub config: Value,
    pub limits: Limits,
    /// The limits that it names, by key.
    pub asked_limits: HashSet<String>,
    pub signature: Option<Signed>,
    pub grants: Grants,
    pub role: Role,
}

pub struct Document {
    /// As JSON, whatever it was written in.
    pub text: String,
    pub digest: String,
    pub plugins: Vec<Wanted>,
    pub recording: Option<Recording>,
}

impl Document {
    /// Reads a document. On faults there is nothing to run, but the entries that could be
    /// read come along, so that what is wrong with their components is found too.
    pub fn parse(text: &str, format: DocumentFormat) -> Result<Self, (Vec<Fault>, Vec<Wanted>)> {
        let whole = |message: String| (vec![Fault::new(None, "", message)], Vec::new());
        if text.len() > MAX_BYTES {
            return Err(whole(format!(
                "the document has {} bytes; at most {MAX_BYTES} are read",
                text.len()
            )));
        }
        let value: Value = match format {
            DocumentFormat::Toml => toml::from_str(text).map_err(|error| whole(error.to_string()))?,
            DocumentFormat::Json => serde_json::from_str(text).map_err(|error| whole(error.to_string()))?,
        };
        let Value::Object(top) = &value else {
            return Err(whole("the document must be a table".to_owned()));
        };
        let mut faults = Vec::new();
        unknown_keys(top, &["plugin", "recording"], None, "", &mut faults);
        let recording = top.get("recording").and_then(|table| Recording::read(table, &mut faults));
        let mut plugins = Vec::new();
        match top.get("plugin") {
            None => {}
            Some(Value::Array(entries)) if entries.len() > MAX_PLUGINS => {
                let message = format!("{} plugins are listed; at most {MAX_PLUGINS} run", entries.len());
                faults.push(Fault::new(None, "/plugin", message));
            }
            Some(Value::Array(entries)) => {
                for (index, entry) in entries.iter().enumerate() {
                    plugins.extend(Reader::read(entry, format!("/plugin/{index}"), &mut faults));
                }
            }
            Some(_) => faults.push(Fault::new(None, "/plugin", "must be a list of tables: `[[plugin]]`")),
        }
        repeated_names(&plugins, &mut faults);
        faults.extend(rollout::check(&plugins));
        if faults.is_empty() {
            let text = value.to_string();
            Ok(Self { digest: hex::encode(Sha256::digest(&text)), text, plugins, recording })
        } else {
            Err((faults, plugins))
        }
    }
}

fn repeated_names(plugins: &[Wanted], faults: &mut Vec<Fault>) {
    let mut first: HashMap<&str, &str> = HashMap::new();
    for plugin in plugins {
        match first.get(plugin.name.as_str()) {
            Some(other) => {
                let message = format!("this name is taken by {other}; each plugin needs its own");
                faults.push(Fault::new(Some(&plugin.name), format!("{}/name", plugin.pointer), message));
            }
            None => {
                first.insert(&plugin.name, &plugin.pointer);
            }
        }
    }
}

/// An enabled plugin, as far as the others care.
pub struct Serving<'a> {
    pub pointer: &'a str,
    pub name: &'a str,
    pub stages: &'a [Stage],
    pub matching: &'a Match,
}

/// Stages that decide one thing ask the first plugin that fits the task. One that is never
/// the first is a mistake; its index comes with the fault.
pub fn crowded(plugins: &[Serving]) -> Vec<(usize, Fault)> {
    let mut faults = Vec::new();
    for stage in Stage::ALL.into_iter().filter(|stage| !stage.takes_many()) {
        let mut earlier: Vec<&Match> = Vec::new();
        for (index, plugin) in plugins.iter().enumerate().filter(|(_, plugin)| plugin.stages.contains(&stage))
        {
            if plugin.matching.is_behind(&earlier) {
                let message = format!(
                    "stage `{}` is served by another plugin already for every task that this one fits; disable one \
                     of the two, leave the stage out of `stages`, or give those before it a narrower `match`",
                    stage.as_str()
                );
                let pointer = format!("{}/stages", plugin.pointer);
                faults.push((index, Fault::new(Some(plugin.name), pointer, message)));
            }
            earlier.push(plugin.matching);
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointers(text: &str) -> Vec<String> {
        match Document::parse(text, DocumentFormat::Toml) {
            Ok(_) => Vec::new(),
            Err((faults, _)) => faults.into_iter().map(|fault| fault.pointer).collect(),
        }
    }

    #[test]
    fn the_default_is_sound() {
        assert!(pointers(DEFAULT).is_empty());
    }

    #[test]
    fn every_fault_is_found_at_once() {
        let text = r#"
            colour = "red"
            [[plugin]]
            name = "A B"
            source = "ftp:x"
            sha256 = "12"
            signature = "12"
            stages = ["nap"]
            enabled = 1
            on_error = { trap = "shrug", gloom = "skip" }
            required = "very"
            match = { kinds = ["nap"], workspaces = [], agents = ["x"], moons = [] }
            config = 3
            extra = 1
            [plugin.limits]
            cpu_ms = 0
            speed = 1
            [plugin.grants]
            write = ["agent"]
            view = ["all"]
        "#;
        let mut found = pointers(text);
        found.sort();
        assert_eq!(
            found,
            [
                "/colour",
                "/plugin/0/config",
                "/plugin/0/enabled",
                "/plugin/0/extra",
                "/plugin/0/grants/view/0",
                "/plugin/0/grants/write/0",
                "/plugin/0/limits/cpu_ms",
                "/plugin/0/limits/speed",
                "/plugin/0/match/agents/0",
                "/plugin/0/match/kinds/0",
                "/plugin/0/match/moons",
                "/plugin/0/match/workspaces",
                "/plugin/0/name",
                "/plugin/0/on_error/gloom",
                "/plugin/0/on_error/trap",
                "/plugin/0/required",
                "/plugin/0/sha256",
                "/plugin/0/signature",
                "/plugin/0/source",
                "/plugin/0/stages/0",
            ]
        );
    }

    #[test]
    fn both_formats_give_one_digest() {
        let toml = "[[plugin]]\nname = \"a\"\nsource = \"builtin:mcp-overlay\"\n";
        let json = r#"{"plugin":[{"source":"builtin:mcp-overlay","name":"a"}]}"#;
        let digest = |text, format| Document::parse(text, format).ok().map(|document| document.digest);
        assert_eq!(digest(toml, DocumentFormat::Toml), digest(json, DocumentFormat::Json));
        assert!(digest(toml, DocumentFormat::Json).is_none());
    }

    #[test]
    fn a_name_is_taken_once() {
        let one = "[[plugin]]\nname = \"a\"\nsource = \"builtin:mcp-overlay\"\n";
        assert_eq!(pointers(&one.repeat(2)), ["/plugin/1/name"]);
    }
}
