//! What ought to be heard at once on the other nodes, where the sockets of daemons are. Hints only:
//! one that is lost costs the time until the next poll, or look.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::liveness::Liveness;
use super::redis::Heard;
use super::wakeups::Wakeups;
use super::words::{Recent, Ways};
use crate::model::ids::{RuntimeId, TaskId, WorkspaceId};
use crate::model::time::Clock;
use crate::store::bus::{LONGEST, Listener};
use crate::store::{Db, Moved, StoreError};
use crate::telemetry::metrics;

/// Older nodes pass over what they do not know, so the channel stays when hints are added.
const CHANNEL: &str = "switchyard_hints";
/// How long hints are gathered before they go out together.
const GATHER: Duration = Duration::from_millis(3);
/// How many may wait to go out. There are more only while the database is away.
const MOST: usize = 10_000;
/// A hint is shorter than 150 bytes, and a word holds all of these.
const MOST_IN_A_WORD: usize = 50;
/// How long to wait for a database that cannot be reached.
const PAUSE: Duration = Duration::from_secs(1);
/// A node that came needs less to be counted by the others.
const NEW: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hint {
    /// Something may be claimable on the runtime.
    Task { runtime: RuntimeId, task: Option<TaskId> },
    /// Something entered the runtime's queue.
    Queue { runtime: RuntimeId },
    /// The runtime's row changed.
    Runtime { runtime: RuntimeId },
    /// A custom runtime of the workspace was added, changed or removed.
    Profiles { workspace: WorkspaceId, profile: Option<Uuid> },
    /// A set of plugins was applied.
    Plugins { generation: u64 },
    /// Somebody wants to see what plugins did to the task.
    Trace { task: TaskId },
}

/// Hints that wait to go out to other nodes. Cheap to clone; every clone is the same.
#[derive(Clone, Default)]
pub struct Outbox {
    hints: Arc<Mutex<Vec<Hint>>>,
    more: Arc<Notify>,
}

impl Outbox {
    pub fn push(&self, hint: Hint) {
        let mut hints = self.hints();
        if hints.len() < MOST && hints.last() != Some(&hint) {
            hints.push(hint);
            self.more.notify_one();
        }
    }

    fn take(&self) -> Vec<Hint> {
        std::mem::take(&mut *self.hints())
    }

    fn hints(&self) -> MutexGuard<'_, Vec<Hint>> {
        // A list is never left half changed.
        self.hints.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Serialize, Deserialize)]
struct Word {
    from: Uuid,
    /// Which word of the node's it is, from 1; older nodes do not say.
    #[serde(default)]
    number: u64,
    /// [`Hint`]s; newer nodes may send others. None where a node says that it came.
    hints: Vec<Value>,
}

/// Connects this node with the others until the gateway stops, by Redis too where it is given.
/// Hears nobody where there can be no others.
pub async fn connect(
    db: &Db,
    clock: &Clock,
    wakeups: &Wakeups,
    liveness: &Liveness,
    stopping: &CancellationToken,
) -> Result<(), StoreError> {
    let redis = liveness.redis().cloned();
    let (Some(outbox), Some(listener)) = (wakeups.outbox(), db.listen(CHANNEL).await?) else {
        if let Some(redis) = redis {
            tokio::spawn(redis.keep(|_| {}, stopping.clone()));
        }
        return Ok(());
    };
    let node = Uuid::new_v4();
    let hearer = Hearer(Arc::new(Ears {
        db: db.clone(),
        wakeups: wakeups.clone(),
        liveness: liveness.clone(),
        node,
        recent: Mutex::default(),
        last_came: Mutex::new(Instant::now()),
    }));
    let sender = Sender {
        outbox: outbox.clone(),
        ways: Ways::new(db.clone(), clock.clone(), redis.clone()),
        hearer: hearer.clone(),
        number: 0,
    };
    tokio::spawn(sender.keep(db.clone(), stopping.clone()));
    tokio::spawn(hear(listener, hearer.clone(), stopping.clone()));
    if let Some(redis) = redis {
        tokio::spawn(redis.keep(move |heard| hearer.hear_redis(heard), stopping.clone()));
    }
    Ok(())
}

struct Sender {
    outbox: Outbox,
    ways: Ways,
    hearer: Hearer,
    /// Of the last word.
    number: u64,
}

impl Sender {
    async fn keep(mut self, db: Db, stopping: CancellationToken) {
        let outbox = self.outbox.clone();
        let more = || async {
            tokio::select! {
                () = outbox.more.notified() => {}
                () = db.something_moved() => {}
            }
        };
        // Whoever counts nodes does not know of this one yet.
        self.say(Vec::new()).await;
        while stopping.run_until_cancelled(more()).await.is_some() {
            sleep(GATHER).await;
            // What is remembered elsewhere goes first: whoever is woken shall not find it.
            let mut waiting: Vec<Hint> = db.take_moved().into_iter().map(Hint::from).collect();
            waiting.extend(outbox.take());
            for hints in waiting.chunks(MOST_IN_A_WORD) {
                self.say(hints.iter().filter_map(|hint| serde_json::to_value(hint).ok()).collect()).await;
            }
        }
    }

    async fn say(&mut self, hints: Vec<Value>) {
        self.number += 1;
        let count = hints.len();
        let word = Word { from: self.hearer.0.node, number: self.number, hints };
        let word = serde_json::to_string(&word).unwrap_or_default();
        debug_assert!(word.len() <= LONGEST, "{word}");
        match self.ways.say(CHANNEL, &word, self.hearer.somebody_is_new()).await {
            Ok(transport) => metrics::hints("sent", transport, count),
            Err(error) => {
                metrics::hints("lost", "postgres", count);
                tracing::warn!(%error, hints = count, "other nodes were not told of new work");
            }
        }
    }
}

/// Who is told what was heard.
#[derive(Clone)]
struct Hearer(Arc<Ears>);

struct Ears {
    db: Db,
    wakeups: Wakeups,
    liveness: Liveness,
    node: Uuid,
    /// What was heard by one way may come by the other.
    recent: Mutex<Recent>,
    /// When a node came last, this one included.
    last_came: Mutex<Instant>,
}

async fn hear(mut listener: Listener, hearer: Hearer, stopping: CancellationToken) {
    let db = hearer.0.db.clone();
    db.set_hears_others(true);
    while let Some(heard) = stopping.run_until_cancelled(listener.next()).await {
        if let Ok(Some(word)) = heard {
            hearer.deliver(&word, "postgres");
            continue;
        }
        db.set_hears_others(false);
        tracing::warn!("other nodes are not heard until the database is");
        match stopping.run_until_cancelled(listen_again(&db)).await {
            Some(again) => listener = again,
            None => return,
        }
        db.set_hears_others(true);
    }
}

async fn listen_again(db: &Db) -> Listener {
    loop {
        match db.listen(CHANNEL).await {
            Ok(Some(listener)) => return listener,
            Ok(None) => {}
            Err(error) => tracing::debug!(%error, "other nodes cannot be heard"),
        }
        sleep(PAUSE).await;
    }
}

impl Hearer {
    fn hear_redis(&self, heard: Heard) {
        match heard {
            Heard::Word(word) => self.deliver(&word, "redis"),
            // Whoever spoke meanwhile may believe that this node heard it.
            Heard::Nothing => self.0.db.may_have_missed_others(),
        }
    }

    fn deliver(&self, word: &str, transport: &'static str) {
        if word.len() > LONGEST {
            return;
        }
        let Ok(word) = serde_json::from_str::<Word>(word) else { return };
        let ears = &*self.0;
        if word.from == ears.node || lock(&ears.recent).is_known(word.from, word.number) {
            return;
        }
        if word.hints.is_empty() {
            *lock(&ears.last_came) = Instant::now();
        }
        metrics::hints("heard", transport, word.hints.len());
        for hint in word.hints {
            match serde_json::from_value(hint) {
                Ok(Hint::Queue { runtime }) => ears.db.queue_moved_elsewhere(runtime),
                Ok(Hint::Runtime { runtime }) => ears.liveness.forget_row(runtime),
                Ok(Hint::Task { runtime, task }) => ears.wakeups.task_elsewhere(runtime, task),
                Ok(Hint::Profiles { workspace, profile }) => {
                    ears.wakeups.profiles_elsewhere(workspace, profile);
                }
                Ok(Hint::Plugins { .. }) => ears.wakeups.set_applied_elsewhere(),
                Ok(Hint::Trace { task }) => ears.wakeups.trace_wanted(task),
                Err(_) => {}
            }
        }
    }

    fn somebody_is_new(&self) -> bool {
        lock(&self.0.last_came).elapsed() < NEW
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that holds it can leave it half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl From<Moved> for Hint {
    fn from(moved: Moved) -> Self {
        match moved {
            Moved::Queue(runtime) => Self::Queue { runtime },
            Moved::Row(runtime) => Self::Runtime { runtime },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_word_is_not_too_long() {
        let hint = Hint::Task { runtime: RuntimeId::new(), task: Some(TaskId::new()) };
        let other = Hint::Profiles { workspace: WorkspaceId::new(), profile: Some(Uuid::nil()) };
        let (set, trace) = (Hint::Plugins { generation: u64::MAX }, Hint::Trace { task: TaskId::new() });
        for hint in [hint, other, set, trace] {
            let hints = vec![serde_json::to_value(hint).unwrap(); MOST_IN_A_WORD];
            let word = serde_json::to_string(&Word { from: Uuid::nil(), number: u64::MAX, hints }).unwrap();
            assert!(word.len() <= LONGEST, "{}", word.len());
        }
    }

    #[test]
    fn the_outbox_is_bounded_and_says_nothing_twice_in_a_row() {
        let outbox = Outbox::default();
        let hint = Hint::Task { runtime: RuntimeId::new(), task: None };
        outbox.push(hint);
        outbox.push(hint);
        assert_eq!(outbox.take(), [hint]);
        for _ in 0..=MOST {
            outbox.push(Hint::Task { runtime: RuntimeId::new(), task: None });
        }
        assert_eq!(outbox.take().len(), MOST);
    }
}
