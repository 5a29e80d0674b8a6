//! Open sockets and what each wants to hear. A frame goes to every line that holds its key;
//! a line that does not take its frames fast enough is dropped, so that nobody waits for it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use uuid::Uuid;

use crate::model::ids::UserId;
use crate::model::revoked::TokenHash;

/// What travels on a line: one JSON object, shared by all lines that get it.
pub type Frame = Arc<str>;

/// How many events a line remembers, so that one which comes by two ways is sent once.
const REMEMBERED: usize = 128;
/// How long lines may take to say goodbye when the gateway stops.
const DRAIN: Duration = Duration::from_secs(5);
/// How many frames may wait on a line whose socket takes them: what is told at one moment,
/// before the line's turn comes.
const BURST: usize = 4096;
/// How long a socket must have taken nothing to be called slow, rather than busy.
const STUCK: Duration = Duration::from_millis(100);

/// Bounds on what one kind of line may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Frames that wait for a reader that does not read.
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
    /// Whoever listens may not any more.
    NotAllowed,
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
    inlet: Inlet,
    end: End,
    sent: VecDeque<Uuid>,
}

/// Where frames are put on a line.
#[derive(Clone)]
struct Inlet {
    frames: mpsc::Sender<Frame>,
    queue: usize,
    pace: Pace,
}

/// Where they leave it.
pub struct Outlet {
    pub frames: mpsc::Receiver<Frame>,
    pub pace: Pace,
}

/// Since when a line's socket takes nothing.
#[derive(Clone, Default)]
pub struct Pace(Arc<Mutex<Option<Instant>>>);

impl Pace {
    /// The socket took nothing just now.
    pub fn blocked(&self) {
        *self.lock() = Some(Instant::now());
    }

    /// The socket took what it had not.
    pub fn moved(&self) {
        *self.lock() = None;
    }

    fn is_stuck(&self) -> bool {
        self.lock().is_some_and(|since| since.elapsed() >= STUCK)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inlet {
    /// `false` when the frame does not fit.
    fn put(&self, frame: Frame) -> bool {
        let waiting = self.frames.max_capacity() - self.frames.capacity();
        if waiting >= self.queue && self.pace.is_stuck() {
            return false;
        }
        // A line that is closing leaves the table by itself.
        !matches!(self.frames.try_send(frame), Err(mpsc::error::TrySendError::Full(_)))
    }
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
    inlet: Inlet,
    pub end: End,
    _open: TaskTrackerToken,
}

/// By what a line was opened, as far as it can be taken back.
#[derive(Clone, Copy, Debug, Default)]
pub struct Opened {
    /// A token that can be revoked.
    pub token: Option<TokenHash>,
    /// Whoever must stay a member of the workspaces that the line is of.
    pub user: Option<UserId>,
}

/// What lines are found by.
pub trait Key: Copy + Eq + Hash + Send + 'static {}

impl<T: Copy + Eq + Hash + Send + 'static> Key for T {}

/// Counts since the process began, for operators.
#[derive(Clone, Copy, Debug, Default, serde::Serialize, utoipa::ToSchema)]
#[schema(as = SocketCounts)]
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
    /// `greeting` goes out before anything else.
    pub fn join(
        &self,
        owner: &str,
        keys: Vec<K>,
        greeting: Option<Frame>,
    ) -> Result<(Line<K>, Outlet), Refused> {
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
        let (inlet, outlet) = channel(self.0.limits.queue);
        if let Some(greeting) = greeting {
            inlet.put(greeting);
        }
        let end = End::default();
        let id = table.next;
        table.next += 1;
        *table.by_owner.entry(owner.clone()).or_default() += 1;
        for key in &keys {
            table.by_key.entry(*key).or_default().insert(id);
        }
        let entry = Entry { owner, keys, inlet: inlet.clone(), end: end.clone(), sent: VecDeque::new() };
        table.lines.insert(id, entry);
        drop(table);
        self.0.opened.fetch_add(1, Ordering::Relaxed);
        let line = Line { lines: self.clone(), id, inlet, end, _open: self.0.open.token() };
        Ok((line, outlet))
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
            if entry.inlet.put(frame.clone()) {
                delivery.sent += 1;
                if entry.sent.len() == REMEMBERED {
                    entry.sent.pop_front();
                }
                entry.sent.push_back(event);
            } else {
                slow.push(id);
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

    /// Ends every line that holds all of these keys.
    pub fn end(&self, keys: &[K], ending: Ending) {
        let mut table = self.table();
        let Some(first) = keys.first().and_then(|key| table.by_key.get(key)) else { return };
        let holds =
            |id: &&u64| keys.iter().all(|key| table.by_key.get(key).is_some_and(|ids| ids.contains(id)));
        let ids: Vec<u64> = first.iter().filter(holds).copied().collect();
        for id in ids {
            if let Some(entry) = table.remove(id) {
                entry.end.bring(ending);
            }
        }
    }

    /// Shows the keys of every line.
    pub fn each(&self, mut show: impl FnMut(&[K])) {
        self.table().lines.values().for_each(|entry| show(&entry.keys));
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
        self.inlet.put(frame.into())
    }
}

impl<K: Key> Drop for Line<K> {
    fn drop(&mut self) {
        self.lines.table().remove(self.id);
        self.lines.0.closed.fetch_add(1, Ordering::Relaxed);
    }
}

fn channel(queue: usize) -> (Inlet, Outlet) {
    let (sender, frames) = mpsc::channel(BURST);
    let pace = Pace::default();
    (Inlet { frames: sender, queue, pace: pace.clone() }, Outlet { frames, pace })
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
        let (_one, mut of_one) = lines.join("a", vec![1, 2], None)?;
        let (_other, mut of_other) = lines.join("a", vec![3], None)?;
        let event = Uuid::now_v7();
        assert_eq!(lines.send(1, event, &frame()), Delivery { sent: 1, repeats: 0 });
        assert_eq!(lines.send(2, event, &frame()), Delivery { sent: 0, repeats: 1 });
        assert_eq!(lines.send(9, event, &frame()), Delivery::default());
        assert!(
            of_one.frames.try_recv().is_ok()
                && of_one.frames.try_recv().is_err()
                && of_other.frames.try_recv().is_err()
        );
        Ok(())
    }

    #[tokio::test]
    async fn a_line_that_is_stuck_is_dropped_and_the_others_go_on() -> anyhow::Result<()> {
        let lines = lines();
        let (slow, unread) = lines.join("a", vec![1], None)?;
        let (_busy, _behind) = lines.join("b", vec![1], None)?;
        *unread.pace.lock() = Instant::now().checked_sub(STUCK);
        for sent in 0..=LIMITS.queue {
            assert_eq!(lines.counts().active, 2, "after {sent} frames");
            lines.send(1, Uuid::now_v7(), &frame());
        }
        assert_eq!(slow.end.come().await, Ending::TooSlow);
        let counts = lines.counts();
        assert_eq!((counts.active, counts.slow_evictions_total), (1, 1));
        Ok(())
    }

    #[tokio::test]
    async fn a_burst_drops_nobody_but_a_flood_does() -> anyhow::Result<()> {
        let lines = lines();
        let (line, _unread) = lines.join("a", vec![1], None)?;
        for _ in 0..BURST {
            assert_eq!(lines.send(1, Uuid::now_v7(), &frame()).sent, 1);
        }
        lines.send(1, Uuid::now_v7(), &frame());
        assert_eq!(line.end.come().await, Ending::TooSlow);
        Ok(())
    }

    #[tokio::test]
    async fn lines_are_bounded_and_leave_when_dropped() -> anyhow::Result<()> {
        let lines = lines();
        let first = lines.join("a", vec![1], None)?;
        let _second = lines.join("a", vec![1], None)?;
        assert_eq!(lines.join("a", vec![1], None).err(), Some(Refused::Full));
        let _third = lines.join("b", vec![1], None)?;
        assert_eq!(lines.join("c", vec![1], None).err(), Some(Refused::Full));
        drop(first);
        assert_eq!(lines.send(1, Uuid::now_v7(), &frame()).sent, 2);
        assert!(lines.join("a", vec![1], None).is_ok());
        Ok(())
    }

    #[tokio::test]
    async fn a_drain_ends_every_line_and_admits_none() -> anyhow::Result<()> {
        let lines = lines();
        let (line, _frames) = lines.join("a", vec![1], None)?;
        let end = line.end.clone();
        let gone = tokio::spawn(async move {
            let ending = line.end.come().await;
            drop(line);
            ending
        });
        lines.drain().await;
        assert_eq!(end.come().await, Ending::GoingAway);
        assert_eq!(gone.await?, Ending::GoingAway);
        assert_eq!(lines.join("a", vec![1], None).err(), Some(Refused::Draining));
        assert!(lines.is_empty());
        Ok(())
    }
}
