//! Whether another process wrote to the SQLite file: an operator with a shell, say. Every
//! write lengthens the write-ahead log or touches it; what it looked like after our own
//! last commit is remembered, and a look at it costs no SQL.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

#[derive(Clone)]
pub(super) struct Elsewhere {
    log: Arc<Path>,
    ours: Arc<Mutex<Option<Look>>>,
    changes: Arc<AtomicU64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Look {
    bytes: u64,
    modified: SystemTime,
}

impl Elsewhere {
    pub(super) fn new(database: &Path) -> Self {
        let mut log = database.as_os_str().to_owned();
        log.push("-wal");
        Self { log: PathBuf::from(log).into(), ours: Arc::default(), changes: Arc::default() }
    }

    /// We committed something.
    pub(super) fn committed(&self) {
        let look = self.look();
        *self.ours.lock().unwrap_or_else(PoisonError::into_inner) = look;
    }

    /// A number that moves when somebody else may have written. A log that cannot be looked
    /// at counts as written to.
    pub(super) fn changes(&self) -> u64 {
        let look = self.look();
        let mut ours = self.ours.lock().unwrap_or_else(PoisonError::into_inner);
        if look.is_none() || *ours != look {
            self.changes.fetch_add(1, Ordering::Relaxed);
        }
        *ours = look;
        self.changes.load(Ordering::Relaxed)
    }

    fn look(&self) -> Option<Look> {
        let metadata = std::fs::metadata(&self.log).ok()?;
        Some(Look { bytes: metadata.len(), modified: metadata.modified().ok()? })
    }
}
