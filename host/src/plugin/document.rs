//! The plugin document (`plugins.toml`, or the same as JSON), read so that every fault is
//! found at once and named with its place.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::limits::Limits;
use super::plugin::{Grants, OnError};
use super::source::Source;
use super::stage::Stage;

const MAX_BYTES: usize = 1 << 20;
const MAX_PLUGINS: usize = 64;
const MAX_NAME: usize = 64;
const MAX_LIST: usize = 256;

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
    pub on_error: OnError,
    pub config: Value,
    pub limits: Limits,
    pub grants: Grants,
}

pub struct Document {
    pub digest: String,
    pub plugins: Vec<Wanted>,
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
        unknown_keys(top, &["plugin"], None, "", &mut faults);
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
        if faults.is_empty() {
            Ok(Self { digest: hex::encode(Sha256::digest(value.to_string())), plugins })
        } else {
            Err((faults, plugins))
        }
    }
}

fn unknown_keys(
    map: &Map<String, Value>,
    known: &[&str],
    plugin: Option<&str>,
    at: &str,
    faults: &mut Vec<Fault>,
) {
    for key in map.keys().filter(|key| !known.contains(&key.as_str())) {
        let message = format!("unknown key; known are {}", known.join(", "));
        faults.push(Fault::new(plugin, format!("{at}/{}", escaped(key)), message));
    }
}

fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
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

/// Reads one entry, member by member.
struct Reader<'a> {
    map: &'a Map<String, Value>,
    at: String,
    name: Option<String>,
    faults: &'a mut Vec<Fault>,
}

const KEYS: [&str; 9] =
    ["name", "source", "sha256", "stages", "enabled", "on_error", "config", "limits", "grants"];

impl<'a> Reader<'a> {
    fn read(entry: &'a Value, at: String, faults: &'a mut Vec<Fault>) -> Option<Wanted> {
        let Value::Object(map) = entry else {
            faults.push(Fault::new(None, at, "must be a table"));
            return None;
        };
        let name = map.get("name").and_then(Value::as_str).map(str::to_owned);
        unknown_keys(map, &KEYS, name.as_deref(), &at, faults);
        let mut reader = Reader { map, at, name, faults };
        let name = reader.name();
        let source = reader.source();
        let sha256 = reader.sha256();
        let stages = reader.stages();
        let enabled = reader.flag("enabled", true);
        let on_error = reader.on_error();
        let config = reader.table("config");
        let limits = reader.limits();
        let grants = reader.grants();
        Some(Wanted {
            pointer: reader.at,
            name: name?,
            source: source?,
            sha256,
            stages,
            enabled,
            on_error,
            config: Value::Object(config),
            limits,
            grants,
        })
    }

    fn fault(&mut self, member: &str, message: impl Into<String>) {
        let pointer = format!("{}/{member}", self.at);
        self.faults.push(Fault::new(self.name.as_deref(), pointer, message));
    }

    /// A text, if the member is there and one.
    fn text(&mut self, member: &str) -> Option<String> {
        match self.map.get(member) {
            None => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(_) => {
                self.fault(member, "must be a string");
                None
            }
        }
    }

    fn name(&mut self) -> Option<String> {
        if !self.map.contains_key("name") {
            self.fault("name", "is required");
            return None;
        }
        let name = self.text("name")?;
        if is_name(&name) {
            return Some(name);
        }
        self.fault(
            "name",
            format!("`{name}` is no name: lower-case letters, digits and hyphens, {MAX_NAME} at most"),
        );
        None
    }

    fn source(&mut self) -> Option<Source> {
        if !self.map.contains_key("source") {
            self.fault("source", "is required: `builtin:NAME` or `file:PATH`");
            return None;
        }
        let text = self.text("source")?;
        match Source::parse(&text) {
            Ok(source) => Some(source),
            Err(message) => {
                self.fault("source", message);
                None
            }
        }
    }

    fn sha256(&mut self) -> Option<String> {
        let text = self.text("sha256")?.to_ascii_lowercase();
        if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Some(text);
        }
        self.fault("sha256", "must be 64 hex digits");
        None
    }

    fn stages(&mut self) -> Option<Vec<Stage>> {
        let value = self.map.get("stages")?;
        let names: Option<Vec<&str>> =
            value.as_array().and_then(|list| list.iter().map(Value::as_str).collect());
        let Some(names) = names.filter(|names| !names.is_empty()) else {
            self.fault("stages", "must be a list of stages that is not empty");
            return None;
        };
        let mut stages = Vec::new();
        for (index, name) in names.into_iter().enumerate() {
            match Stage::ALL.into_iter().find(|stage| stage.as_str() == name) {
                Some(stage) if !stages.contains(&stage) => stages.push(stage),
                Some(_) => {}
                None => {
                    let known: Vec<&str> = Stage::ALL.iter().map(|stage| stage.as_str()).collect();
                    let message = format!("`{name}` is no stage; there are {}", known.join(", "));
                    self.fault(&format!("stages/{index}"), message);
                }
            }
        }
        Some(stages)
    }

    fn flag(&mut self, member: &str, default: bool) -> bool {
        match self.map.get(member) {
            None => default,
            Some(Value::Bool(flag)) => *flag,
            Some(_) => {
                self.fault(member, "must be true or false");
                default
            }
        }
    }

    fn on_error(&mut self) -> OnError {
        match self.text("on_error").as_deref() {
            None | Some("skip") => OnError::Skip,
            Some("fail") => OnError::Fail,
            Some(other) => {
                let message = format!("`{other}` is neither `skip` nor `fail`");
                self.fault("on_error", message);
                OnError::Skip
            }
        }
    }

    fn table(&mut self, member: &str) -> Map<String, Value> {
        match self.map.get(member) {
            None => Map::new(),
            Some(Value::Object(map)) => map.clone(),
            Some(_) => {
                self.fault(member, "must be a table");
                Map::new()
            }
        }
    }

    fn limits(&mut self) -> Limits {
        let mut limits = Limits::default();
        let table = self.table("limits");
        let known =
            ["cpu_ms", "wall_ms", "memory_mib", "max_input_bytes", "max_output_bytes", "max_concurrent"];
        unknown_keys(&table, &known, self.name.as_deref(), &format!("{}/limits", self.at), self.faults);
        let mut number = |member: &str, default: u64, from: u64, to: u64| match table.get(member) {
            None => default,
            Some(value) => match value.as_u64().filter(|number| (from..=to).contains(number)) {
                Some(number) => number,
                None => {
                    self.fault(
                        &format!("limits/{member}"),
                        format!("must be a whole number from {from} to {to}"),
                    );
                    default
                }
            },
        };
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        limits.cpu_ms = number("cpu_ms", limits.cpu_ms, 1, 10_000);
        limits.wall_ms = number("wall_ms", limits.wall_ms, 1, 30_000);
        limits.memory_mib = number("memory_mib", limits.memory_mib, 1, 256);
        limits.max_input_bytes =
            size(number("max_input_bytes", limits.max_input_bytes as u64, 1024, 16 << 20));
        limits.max_output_bytes =
            size(number("max_output_bytes", limits.max_output_bytes as u64, 1024, 16 << 20));
        limits.max_concurrent = size(number("max_concurrent", limits.max_concurrent as u64, 1, 64));
        limits
    }

    fn grants(&mut self) -> Grants {
        let table = self.table("grants");
        unknown_keys(
            &table,
            &["env", "write", "view"],
            self.name.as_deref(),
            &format!("{}/grants", self.at),
            self.faults,
        );
        let mut list = |member: &str| -> Vec<String> {
            let Some(value) = table.get(member) else { return Vec::new() };
            let texts: Option<Vec<String>> = value
                .as_array()
                .filter(|list| list.len() <= MAX_LIST)
                .and_then(|list| list.iter().map(|item| item.as_str().map(str::to_owned)).collect());
            texts.unwrap_or_else(|| {
                let message = format!("must be a list of at most {MAX_LIST} strings");
                self.fault(&format!("grants/{member}"), message);
                Vec::new()
            })
        };
        let (env, write, view) = (list("env"), list("write"), list("view"));
        for (index, pointer) in write.iter().enumerate().filter(|(_, pointer)| !pointer.starts_with('/')) {
            self.fault(
                &format!("grants/write/{index}"),
                format!("`{pointer}` is no JSON Pointer; it begins with `/`"),
            );
        }
        for (index, name) in view.iter().enumerate() {
            if name != "custom_env" && name != "mcp_secrets" {
                let message = format!("`{name}` is nothing to view; there are custom_env, mcp_secrets");
                self.fault(&format!("grants/view/{index}"), message);
            }
        }
        Grants {
            env,
            write,
            view_custom_env: view.iter().any(|name| name == "custom_env"),
            view_mcp_secrets: view.iter().any(|name| name == "mcp_secrets"),
        }
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= MAX_NAME
        && !name.starts_with('-')
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// Stages that decide one thing take one plugin.
pub fn crowded(plugins: &[(String, String, Vec<Stage>)]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut taken: HashSet<Stage> = HashSet::new();
    for (pointer, name, stages) in plugins {
        for stage in stages.iter().filter(|stage| !stage.takes_many()) {
            if !taken.insert(*stage) {
                let message = format!(
                    "stage `{}` is served by another plugin already; disable one of the two, or leave the stage out of `stages`",
                    stage.as_str()
                );
                faults.push(Fault::new(Some(name), format!("{pointer}/stages"), message));
            }
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
            stages = ["nap"]
            enabled = 1
            on_error = "shrug"
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
                "/plugin/0/name",
                "/plugin/0/on_error",
                "/plugin/0/sha256",
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
