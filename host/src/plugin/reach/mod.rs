//! What a guest reaches beyond its input: values of its plugin's own, and the web. Every
//! refusal is a value to the guest and a number to the operator, never a trap.

pub mod address;
pub mod allow;
mod draft;
mod egress;
pub mod secret;
mod values;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use self::draft::Draft;
use super::counters::Counters;
use super::grants::Grants;
use super::limits::Limits;
use super::provision::Provision;
use crate::model::time::Clock;
use crate::store::Db;

pub use egress::{Request, Response};
pub use secret::Secrets;
pub use values::Kept;

/// The world outside of the sandboxes of one gateway, or of one tool.
#[derive(Clone)]
pub struct Outside {
    pub values: Values,
    pub web: Web,
    pub clock: Clock,
    /// Where secrets lie that are kept in files.
    pub secrets_dir: Option<PathBuf>,
    /// What the gateway's own settings give.
    pub provision: Option<Provision>,
}

/// Values by plugin and key.
pub type Memory = BTreeMap<(String, String), values::Kept>;

/// Where values are kept.
#[derive(Clone)]
pub enum Values {
    Database(Db),
    /// For tools: gone with the process.
    Memory(Arc<Mutex<Memory>>),
}

/// Answers that a test wrote.
pub type Answers = dyn Fn(&Request) -> Result<Response, Refusal> + Send + Sync;

/// Who answers requests.
#[derive(Clone)]
pub enum Web {
    Network,
    /// For the tests of plugins: the allow-list holds, and nobody is asked. Headers come as they
    /// would leave, secrets in their places.
    Script(Arc<Answers>),
}

/// Why something was not done, for the guest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    pub code: &'static str,
    pub message: String,
}

impl Refusal {
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// What one plugin reaches.
pub struct Reach {
    plugin: String,
    grants: Grants,
    secrets: Secrets,
    limits: Limits,
    outside: Outside,
    /// Made at the first request: it reads the machine's certificates.
    client: OnceLock<Option<reqwest::Client>>,
    counters: [Arc<Counters>; 2],
    /// It may look and change nothing: a live plugin does the same work beside it.
    is_shadow: bool,
}

/// What a call has used of it.
#[derive(Debug)]
pub struct Used {
    http_calls: usize,
    kv_calls: usize,
    /// What a shadow wrote.
    draft: Draft,
    /// References that were given out, with the secrets that they stand for.
    references: Vec<(String, String)>,
    /// Time in host calls.
    pub waited: Duration,
    /// When the call ends, whatever the guest waits for.
    pub ends: Instant,
}

impl Used {
    pub fn until(ends: Instant) -> Self {
        Self {
            http_calls: 0,
            kv_calls: 0,
            draft: Draft::default(),
            references: Vec::new(),
            waited: Duration::ZERO,
            ends,
        }
    }
}

impl Reach {
    pub fn new(
        plugin: &str,
        grants: &Grants,
        secrets: Secrets,
        limits: &Limits,
        outside: &Outside,
        counters: [Arc<Counters>; 2],
        is_shadow: bool,
    ) -> Arc<Self> {
        Arc::new(Self {
            plugin: plugin.to_owned(),
            grants: grants.clone(),
            secrets,
            limits: *limits,
            outside: outside.clone(),
            client: OnceLock::new(),
            counters,
            is_shadow,
        })
    }

    pub fn now_ms(&self) -> u64 {
        self.outside.clock.now().timestamp_millis().try_into().unwrap_or_default()
    }

    /// Counts what was refused.
    fn counted<T>(&self, result: Result<T, Refusal>) -> Result<T, Refusal> {
        if let Err(refusal) = &result {
            for counters in &self.counters {
                counters.denied(refusal.code);
            }
        }
        result
    }
}

impl Outside {
    /// For a tool that runs plugins for a moment: values in memory, the real web.
    pub fn of_a_tool() -> Self {
        Self {
            values: Values::Memory(Arc::default()),
            web: Web::Network,
            clock: Clock::system(),
            secrets_dir: None,
            provision: None,
        }
    }
}
