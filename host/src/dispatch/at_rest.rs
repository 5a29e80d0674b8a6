//! Which runtimes are known to have nothing to hand out, so that their daemons' polls cost
//! no SQL.
//!
//! A runtime is at rest when nothing is queued, deferred, or dispatched and not started on
//! it. Nothing but a task that enters its queue can end that: no capacity that is freed, no
//! time that passes. So the proof holds while the queue's number stands where it stood
//! before the look that found nothing.

use std::time::Duration;

use moka::sync::Cache;

use crate::model::ids::RuntimeId;
use crate::store::{Db, QueueVersions};

/// How long a proof is believed when this process alone writes to the database.
const ALONE: Duration = Duration::from_mins(3);
/// The same when other nodes may queue tasks without this one hearing of it: the most that
/// a task can then be late for a daemon that polls here.
const SHARED: Duration = Duration::from_secs(2);
/// How many runtimes are remembered.
const RUNTIMES: u64 = 100_000;

#[derive(Clone)]
pub struct AtRest {
    versions: QueueVersions,
    proofs: Cache<RuntimeId, u64>,
}

/// What is known about a runtime before anybody looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Known {
    AtRest,
    /// Look, and hand this number back with what was found.
    Nothing(u64),
}

impl AtRest {
    pub fn new(db: &Db) -> Self {
        let lifetime = if db.is_shared() { SHARED } else { ALONE };
        Self {
            versions: db.queue_versions().clone(),
            proofs: Cache::builder().max_capacity(RUNTIMES).time_to_live(lifetime).build(),
        }
    }

    pub fn ask(&self, runtime: RuntimeId) -> Known {
        let version = self.versions.current(runtime);
        if self.proofs.get(&runtime) == Some(version) { Known::AtRest } else { Known::Nothing(version) }
    }

    /// A look that began after `version` was read found the runtime at rest.
    pub fn prove(&self, runtime: RuntimeId, version: u64) {
        self.proofs.insert(runtime, version);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Options;

    #[tokio::test]
    async fn a_proof_ends_with_what_enters_even_during_the_look() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        let db = Db::open(&Options::new(format!("sqlite:{}", dir.path().join("a.db").display()))).await?;
        let at_rest = AtRest::new(&db);
        let runtime = RuntimeId::new();
        let Known::Nothing(version) = at_rest.ask(runtime) else { panic!("nothing was proven yet") };
        at_rest.prove(runtime, version);
        assert_eq!(at_rest.ask(runtime), Known::AtRest);
        db.queue_versions().bump(runtime);
        let Known::Nothing(before) = at_rest.ask(runtime) else { panic!("something entered") };
        db.queue_versions().bump(runtime);
        at_rest.prove(runtime, before);
        assert_ne!(at_rest.ask(runtime), Known::AtRest);
        db.close().await;
        Ok(())
    }
}
