//! From a document to plugins that are proven to run; or every reason why not.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use wasmtime::Engine;

use super::component::{self, Cache, Component};
use super::counters::Totals;
use super::document::{Fault, Serving, Wanted, crowded};
use super::generation::Broken;
use super::history::{History, Member};
use super::limits::Limits;
use super::manifest;
use super::plugin::{Entry, Plugin};
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
    /// What relative paths of the configured document are below.
    pub base: Option<PathBuf>,
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
    /// Those that are enabled and could not be loaded.
    pub broken: Vec<Broken>,
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
    // Of a set that ran before, only what ran was kept.
    let all = matches!(supply, Supply::Sources(_));
    let output = make_each(workshop, wanted, supply, all).await;
    if output.broken.is_empty() {
        return Ok(output);
    }
    Err(output.broken.into_iter().flat_map(|broken| broken.faults).collect())
}

/// Makes those plugins that are enabled and can be loaded, whatever is wrong with the others.
pub async fn make_what_runs(workshop: &Workshop, wanted: Vec<Wanted>, supply: &Supply) -> Output {
    make_each(workshop, wanted, supply, false).await
}

async fn make_each(workshop: &Workshop, wanted: Vec<Wanted>, supply: &Supply, disabled_too: bool) -> Output {
    let mut output = Output::default();
    let mut made = Vec::new();
    for wanted in wanted.into_iter().filter(|wanted| wanted.enabled || disabled_too) {
        let (name, required) = (wanted.name.clone(), wanted.policy.required);
        match make_one(workshop, wanted, supply).await {
            Ok(plugin) => made.push(plugin),
            Err(faults) => output.broken.push(Broken { name, required, faults }),
        }
    }
    made.retain(|made| made.enabled);
    let mut behind: HashMap<usize, Vec<Fault>> = HashMap::new();
    let enabled: Vec<Serving> = made.iter().map(Made::serving).collect();
    for (index, fault) in crowded(&enabled) {
        behind.entry(index).or_default().push(fault);
    }
    for (index, made) in made.into_iter().enumerate() {
        let Made { plugin, bytes, .. } = made;
        if let Some(faults) = behind.remove(&index) {
            output.broken.push(Broken { name: plugin.name, required: plugin.policy.required, faults });
            continue;
        }
        output.components.extend(bytes.map(|bytes| (plugin.sha256.clone(), bytes)));
        output.plugins.push(Arc::new(plugin));
    }
    output
}

impl Made {
    fn serving(&self) -> Serving<'_> {
        Serving {
            pointer: &self.pointer,
            name: &self.plugin.name,
            stages: &self.plugin.stages,
            matching: &self.plugin.policy.matching,
        }
    }
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
    if stages.contains(&Stage::Prepare) {
        let message = "stage `prepare` is not called by this release; leave it out of `stages`".to_owned();
        faults.extend(fault("stages", message));
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let entry = Entry {
        name: wanted.name,
        stages,
        policy: wanted.policy,
        config: wanted.config.to_string(),
        limits: wanted.limits,
        grants: wanted.grants,
    };
    let totals = workshop.totals.of(&entry.name);
    let plugin = Plugin::new(entry, description.version, component, workshop.pool.clone(), totals);
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
    let Some(bytes) = kept else {
        // The same component may still be where it came from.
        let again = read(&wanted.source, workshop.base.clone()).await;
        return match again {
            Ok((bytes, found)) if found == *sha256 => Ok((bytes, found)),
            Ok((_, found)) => Err(format!(
                "the component {sha256} is not kept any more, and its source holds another, {found}; apply the document again to run that"
            )),
            Err(problem) => Err(format!("the component {sha256} is not kept any more: {problem}")),
        };
    };
    let found = hex::encode(Sha256::digest(&bytes));
    if found != *sha256 {
        return Err(format!("the component that was kept as {sha256} is damaged"));
    }
    Ok((bytes.into(), found))
}
