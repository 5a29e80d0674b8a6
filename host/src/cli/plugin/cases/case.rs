//! The file of cases, as YAML.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{bail, ensure};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::mocks::Mocks;
use crate::cli::plugin::workbench::read_json;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    pub name: String,
    /// May be left out when the component serves one.
    pub stage: Option<String>,
    pub config: Option<Value>,
    /// The input itself, or the name of a JSON file beside this one.
    input: Value,
    /// As in the document; absent: those of plugins.toml beside the component.
    pub grants: Option<Value>,
    /// What it finds outside; nothing, where nothing is written.
    #[serde(default)]
    pub mocks: Mocks,
    pub expect: Expected,
    /// What must be kept afterwards, value by key; null for a key that must be gone.
    #[serde(default)]
    pub expect_kv: BTreeMap<String, Value>,
    /// The requests that must have been sent, in their order and no others.
    pub expect_requests: Option<Vec<Value>>,
}

/// What must come of the call.
#[derive(Debug, PartialEq)]
pub enum Expected {
    /// The stage's output, as far as it is written.
    Output(Value),
    /// A denial with this code.
    Denied(String),
    /// A failed call: the code that the guest gave, or the host's own.
    Failed(String),
}

impl<'de> Deserialize<'de> for Expected {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let word = |name: &str| match value.as_object() {
            Some(map) if map.len() == 1 => map.get(name).and_then(Value::as_str).map(str::to_owned),
            _ => None,
        };
        Ok(match (word("denied"), word("failed")) {
            (Some(code), _) => Self::Denied(code),
            (_, Some(code)) => Self::Failed(code),
            _ => Self::Output(value),
        })
    }
}

pub fn read(text: &str) -> anyhow::Result<Vec<Case>> {
    let file: File = super::read_yaml(text)?;
    ensure!(!file.cases.is_empty(), "there are no cases in it");
    for (index, case) in file.cases.iter().enumerate() {
        if file.cases[..index].iter().any(|other| other.name == case.name) {
            bail!("two cases are called `{}`", case.name);
        }
    }
    Ok(file.cases)
}

impl Case {
    pub fn input(&self, folder: &Path) -> anyhow::Result<Value> {
        match &self.input {
            Value::String(name) => read_json(&folder.join(name)),
            given => Ok(given.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_expected_is_an_output_a_denial_or_a_failure() {
        let read = |expect: &str| {
            let text = format!("cases:\n  - name: a\n    input: {{}}\n    expect: {expect}\n");
            super::read(&text).map(|cases| cases.into_iter().map(|case| case.expect).next())
        };
        assert_eq!(read("{ denied: x }").ok().flatten(), Some(Expected::Denied("x".into())));
        assert_eq!(read("{ failed: y }").ok().flatten(), Some(Expected::Failed("y".into())));
        assert_eq!(read("null").ok().flatten(), Some(Expected::Output(Value::Null)));
        assert_eq!(read("workspace").ok().flatten(), Some(Expected::Output("workspace".into())));
        assert_eq!(read("no").ok().flatten(), Some(Expected::Output("no".into())));
        assert!(read("1\n    expected: 1").is_err());
        assert!(super::read("cases: []").is_err());
    }
}
