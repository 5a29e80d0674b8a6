//! Whether another process wrote to the SQLite file: an operator with a shell, say. Every
//! write lengthens the write-ahead log or touches it; what it looked like after our own
//! last commit is remembered, and a look at it costs no SQL.
//!
//! While our writer is in a transaction nobody else can be, so that whatever moves then is ours.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

#[derive(Clone)]
pub(super) struct Elsewhere {
    log: Arc<Path>,
    known: Arc<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    /// Kept open, because to look at an open file takes a fraction of finding it by its name.
    /// SQLite locks other files than this one, so that no lock ends when it is closed.
    file: Option<File>,
    ours: Option<Look>,
    /// Whether our writer is in a transaction.
    writing: bool,
    changes: u64,
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
        Self { log: PathBuf::from(log).into(), known: Arc::default() }
    }

    /// Our writer began a transaction: what moved before was not by us. It is over, however it
    /// ended, when what this gives is dropped.
    #[must_use]
    pub(super) fn begin(&self) -> Ours<'_> {
        let mut known = self.known();
        known.notice(&self.log);
        known.writing = true;
        Ours(self)
    }

    /// A number that moves when somebody else may have written. A log that cannot be looked
    /// at counts as written to.
    pub(super) fn changes(&self) -> u64 {
        let mut known = self.known();
        if !known.writing {
            known.notice(&self.log);
        }
        known.changes
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Whatever it holds is only ever too careful.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A transaction of our writer.
pub(super) struct Ours<'a>(&'a Elsewhere);

impl Drop for Ours<'_> {
    fn drop(&mut self) {
        let mut known = self.0.known();
        known.ours = known.look(&self.0.log);
        known.writing = false;
    }
}

impl Known {
    fn notice(&mut self, log: &Path) {
        let look = self.look(log);
        if look.is_none() || self.ours != look {
            self.changes += 1;
        }
        self.ours = look;
    }

    fn look(&mut self, log: &Path) -> Option<Look> {
        let open = self.file.take().map_or_else(|| File::open(log), Ok).ok()?;
        let mut about = open.metadata().ok()?;
        let file = if about.nlink() > 0 {
            open
        } else {
            // Somebody took it away, and another one is written.
            let another = File::open(log).ok()?;
            about = another.metadata().ok()?;
            another
        };
        self.file = Some(file);
        Some(Look { bytes: about.len(), modified: about.modified().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_outside_of_our_transactions_is_somebody_elses() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let database = folder.path().join("a.db");
        let log = folder.path().join("a.db-wal");
        let elsewhere = Elsewhere::new(&database);
        let mut before = elsewhere.changes();
        let mut moved = || {
            let (now, then) = (elsewhere.changes(), before);
            before = now;
            now > then
        };
        // There is no log to look at.
        assert!(moved() && moved());
        std::fs::write(&log, "1")?;
        assert!(moved() && !moved());
        let ours = elsewhere.begin();
        std::fs::write(&log, "22")?;
        assert!(!moved());
        drop(ours);
        assert!(!moved());
        std::fs::write(&log, "333")?;
        assert!(moved() && !moved());
        // Between two looks of others, ours alone finds it.
        std::fs::write(&log, "4444")?;
        drop(elsewhere.begin());
        assert!(moved() && !moved());
        std::fs::remove_file(&log)?;
        std::fs::write(&log, "4444")?;
        assert!(moved() && !moved());
        std::fs::remove_file(&log)?;
        assert!(moved() && moved());
        Ok(())
    }
}
