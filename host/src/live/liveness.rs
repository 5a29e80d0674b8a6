//! Which runtimes are alive. A beat costs no write: it is remembered here, and when a
//! runtime was last seen goes to the database for many runtimes at once.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use futures_util::future::try_join_all;
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::redis::Redis;
use super::rows::Rows;
use crate::model::ids::{RuntimeId, WorkspaceId};
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
/// How long the row of a runtime that came from another node may wait: whatever that node was
/// to write may have died with it, and such a row has grown old already.
const SOON: Duration = Duration::from_secs(1);

#[derive(Clone)]
pub struct Liveness(Arc<Inner>);

struct Inner {
    db: Db,
    rows: Rows,
    clock: Clock,
    /// Where other nodes find who was heard here, if there is one.
    redis: Option<Redis>,
    seen: Mutex<Seen>,
    hurry: Notify,
}

#[derive(Default)]
struct Seen {
    /// The last beat of each runtime that this node heard.
    beats: HashMap<RuntimeId, Time>,
    /// Rows of runtimes that beat or are about to, while they are online and nobody else writes.
    rows: HashMap<RuntimeId, Known>,
    /// Whose row is due at the next flush.
    due: HashSet<RuntimeId>,
    /// Grows with everything that is forgotten, so that a row which was read before that
    /// is not remembered after it.
    forgotten: u64,
}

/// A runtime's row, as far as a beat looks at it.
#[derive(Clone, Debug)]
pub struct Known {
    pub id: RuntimeId,
    pub workspace_id: WorkspaceId,
    pub daemon_id: Option<Arc<str>>,
    online: bool,
    last_seen_at: Option<Time>,
    as_of: AsOf,
    read_at: Time,
}

/// When a row was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct AsOf {
    forgotten: u64,
    /// What the database said of other writers; nothing where they cannot be noticed, and
    /// then a row is never remembered.
    outside: Option<u64>,
}

impl Liveness {
    pub fn new(db: Db, clock: Clock, redis: Option<Redis>) -> Self {
        Self(Arc::new(Inner {
            rows: Rows::new(db.clone()),
            db,
            clock,
            redis,
            seen: Mutex::default(),
            hurry: Notify::new(),
        }))
    }

    pub(super) fn redis(&self) -> Option<&Redis> {
        self.0.redis.as_ref()
    }

    /// The runtime's row; from memory if it beat lately and this process alone writes, so
    /// that a beat costs no query. Where others write and do not say so, the row is read: somebody
    /// may have taken the runtime offline or away, and this beat must not answer as if they had
    /// not.
    pub async fn find(&self, id: RuntimeId) -> Result<Option<Known>, StoreError> {
        let outside = self.0.db.outside_changes();
        let as_of = {
            let seen = self.seen();
            if let Some(known) = seen.rows.get(&id).filter(|known| known.as_of.outside == outside) {
                return Ok(Some(known.clone()));
            }
            AsOf { forgotten: seen.forgotten, outside }
        };
        let row = Box::pin(self.0.rows.find(id)).await?;
        Ok(row.map(|row| Known {
            id,
            workspace_id: row.workspace_id,
            daemon_id: row.daemon_id.map(Arc::from),
            online: row.status == "online",
            last_seen_at: row.last_seen_at,
            as_of,
            read_at: self.0.clock.now(),
        }))
    }

    /// The rows of those of these runtimes that there are, as [`Liveness::find`] gives them. What they
    /// will say first is a beat, and for that the rows are remembered already.
    pub async fn meet(&self, ids: &[RuntimeId]) -> Result<Vec<Known>, StoreError> {
        let found = try_join_all(ids.iter().map(|id| self.find(*id))).await?;
        let found: Vec<Known> = found.into_iter().flatten().collect();
        let mut seen = self.seen();
        for runtime in found.iter().filter(|runtime| runtime.online && runtime.last_seen_at.is_some()) {
            seen.remember(runtime);
        }
        drop(seen);
        Ok(found)
    }

    /// A runtime made itself heard; `runtime` is what [`Liveness::find`] gave. One that was
    /// offline or never seen is online in the database when this returns. `false` when the
    /// row is gone.
    pub async fn beat(&self, runtime: &Known) -> Result<bool, StoreError> {
        let (id, now) = (runtime.id, self.0.clock.now());
        if let Some(seen_at) = runtime.last_seen_at.filter(|_| runtime.online) {
            let mut seen = self.seen();
            let before = seen.beats.insert(id, now);
            if now - seen_at >= FRESH {
                seen.due.insert(id);
                if before.is_none() {
                    self.0.hurry.notify_one();
                }
            }
            seen.remember(runtime);
            drop(seen);
            self.tell_redis(id, before.is_none_or(|before| now - before >= ALIVE));
            return Ok(true);
        }
        Box::pin(self.set_online(runtime, now)).await
    }

    async fn set_online(&self, runtime: &Known, now: Time) -> Result<bool, StoreError> {
        let id = runtime.id;
        let found: Result<bool, StoreError> = self
            .0
            .db
            .write_soon(move |c| Box::pin(async move { runtimes::set_online(c, id, now).await }))
            .await;
        let found = found?;
        if found {
            let mut seen = self.seen();
            seen.beats.insert(id, now);
            seen.remember(&Known { online: true, last_seen_at: Some(now), ..runtime.clone() });
            drop(seen);
            self.tell_redis(id, true);
        }
        Ok(found)
    }

    fn tell_redis(&self, id: RuntimeId, after_silence: bool) {
        if let Some(redis) = &self.0.redis {
            redis.alive(id, after_silence);
        }
    }

    /// Those that no node heard lately, as far as can be known: where Redis does not answer, their
    /// rows alone speak for what other nodes heard, and those are never older than [`FRESH`], a beat and a flush.
    pub async fn unheard(&self, mut ids: Vec<RuntimeId>) -> Vec<RuntimeId> {
        ids.retain(|id| !self.is_alive(*id));
        let Some(redis) = &self.0.redis else { return ids };
        match redis.list_alive(&ids).await {
            Ok(alive) => ids.retain(|id| !alive.contains(id)),
            Err(error) => tracing::debug!(%error, "rows alone say which runtimes were heard elsewhere"),
        }
        ids
    }

    /// Whether this node heard the runtime lately.
    fn is_alive(&self, id: RuntimeId) -> bool {
        let now = self.0.clock.now();
        self.seen().beats.get(&id).is_some_and(|at| now - *at < ALIVE)
    }

    /// The runtime said goodbye, was changed, or is gone: its row is read again.
    pub fn forget(&self, id: RuntimeId) {
        {
            let mut seen = self.seen();
            seen.beats.remove(&id);
            seen.due.remove(&id);
            seen.forget_row(id);
        }
        if let Some(redis) = &self.0.redis {
            redis.gone(id);
        }
        self.0.db.runtime_changed(id);
    }

    /// Another node changed the runtime's row: it is read again.
    pub(super) fn forget_row(&self, id: RuntimeId) {
        self.seen().forget_row(id);
    }

    /// Writes what is due, in one statement. What cannot be written is not kept: the next
    /// beat makes it due again.
    pub async fn flush(&self) {
        let now = self.0.clock.now();
        let due = {
            let mut seen = self.seen();
            let Seen { beats, rows, due, .. } = &mut *seen;
            beats.retain(|_, at| now - *at < ALIVE);
            rows.retain(|id, row| beats.contains_key(id) || now - row.read_at < ALIVE);
            std::mem::take(due)
        };
        if due.is_empty() {
            return;
        }
        let ids = Ids::of(due.iter().map(|id| id.0));
        let written: Result<Vec<RuntimeId>, StoreError> =
            self.0.db.write_soon(move |c| Box::pin(async move { runtimes::touch(c, ids, now).await })).await;
        match written {
            Ok(written) => {
                tracing::debug!(count = written.len(), "noted when runtimes were last seen");
                let mut seen = self.seen();
                for id in &written {
                    if let Some(row) = seen.rows.get_mut(id) {
                        row.last_seen_at = Some(now);
                    }
                }
                // The rest is not online any more, which their next beat puts right.
                let written: HashSet<RuntimeId> = written.into_iter().collect();
                due.difference(&written).for_each(|id| seen.forget_row(*id));
            }
            Err(error) => {
                tracing::warn!(%error, count = due.len(), "when runtimes were last seen was not noted");
            }
        }
    }

    /// Flushes at every tick until the gateway stops. The last flush is the caller's, once
    /// no request is under way.
    pub async fn keep(self, stopping: CancellationToken) {
        let mut every = interval(FLUSH_EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut due = async || {
            tokio::select! {
                _ = every.tick() => {}
                () = self.0.hurry.notified() => sleep(SOON).await,
            }
        };
        while stopping.run_until_cancelled(due()).await.is_some() {
            self.flush().await;
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Nothing that holds the lock can leave the maps half changed.
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn remember(&mut self, row: &Known) {
        if row.as_of.forgotten == self.forgotten && row.as_of.outside.is_some() {
            self.rows.insert(row.id, row.clone());
        }
    }

    fn forget_row(&mut self, id: RuntimeId) {
        self.rows.remove(&id);
        self.forgotten += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Options;

    fn runtime(online: bool, last_seen_at: Option<Time>, outside: Option<u64>) -> Known {
        let as_of = AsOf { forgotten: 0, outside };
        let (id, workspace_id) = (RuntimeId::new(), WorkspaceId::new());
        let read_at = Clock::system().now();
        Known { id, workspace_id, daemon_id: None, online, last_seen_at, as_of, read_at }
    }

    #[tokio::test]
    async fn only_a_row_that_grows_old_is_due_and_only_a_known_one_is_alive() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        let db = Db::open(&Options::new(format!("sqlite:{}", dir.path().join("a.db").display()))).await?;
        let liveness = Liveness::new(db.clone(), Clock::system(), None);
        let now = Clock::system().now();
        let outside = db.outside_changes();
        let fresh = runtime(true, Some(now), outside);
        let old = runtime(true, Some(now - FRESH), outside);
        let gone = runtime(false, Some(now), outside);
        assert!(liveness.beat(&fresh).await? && liveness.beat(&old).await?);
        // Its row is written at once, and there is none.
        assert!(!liveness.beat(&gone).await?);
        assert!(liveness.is_alive(fresh.id) && liveness.is_alive(old.id) && !liveness.is_alive(gone.id));
        assert_eq!(liveness.seen().due, HashSet::from([old.id]));
        liveness.flush().await;
        // The flush found no such row, so that the next beat looks for itself.
        assert!(liveness.seen().due.is_empty() && liveness.is_alive(old.id));
        assert!(!liveness.seen().rows.contains_key(&old.id));
        liveness.forget(old.id);
        assert!(!liveness.is_alive(old.id));
        db.close().await;
        Ok(())
    }
}
