//! Which runtimes have requests waiting, so that a beat of one that has none asks no
//! database. An entry means "look", never more: the rows are the truth. They are read again
//! every few seconds, because another node may have added some.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::model::ids::RuntimeId;
use crate::model::pending_request::Kind;
use crate::model::time::Clock;
use crate::store::{Db, StoreError, pending_requests};

/// How late a request of another node may be noticed. A daemon beats every 15 seconds.
const REFRESH_EVERY: Duration = Duration::from_secs(5);
/// After how many refreshes old rows are removed.
const PURGE_EVERY: u32 = 12;

#[derive(Clone)]
pub struct Pending(Arc<Inner>);

struct Inner {
    db: Db,
    clock: Clock,
    index: Mutex<Index>,
}

#[derive(Default)]
struct Index {
    /// Grows with every note; an entry that is younger than a reading of the rows outlives
    /// it, since the reading may have missed it.
    now: u64,
    entries: HashMap<(RuntimeId, Kind), u64>,
}

/// That something was noted, and when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Note(u64);

impl Pending {
    pub fn new(db: Db, clock: Clock) -> Self {
        Self(Arc::new(Inner { db, clock, index: Mutex::default() }))
    }

    /// A request was stored.
    pub fn add(&self, runtime: RuntimeId, kind: Kind) {
        self.index().add(runtime, kind);
    }

    /// Whether requests of the kind may be waiting for the runtime.
    pub fn note(&self, runtime: RuntimeId, kind: Kind) -> Option<Note> {
        self.index().entries.get(&(runtime, kind)).copied().map(Note)
    }

    /// The rows were looked at after `note` was read, and none waits. A request that was
    /// added meanwhile keeps its entry.
    pub fn clear(&self, runtime: RuntimeId, kind: Kind, note: Note) {
        let mut index = self.index();
        if index.entries.get(&(runtime, kind)) == Some(&note.0) {
            index.entries.remove(&(runtime, kind));
        }
    }

    /// Reads the rows, and forgets entries that have none.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        let begun = self.index().now;
        let mut conn = self.0.db.reader().await?;
        let rows = pending_requests::list_pending(&mut conn, self.0.clock.now()).await?;
        drop(conn);
        self.index().replace(&rows, begun);
        Ok(())
    }

    /// Refreshes at every tick until the gateway stops.
    pub async fn keep(self, stopping: CancellationToken) {
        let mut every = interval(REFRESH_EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut until_purge = 0_u32;
        while stopping.run_until_cancelled(every.tick()).await.is_some() {
            if let Err(error) = self.refresh().await {
                tracing::warn!(%error, "the requests that wait for daemons were not read again");
            }
            if until_purge == 0 {
                self.purge().await;
            }
            until_purge = until_purge.checked_sub(1).unwrap_or(PURGE_EVERY);
        }
    }

    async fn purge(&self) {
        let now = self.0.clock.now();
        let purged: Result<(), StoreError> = self
            .0
            .db
            .write_soon(move |c| Box::pin(async move { pending_requests::purge(c, now).await }))
            .await;
        if let Err(error) = purged {
            tracing::warn!(%error, "requests that are long over were not removed");
        }
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        // Nothing that holds the lock can leave the index half changed.
        self.0.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index {
    fn add(&mut self, runtime: RuntimeId, kind: Kind) {
        self.now += 1;
        self.entries.insert((runtime, kind), self.now);
    }

    fn replace(&mut self, rows: &[(RuntimeId, Kind)], begun: u64) {
        let mut entries: HashMap<_, _> = rows.iter().map(|key| (*key, begun)).collect();
        entries.extend(self.entries.iter().filter(|(_, at)| **at > begun));
        self.entries = entries;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_during_a_reading_outlives_it() {
        let (old, new, read) = (RuntimeId::new(), RuntimeId::new(), RuntimeId::new());
        let mut index = Index::default();
        index.add(old, Kind::Update);
        let begun = index.now;
        index.add(new, Kind::Update);
        index.replace(&[(read, Kind::ModelList)], begun);
        let mut kept: Vec<_> = index.entries.keys().copied().collect();
        kept.sort_by_key(|(runtime, _)| *runtime);
        assert_eq!(kept, [(new, Kind::Update), (read, Kind::ModelList)]);
    }

    #[tokio::test]
    async fn only_the_note_that_was_looked_up_is_cleared() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        let options = crate::store::Options::new(format!("sqlite:{}", dir.path().join("a.db").display()));
        let db = Db::open(&options).await?;
        let pending = Pending::new(db.clone(), Clock::system());
        let runtime = RuntimeId::new();
        pending.add(runtime, Kind::Update);
        let first = pending.note(runtime, Kind::Update);
        pending.add(runtime, Kind::Update);
        let Some(first) = first else { anyhow::bail!("nothing was noted") };
        pending.clear(runtime, Kind::Update, first);
        let Some(second) = pending.note(runtime, Kind::Update) else { anyhow::bail!("a note was lost") };
        pending.clear(runtime, Kind::Update, second);
        assert_eq!(pending.note(runtime, Kind::Update), None);
        pending.refresh().await?;
        db.close().await;
        Ok(())
    }
}
