//! Samples of what plugins were given and what they gave, for a later replay. Whatever a
//! plugin was granted to see, a sample holds no more than what any plugin sees; and no text
//! in it looks like a secret or an address of a person.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Map, Value, json};

use super::view;
use crate::model::redact;
use crate::model::time::Clock;
use crate::plugin::error::PluginError;
use crate::plugin::generation::Generation;
use crate::plugin::grants::Grants;
use crate::plugin::input;
use crate::plugin::plugin::Plugin;
use crate::plugin::recording::{Recorder, Sample};
use crate::plugin::report::{Report, Times};
use crate::plugin::stage::{BriefingInput, McpInput, PrepareInput, RepoInput, Stage, Subject};

/// What stands in place of what is not kept.
const WITHHELD: &str = "***";

static EMAIL: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}").ok());

/// A user and a password in the midst of a text.
static USER: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"://[^/\s@]+@").ok());

/// A call that will be recorded when it is over.
pub struct Take {
    recorder: Recorder,
    generation: u64,
    stage: Stage,
    input: Value,
    output: Value,
    /// What the plugin was shown by a grant, and might have said again.
    secrets: Vec<String>,
}

/// Begins a sample, when this call is one to take.
pub fn begin(
    generation: &Generation,
    stage: Stage,
    subject: &Subject,
    input: impl FnOnce() -> Value,
) -> Option<Take> {
    let recorder = generation.recorder.as_ref().filter(|recorder| recorder.takes(stage, &subject.task_id))?;
    Some(Take {
        recorder: recorder.clone(),
        generation: generation.number,
        stage,
        input: input(),
        output: Value::Null,
        secrets: Vec::new(),
    })
}

impl Take {
    pub fn output(&mut self, output: Value) {
        self.output = output;
    }

    /// Hides in the output, too, what the plugin saw of this claim by its grants.
    pub fn hide(&mut self, body: &Map<String, Value>, grants: &Grants) {
        if !grants.view.is_empty() {
            self.secrets = secrets_of(body);
        }
    }

    pub fn end<T>(self, plugin: &Plugin, subject: &Subject, report: &Report<T>) {
        self.end_as(plugin, subject, report.times, report.result.as_ref().err());
    }

    fn end_as(self, plugin: &Plugin, subject: &Subject, times: Times, error: Option<&PluginError>) {
        let recorder = self.recorder;
        recorder.offer(Sample {
            at: Clock::system().now(),
            plugin: plugin.name.clone(),
            version: plugin.version.clone(),
            sha256: plugin.sha256.clone(),
            generation: self.generation,
            stage: self.stage,
            task_id: subject.task_id.clone(),
            workspace_id: subject.workspace_id.clone(),
            outcome: error.map_or("ok", PluginError::code).to_owned(),
            message: error.map(ToString::to_string),
            times,
            input: self.input,
            output: if error.is_some() { Value::Null } else { without(withheld(self.output), &self.secrets) },
            clean,
        });
    }
}

pub fn repos(given: &RepoInput) -> Value {
    input::of_repos(given)
}

pub fn briefing(given: &BriefingInput) -> Value {
    input::of_briefing(given)
}

pub fn prepare(given: &PrepareInput) -> Value {
    input::of_prepare(given)
}

pub fn mcp(given: &McpInput) -> Value {
    let bare = |text: &Option<String>| {
        let mut value: Value = text.as_deref().and_then(|text| serde_json::from_str(text).ok())?;
        view::withhold_mcp(&mut value, WITHHELD);
        Some(value)
    };
    json!({"agent_config": bare(&given.agent_config), "overlay": bare(&given.overlay)})
}

/// What a stage returned, as it may be kept: without values of the environment and secrets of
/// MCP servers.
pub fn withheld(mut output: Value) -> Value {
    for member in ["config", "overlay"] {
        if let Some(config) = output.get_mut(member) {
            view::withhold_mcp(config, WITHHELD);
        }
    }
    for operation in output.get_mut("patch").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(value) = operation.pointer_mut("/put-env/value") {
            *value = WITHHELD.into();
        }
        if let Some(server) = operation.pointer_mut("/put-mcp-server/value") {
            view::withhold_server(server, WITHHELD);
        }
        let Some(set) = operation.get_mut("set") else { continue };
        let pointer = set["name"].as_str().unwrap_or_default().to_owned();
        let withhold = match pointer.strip_prefix("/agent/") {
            Some("mcp_config") => view::withhold_mcp,
            Some("runtime_config") => view::withhold_token,
            Some(rest) if ["mcp_config/", "runtime_config/"].iter().any(|name| rest.starts_with(name)) => {
                view::withhold_texts
            }
            _ => continue,
        };
        if let Some(value) = set.get_mut("value") {
            withhold(value, WITHHELD);
        }
    }
    output
}

/// A text shorter than this is no secret, and would be found everywhere.
const SHORTEST: usize = 4;

/// The texts that the usual view of a claim withholds.
fn secrets_of(body: &Map<String, Value>) -> Vec<String> {
    let shown: Value = serde_json::from_str(&view::of(body, &Grants::default())).unwrap_or_default();
    let mut found = Vec::new();
    for member in ["custom_env", "mcp_config"] {
        let at = |of: Option<&Value>| of.and_then(|agent| agent.get(member)).cloned().unwrap_or_default();
        differing(&at(body.get("agent")), &at(shown.get("agent")), &mut found);
    }
    found
}

fn differing(whole: &Value, shown: &Value, found: &mut Vec<String>) {
    match (whole, shown) {
        (Value::String(text), Value::String(bare)) if text != bare && text.len() >= SHORTEST => {
            found.push(text.clone());
        }
        (Value::Array(whole), Value::Array(shown)) => {
            whole.iter().zip(shown).for_each(|(whole, shown)| differing(whole, shown, found));
        }
        (Value::Object(whole), Value::Object(shown)) => {
            for (name, member) in whole {
                differing(member, shown.get(name).unwrap_or(&Value::Null), found);
            }
        }
        _ => {}
    }
}

/// The value with the secrets hidden, wherever they stand in a text.
fn without(mut value: Value, secrets: &[String]) -> Value {
    hide(&mut value, secrets);
    value
}

fn hide(value: &mut Value, secrets: &[String]) {
    match value {
        Value::String(text) => {
            for secret in secrets {
                if text.contains(secret.as_str()) {
                    *text = text.replace(secret.as_str(), WITHHELD);
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|item| hide(item, secrets)),
        Value::Object(map) => map.values_mut().for_each(|member| hide(member, secrets)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Every text, without what looks like a secret or an address.
pub fn clean(value: &mut Value) {
    match value {
        Value::String(text) => {
            let mut bare = redact::text(text);
            if bare.contains("://") && !bare.contains(char::is_whitespace) {
                bare = view::bare_url(&bare, WITHHELD);
            }
            if let Some(user) = USER.as_ref().filter(|_| bare.contains("://")) {
                bare = user.replace_all(&bare, "://").into_owned();
            }
            if let Some(email) = EMAIL.as_ref().filter(|_| bare.contains('@')) {
                bare = email.replace_all(&bare, "[email]").into_owned();
            }
            *text = bare;
        }
        Value::Array(list) => list.iter_mut().for_each(clean),
        Value::Object(map) => map.values_mut().for_each(clean),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_secret_is_kept() {
        let output = withheld(json!({"patch": [
            {"put-env": {"name": "KEY", "value": "s3one"}},
            {"put-mcp-server": {"name": "a", "value": {"url": "https://h/p?t=s3two", "env": {"T": "s3three"}}}},
            {"set": {"name": "/agent/mcp_config", "value": {"mcpServers": {"a": {"bearer": "s3four"}}}}},
            {"set": {"name": "/agent/mcp_config/x", "value": "s3five"}},
            {"set": {"name": "/agent/runtime_config", "value": {"gateway": {"token": "s3six"}}}},
            {"append-instructions": "write to ann@example.com at https://u:s3seven@h/x"},
            {"append-context": "https://u:s3eight@h/x?token=s3nine"},
        ]}));
        let mut whole = output;
        clean(&mut whole);
        let text = whole.to_string();
        for secret in
            ["s3one", "s3two", "s3three", "s3four", "s3five", "s3six", "s3seven", "s3eight", "s3nine", "ann@"]
        {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
        for kept in ["KEY", "https://h/", "[email]", "/agent/mcp_config"] {
            assert!(text.contains(kept), "{kept} not in {text}");
        }
    }
}
