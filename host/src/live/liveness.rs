//! Which runtimes are alive. A beat costs no write: it is remembered here, and when a
//! runtime was last seen goes to the database for many runtimes at once.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use tokio_util::sync::CancellationToken;

use crate::model::ids::RuntimeId;
use crate::model::runtime::Runtime;
use crate::model::time::{Clock, Time};
use crate::store::batch::Ids;
use crate::store::{Db, StoreError, runtimes};

/// How long a beat is believed here. Less than the 150 seconds after which a sweep calls a
/// runtime stale, so that memory may call one dead early and never alive late.
const ALIVE: TimeDelta = TimeDelta::seconds(90);
/// A row younger than this needs no write. With the interval of beats and that of flushes
/// it must stay below the same 150 seconds: 60 + 15 + 30.
const FRESH: TimeDelta = TimeDelta::seconds(60);
/// How often `last_seen_at` goes out.
const FLUSH_EVERY: Duration = Duration::from_secs(30);

#[derive(Clone)]
pub struct Liveness(Arc<Inner>);

struct Inner {
    db: Db,
    clock: Clock,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// The last beat of each runtime that this node heard.
    beats: HashMap<RuntimeId, Time>,
    /// Whose row is due at the next flush.
    due: HashSet<RuntimeId>,
}

impl Liveness {
    pub fn new(db: Db, clock: Clock) -> Self {
        Self(Arc::new(Inner { db, clock, seen: Mutex::default() }))
    }

    /// A runtime made itself heard; `runtime` is its row as just read. One that was offline
    /// or never seen is online in the database when this returns. `false` when the row is
    /// gone.
    pub async fn beat(&self, runtime: &Runtime) -> Result<bool, StoreError> {
        let (id, now) = (runtime.id, self.0.clock.now());
        if let Some(seen_at) = runtime.last_seen_at.filter(|_| runtime.status == "online") {
            let mut seen = self.seen();
            seen.beats.insert(id, now);
            if now - seen_at >= FRESH {
                seen.due.insert(id);
            }
            return Ok(true);
        }
        let found: Result<bool, StoreError> = self
            .0
            .db
            .write_soon(move |c| Box::pin(async move { runtimes::set_online(c, id, now).await }))
            .await;
        let found = found?;
        if found {
            self.seen().beats.insert(id, now);
        }
        Ok(found)
    }

    /// Whether this node heard the runtime lately.
    pub fn is_alive(&self, id: RuntimeId) -> bool {
        let now = self.0.clock.now();
        self.seen().beats.get(&id).is_some_and(|at| now - *at < ALIVE)
    }

    /// The runtime said goodbye or is gone.
    pub fn forget(&self, id: RuntimeId) {
        let mut seen = self.seen();
        seen.beats.remove(&id);
        seen.due.remove(&id);
    }

    /// Writes what is due, in one statement. What cannot be written is not kept: the next
    /// beat makes it due again.
    pub async fn flush(&self) {
        let now = self.0.clock.now();
        let due = {
            let mut seen = self.seen();
            seen.beats.retain(|_, at| now - *at < ALIVE);
            std::mem::take(&mut seen.due)
        };
        if due.is_empty() {
            return;
        }
        let count = due.len();
        let ids = Ids::of(due.into_iter().map(|id| id.0));
        let written: Result<(), StoreError> =
            self.0.db.write_soon(move |c| Box::pin(async move { runtimes::touch(c, ids, now).await })).await;
        match written {
            Ok(()) => tracing::debug!(count, "noted when runtimes were last seen"),
            Err(error) => tracing::warn!(%error, count, "when runtimes were last seen was not noted"),
        }
    }

    /// Flushes at every tick until the gateway stops. The last flush is the caller's, once
    /// no request is under way.
    pub async fn keep(self, stopping: CancellationToken) {
        let mut every = tokio::time::interval(FLUSH_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stopping.run_until_cancelled(every.tick()).await.is_some() {
            self.flush().await;
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Nothing that holds the lock can leave the maps half changed.
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
