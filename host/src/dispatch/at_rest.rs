//! Which runtimes are known to have nothing to hand out, so that their daemons' polls cost
//! no SQL.
//!
//! A runtime is at rest when nothing is queued, deferred, or dispatched and not started on
//! it. Nothing but a task that enters its queue can end that: no capacity that is freed, no
//! time that passes. So the proof holds while the queue's number stands where it stood
//! before the look that found nothing. Where no such number can be had, each poll looks.

use std::time::Duration;

use moka::sync::Cache;

use crate::model::ids::RuntimeId;
use crate::store::Db;

/// How long a proof is believed. Nothing is known that outlives it; it bounds what is not.
const LIFETIME: Duration = Duration::from_mins(3);
/// How many runtimes are remembered.
const RUNTIMES: u64 = 100_000;

#[derive(Clone)]
pub struct AtRest {
    db: Db,
    proofs: Cache<RuntimeId, u64>,
}

/// What is known about a runtime before anybody looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Known {
    AtRest,
    /// Look, and hand this back with what was found.
    Nothing(Option<u64>),
}

impl AtRest {
    pub fn new(db: Db) -> Self {
        Self { db, proofs: Cache::builder().max_capacity(RUNTIMES).time_to_live(LIFETIME).build() }
    }

    pub fn ask(&self, runtime: RuntimeId) -> Known {
        let version = self.db.queue_version(runtime);
        if version.is_some() && self.proofs.get(&runtime) == version {
            Known::AtRest
        } else {
            Known::Nothing(version)
        }
    }

    /// A look that began after `version` was read found the runtime at rest.
    pub fn prove(&self, runtime: RuntimeId, version: Option<u64>) {
        if let Some(version) = version {
            self.proofs.insert(runtime, version);
        }
    }
}
