//! plugins.toml beside a component: how its author means it to be run.

use std::path::Path;

use anyhow::Context;
use serde_json::{Value, json};

/// The members of the `[[plugin]]` that runs this component, but for its source; empty when
/// there is no such document or it names something else.
pub fn entry(component: &Path) -> anyhow::Result<Value> {
    let component = std::path::absolute(component)?;
    let Some(folder) = component.parent() else { return Ok(json!({})) };
    let file = folder.join("plugins.toml");
    let Ok(text) = std::fs::read_to_string(&file) else { return Ok(json!({})) };
    let shown = file.display();
    let document: Value = toml::from_str(&text).with_context(|| format!("{shown} is not sound"))?;
    let entries = document["plugin"].as_array().cloned().unwrap_or_default();
    let ours = entries.into_iter().find(|entry| {
        let path = entry["source"].as_str().and_then(|source| source.strip_prefix("file:"));
        path.is_some_and(|path| folder.join(path) == component)
    });
    let mut entry = ours.filter(Value::is_object).unwrap_or(json!({}));
    if let Some(members) = entry.as_object_mut() {
        members.remove("source");
        // What is being written has another digest after every build.
        members.remove("sha256");
        members.remove("enabled");
    }
    Ok(entry)
}
