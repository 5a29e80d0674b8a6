//! Open sockets and what each wants to hear. A frame goes to every line that holds its key;
//! a line that does not take its frames fast enough is dropped, so that nobody waits for it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use uuid::Uuid;

/// What travels on a line: one JSON object, shared by all lines that get it.
pub type Frame = Arc<str>;

/// How many events a line remembers, so that one which comes by two ways is sent once.
const REMEMBERED: usize = 128;
/// How long lines may take to say goodbye when the gateway stops.
const DRAIN: Duration = Duration::from_secs(5);

/// Bounds on what one kind of line may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Frames that wait for a slow reader.
    pub queue: usize,
    /// Lines in all.
    pub lines: usize,
    /// Lines of one owner.
    pub per_owner: usize,
}

/// Why no line was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Refused {
    #[error("the gateway is stopping")]
    Draining,
    #[error("too many connections are open")]
    Full,
}

/// How a line ends, as the close code of a WebSocket says it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// The other side left, or fell silent.
    Normal,
    /// The gateway stops; another one takes over.
    GoingAway,
    /// A message was longer than it may be.
    TooBig,
    /// Frames piled up.
    TooSlow,
}

/// How many lines a frame reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Delivery {
    pub sent: usize,
    /// Lines that had the event already.
    pub repeats: usize,
}

/// The lines of one kind, found by key; cheap to clone.
pub struct Lines<K>(Arc<Inner<K>>);

struct Inner<K> {
    limits: Limits,
    table: Mutex<Table<K>>,
    draining: CancellationToken,
    open: TaskTracker,
    opened: AtomicU64,
    closed: AtomicU64,
    evicted: AtomicU64,
}

struct Table<K> {
    next: u64,
    lines: HashMap<u64, Entry<K>>,
    by_key: HashMap<K, HashSet<u64>>,
    by_owner: HashMap<Arc<str>, usize>,
}

struct Entry<K> {
    owner: Arc<str>,
    keys: Vec<K>,
    outbox: mpsc::Sender<Frame>,
    end: End,
    sent: VecDeque<Uuid>,
}

/// The end of a line, which either side may bring about; the first to do so says why.
#[derive(Clone, Debug, Default)]
pub struct End(Arc<(CancellationToken, OnceLock<Ending>)>);

impl End {
    pub fn bring(&self, ending: Ending) {
        let _ = self.0.1.set(ending);
        self.0.0.cancel();
    }

    pub async fn come(&self) -> Ending {
        self.0.0.cancelled().await;
        self.0.1.get().copied().unwrap_or(Ending::Normal)
    }
}

/// One open line. Dropping it takes it out of the table.
pub struct Line<K: Key> {
    lines: Lines<K>,
    id: u64,
    outbox: mpsc::Sender<Frame>,
    pub end: End,
    _open: TaskTrackerToken,
}

/// What lines are found by.
pub trait Key: Copy + Eq + Hash + Send + 'static {}

impl<T: Copy + Eq + Hash + Send + 'static> Key for T {}

/// Counts since the process began, for operators.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub struct Counts {
    pub active: usize,
    pub connects_total: u64,
    pub disconnects_total: u64,
    pub slow_evictions_total: u64,
}

impl<K> Clone for Lines<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: Key> Lines<K> {
    pub fn new(limits: Limits) -> Self {
        Self(Arc::new(Inner {
            limits,
            table: Mutex::new(Table {
                next: 0,
                lines: HashMap::new(),
                by_key: HashMap::new(),
                by_owner: HashMap::new(),
            }),
            draining: CancellationToken::new(),
            open: TaskTracker::new(),
            opened: AtomicU64::new(0),
            closed: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
        }))
    }

    /// Opens a line that hears what is sent to any of `keys`. `owner` is whoever answers
    /// for it: a bound holds on the lines of each.
    pub fn join(&self, owner: &str, keys: Vec<K>) -> Result<(Line<K>, mpsc::Receiver<Frame>), Refused> {
        let mut table = self.table();
        // Looked at under the lock: a drain that begins later finds the line in the table.
        if self.0.draining.is_cancelled() {
            return Err(Refused::Draining);
        }
        let owner: Arc<str> = owner.into();
        let owned = table.by_owner.get(&owner).copied().unwrap_or(0);
        if table.lines.len() >= self.0.limits.lines || owned >= self.0.limits.per_owner {
            return Err(Refused::Full);
        }
        let (outbox, frames) = mpsc::channel(self.0.limits.queue);
        let end = End::default();
        let id = table.next;
        table.next += 1;
        *table.by_owner.entry(owner.clone()).or_default() += 1;
        for key in &keys {
            table.by_key.entry(*key).or_default().insert(id);
        }
        let entry = Entry { owner, keys, outbox: outbox.clone(), end: end.clone(), sent: VecDeque::new() };
        table.lines.insert(id, entry);
        drop(table);
        self.0.opened.fetch_add(1, Ordering::Relaxed);
        let line = Line { lines: self.clone(), id, outbox, end, _open: self.0.open.token() };
        Ok((line, frames))
    }

    /// Hands the frame to every line that holds the key, and drops those whose queue is
    /// full. A line that had the event before does not get it again.
    pub fn send(&self, key: K, event: Uuid, frame: &Frame) -> Delivery {
        let mut delivery = Delivery::default();
        let mut slow = Vec::new();
        let mut table = self.table();
        let ids: Vec<u64> = table.by_key.get(&key).into_iter().flatten().copied().collect();
        for id in ids {
            let Some(entry) = table.lines.get_mut(&id) else { continue };
            if entry.sent.contains(&event) {
                delivery.repeats += 1;
                continue;
            }
            match entry.outbox.try_send(frame.clone()) {
                Ok(()) => {
                    delivery.sent += 1;
                    if entry.sent.len() == REMEMBERED {
                        entry.sent.pop_front();
                    }
                    entry.sent.push_back(event);
                }
                Err(mpsc::error::TrySendError::Full(_)) => slow.push(id),
                // It is closing and leaves the table by itself.
                Err(mpsc::error::TrySendError::Closed(_)) => {}
            }
        }
        for id in slow {
            if let Some(entry) = table.remove(id) {
                self.0.evicted.fetch_add(1, Ordering::Relaxed);
                entry.end.bring(Ending::TooSlow);
            }
        }
        delivery
    }

    /// Whether anybody listens at all.
    pub fn is_empty(&self) -> bool {
        self.table().lines.is_empty()
    }

    /// Ends every line and lets each say goodbye. No new one opens from now on.
    pub async fn drain(&self) {
        {
            let table = self.table();
            self.0.draining.cancel();
            for entry in table.lines.values() {
                entry.end.bring(Ending::GoingAway);
            }
        }
        self.0.open.close();
        if tokio::time::timeout(DRAIN, self.0.open.wait()).await.is_err() {
            tracing::warn!(open = self.0.open.len(), "sockets were still open when the drain ended");
        }
    }

    pub fn counts(&self) -> Counts {
        Counts {
            active: self.table().lines.len(),
            connects_total: self.0.opened.load(Ordering::Relaxed),
            disconnects_total: self.0.closed.load(Ordering::Relaxed),
            slow_evictions_total: self.0.evicted.load(Ordering::Relaxed),
        }
    }

    fn table(&self) -> MutexGuard<'_, Table<K>> {
        // Nothing that holds the lock can leave the table half changed.
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Key> Table<K> {
    fn remove(&mut self, id: u64) -> Option<Entry<K>> {
        let entry = self.lines.remove(&id)?;
        for key in &entry.keys {
            if let Some(ids) = self.by_key.get_mut(key) {
                ids.remove(&id);
                if ids.is_empty() {
                    self.by_key.remove(key);
                }
            }
        }
        if let Some(count) = self.by_owner.get_mut(&entry.owner) {
            *count -= 1;
            if *count == 0 {
                self.by_owner.remove(&entry.owner);
            }
        }
        Some(entry)
    }
}

impl<K: Key> Line<K> {
    /// Puts a frame of its own on the line; one that does not fit is lost.
    pub fn offer(&self, frame: impl Into<Frame>) -> bool {
        self.outbox.try_send(frame.into()).is_ok()
    }
}

impl<K: Key> Drop for Line<K> {
    fn drop(&mut self) {
        self.lines.table().remove(self.id);
        self.lines.0.closed.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { queue: 2, lines: 3, per_owner: 2 };

    fn lines() -> Lines<u8> {
        Lines::new(LIMITS)
    }

    fn frame() -> Frame {
        "{}".into()
    }

    #[tokio::test]
    async fn a_frame_reaches_those_who_hold_its_key_and_an_event_comes_once() -> anyhow::Result<()> {
        let lines = lines();
        let (_one, mut of_one) = lines.join("a", vec![1, 2])?;
        let (_other, mut of_other) = lines.join("a", vec![3])?;
        let event = Uuid::now_v7();
        assert_eq!(lines.send(1, event, &frame()), Delivery { sent: 1, repeats: 0 });
        assert_eq!(lines.send(2, event, &frame()), Delivery { sent: 0, repeats: 1 });
        assert_eq!(lines.send(9, event, &frame()), Delivery::default());
        assert!(of_one.try_recv().is_ok() && of_one.try_recv().is_err() && of_other.try_recv().is_err());
        Ok(())
    }

    #[tokio::test]
    async fn a_slow_line_is_dropped_and_the_others_go_on() -> anyhow::Result<()> {
        let lines = lines();
        let (slow, _unread) = lines.join("a", vec![1])?;
        let (_quick, mut read) = lines.join("b", vec![1])?;
        for _ in 0..=LIMITS.queue {
            lines.send(1, Uuid::now_v7(), &frame());
            assert!(read.try_recv().is_ok());
        }
        assert_eq!(slow.end.come().await, Ending::TooSlow);
        let counts = lines.counts();
        assert_eq!((counts.active, counts.slow_evictions_total), (1, 1));
        Ok(())
    }

    #[tokio::test]
    async fn lines_are_bounded_and_leave_when_dropped() -> anyhow::Result<()> {
        let lines = lines();
        let first = lines.join("a", vec![1])?;
        let _second = lines.join("a", vec![1])?;
        assert_eq!(lines.join("a", vec![1]).err(), Some(Refused::Full));
        let _third = lines.join("b", vec![1])?;
        assert_eq!(lines.join("c", vec![1]).err(), Some(Refused::Full));
        drop(first);
        assert_eq!(lines.send(1, Uuid::now_v7(), &frame()).sent, 2);
        assert!(lines.join("a", vec![1]).is_ok());
        Ok(())
    }

    #[tokio::test]
    async fn a_drain_ends_every_line_and_admits_none() -> anyhow::Result<()> {
        let lines = lines();
        let (line, _frames) = lines.join("a", vec![1])?;
        let end = line.end.clone();
        let gone = tokio::spawn(async move {
            let ending = line.end.come().await;
            drop(line);
            ending
        });
        lines.drain().await;
        assert_eq!(end.come().await, Ending::GoingAway);
        assert_eq!(gone.await?, Ending::GoingAway);
        assert_eq!(lines.join("a", vec![1]).err(), Some(Refused::Draining));
        assert!(lines.is_empty());
        Ok(())
    }
}
