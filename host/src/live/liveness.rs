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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::WorkspaceId;
    use crate::store::Options;

    fn runtime(status: &str, last_seen_at: Option<Time>) -> Runtime {
        let now = Clock::system().now();
        Runtime {
            id: RuntimeId::new(),
            workspace_id: WorkspaceId::new(),
            daemon_id: None,
            name: String::new(),
            runtime_mode: "local".to_owned(),
            provider: String::new(),
            status: status.to_owned(),
            device_info: String::new(),
            metadata: serde_json::Value::Null,
            last_seen_at,
            owner_id: None,
            visibility: "private".to_owned(),
            profile_id: None,
            created_at: now,
            updated_at: now,
        }
    }

    #[tokio::test]
    async fn only_a_row_that_grows_old_is_due_and_only_a_known_one_is_alive() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        let db = Db::open(&Options::new(format!("sqlite:{}", dir.path().join("a.db").display()))).await?;
        let liveness = Liveness::new(db.clone(), Clock::system());
        let now = Clock::system().now();
        let fresh = runtime("online", Some(now));
        let old = runtime("online", Some(now - FRESH));
        let gone = runtime("offline", Some(now));
        assert!(liveness.beat(&fresh).await? && liveness.beat(&old).await?);
        // Its row is written at once, and there is none.
        assert!(!liveness.beat(&gone).await?);
        assert!(liveness.is_alive(fresh.id) && liveness.is_alive(old.id) && !liveness.is_alive(gone.id));
        assert_eq!(liveness.seen().due, HashSet::from([old.id]));
        liveness.flush().await;
        assert!(liveness.seen().due.is_empty() && liveness.is_alive(old.id));
        liveness.forget(old.id);
        assert!(!liveness.is_alive(old.id));
        db.close().await;
        Ok(())
    }
}
