//! Reads what a `[[plugin]]` says of policy: `match`, `on_error` and `required`.

use std::collections::HashSet;

use serde_json::Value;
use uuid::Uuid;

use super::policy::{CAUSES, Match, OnError, OnErrors, Policy};
use super::reader::Reader;
use super::signature;
use super::source::Signed;
use super::stage::Kind;

pub const MATCH_KEYS: [&str; 3] = ["workspaces", "agents", "kinds"];

/// Ids that one list may name: whether a plugin is ever reached is worked out id by id.
const MAX_IDS: usize = 64;

impl Reader<'_> {
    pub(super) fn policy(&mut self) -> Policy {
        Policy {
            matching: self.matching(),
            on_error: self.on_errors(),
            required: self.flag("required", false),
        }
    }

    pub(super) fn signature(&mut self) -> Option<Signed> {
        let text = self.text("signature")?;
        if let Some(path) = text.strip_prefix("file:").filter(|path| !path.is_empty()) {
            return Some(Signed::File(path.into()));
        }
        match signature::parse(&text) {
            Ok(_) => Some(Signed::Text(text)),
            Err(message) => {
                self.fault("signature", message);
                None
            }
        }
    }

    fn matching(&mut self) -> Match {
        let table = self.table("match");
        self.unknown_keys_of("match", &table, &MATCH_KEYS);
        let mut list = |member: &str| -> Option<Vec<String>> {
            let texts: Option<Vec<String>> = table
                .get(member)?
                .as_array()
                .filter(|list| (1..=MAX_IDS).contains(&list.len()))
                .and_then(|list| list.iter().map(|item| item.as_str().map(str::to_owned)).collect());
            if texts.is_none() {
                let message = format!("must be a list of 1 to {MAX_IDS} strings; leave it out to fit all");
                self.fault(&format!("match/{member}"), message);
            }
            texts
        };
        let (workspaces, agents, kinds) = (list("workspaces"), list("agents"), list("kinds"));
        Match {
            workspaces: workspaces.map(|list| self.ids("workspaces", &list)),
            agents: agents.map(|list| self.ids("agents", &list)),
            kinds: kinds.map(|list| self.kinds(&list)),
        }
    }

    fn ids(&mut self, member: &str, list: &[String]) -> HashSet<String> {
        let mut ids = HashSet::new();
        for (index, text) in list.iter().enumerate() {
            match Uuid::try_parse(text) {
                Ok(id) => drop(ids.insert(id.to_string())),
                Err(_) => {
                    self.fault(&format!("match/{member}/{index}"), format!("`{text}` is no id (a UUID)"));
                }
            }
        }
        ids
    }

    fn kinds(&mut self, list: &[String]) -> Vec<Kind> {
        let mut kinds = Vec::new();
        for (index, name) in list.iter().enumerate() {
            match Kind::ALL.into_iter().find(|kind| kind.as_str() == name) {
                Some(kind) if kinds.contains(&kind) => {}
                Some(kind) => kinds.push(kind),
                None => {
                    let known = Kind::ALL.map(Kind::as_str).join(", ");
                    let message = format!("`{name}` is no kind of task; there are {known}");
                    self.fault(&format!("match/kinds/{index}"), message);
                }
            }
        }
        kinds
    }

    fn on_errors(&mut self) -> OnErrors {
        let table = match self.member("on_error") {
            None => return OnErrors::default(),
            Some(Value::Object(table)) => table.clone(),
            Some(word) => {
                let word = word.clone();
                return OnErrors { default: self.on_error("on_error", &word), ..OnErrors::default() };
            }
        };
        let mut on_errors = OnErrors::default();
        for (name, word) in &table {
            let place = format!("on_error/{name}");
            match CAUSES.into_iter().find(|cause| cause == name) {
                Some(cause) => {
                    let on_error = self.on_error(&place, word);
                    on_errors.causes.insert(cause, on_error);
                }
                None if name == "default" => on_errors.default = self.on_error(&place, word),
                None => {
                    let message = format!("`{name}` is no cause; there are default, {}", CAUSES.join(", "));
                    self.fault(&super::reader::escaped_path("on_error", name), message);
                }
            }
        }
        on_errors
    }

    fn on_error(&mut self, place: &str, word: &Value) -> OnError {
        match word.as_str() {
            Some("skip") => OnError::Skip,
            Some("fail") => OnError::Fail,
            Some(other) => {
                self.fault(place, format!("`{other}` is neither `skip` nor `fail`"));
                OnError::Skip
            }
            None => {
                self.fault(
                    place,
                    "must be `skip`, `fail` or, for `on_error` itself, a table of them by cause",
                );
                OnError::Skip
            }
        }
    }
}
