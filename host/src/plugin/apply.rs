//! From a document to plugins that are proven to run; or every reason why not.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio::sync::{Notify, Semaphore};
use wasmtime::Engine;

use super::component::{self, Cache, Component};
use super::counters::Totals;
use super::document::{Fault, Wanted, crowded};
use super::history::{History, Member};
use super::limits::Limits;
use super::manifest;
use super::plugin::{Entry, Plugin};
use super::reach::{Outside, Secrets};
use super::rollout::{self, Role};
use super::sandbox::describe;
use super::source::Source;
use super::stage::Stage;

/// What applying needs beside the document.
pub struct Workshop {
    pub engine: Engine,
    pub cache: Cache,
    pub pool: Arc<Semaphore>,
    /// Components that run already, by digest; one that did not change is not made again.
    pub known: HashMap<String, Arc<Component>>,
    pub history: History,
    pub totals: Totals,
    pub outside: Outside,
    /// Told when a canary fails too often.
    pub alarm: Arc<Notify>,
}

/// Where the components of a document come from.
#[derive(Clone, Debug)]
pub enum Supply {
    /// Their sources, as they are now; a relative path is below the folder.
    Sources(Option<PathBuf>),
    /// What was kept of a set that ran before. Those built in come from this binary.
    Kept(Vec<Member>),
}

/// A document's plugins, and what they were made from.
#[derive(Default)]
pub struct Output {
    /// Those that are enabled.
    pub plugins: Vec<Arc<Plugin>>,
    /// Components that came from files, by digest.
    pub components: HashMap<String, Arc<[u8]>>,
}

/// A plugin asked for, and what was made of it.
struct Made {
    pointer: String,
    enabled: bool,
    plugin: Plugin,
    /// The component, if it came from a file.
    bytes: Option<Arc<[u8]>>,
}

/// Makes every plugin of the document, disabled ones too: what is switched on tomorrow
/// should be known to work today.
pub async fn make(workshop: &Workshop, wanted: Vec<Wanted>, supply: &Supply) -> Result<Output, Vec<Fault>> {
    let mut faults = Vec::new();
    let mut made = Vec::new();
    for wanted in wanted {
        if matches!(supply, Supply::Kept(_)) && !wanted.enabled {
            // Only what ran was kept.
            continue;
        }
        match make_one(workshop, wanted, supply).await {
            Ok(plugin) => made.push(plugin),
            Err(found) => faults.extend(found),
        }
    }
    made.retain(|made| made.enabled);
    let enabled: Vec<(String, String, Vec<Stage>)> = made
        .iter()
        .filter(|made| made.plugin.role == Role::Live)
        .map(|made| (made.pointer.clone(), made.plugin.name.clone(), made.plugin.stages.clone()))
        .collect();
    faults.extend(crowded(&enabled));
    let placed: Vec<(&str, &Plugin)> =
        made.iter().map(|made| (made.pointer.as_str(), &made.plugin)).collect();
    faults.extend(rollout::unlike(&placed));
    if !faults.is_empty() {
        return Err(faults);
    }
    let mut output = Output::default();
    for made in made {
        output.components.extend(made.bytes.map(|bytes| (made.plugin.sha256.clone(), bytes)));
        output.plugins.push(Arc::new(made.plugin));
    }
    Ok(output)
}

async fn make_one(workshop: &Workshop, wanted: Wanted, supply: &Supply) -> Result<Made, Vec<Fault>> {
    let fault = |member: &str, message: String| {
        vec![Fault::new(Some(&wanted.name), format!("{}/{member}", wanted.pointer), message)]
    };
    let (component, bytes) =
        load(workshop, &wanted, supply).await.map_err(|(member, message)| fault(member, message))?;
    // The operator's limits, but enough time for a first look on a busy machine.
    let limits = Limits { cpu_ms: 1000, wall_ms: 5000, ..wanted.limits };
    let description = describe(&component, limits)
        .await
        .map_err(|error| fault("source", format!("the plugin could not describe itself: {error}")))?;
    manifest::check(&description).map_err(|message| fault("source", message))?;
    let violations = manifest::check_config(description.config_schema.as_deref(), &wanted.config)
        .map_err(|message| fault("source", message))?;
    let mut faults: Vec<Fault> = violations
        .into_iter()
        .map(|(place, message)| {
            Fault::new(Some(&wanted.name), format!("{}/config{place}", wanted.pointer), message)
        })
        .collect();
    let stages = wanted.stages.clone().unwrap_or_else(|| component.stages.clone());
    for stage in stages.iter().filter(|stage| !component.stages.contains(stage)) {
        faults.extend(fault("stages", format!("the component does not serve `{}`", stage.as_str())));
    }
    for import in component.imports.iter().filter(|import| !wanted.grants.covers(import)) {
        let interface = format!("switchyard:plugin/{import}@1.0.0");
        let message = format!("the component imports `{interface}`; grant `{import}` to it, or take another");
        faults.extend(fault(&format!("grants/{import}"), message));
    }
    let secrets = Secrets::read(&wanted.grants.secrets, workshop.outside.secrets_dir.as_deref());
    let secrets = secrets.unwrap_or_else(|unread| {
        for (name, message) in unread {
            faults.extend(fault(&format!("grants/secrets/{name}/from"), message));
        }
        Secrets::default()
    });
    if !faults.is_empty() {
        return Err(faults);
    }
    let entry = Entry {
        name: wanted.name,
        stages,
        on_error: wanted.on_error,
        config: wanted.config.to_string(),
        limits: wanted.limits,
        grants: wanted.grants,
        role: wanted.role,
    };
    let totals = match entry.role {
        // What a shadow does must not look like the work of a live plugin of its name.
        Role::Shadow => workshop.totals.of(&format!("{} (shadow)", entry.name)),
        Role::Live | Role::Canary { .. } => workshop.totals.of(&entry.name),
    };
    let (pool, alarm) = (workshop.pool.clone(), workshop.alarm.clone());
    let reach = (secrets, &workshop.outside);
    let plugin = Plugin::new(entry, description.version, component, pool, totals, reach, alarm);
    let bytes = bytes.filter(|_| matches!(wanted.source, Source::File(_)));
    Ok(Made { pointer: wanted.pointer, enabled: wanted.enabled, plugin, bytes })
}

/// What is wrong with a component, and the member that it is about.
type LoadFault = (&'static str, String);

/// The component, read, pinned and compiled.
async fn load(
    workshop: &Workshop,
    wanted: &Wanted,
    supply: &Supply,
) -> Result<(Arc<Component>, Option<Arc<[u8]>>), LoadFault> {
    let about_source = |message: String| ("source", message);
    let (bytes, sha256) = match (supply, &wanted.source) {
        (Supply::Kept(members), Source::File(_)) => {
            find_kept(workshop, wanted, members).await.map_err(about_source)?
        }
        (Supply::Kept(_), Source::Builtin(_)) => read(&wanted.source, None).await.map_err(about_source)?,
        (Supply::Sources(base), source) => read(source, base.clone()).await.map_err(about_source)?,
    };
    if let Some(pin) = wanted.sha256.as_ref().filter(|pin| **pin != sha256) {
        return Err(("sha256", format!("the component's digest is {sha256}, not {pin}")));
    }
    if let Some(known) = workshop.known.get(&sha256) {
        return Ok((known.clone(), Some(bytes)));
    }
    let (engine, cache, code) = (workshop.engine.clone(), workshop.cache.clone(), bytes.clone());
    let loaded = tokio::task::spawn_blocking(move || component::load(&engine, &cache, &code, &sha256)).await;
    let component = loaded.map_err(|error| about_source(error.to_string()))?.map_err(about_source)?;
    Ok((component, Some(bytes)))
}

async fn read(source: &Source, base: Option<PathBuf>) -> Result<(Arc<[u8]>, String), String> {
    let source = source.clone();
    let read = tokio::task::spawn_blocking(move || {
        let bytes: Arc<[u8]> = source.read(base.as_deref())?.into();
        let sha256 = hex::encode(Sha256::digest(&bytes));
        Ok((bytes, sha256))
    });
    read.await.map_err(|error| error.to_string())?
}

async fn find_kept(
    workshop: &Workshop,
    wanted: &Wanted,
    members: &[Member],
) -> Result<(Arc<[u8]>, String), String> {
    let member = members.iter().find(|member| member.name == wanted.name);
    let sha256 = &member.ok_or("it was not part of the set that is kept")?.sha256;
    let kept = workshop.history.component(sha256).await.map_err(|error| error.to_string())?;
    let bytes = kept.ok_or_else(|| format!("the component {sha256} is not kept any more"))?;
    let found = hex::encode(Sha256::digest(&bytes));
    if found != *sha256 {
        return Err(format!("the component that was kept as {sha256} is damaged"));
    }
    Ok((bytes.into(), found))
}
