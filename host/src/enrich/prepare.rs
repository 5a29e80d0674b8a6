//! Stage `prepare`: what a task takes along from the moment it is queued. Nothing that goes wrong
//! here stops a task.

use std::sync::Arc;

use futures_util::future::join_all;
use serde_json::{Map, Value, json};

use super::record;
use super::trace::{Applied, Trace};
use crate::plugin::generation::Generation;
use crate::plugin::output;
use crate::plugin::plugin::Plugin;
use crate::plugin::report::Report;
use crate::plugin::stage::{ConnectedApp, PrepareInput, PrepareOutput, Stage, Subject};
use crate::plugin::standing::{self, Standing};

const SERVERS: &str = "mcpServers";
/// The most servers that a plugin may bring.
const MOST_SERVERS: usize = 64;

/// What a task takes along.
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

/// Asks every plugin that fits, side by side. A failure attaches nothing of its plugin's,
/// whatever `on_error` says, and the trace tells of it.
pub async fn run(generation: &Arc<Generation>, subject: &Subject, input: &PrepareInput) -> (Attached, Trace) {
    let mut trace = Trace::new(subject, generation.number);
    for shadow in generation.shadows(Stage::Prepare, subject) {
        let (subject, input) = (subject.clone(), input.clone());
        trace.prepared.call(shadow, Stage::Prepare, move |plugin| async move {
            let report = plugin.prepare(&subject, &input, read).await;
            // Nor is what it would have attached named.
            report.map(|_| Applied::Changed(Vec::new()))
        });
    }
    let asked: Vec<_> = generation.called(Stage::Prepare, subject).collect();
    let reports = asked.iter().map(|plugin| ask(generation, plugin, subject, input));
    let mut all = Vec::new();
    for (plugin, report) in asked.iter().zip(join_all(reports).await) {
        match report.result {
            Ok(made) => {
                // What was attached is secret, so the trace names no change.
                trace.applied(plugin, Stage::Prepare, report.times, Vec::new());
                all.extend(made);
            }
            Err(error) => trace.passed_over(plugin, Stage::Prepare, report.times, &error),
        }
    }
    (attached(all), trace)
}

async fn ask(
    generation: &Generation,
    plugin: &Plugin,
    subject: &Subject,
    input: &PrepareInput,
) -> Report<Option<Made>> {
    let mut take = record::begin(generation, Stage::Prepare, subject, || record::prepare(input));
    let accept = |output: PrepareOutput, standing: &[Standing]| {
        if let Some(take) = &mut take {
            take.output(output::prepared(&output));
        }
        read(output, standing)
    };
    let report = plugin.prepare(subject, input, accept).await;
    if let Some(take) = take {
        take.end(plugin, subject, &report);
    }
    report
}

/// What one plugin made.
struct Made {
    servers: Map<String, Value>,
    /// Whatever else its overlay holds.
    rest: Map<String, Value>,
    apps: Vec<ConnectedApp>,
}

/// All of it together. Of servers of one name the one counts whose plugin is further down in the
/// document, and with it the apps that it connects.
fn attached(all: Vec<Made>) -> Attached {
    if all.is_empty() {
        return Attached::default();
    }
    let (mut servers, mut rest, mut apps) = (Map::new(), Map::new(), Vec::<ConnectedApp>::new());
    for made in all {
        apps.retain(|app| !made.servers.contains_key(&app.server_name));
        apps.extend(made.apps);
        servers.extend(made.servers);
        rest.extend(made.rest);
    }
    rest.insert(SERVERS.to_owned(), servers.into());
    let apps: Vec<Value> = apps.iter().map(shown).collect();
    Attached { overlay: Some(rest.into()), apps: (!apps.is_empty()).then_some(apps.into()) }
}

fn shown(app: &ConnectedApp) -> Value {
    let mut shown = json!({
        "provider": app.provider, "server_name": app.server_name, "toolkit_slug": app.toolkit,
    });
    if let Some(name) = &app.display_name {
        shown["toolkit_name"] = name.as_str().into();
    }
    shown
}

fn read(output: PrepareOutput, standing: &[Standing]) -> Result<Option<Made>, String> {
    const SHAPE: &str = "the overlay is not `{\"mcpServers\": {NAME: {…}}}`";
    let Some(text) = output.overlay else { return Ok(None) };
    let mut overlay: Value =
        serde_json::from_str(&text).map_err(|error| format!("the overlay is not JSON: {error}"))?;
    standing::fill(&mut overlay, standing)?;
    let Value::Object(mut rest) = overlay else { return Err(SHAPE.to_owned()) };
    let Some(Value::Object(servers)) = rest.remove(SERVERS) else { return Err(SHAPE.to_owned()) };
    if !servers.values().all(Value::is_object) {
        return Err(SHAPE.to_owned());
    }
    if servers.len() > MOST_SERVERS {
        return Err(format!("the overlay has {} servers; {MOST_SERVERS} are allowed", servers.len()));
    }
    Ok(Some(Made { servers, rest, apps: output.apps }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overlay(text: &str) -> PrepareOutput {
        PrepareOutput { overlay: Some(text.to_owned()), apps: Vec::new() }
    }

    fn app(server: &str, toolkit: &str) -> ConnectedApp {
        ConnectedApp {
            provider: "p".to_owned(),
            server_name: server.to_owned(),
            toolkit: toolkit.to_owned(),
            display_name: None,
        }
    }

    fn made(output: PrepareOutput) -> Attached {
        attached(read(output, &[]).ok().flatten().into_iter().collect())
    }

    #[test]
    fn an_overlay_names_servers_and_nothing_else_is_one() {
        for refused in ["", "[]", "{}", r#"{"mcpServers":[]}"#, r#"{"mcpServers":{"a":"b"}}"#] {
            assert!(read(overlay(refused), &[]).is_err(), "{refused}");
        }
        let text = r#"{"mcpServers":{"a":{"command":"x"}},"more":1}"#;
        assert_eq!(made(overlay(text)).overlay.map(|kept| kept.to_string()).as_deref(), Some(text));
    }

    #[test]
    fn apps_are_kept_beside_an_overlay_alone() {
        let apps = |overlay: Option<&str>| {
            made(PrepareOutput { overlay: overlay.map(str::to_owned), apps: vec![app("s", "t")] }).apps
        };
        assert_eq!(apps(None), None);
        let expected = json!([{"provider": "p", "server_name": "s", "toolkit_slug": "t"}]);
        assert_eq!(apps(Some(r#"{"mcpServers":{}}"#)), Some(expected));
    }

    #[test]
    fn plugins_further_down_win_with_their_apps() {
        let of = |servers: Value, apps: Vec<ConnectedApp>| PrepareOutput {
            overlay: Some(json!({ "mcpServers": servers }).to_string()),
            apps,
        };
        let first = of(json!({"a": {"x": 1}, "b": {"x": 1}}), vec![app("a", "t1"), app("b", "t2")]);
        let second = of(json!({"b": {"x": 2}}), vec![app("b", "t3")]);
        let both: Vec<Made> =
            [first, second].into_iter().filter_map(|output| read(output, &[]).ok().flatten()).collect();
        let Attached { overlay, apps } = attached(both);
        assert_eq!(overlay, Some(json!({"mcpServers": {"a": {"x": 1}, "b": {"x": 2}}})));
        let toolkits: Vec<Value> = apps
            .iter()
            .filter_map(Value::as_array)
            .flatten()
            .map(|app| app["toolkit_slug"].clone())
            .collect();
        assert_eq!(toolkits, ["t1", "t3"]);
    }
}
