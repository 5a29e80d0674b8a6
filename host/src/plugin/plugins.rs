//! The plugins that run now, and the one way to change them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use thiserror::Error;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use wasmtime::Engine;

use super::apply::{self, Supply, Workshop};
use super::cache::Cache;
use super::component::Component;
use super::counters::{CountersBody, Totals};
use super::document::{Document, DocumentFormat, Fault, Wanted};
use super::engine;
use super::generation::{Generation, Origin};
use super::history::{History, KEPT, Kept};
use super::nodes::{Node, Stuck};
use super::plugin::Plugin;
use super::reach::Outside;
use super::recording::{self, Recorder, Recording, Sample};
use super::rules::Rules;
use super::watch::{Seen, look};
use crate::model::time::{Clock, Time};
use crate::store::{Db, StoreError};

#[derive(Clone)]
pub struct Settings {
    /// Where compiled code is kept.
    pub cache_dir: PathBuf,
    /// The document; absent means the built-in plugins.
    pub document: Option<PathBuf>,
    /// Where sets are kept; absent means nowhere.
    pub db: Option<Db>,
    /// What guests reach.
    pub outside: Outside,
    pub rules: Rules,
}

/// A handle; cheap to clone.
#[derive(Clone)]
pub struct Plugins(Arc<Inner>);

struct Inner {
    engine: Engine,
    cache: Cache,
    rules: Arc<Rules>,
    pool: Arc<Semaphore>,
    warm: Arc<Semaphore>,
    clock: Clock,
    history: History,
    document: Option<PathBuf>,
    current: ArcSwap<Generation>,
    /// Of this process, oldest first; while they are here their components need no
    /// compiling.
    made: Mutex<Vec<Arc<Generation>>>,
    refused: Mutex<Option<Arc<Refused>>>,
    totals: Totals,
    outside: Outside,
    /// What the configured document looked like when the first set was made.
    seen: OnceLock<Seen>,
    /// Held while a set is being made; there is one maker at a time.
    applying: Arc<tokio::sync::Mutex<()>>,
    /// Told when a canary fails too often.
    alarm: Arc<Notify>,
    /// Told when another node may have applied a set.
    hurry: Arc<Notify>,
    /// A newer set that does not run here, and why.
    stuck: Mutex<Option<Arc<Stuck>>>,
    /// Moves when what this node says of itself changed.
    changed: watch::Sender<u64>,
    node: Node,
    /// Where samples of calls are written.
    samples: Option<mpsc::Sender<(Sample, u64)>>,
}

/// A document, and how it came here.
#[derive(Clone, Debug)]
pub struct Sent {
    pub text: String,
    pub format: DocumentFormat,
    pub origin: Origin,
}

/// The latest document that did not run, until one does.
pub struct Refused {
    pub origin: Origin,
    pub at: Time,
    pub faults: Vec<Fault>,
}

/// What becomes of a document when a plugin of it cannot be loaded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Care {
    /// Nothing runs, whatever is found.
    DryRun,
    /// All of it runs, or nothing changes.
    Whole,
    /// The others run.
    WhatRuns,
}

impl Care {
    async fn make(
        self,
        workshop: &Workshop,
        wanted: Vec<Wanted>,
        supply: &Supply,
    ) -> Result<apply::Output, Vec<Fault>> {
        match self {
            Self::DryRun | Self::Whole => apply::make(workshop, wanted, supply).await,
            Self::WhatRuns => Ok(apply::make_what_runs(workshop, wanted, supply).await),
        }
    }
}

#[derive(Debug, Error)]
pub enum ApplyError {
    #[error("another apply is running")]
    Busy,
    #[error("the document has faults:{}", lines(.0))]
    Faults(Vec<Fault>),
    #[error("the set could not be kept; nothing changed")]
    Store(#[source] StoreError),
}

#[derive(Debug, Error)]
pub enum RollbackError {
    #[error("generation {0} is not kept")]
    Unknown(u64),
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

/// Each fault on a line of its own, with its place.
pub(super) fn lines(faults: &[Fault]) -> String {
    let line = |fault: &Fault| {
        let place = if fault.pointer.is_empty() { "(document)" } else { &fault.pointer };
        format!("\n  {place}: {}", fault.message)
    };
    faults.iter().map(line).collect()
}

impl Plugins {
    /// An engine that runs nothing yet.
    pub fn idle(settings: Settings, clock: Clock) -> anyhow::Result<Self> {
        Ok(Self::on(engine::start(false)?, settings, clock))
    }

    /// As [`Plugins::idle`], on an engine that counts the instructions of guests.
    pub fn counting(settings: Settings, clock: Clock) -> anyhow::Result<Self> {
        Ok(Self::on(engine::start(true)?, settings, clock))
    }

    fn on(engine: Engine, settings: Settings, clock: Clock) -> Self {
        let empty = Generation {
            number: 0,
            digest: String::new(),
            document: String::new(),
            origin: Origin::BuiltIn,
            applied_at: clock.now(),
            reason: None,
            gave_up: None,
            plugins: Vec::new(),
            recorder: None,
            broken: Vec::new(),
        };
        Self(Arc::new(Inner {
            cache: Cache::new(&settings.cache_dir, settings.rules.code_cache_bytes, &engine),
            rules: Arc::new(settings.rules),
            engine,
            pool: Arc::new(Semaphore::new(engine::CALLS as usize)),
            warm: Arc::new(Semaphore::new(engine::WARM as usize)),
            clock,
            samples: recording::start(settings.db.clone()),
            history: History::new(settings.db),
            document: settings.document,
            current: ArcSwap::from_pointee(empty),
            made: Mutex::default(),
            refused: Mutex::default(),
            totals: Totals::default(),
            outside: settings.outside,
            seen: OnceLock::new(),
            applying: Arc::default(),
            alarm: Arc::default(),
            hurry: Arc::default(),
            stuck: Mutex::default(),
            changed: watch::Sender::new(0),
            node: Node::new(),
        }))
    }

    /// The set that runs now. Who holds one keeps it, whatever is applied meanwhile.
    pub fn snapshot(&self) -> Arc<Generation> {
        self.0.current.load_full()
    }

    /// Makes and proves every plugin of the document, then swaps the set. On any fault
    /// nothing changes. A dry run stops before the swap.
    ///
    /// It runs to its end even when the caller goes away.
    pub async fn apply(&self, sent: Sent, dry_run: bool) -> Result<Arc<Generation>, ApplyError> {
        let maker = self.0.applying.clone().try_lock_owned().map_err(|_| ApplyError::Busy)?;
        let plugins = self.clone();
        let work = tokio::spawn(async move {
            let care = if dry_run { Care::DryRun } else { Care::Whole };
            let applied = plugins.apply_alone(&sent, care).await;
            if let (Err(ApplyError::Faults(faults)), false) = (&applied, dry_run) {
                plugins.remember_refusal(sent.origin, faults.clone());
            }
            drop(maker);
            applied
        });
        work.await.unwrap_or_else(|error| {
            let message = format!("the apply broke off: {error}");
            Err(ApplyError::Faults(vec![Fault::new(None, "", message)]))
        })
    }

    /// For whoever holds the maker's lock, or starts.
    pub(super) async fn apply_alone(&self, sent: &Sent, care: Care) -> Result<Arc<Generation>, ApplyError> {
        let workshop = self.workshop();
        let supply = Supply::Sources(self.base_dir());
        let document = match Document::parse(&sent.text, sent.format) {
            Ok(document) => document,
            Err((mut faults, readable)) => {
                // Faults of the components are reported along, so that one round is enough.
                faults.extend(apply::make(&workshop, readable, &supply).await.err().unwrap_or_default());
                return Err(ApplyError::Faults(faults));
            }
        };
        self.run(&workshop, document, &supply, sent.origin, care).await
    }

    /// Runs an earlier set again, as a new generation.
    pub async fn rollback(&self, number: u64) -> Result<Arc<Generation>, RollbackError> {
        let maker = self.0.applying.clone().try_lock_owned().map_err(|_| ApplyError::Busy)?;
        let kept = self.find(number).await.map_err(ApplyError::Store)?;
        let kept = kept.ok_or(RollbackError::Unknown(number))?;
        let plugins = self.clone();
        let work = tokio::spawn(async move {
            let ran = plugins.run_kept(kept, Origin::Rollback).await;
            drop(maker);
            ran
        });
        let ran = work.await.unwrap_or_else(|error| {
            let message = format!("the rollback broke off: {error}");
            Err(ApplyError::Faults(vec![Fault::new(None, "", message)]))
        });
        Ok(ran?)
    }

    async fn run_kept(&self, kept: Kept, origin: Origin) -> Result<Arc<Generation>, ApplyError> {
        let document = Document::parse(&kept.document, DocumentFormat::Json)
            .map_err(|(faults, _)| ApplyError::Faults(faults))?;
        let supply = Supply::Kept(kept.members);
        self.run(&self.workshop(), document, &supply, origin, Care::Whole).await
    }

    async fn run(
        &self,
        workshop: &Workshop,
        document: Document,
        supply: &Supply,
        origin: Origin,
        care: Care,
    ) -> Result<Arc<Generation>, ApplyError> {
        let made = care.make(workshop, document.plugins, supply).await.map_err(ApplyError::Faults)?;
        if care == Care::WhatRuns && self.tells_nothing_new(&made) {
            return Ok(self.snapshot());
        }
        let mut generation = Generation {
            number: 0,
            digest: document.digest,
            document: apply::settled(document.text, &made.settled),
            origin,
            applied_at: self.0.clock.now(),
            reason: None,
            gave_up: None,
            plugins: made.plugins,
            recorder: self.recorder(document.recording),
            broken: made.broken,
        };
        if !generation.broken.is_empty() {
            // What is kept is whole, so that whoever goes back to it knows what they get.
            return Ok(self.swap(generation));
        }
        loop {
            let latest = self.0.history.latest().await.map_err(ApplyError::Store)?;
            generation.number = latest.as_ref().map_or(self.snapshot().number, |latest| latest.number) + 1;
            if care == Care::DryRun {
                return Ok(Arc::new(generation));
            }
            if let Some(same) = latest.filter(|latest| origin.resumes() && latest.is(&generation)) {
                // A file that was read again, here or on another node, is no new set.
                (generation.number, generation.applied_at) = (same.number, same.applied_at);
                generation.origin = same.origin;
                (generation.reason, generation.gave_up) = (same.reason, same.gave_up);
                break;
            }
            let kept = self.0.history.keep(&generation, made.components.clone()).await;
            if kept.map_err(ApplyError::Store)? {
                self.node().has_made(generation.number);
                break;
            }
            // Another node took the number at the same moment; this set comes after it.
        }
        Ok(self.swap(generation))
    }

    /// Runs a set that is kept, under its own number: one of before a restart, or one that
    /// another node applied.
    pub(super) async fn resume(&self, kept: Kept, care: Care) -> Result<Arc<Generation>, Vec<Fault>> {
        let document = Document::parse(&kept.document, DocumentFormat::Json).map_err(|(faults, _)| faults)?;
        let supply = Supply::Kept(kept.members);
        let made = care.make(&self.workshop(), document.plugins, &supply).await?;
        if care == Care::WhatRuns && self.tells_nothing_new(&made) {
            return Ok(self.snapshot());
        }
        Ok(self.swap(Generation {
            number: kept.number,
            digest: kept.digest,
            document: kept.document,
            origin: kept.origin,
            applied_at: kept.applied_at,
            reason: kept.reason,
            gave_up: kept.gave_up,
            plugins: made.plugins,
            recorder: self.recorder(document.recording),
            broken: made.broken,
        }))
    }

    /// As [`Plugins::resume`], unless this node is making a set itself just now.
    pub(super) async fn resume_newer(&self, kept: Kept) -> Result<(), Vec<Fault>> {
        let Ok(_maker) = self.0.applying.try_lock() else { return Ok(()) };
        if kept.number <= self.snapshot().number {
            return Ok(());
        }
        self.resume(kept, Care::Whole).await.map(drop)
    }

    /// Whether nothing can be loaded that does not run already. What is wrong with the rest may
    /// be something else by now.
    fn tells_nothing_new(&self, made: &apply::Output) -> bool {
        let running = self.snapshot();
        let names = |plugins: &[Arc<Plugin>]| -> Vec<String> {
            plugins.iter().map(|plugin| plugin.name.clone()).collect()
        };
        let is_same = names(&running.plugins) == names(&made.plugins);
        if running.broken.is_empty() || made.broken.is_empty() || !is_same {
            return false;
        }
        if running.broken != made.broken {
            self.0.current.store(Arc::new(Generation {
                digest: running.digest.clone(),
                document: running.document.clone(),
                reason: running.reason.clone(),
                gave_up: running.gave_up.clone(),
                plugins: running.plugins.clone(),
                recorder: running.recorder.clone(),
                broken: made.broken.clone(),
                ..*running
            }));
        }
        true
    }

    /// The lock of whoever makes a set, if nobody does.
    pub(super) fn maker(&self) -> Option<tokio::sync::OwnedMutexGuard<()>> {
        self.0.applying.clone().try_lock_owned().ok()
    }

    /// What can be gone back to, newest first.
    pub async fn generations(&self) -> Result<Vec<Kept>, StoreError> {
        let kept = self.0.history.list().await?;
        if !kept.is_empty() {
            return Ok(kept);
        }
        Ok(self.made().iter().rev().map(|generation| Kept::of(generation)).collect())
    }

    /// One of [`Plugins::generations`].
    pub async fn find(&self, number: u64) -> Result<Option<Kept>, StoreError> {
        if let Some(kept) = self.0.history.find(number).await? {
            return Ok(Some(kept));
        }
        let made = self.made();
        Ok(made.iter().find(|generation| generation.number == number).map(|generation| Kept::of(generation)))
    }

    /// What became of the calls of every plugin that ran in this process, by name.
    pub fn totals(&self) -> Vec<(String, CountersBody)> {
        self.0.totals.list()
    }

    /// The latest document that did not run, if none ran since.
    pub fn refused(&self) -> Option<Arc<Refused>> {
        self.0.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn remember_refusal(&self, origin: Origin, faults: Vec<Fault>) {
        let refused = Refused { origin, at: self.0.clock.now(), faults };
        *self.0.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(refused));
    }

    /// Remembers what the configured document looks like, before it is read.
    pub(super) async fn note_document(&self) {
        if let Some(path) = self.document() {
            let seen = look(path, self.base_dir()).await;
            self.0.seen.get_or_init(|| seen);
        }
    }

    pub(super) fn seen(&self) -> Seen {
        self.0.seen.get().copied().flatten()
    }

    pub(super) fn history(&self) -> &History {
        &self.0.history
    }

    pub(super) fn recorder(&self, recording: Option<Recording>) -> Option<Recorder> {
        Some(Recorder::new(recording?, self.0.samples.clone()?))
    }

    /// Held by whoever makes a set.
    pub(super) fn applying(&self) -> &Arc<tokio::sync::Mutex<()>> {
        &self.0.applying
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Told when a canary fails too often.
    pub(super) fn alarm(&self) -> &Notify {
        &self.0.alarm
    }

    /// What makes this node look for a newer set at once.
    pub fn hurry(&self) -> Arc<Notify> {
        self.0.hurry.clone()
    }

    pub(super) fn node(&self) -> &Node {
        &self.0.node
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.0.changed.subscribe()
    }

    pub(super) fn stuck(&self) -> Option<Arc<Stuck>> {
        self.0.stuck.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn remember_stuck(&self, stuck: Stuck) {
        *self.0.stuck.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(stuck));
        self.0.changed.send_modify(|changes| *changes += 1);
    }

    /// The configured document.
    pub fn document(&self) -> Option<&Path> {
        self.0.document.as_deref()
    }

    /// Where relative paths begin: the folder of the configured document.
    pub fn base_dir(&self) -> Option<PathBuf> {
        let path = self.0.document.as_deref()?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        std::path::absolute(folder.unwrap_or(Path::new("."))).ok()
    }

    pub(super) fn workshop(&self) -> Workshop {
        let mut known: HashMap<String, Arc<Component>> = HashMap::new();
        for plugin in self.made().iter().flat_map(|generation| &generation.plugins) {
            known.insert(plugin.sha256.clone(), plugin.component().clone());
        }
        Workshop {
            engine: self.0.engine.clone(),
            cache: self.0.cache.clone(),
            rules: self.0.rules.clone(),
            pool: self.0.pool.clone(),
            warm: self.0.warm.clone(),
            known,
            history: self.0.history.clone(),
            totals: self.0.totals.clone(),
            outside: self.0.outside.clone(),
            alarm: self.0.alarm.clone(),
            base: self.base_dir(),
        }
    }

    fn made(&self) -> MutexGuard<'_, Vec<Arc<Generation>>> {
        self.0.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn swap(&self, generation: Generation) -> Arc<Generation> {
        let generation = Arc::new(generation);
        let mut made = self.made();
        made.push(generation.clone());
        if made.len() as u64 > KEPT {
            made.remove(0);
        }
        self.0.current.store(generation.clone());
        self.0.node.runs_since(self.0.clock.now());
        *self.0.refused.lock().unwrap_or_else(PoisonError::into_inner) = None;
        *self.0.stuck.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.0.changed.send_modify(|changes| *changes += 1);
        let names: Vec<&str> = generation.plugins.iter().map(|plugin| plugin.name.as_str()).collect();
        tracing::info!(generation = generation.number, plugins = names.join(", "), "plugins were applied");
        generation
    }
}

impl Kept {
    fn of(generation: &Generation) -> Self {
        Self {
            number: generation.number,
            digest: generation.digest.clone(),
            document: generation.document.clone(),
            origin: generation.origin,
            applied_at: generation.applied_at,
            reason: generation.reason.clone(),
            gave_up: generation.gave_up.clone(),
            members: generation.members(),
        }
    }

    /// Whether this set is made of the same.
    fn is(&self, generation: &Generation) -> bool {
        self.digest == generation.digest && self.members == generation.members()
    }
}
