//! Stage `prepare`: what a task takes along from the moment it is queued. Nothing that goes wrong
//! here stops a task.

use std::sync::Arc;

use serde_json::{Value, json};

use super::trace::Trace;
use crate::plugin::generation::Generation;
use crate::plugin::stage::{PrepareInput, PrepareOutput, Stage, Subject};

/// The most servers that an overlay may bring.
const SERVERS: usize = 64;

/// What a plugin attached, read.
#[derive(Clone, Default)]
pub struct Attached {
    /// `{"mcpServers":{…}}`. Secret.
    pub overlay: Option<Value>,
    /// What the overlay connects, as it goes over the wire.
    pub apps: Option<Value>,
}

/// Whether there is anybody to ask.
pub fn is_served(generation: &Generation) -> bool {
    generation.is_served(Stage::Prepare)
}

/// Asks the plugin of the stage. A failure attaches nothing, whatever `on_error` says, and the
/// trace tells of it.
pub async fn run(generation: &Arc<Generation>, subject: &Subject, input: &PrepareInput) -> (Attached, Trace) {
    let mut trace = Trace::new(subject, generation.number);
    let Some(plugin) = generation.called(Stage::Prepare, subject).next() else {
        return (Attached::default(), trace);
    };
    let report = plugin.prepare(subject, input, read).await;
    let attached = match report.result {
        Ok(attached) => {
            // What was attached is secret, so the trace names no change.
            trace.applied(plugin, Stage::Prepare, report.times, Vec::new());
            attached
        }
        Err(error) => {
            trace.passed_over(plugin, Stage::Prepare, report.times, &error);
            Attached::default()
        }
    };
    (attached, trace)
}

fn read(output: PrepareOutput) -> Result<Attached, String> {
    let Some(text) = output.overlay else { return Ok(Attached::default()) };
    let overlay: Value =
        serde_json::from_str(&text).map_err(|error| format!("the overlay is not JSON: {error}"))?;
    let servers = overlay.get("mcpServers").and_then(Value::as_object);
    let Some(servers) = servers.filter(|servers| servers.values().all(Value::is_object)) else {
        return Err("the overlay is not `{\"mcpServers\": {NAME: {…}}}`".to_owned());
    };
    if servers.len() > SERVERS {
        return Err(format!("the overlay has {} servers; {SERVERS} are allowed", servers.len()));
    }
    let apps = output.apps.iter().map(|app| {
        let mut shown = json!({
            "provider": app.provider, "server_name": app.server_name, "toolkit_slug": app.toolkit,
        });
        if let Some(name) = &app.display_name {
            shown["toolkit_name"] = name.as_str().into();
        }
        shown
    });
    let apps: Vec<Value> = apps.collect();
    Ok(Attached { overlay: Some(overlay), apps: (!apps.is_empty()).then_some(Value::Array(apps)) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::stage::ConnectedApp;

    fn overlay(text: &str) -> PrepareOutput {
        PrepareOutput { overlay: Some(text.to_owned()), apps: Vec::new() }
    }

    #[test]
    fn an_overlay_names_servers_and_nothing_else_is_one() {
        for refused in ["", "[]", "{}", r#"{"mcpServers":[]}"#, r#"{"mcpServers":{"a":"b"}}"#] {
            assert!(read(overlay(refused)).is_err(), "{refused}");
        }
        assert!(read(overlay(r#"{"mcpServers":{"a":{"command":"x"}}}"#)).is_ok());
    }

    #[test]
    fn apps_are_kept_beside_an_overlay_alone() {
        let app = ConnectedApp {
            provider: "p".to_owned(),
            server_name: "s".to_owned(),
            toolkit: "t".to_owned(),
            display_name: None,
        };
        let apps = |overlay: Option<&str>| {
            let output = PrepareOutput { overlay: overlay.map(str::to_owned), apps: vec![app.clone()] };
            read(output).ok().and_then(|attached| attached.apps)
        };
        assert_eq!(apps(None), None);
        let expected = json!([{"provider": "p", "server_name": "s", "toolkit_slug": "t"}]);
        assert_eq!(apps(Some(r#"{"mcpServers":{}}"#)), Some(expected));
    }
}
