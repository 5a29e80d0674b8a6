//! From a document to plugins that are proven to run; or every reason why not.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::sync::{Notify, Semaphore};
use wasmtime::Engine;

use super::bindings::exports::switchyard::plugin::manifest::Description;
use super::cache::Cache;
use super::component::{self, Component};
use super::counters::Totals;
use super::document::{Fault, Serving, Wanted, crowded};
use super::generation::Broken;
use super::history::{History, Member};
use super::limits::Limits;
use super::manifest;
use super::oci;
use super::oci_reference::Reference;
use super::plugin::{Entry, Plugin, Provenance, Workplace};
use super::provision;
use super::reach::{Outside, Secrets};
use super::rollout::{self, Role};
use super::rules::Rules;
use super::sandbox::describe;
use super::signature::{self, Statement};
use super::source::{Signed, Source};

/// What applying needs beside the document.
pub struct Workshop {
    pub engine: Engine,
    pub cache: Cache,
    pub rules: Arc<Rules>,
    pub pool: Arc<Semaphore>,
    pub warm: Arc<Semaphore>,
    /// Components that run already, by digest; one that did not change is not made again.
    pub known: HashMap<String, Arc<Component>>,
    pub history: History,
    pub totals: Totals,
    pub outside: Outside,
    /// Told when a canary fails too often.
    pub alarm: Arc<Notify>,
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
    /// What the document only pointed at: the pointer of a member, and what it stood for.
    pub settled: Vec<(String, String)>,
}

/// The document, with what it pointed at in its place, so that it means the same later and
/// on another node.
pub fn settled(text: String, settled: &[(String, String)]) -> String {
    if settled.is_empty() {
        return text;
    }
    let Ok(mut document) = serde_json::from_str::<Value>(&text) else { return text };
    for (pointer, value) in settled {
        if let Some(member) = document.pointer_mut(pointer) {
            *member = value.as_str().into();
        }
    }
    document.to_string()
}

/// A plugin asked for, and what was made of it.
struct Made {
    pointer: String,
    enabled: bool,
    plugin: Plugin,
    /// The component, unless it is built in.
    bytes: Option<Arc<[u8]>>,
    settled: Vec<(String, String)>,
}

/// A component, and what is known of it.
struct Loaded {
    component: Arc<Component>,
    bytes: Arc<[u8]>,
    /// Its source, a tag with the digest it stands for.
    source: String,
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
    let placed: Vec<(&str, &Plugin)> =
        made.iter().map(|made| (made.pointer.as_str(), &made.plugin)).collect();
    for fault in rollout::unlike(&placed) {
        let about = |(_, plugin): &(&str, &Plugin)| Some(&plugin.name) == fault.plugin.as_ref();
        behind.entry(placed.iter().position(about).unwrap_or_default()).or_default().push(fault);
    }
    for (index, made) in made.into_iter().enumerate() {
        let Made { plugin, bytes, settled, .. } = made;
        if let Some(faults) = behind.remove(&index) {
            output.broken.push(Broken { name: plugin.name, required: plugin.policy.required, faults });
            continue;
        }
        output.components.extend(bytes.map(|bytes| (plugin.sha256.clone(), bytes)));
        output.plugins.push(Arc::new(plugin));
        output.settled.extend(settled);
    }
    output
}

impl Made {
    fn serving(&self) -> Serving<'_> {
        Serving {
            pointer: &self.pointer,
            name: &self.plugin.name,
            // Shadows and canaries decide nothing of their own.
            stages: if self.plugin.role == Role::Live { &self.plugin.stages } else { &[] },
            matching: &self.plugin.policy.matching,
        }
    }
}

async fn make_one(workshop: &Workshop, mut wanted: Wanted, supply: &Supply) -> Result<Made, Vec<Fault>> {
    let equipped = provision::equip(&mut wanted, workshop.outside.provision.as_ref());
    let wanted = wanted;
    let fault = |member: &str, message: String| {
        vec![Fault::new(Some(&wanted.name), format!("{}/{member}", wanted.pointer), message)]
    };
    let equipped = equipped.map_err(|(member, message)| fault(&member, message))?;
    let within = |limits| {
        workshop.rules.caps.within(limits, &wanted.asked_limits).map_err(|faults| {
            let fault = |(key, message)| fault(&format!("limits/{key}"), message);
            faults.into_iter().flat_map(fault).collect::<Vec<_>>()
        })
    };
    let (limits, enqueue_limits) = (within(wanted.limits)?, within(equipped.enqueue_limits)?);
    let loaded = load(workshop, &wanted, supply).await;
    let Loaded { component, bytes, source } = loaded.map_err(|(member, message)| fault(member, message))?;
    // The operator's limits, but enough time for a first look on a busy machine.
    let first_look = Limits { cpu_ms: 1000, wall_ms: 5000, ..limits };
    let description = describe(&component, first_look)
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
    let mut settled = Vec::new();
    let signed_by = match signer(workshop, &wanted, &component.sha256, &description, &mut settled).await {
        Ok(signed_by) => signed_by,
        Err(message) => {
            faults.extend(fault("signature", message));
            None
        }
    };
    if matches!(wanted.source, Source::Oci(_)) {
        settled.push((format!("{}/source", wanted.pointer), source.clone()));
    }
    let mut stages = wanted.stages.clone().unwrap_or_else(|| component.stages.clone());
    for stage in stages.iter().filter(|stage| !component.stages.contains(stage)) {
        faults.extend(fault("stages", format!("the component does not serve `{}`", stage.as_str())));
    }
    stages.retain(|stage| Some(*stage) != equipped.withheld);
    // What is built in may offer more than it is granted here; a call of that is refused.
    let ours = matches!(wanted.source, Source::Builtin(_));
    for import in component.imports.iter().filter(|import| !ours && !wanted.grants.covers(import)) {
        let interface = format!("switchyard:plugin/{import}@1.0.0");
        let message = format!("the component imports `{interface}`; grant `{import}` to it, or take another");
        faults.extend(fault(&format!("grants/{import}"), message));
    }
    let mut named = wanted.grants.secrets.clone();
    if let Some((name, ..)) = &equipped.secret {
        named.remove(name);
    }
    let secrets = Secrets::read(&named, workshop.outside.secrets_dir.as_deref());
    let mut secrets = secrets.unwrap_or_else(|unread| {
        for (name, message) in unread {
            faults.extend(fault(&format!("grants/secrets/{name}/from"), message));
        }
        Secrets::default()
    });
    if let Some((name, grant, value)) = equipped.secret {
        secrets.insert(&name, &grant, value);
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let entry = Entry {
        name: wanted.name,
        stages,
        policy: wanted.policy,
        config: wanted.config.to_string(),
        limits,
        enqueue_limits,
        grants: wanted.grants,
        role: wanted.role,
        origin: Provenance { source, signed_by },
    };
    let totals = match entry.role {
        // What a shadow does must not look like the work of a live plugin of its name.
        Role::Shadow => workshop.totals.of(&format!("{} (shadow)", entry.name)),
        Role::Live | Role::Canary { .. } => workshop.totals.of(&entry.name),
    };
    let workplace = Workplace {
        pool: workshop.pool.clone(),
        warm: workshop.warm.clone(),
        outside: workshop.outside.clone(),
        secrets,
        totals,
        alarm: workshop.alarm.clone(),
    };
    let plugin = Plugin::new(entry, description.version, component, workplace);
    let bytes = (!matches!(wanted.source, Source::Builtin(_))).then_some(bytes);
    Ok(Made { pointer: wanted.pointer, enabled: wanted.enabled, plugin, bytes, settled })
}

/// Who signed the component. One that is built in needs nobody: who trusts the gateway's
/// binary trusts it.
async fn signer(
    workshop: &Workshop,
    wanted: &Wanted,
    sha256: &str,
    description: &Description,
    settled: &mut Vec<(String, String)>,
) -> Result<Option<String>, String> {
    if matches!(wanted.source, Source::Builtin(_)) {
        return Ok(None);
    }
    let text = match wanted.signature.clone() {
        None => None,
        Some(Signed::Text(text)) => Some(text),
        Some(file) => {
            let base = workshop.base.clone();
            let read = tokio::task::spawn_blocking(move || file.read(base.as_deref())).await;
            let text = read.map_err(|error| error.to_string())??.trim().to_owned();
            settled.push((format!("{}/signature", wanted.pointer), text.clone()));
            Some(text)
        }
    };
    let signature = text.as_deref().map(signature::parse).transpose()?;
    let statement = Statement { sha256, name: &description.name, version: &description.version };
    workshop.rules.signatures.check(&statement, signature.as_ref())
}

/// What is wrong with a component, and the member that it is about.
type LoadFault = (&'static str, String);

/// The component, read, pinned and compiled.
async fn load(workshop: &Workshop, wanted: &Wanted, supply: &Supply) -> Result<Loaded, LoadFault> {
    let about_source = |message: String| ("source", message);
    let found = match (supply, &wanted.source) {
        (Supply::Kept(_), Source::Builtin(_)) => fetch(workshop, &wanted.source, None).await,
        (Supply::Kept(members), _) => find_kept(workshop, wanted, members).await,
        (Supply::Sources(base), source) => fetch(workshop, source, base.clone()).await,
    };
    let Fetched { bytes, sha256, source } = found.map_err(about_source)?;
    if let Some(pin) = wanted.sha256.as_ref().filter(|pin| **pin != sha256) {
        return Err(("sha256", format!("the component's digest is {sha256}, not {pin}")));
    }
    if let Some(known) = workshop.known.get(&sha256) {
        return Ok(Loaded { component: known.clone(), bytes, source });
    }
    let (engine, cache, code) = (workshop.engine.clone(), workshop.cache.clone(), bytes.clone());
    let loaded = tokio::task::spawn_blocking(move || component::load(&engine, &cache, &code, &sha256)).await;
    let component = loaded.map_err(|error| about_source(error.to_string()))?.map_err(about_source)?;
    Ok(Loaded { component, bytes, source })
}

struct Fetched {
    bytes: Arc<[u8]>,
    sha256: String,
    source: String,
}

/// From where it comes from, be it far away.
async fn fetch(workshop: &Workshop, source: &Source, base: Option<PathBuf>) -> Result<Fetched, String> {
    let Source::Oci(reference) = source else {
        let (bytes, sha256) = read(source, base).await?;
        return Ok(Fetched { bytes, sha256, source: source.to_string() });
    };
    let pulled = oci::pull(&workshop.rules.registries, reference).await?;
    let sha256 = hex::encode(Sha256::digest(&pulled.bytes));
    let resolved = Reference { digest: Some(pulled.digest), ..reference.clone() };
    Ok(Fetched { bytes: pulled.bytes.into(), sha256, source: format!("oci:{resolved}") })
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

async fn find_kept(workshop: &Workshop, wanted: &Wanted, members: &[Member]) -> Result<Fetched, String> {
    let member = members.iter().find(|member| member.name == wanted.name);
    let sha256 = &member.ok_or("it was not part of the set that is kept")?.sha256;
    let kept = workshop.history.component(sha256).await.map_err(|error| error.to_string())?;
    let Some(bytes) = kept else {
        // The same component may still be where it came from.
        let again = fetch(workshop, &wanted.source, workshop.base.clone()).await;
        let again =
            again.map_err(|problem| format!("the component {sha256} is not kept any more: {problem}"))?;
        if again.sha256 == *sha256 {
            return Ok(again);
        }
        return Err(format!(
            "the component {sha256} is not kept any more, and its source holds another, {}; apply the document again \
             to run that",
            again.sha256
        ));
    };
    let found = hex::encode(Sha256::digest(&bytes));
    if found != *sha256 {
        return Err(format!("the component that was kept as {sha256} is damaged"));
    }
    Ok(Fetched { bytes: bytes.into(), sha256: found, source: wanted.source.to_string() })
}
