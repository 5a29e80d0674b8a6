//! Reads how a plugin is rolled out: `shadow`, or `canary` with `replaces`.

use serde_json::{Map, Value};

use super::document::Fault;
use super::rollout::Role;

pub const ROLLOUT_KEYS: [&str; 3] = ["shadow", "canary", "replaces"];

/// The role that the entry asks for. What is wrong is noted, and the plugin counts as live.
pub fn role(map: &Map<String, Value>, at: &str, plugin: Option<&str>, faults: &mut Vec<Fault>) -> Role {
    let before = faults.len();
    let mut fault = |member: &str, message: &str| {
        faults.push(Fault::new(plugin, format!("{at}/{member}"), message));
    };
    let shadow = match map.get("shadow") {
        None | Some(Value::Bool(false)) => false,
        Some(Value::Bool(true)) => true,
        Some(_) => {
            fault("shadow", "must be true or false");
            false
        }
    };
    let percent = map.get("canary").map(|value| {
        let percent = value.as_u64().and_then(|number| u8::try_from(number).ok());
        percent.filter(|percent| (1..=99).contains(percent)).unwrap_or_else(|| {
            fault("canary", "must be a whole number from 1 to 99: percent of the tasks");
            1
        })
    });
    let replaces = map.get("replaces").map(|value| match value {
        Value::String(name) => name.clone(),
        _ => {
            fault("replaces", "must be a string: the name of a plugin");
            String::new()
        }
    });
    let role = match (shadow, percent, replaces) {
        (true, None, None) => Role::Shadow,
        (false, Some(percent), Some(replaces)) => Role::Canary { percent, replaces },
        (false, None, None) => Role::Live,
        (true, Some(_), _) => {
            fault("shadow", "a shadow changes nothing, so it cannot be a canary; take one of the two out");
            Role::Live
        }
        (_, None, Some(_)) => {
            fault("replaces", "only a canary replaces a plugin: add `canary`, percent of the tasks");
            Role::Live
        }
        (false, Some(_), None) => {
            fault("replaces", "is required beside `canary`: the name of the plugin to stand in for");
            Role::Live
        }
    };
    if faults.len() == before { role } else { Role::Live }
}
