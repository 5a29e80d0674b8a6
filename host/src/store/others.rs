//! What the nodes of one database owe each other: which queues and runtimes moved here, and
//! whether what moves elsewhere is heard.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::conn::Db;
use crate::model::ids::RuntimeId;

/// How much may wait to be told. There is more only while the database is away.
const MOST: usize = 10_000;

/// Something that other nodes may remember.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Moved {
    /// Something entered the runtime's queue.
    Queue(RuntimeId),
    /// The runtime's row changed.
    Row(RuntimeId),
}

#[derive(Debug, Default)]
pub(super) struct Others {
    /// Whether nobody but nodes writes to the database, as its operator says.
    exclusive: AtomicBool,
    /// Whether every node is heard just now.
    hears: AtomicBool,
    /// Moves whenever something may have been missed.
    missed: AtomicU64,
    moved: Mutex<HashSet<Moved>>,
    more: Notify,
}

impl Others {
    pub(super) fn note(&self, moved: Moved) {
        let mut waiting = self.moved();
        if waiting.len() < MOST && waiting.insert(moved) {
            self.more.notify_one();
        }
    }

    /// A number that stands still while everything that others do is heard. `None` while it is
    /// not, or where others write who do not say so.
    pub(super) fn changes(&self) -> Option<u64> {
        let heard = self.is_exclusive() && self.hears.load(Ordering::Acquire);
        heard.then(|| self.missed.load(Ordering::Acquire))
    }

    pub(super) fn is_exclusive(&self) -> bool {
        self.exclusive.load(Ordering::Acquire)
    }

    fn moved(&self) -> MutexGuard<'_, HashSet<Moved>> {
        // A set is never left half changed.
        self.moved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Db {
    /// Whether nobody but nodes of this gateway writes to the database: then what they tell each
    /// other is enough to know that nothing changed.
    pub fn set_exclusive(&self, exclusive: bool) {
        self.others.exclusive.store(exclusive, Ordering::Release);
    }

    /// Other nodes are heard from now on, or not any more. Either way something may have been
    /// missed.
    pub fn set_hears_others(&self, hears: bool) {
        self.others.hears.store(hears, Ordering::Release);
        self.others.missed.fetch_add(1, Ordering::AcqRel);
    }

    /// Something that another node said may have been lost.
    pub fn may_have_missed_others(&self) {
        self.others.missed.fetch_add(1, Ordering::AcqRel);
    }

    /// A runtime's row was changed here.
    pub fn runtime_changed(&self, runtime: RuntimeId) {
        if self.is_shared() {
            self.others.note(Moved::Row(runtime));
        }
    }

    /// Another node put something into the runtime's queue.
    pub fn queue_moved_elsewhere(&self, runtime: RuntimeId) {
        self.versions.bump(runtime);
    }

    /// Waits until something moved here that others were not told of.
    pub async fn something_moved(&self) {
        self.others.more.notified().await;
    }

    pub fn take_moved(&self) -> Vec<Moved> {
        self.others.moved().drain().collect()
    }
}
