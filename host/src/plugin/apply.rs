//! From a document to plugins that are proven to run; or every reason why not.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use wasmtime::Engine;

use super::component::{self, Cache, Component};
use super::document::{Fault, Wanted, crowded};
use super::limits::Limits;
use super::manifest;
use super::plugin::{Entry, Plugin};
use super::sandbox::describe;
use super::stage::Stage;

/// What applying needs beside the document.
pub struct Workshop {
    pub engine: Engine,
    pub cache: Cache,
    pub pool: Arc<Semaphore>,
    /// Components that run already, by digest; one that did not change is not made again.
    pub known: HashMap<String, Arc<Component>>,
}

/// A plugin asked for, and what was made of it.
struct Made {
    pointer: String,
    enabled: bool,
    plugin: Plugin,
}

/// Makes every plugin of the document, disabled ones too: what is switched on tomorrow
/// should be known to work today. Gives those that are enabled.
pub async fn make(
    workshop: &Workshop,
    wanted: Vec<Wanted>,
    base: Option<&Path>,
) -> Result<Vec<Arc<Plugin>>, Vec<Fault>> {
    let mut faults = Vec::new();
    let mut made = Vec::new();
    for wanted in wanted {
        match make_one(workshop, wanted, base).await {
            Ok(plugin) => made.push(plugin),
            Err(found) => faults.extend(found),
        }
    }
    let enabled: Vec<(String, String, Vec<Stage>)> = made
        .iter()
        .filter(|made| made.enabled)
        .map(|made| (made.pointer.clone(), made.plugin.name.clone(), made.plugin.stages.clone()))
        .collect();
    faults.extend(crowded(&enabled));
    if faults.is_empty() {
        Ok(made.into_iter().filter(|made| made.enabled).map(|made| Arc::new(made.plugin)).collect())
    } else {
        Err(faults)
    }
}

async fn make_one(workshop: &Workshop, wanted: Wanted, base: Option<&Path>) -> Result<Made, Vec<Fault>> {
    let fault = |member: &str, message: String| {
        vec![Fault::new(Some(&wanted.name), format!("{}/{member}", wanted.pointer), message)]
    };
    let component =
        load(workshop, &wanted, base).await.map_err(|(member, message)| fault(member, message))?;
    // The operator's limits, but enough time for a first look on a busy machine.
    let limits = Limits { cpu_ms: 1000, wall_ms: 5000, ..wanted.limits };
    let description = describe(&component, limits)
        .await
        .map_err(|error| fault("source", format!("the plugin could not describe itself: {error}")))?;
    manifest::check(&description).map_err(|message| fault("source", message))?;
    let violations = manifest::check_config(description.config_schema.as_deref(), &wanted.config)
        .map_err(|message| fault("source", message))?;
    let stages = match &wanted.stages {
        None => component.stages.clone(),
        Some(stages) => {
            if let Some(stage) = stages.iter().find(|stage| !component.stages.contains(stage)) {
                let message = format!("the component does not serve `{}`", stage.as_str());
                return Err(fault("stages", message));
            }
            stages.clone()
        }
    };
    if stages.contains(&Stage::Prepare) {
        let message = "stage `prepare` is not called by this release; leave it out of `stages`".to_owned();
        return Err(fault("stages", message));
    }
    if !violations.is_empty() {
        return Err(violations
            .into_iter()
            .map(|(place, message)| {
                Fault::new(Some(&wanted.name), format!("{}/config{place}", wanted.pointer), message)
            })
            .collect());
    }
    let entry = Entry {
        name: wanted.name,
        stages,
        on_error: wanted.on_error,
        config: wanted.config.to_string(),
        limits: wanted.limits,
        grants: wanted.grants,
    };
    let plugin = Plugin::new(entry, description.version, component, workshop.pool.clone());
    Ok(Made { pointer: wanted.pointer, enabled: wanted.enabled, plugin })
}

/// The component, read, pinned and compiled. An error says which member it is about.
async fn load(
    workshop: &Workshop,
    wanted: &Wanted,
    base: Option<&Path>,
) -> Result<Arc<Component>, (&'static str, String)> {
    let (source, base) = (wanted.source.clone(), base.map(Path::to_path_buf));
    let read = tokio::task::spawn_blocking(move || {
        let bytes = source.read(base.as_deref())?;
        let sha256 = hex::encode(Sha256::digest(&bytes));
        Ok::<_, String>((bytes, sha256))
    });
    let (bytes, sha256) =
        read.await.map_err(|error| ("source", error.to_string()))?.map_err(|message| ("source", message))?;
    if let Some(pin) = wanted.sha256.as_ref().filter(|pin| **pin != sha256) {
        return Err(("sha256", format!("the component's digest is {sha256}, not {pin}")));
    }
    if let Some(known) = workshop.known.get(&sha256) {
        return Ok(known.clone());
    }
    let (engine, cache) = (workshop.engine.clone(), workshop.cache.clone());
    let loaded = tokio::task::spawn_blocking(move || component::load(&engine, &cache, &bytes, &sha256)).await;
    loaded.map_err(|error| ("source", error.to_string()))?.map_err(|message| ("source", message))
}
