//! The plugins that run now, and the one way to change them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use thiserror::Error;
use tokio::sync::Semaphore;
use wasmtime::Engine;

use super::apply::{self, Workshop};
use super::component::{Cache, Component};
use super::document::{DEFAULT, Document, DocumentFormat, Fault};
use super::engine;
use super::generation::Generation;
use crate::model::time::Clock;

/// How many sets are kept to go back to.
const KEPT: usize = 32;

#[derive(Clone, Debug)]
pub struct Settings {
    /// Where compiled code is kept.
    pub cache_dir: PathBuf,
    /// The document; absent means the built-in plugins.
    pub document: Option<PathBuf>,
}

/// A handle; cheap to clone.
#[derive(Clone)]
pub struct Plugins(Arc<Inner>);

struct Inner {
    engine: Engine,
    cache: Cache,
    pool: Arc<Semaphore>,
    clock: Clock,
    document: Option<PathBuf>,
    current: ArcSwap<Generation>,
    /// Oldest first, the running one included.
    kept: Mutex<Vec<Arc<Generation>>>,
    /// Held while a set is being made; there is one maker at a time.
    applying: tokio::sync::Mutex<()>,
}

#[derive(Debug, Error)]
pub enum StartError {
    #[error("the plugin document {path} has faults:{}", list(faults))]
    Faults { path: String, faults: Vec<Fault> },
    #[error("the plugin document {path} cannot be read: {error}")]
    Unreadable { path: String, error: std::io::Error },
    #[error("the engine for plugins could not be started: {0}")]
    Engine(anyhow::Error),
}

#[derive(Debug, Error)]
pub enum ApplyError {
    #[error("another apply is running")]
    Busy,
    #[error("the document has faults:{}", list(.0))]
    Faults(Vec<Fault>),
}

#[derive(Debug, Error)]
pub enum RollbackError {
    #[error("generation {0} is not kept")]
    Unknown(u64),
    #[error("another apply is running; try again when it has ended")]
    Busy,
}

fn list(faults: &[Fault]) -> String {
    let line = |fault: &Fault| {
        let place = if fault.pointer.is_empty() { "(document)" } else { &fault.pointer };
        format!("\n  {place}: {}", fault.message)
    };
    faults.iter().map(line).collect()
}

impl Plugins {
    /// Starts the engine and applies the first document.
    pub async fn start(settings: Settings, clock: Clock) -> Result<Self, StartError> {
        let engine = engine::start().map_err(StartError::Engine)?;
        let empty =
            Generation { number: 0, digest: String::new(), applied_at: clock.now(), plugins: Vec::new() };
        let plugins = Self(Arc::new(Inner {
            cache: Cache::new(&settings.cache_dir, &engine),
            engine,
            pool: Arc::new(Semaphore::new(engine::CALLS as usize)),
            clock,
            document: settings.document.clone(),
            current: ArcSwap::from_pointee(empty),
            kept: Mutex::default(),
            applying: tokio::sync::Mutex::default(),
        }));
        let (path, text) = match &settings.document {
            None => ("(built in)".to_owned(), DEFAULT.to_owned()),
            Some(path) => {
                let shown = path.display().to_string();
                match tokio::fs::read_to_string(path).await {
                    Ok(text) => (shown, text),
                    Err(error) => return Err(StartError::Unreadable { path: shown, error }),
                }
            }
        };
        let base = plugins.base_dir();
        match plugins.apply(&text, DocumentFormat::Toml, base.as_deref(), false).await {
            Ok(_) => Ok(plugins),
            Err(ApplyError::Faults(faults)) => Err(StartError::Faults { path, faults }),
            Err(ApplyError::Busy) => Err(StartError::Faults { path, faults: Vec::new() }),
        }
    }

    /// The set that runs now. Who holds one keeps it, whatever is applied meanwhile.
    pub fn snapshot(&self) -> Arc<Generation> {
        self.0.current.load_full()
    }

    /// Makes and proves every plugin of the document, then swaps the set. On any fault
    /// nothing changes. A dry run stops before the swap.
    pub async fn apply(
        &self,
        text: &str,
        format: DocumentFormat,
        base: Option<&Path>,
        dry_run: bool,
    ) -> Result<Arc<Generation>, ApplyError> {
        let _maker = self.0.applying.try_lock().map_err(|_| ApplyError::Busy)?;
        let workshop = self.workshop();
        let document = match Document::parse(text, format) {
            Ok(document) => document,
            Err((mut faults, readable)) => {
                // Faults of the components are reported along, so that one round is enough.
                faults.extend(apply::make(&workshop, readable, base).await.err().unwrap_or_default());
                return Err(ApplyError::Faults(faults));
            }
        };
        let plugins = apply::make(&workshop, document.plugins, base).await.map_err(ApplyError::Faults)?;
        let generation = Arc::new(Generation {
            number: self.next_number(),
            digest: document.digest,
            applied_at: self.0.clock.now(),
            plugins,
        });
        if !dry_run {
            self.swap(&generation);
        }
        Ok(generation)
    }

    /// Runs an earlier set again, as a new generation.
    pub fn rollback(&self, number: u64) -> Result<Arc<Generation>, RollbackError> {
        let _maker = self.0.applying.try_lock().map_err(|_| RollbackError::Busy)?;
        let found = self.kept().into_iter().find(|generation| generation.number == number);
        let found = found.ok_or(RollbackError::Unknown(number))?;
        let generation = Arc::new(Generation {
            number: self.next_number(),
            digest: found.digest.clone(),
            applied_at: self.0.clock.now(),
            plugins: found.plugins.clone(),
        });
        self.swap(&generation);
        Ok(generation)
    }

    /// What can be gone back to, newest first.
    pub fn generations(&self) -> Vec<Arc<Generation>> {
        let mut kept = self.kept();
        kept.reverse();
        kept
    }

    /// The configured document.
    pub fn document(&self) -> Option<&Path> {
        self.0.document.as_deref()
    }

    /// Where relative paths of the configured document begin.
    pub fn base_dir(&self) -> Option<PathBuf> {
        let path = self.0.document.as_deref()?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        std::path::absolute(folder.unwrap_or(Path::new("."))).ok()
    }

    fn workshop(&self) -> Workshop {
        let mut known: HashMap<String, Arc<Component>> = HashMap::new();
        for plugin in self.kept().iter().flat_map(|generation| &generation.plugins) {
            known.insert(plugin.sha256.clone(), plugin.component().clone());
        }
        Workshop {
            engine: self.0.engine.clone(),
            cache: self.0.cache.clone(),
            pool: self.0.pool.clone(),
            known,
        }
    }

    fn kept(&self) -> Vec<Arc<Generation>> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn next_number(&self) -> u64 {
        self.0.current.load().number + 1
    }

    fn swap(&self, generation: &Arc<Generation>) {
        let mut kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push(generation.clone());
        if kept.len() > KEPT {
            kept.remove(0);
        }
        self.0.current.store(generation.clone());
        let names: Vec<&str> = generation.plugins.iter().map(|plugin| plugin.name.as_str()).collect();
        tracing::info!(generation = generation.number, plugins = names.join(", "), "plugins were applied");
    }
}
