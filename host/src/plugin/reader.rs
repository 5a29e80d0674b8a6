//! Reads one `[[plugin]]` member by member, and notes every fault on the way.

use serde_json::{Map, Value};

use super::document::{Fault, Wanted};
use super::engine::WARM;
use super::limits::Limits;
use super::reader_rollout::{ROLLOUT_KEYS, role};
use super::source::Source;
use super::stage::Stage;

const MAX_NAME: usize = 64;

/// Reads one entry, member by member.
pub struct Reader<'a> {
    map: &'a Map<String, Value>,
    pub(super) at: String,
    pub(super) name: Option<String>,
    pub(super) faults: &'a mut Vec<Fault>,
}

/// The keys of a `[[plugin]]` and of its limits.
pub const KEYS: [&str; 12] = [
    "name",
    "source",
    "sha256",
    "signature",
    "stages",
    "enabled",
    "required",
    "match",
    "on_error",
    "config",
    "limits",
    "grants",
];

pub const LIMIT_KEYS: [&str; 14] = [
    "cpu_ms",
    "wall_ms",
    "queue_ms",
    "memory_mib",
    "max_input_bytes",
    "max_output_bytes",
    "max_concurrent",
    "warm",
    "warm_calls",
    "http_calls",
    "http_ms",
    "kv_mib",
    "log_lines",
    "log_bytes",
];

impl<'a> Reader<'a> {
    pub fn read(entry: &'a Value, at: String, faults: &'a mut Vec<Fault>) -> Option<Wanted> {
        let Value::Object(map) = entry else {
            faults.push(Fault::new(None, at, "must be a table"));
            return None;
        };
        let name = map.get("name").and_then(Value::as_str).map(str::to_owned);
        unknown_keys(map, &[&KEYS[..], &ROLLOUT_KEYS].concat(), name.as_deref(), &at, faults);
        let role = role(map, &at, name.as_deref(), faults);
        let mut reader = Reader { map, at, name, faults };
        let name = reader.name();
        let source = reader.source();
        let sha256 = reader.sha256();
        let stages = reader.stages();
        let enabled = reader.flag("enabled", true);
        let policy = reader.policy();
        let config = reader.table("config");
        let limits = reader.limits();
        let asked_limits = reader.table("limits").keys().cloned().collect();
        let signature = reader.signature();
        let grants = reader.grants();
        Some(Wanted {
            pointer: reader.at,
            name: name?,
            source: source?,
            sha256,
            stages,
            enabled,
            policy,
            config: Value::Object(config),
            limits,
            asked_limits,
            signature,
            grants,
            role,
        })
    }

    pub(super) fn fault(&mut self, member: &str, message: impl Into<String>) {
        let pointer = format!("{}/{member}", self.at);
        self.faults.push(Fault::new(self.name.as_deref(), pointer, message));
    }

    pub(super) fn member(&self, member: &str) -> Option<&'a Value> {
        self.map.get(member)
    }

    pub(super) fn unknown_keys_of(&mut self, member: &str, table: &Map<String, Value>, known: &[&str]) {
        unknown_keys(table, known, self.name.as_deref(), &format!("{}/{member}", self.at), self.faults);
    }

    /// A text, if the member is there and one.
    pub(super) fn text(&mut self, member: &str) -> Option<String> {
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
            self.fault(
                "source",
                "is required: `builtin:NAME`, `file:PATH` or `oci:REGISTRY/REPOSITORY[:TAG][@sha256:…]`",
            );
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

    pub(super) fn flag(&mut self, member: &str, default: bool) -> bool {
        match self.map.get(member) {
            None => default,
            Some(Value::Bool(flag)) => *flag,
            Some(_) => {
                self.fault(member, "must be true or false");
                default
            }
        }
    }

    pub(super) fn table(&mut self, member: &str) -> Map<String, Value> {
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
        unknown_keys(&table, &LIMIT_KEYS, self.name.as_deref(), &format!("{}/limits", self.at), self.faults);
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
        limits.queue_ms = number("queue_ms", limits.queue_ms, 1, 30_000);
        limits.memory_mib = number("memory_mib", limits.memory_mib, 1, 256);
        limits.max_input_bytes =
            size(number("max_input_bytes", limits.max_input_bytes as u64, 1024, 16 << 20));
        limits.max_output_bytes =
            size(number("max_output_bytes", limits.max_output_bytes as u64, 1024, 16 << 20));
        limits.max_concurrent = size(number("max_concurrent", limits.max_concurrent as u64, 1, 64));
        limits.warm = size(number("warm", limits.warm as u64, 0, u64::from(WARM)));
        limits.warm_calls = number("warm_calls", limits.warm_calls, 1, 1_000_000);
        limits.http_calls = size(number("http_calls", limits.http_calls as u64, 0, 64));
        limits.http_ms = number("http_ms", limits.http_ms, 1, 30_000);
        limits.kv_mib = number("kv_mib", limits.kv_mib, 1, 256);
        limits.log_lines = size(number("log_lines", limits.log_lines as u64, 0, 1024));
        limits.log_bytes = size(number("log_bytes", limits.log_bytes as u64, 0, 1 << 20));
        limits
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= MAX_NAME
        && !name.starts_with('-')
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

pub fn unknown_keys(
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

/// The place of a key that somebody else chose.
pub(super) fn escaped_path(member: &str, key: &str) -> String {
    format!("{member}/{}", escaped(key))
}

pub(super) fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
