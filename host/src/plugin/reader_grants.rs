//! Reads `[plugin.grants]`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::grants::{Grants, View, is_closed, is_variable};
use super::reach::allow::{HttpGrant, METHODS};
use super::reach::secret::{SecretGrant, VARIABLE_PREFIX};
use super::reader::{Reader, escaped, unknown_keys};

const MAX_LIST: usize = 256;
/// The keys of `[plugin.grants]`.
pub const KEYS: [&str; 8] = ["env", "write", "view", "http", "secrets", "kv", "clock", "random"];
const HTTP_KEYS: [&str; 3] = ["url", "methods", "networks"];
const SECRET_KEYS: [&str; 3] = ["from", "hosts", "overlay"];

impl Reader<'_> {
    pub(super) fn grants(&mut self) -> Grants {
        let table = self.table("grants");
        self.unknown(&table, &KEYS, "grants");
        let mut flag = |member: &str| match table.get(member) {
            None => false,
            Some(Value::Bool(flag)) => *flag,
            Some(_) => {
                self.fault(&format!("grants/{member}"), "must be true or false");
                false
            }
        };
        let (kv, clock, random) = (flag("kv"), flag("clock"), flag("random"));
        let env = self.texts(&table, "env", "grants");
        for (index, name) in env.iter().enumerate().filter(|(_, name)| !is_variable(name)) {
            self.fault(&format!("grants/env/{index}"), format!("`{name}` is no name of a variable"));
        }
        let write = self.texts(&table, "write", "grants");
        for (index, pointer) in write.iter().enumerate() {
            let problem = if !pointer.starts_with('/') {
                "is no JSON Pointer; it begins with `/`"
            } else if is_closed(pointer) {
                "holds what no plugin may change"
            } else {
                continue;
            };
            self.fault(&format!("grants/write/{index}"), format!("`{pointer}` {problem}"));
        }
        let view = self.views(&table);
        let (http, secrets) = (self.http(&table), self.secrets(&table));
        Grants { env, write, view, http, secrets, kv, clock, random }
    }

    fn views(&mut self, table: &Map<String, Value>) -> Vec<View> {
        let mut view = Vec::new();
        for (index, name) in self.texts(table, "view", "grants").iter().enumerate() {
            match View::ALL.iter().find(|(known, _)| known == name) {
                Some((_, granted)) => view.push(*granted),
                None => {
                    let known = View::ALL.map(|(known, _)| known).join(", ");
                    let message = format!("`{name}` is nothing to view; there are {known}");
                    self.fault(&format!("grants/view/{index}"), message);
                }
            }
        }
        view
    }

    fn http(&mut self, table: &Map<String, Value>) -> Vec<HttpGrant> {
        let entries = match table.get("http") {
            None => return Vec::new(),
            Some(Value::Array(entries)) if entries.len() <= MAX_LIST => entries,
            Some(_) => {
                let message =
                    format!("must be a list of at most {MAX_LIST} tables: `[[plugin.grants.http]]`");
                self.fault("grants/http", message);
                return Vec::new();
            }
        };
        let mut grants = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            let at = format!("grants/http/{index}");
            let Value::Object(entry) = entry else {
                self.fault(&at, "must be a table with `url`");
                continue;
            };
            self.unknown(entry, &HTTP_KEYS, &at);
            let mut methods = self.texts(entry, "methods", &at);
            for (place, method) in methods.iter().enumerate() {
                if !METHODS.contains(&method.as_str()) {
                    let message = format!("`{method}` is none of {}", METHODS.join(", "));
                    self.fault(&format!("{at}/methods/{place}"), message);
                }
            }
            if !entry.contains_key("methods") {
                methods = vec!["GET".to_owned(), "HEAD".to_owned()];
            }
            let mut networks = Vec::new();
            for (place, network) in self.texts(entry, "networks", &at).iter().enumerate() {
                match network.parse() {
                    Ok(network) => networks.push(network),
                    Err(_) => {
                        let message = format!("`{network}` is no network such as `10.0.0.0/8`");
                        self.fault(&format!("{at}/networks/{place}"), message);
                    }
                }
            }
            match entry.get("url").and_then(Value::as_str).map(HttpGrant::place) {
                Some(Ok((scheme, host, port, path))) => {
                    grants.push(HttpGrant { scheme, host, port, path, methods, networks });
                }
                Some(Err(problem)) => self.fault(&format!("{at}/url"), problem),
                None => self.fault(&format!("{at}/url"), "is required, such as `https://example.com/api/`"),
            }
        }
        grants
    }

    fn secrets(&mut self, table: &Map<String, Value>) -> BTreeMap<String, SecretGrant> {
        let entries = match table.get("secrets") {
            None => return BTreeMap::new(),
            Some(Value::Object(entries)) if entries.len() <= MAX_LIST => entries,
            Some(_) => {
                self.fault("grants/secrets", "must be a table of secrets: `[plugin.grants.secrets.NAME]`");
                return BTreeMap::new();
            }
        };
        let mut grants = BTreeMap::new();
        for (name, entry) in entries {
            let at = format!("grants/secrets/{}", escaped(name));
            let Value::Object(entry) = entry else {
                self.fault(&at, "must be a table with `from` and `hosts`");
                continue;
            };
            self.unknown(entry, &SECRET_KEYS, &at);
            let from = entry.get("from").and_then(Value::as_str).unwrap_or_default();
            if let Err(problem) = source(from) {
                self.fault(&format!("{at}/from"), problem);
            }
            let hosts = self.texts(entry, "hosts", &at);
            if hosts.is_empty() {
                self.fault(&format!("{at}/hosts"), "must name the hosts that may get the secret");
            }
            let hosts = hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
            let overlay = match entry.get("overlay") {
                None => false,
                Some(Value::Bool(overlay)) => *overlay,
                Some(_) => {
                    self.fault(&format!("{at}/overlay"), "must be true or false");
                    false
                }
            };
            grants.insert(name.clone(), SecretGrant { from: from.to_owned(), hosts, overlay });
        }
        grants
    }

    fn texts(&mut self, table: &Map<String, Value>, member: &str, at: &str) -> Vec<String> {
        let Some(value) = table.get(member) else { return Vec::new() };
        let texts: Option<Vec<String>> = value
            .as_array()
            .filter(|list| list.len() <= MAX_LIST)
            .and_then(|list| list.iter().map(|item| item.as_str().map(str::to_owned)).collect());
        texts.unwrap_or_else(|| {
            self.fault(&format!("{at}/{member}"), format!("must be a list of at most {MAX_LIST} strings"));
            Vec::new()
        })
    }

    fn unknown(&mut self, table: &Map<String, Value>, known: &[&str], at: &str) {
        unknown_keys(table, known, self.name.as_deref(), &format!("{}/{at}", self.at), self.faults);
    }
}

/// Whether a secret may come from there.
fn source(from: &str) -> Result<(), String> {
    match from.split_once(':') {
        Some(("env", name)) if name.starts_with(VARIABLE_PREFIX) => Ok(()),
        Some(("env", _)) => Err(format!("the variable's name must begin with `{VARIABLE_PREFIX}`")),
        Some(("file", name)) if is_file_name(name) => Ok(()),
        Some(("file", _)) => Err("the file must be a plain name in the folder for secrets".to_owned()),
        _ => Err(format!("must be `env:{VARIABLE_PREFIX}NAME` or `file:NAME`")),
    }
}

fn is_file_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 255 && !name.starts_with('.') && !name.contains(['/', '\\', '\0'])
}
