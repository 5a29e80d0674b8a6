//! Whether what is revoked elsewhere is heard here. Every node says a word every half a second
//! and listens for its own: as long as that comes back, so does whatever was said before it.
//!
//! A yes that is remembered is believed only then, or for the seconds that a revocation
//! may take: a node that is cut off, or was stopped for a while, must not let anybody in whom
//! others have shut out.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::model::revoked::Revoked;
use crate::store::bus::Listener;
use crate::store::revocations::{CHANNEL, Told};
use crate::store::{Db, StoreError};

/// For how long a node believes what it remembers without hearing the others. A revocation is
/// known everywhere within five seconds at the worst; the rest is for the request that asks.
pub const BOUND: Duration = Duration::from_secs(4);
/// How often a node speaks.
const BEAT: Duration = Duration::from_millis(500);
/// A node that did not hear itself for so long looks for itself.
const QUIET: Duration = Duration::from_millis(1500);
/// A connection on which nothing came for so long is given up, though it may look alive.
const DEAF: Duration = Duration::from_secs(3);
/// How long to wait for a database that cannot be reached.
const PAUSE: Duration = Duration::from_millis(500);
/// After so long without a word another node counts as gone.
const GONE: Duration = Duration::from_secs(10);
/// How many others are kept in mind.
const MOST_OTHERS: usize = 256;

/// Cheap to clone; every clone is the same.
#[derive(Clone)]
pub struct Pulse(Arc<Inner>);

struct Inner {
    /// Whether there can be other nodes at all.
    shared: bool,
    node: Uuid,
    began: Instant,
    /// When the latest own word that was heard had been said, in milliseconds since the
    /// beginning; 0 for none since listening began.
    heard: AtomicU64,
    /// Moves whenever something may have been missed.
    epoch: AtomicU64,
    missed: Notify,
    others: Mutex<HashMap<Uuid, Instant>>,
}

/// When something was looked up.
#[derive(Clone, Copy, Debug)]
pub struct AsOf {
    epoch: u64,
    at: Instant,
}

#[derive(Serialize, Deserialize)]
struct Beat {
    from: Uuid,
    at: u64,
}

/// What goes over the channel; newer nodes may say more.
#[derive(Deserialize)]
#[serde(untagged)]
enum Word {
    Told(Told),
    Beat(Beat),
}

impl Pulse {
    pub fn new(shared: bool) -> Self {
        Self(Arc::new(Inner {
            shared,
            node: Uuid::new_v4(),
            began: Instant::now(),
            heard: AtomicU64::new(0),
            epoch: AtomicU64::new(0),
            missed: Notify::new(),
            others: Mutex::default(),
        }))
    }

    pub fn node(&self) -> Uuid {
        self.0.node
    }

    /// Taken before a look-up, and kept with what it found.
    pub fn now(&self) -> AsOf {
        AsOf { epoch: self.0.epoch.load(Ordering::Acquire), at: Instant::now() }
    }

    /// Whether what was looked up then would be known to be revoked by now.
    pub fn vouches_for(&self, as_of: AsOf) -> bool {
        if !self.0.shared || as_of.at.elapsed() < BOUND {
            return true;
        }
        as_of.epoch == self.0.epoch.load(Ordering::Acquire) && self.heard_within(BOUND)
    }

    /// Whether any other node was heard of late.
    pub fn has_others(&self) -> bool {
        self.0.shared && self.others().values().any(|at| at.elapsed() < GONE)
    }

    /// Waits until something may have been missed: the node hears nothing, or listens anew.
    pub async fn missed(&self) {
        self.0.missed.notified().await;
    }

    fn heard_within(&self, bound: Duration) -> bool {
        let heard = self.0.heard.load(Ordering::Acquire);
        heard > 0 && self.millis().saturating_sub(heard) < u64::try_from(bound.as_millis()).unwrap_or(0)
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.0.began.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// Whoever listens anew may have missed what was said before.
    fn listens(&self) {
        self.0.heard.store(0, Ordering::Release);
        self.0.epoch.fetch_add(1, Ordering::AcqRel);
        self.0.missed.notify_one();
    }

    fn beat(&self, beat: &Beat) {
        if beat.from == self.0.node {
            self.0.heard.store(beat.at, Ordering::Release);
            return;
        }
        let mut others = self.others();
        others.retain(|_, at| at.elapsed() < GONE);
        if others.len() < MOST_OTHERS {
            others.insert(beat.from, Instant::now());
        }
    }

    fn others(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, Instant>> {
        // A map is never left half changed.
        self.0.others.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Speaks and listens until the gateway stops; `tell` hears of what is revoked. Does nothing
/// where there can be no other node.
pub async fn connect(
    db: &Db,
    pulse: &Pulse,
    tell: impl Fn(Vec<Revoked>) + Send + 'static,
    stopping: &CancellationToken,
) -> Result<(), StoreError> {
    let Some(listener) = db.listen(CHANNEL).await? else { return Ok(()) };
    pulse.listens();
    let hear = hear(db.clone(), listener, pulse.clone(), tell);
    let (beat, watch) = (beat(db.clone(), pulse.clone()), watch(pulse.clone()));
    let stopping = stopping.clone();
    tokio::spawn(async move {
        let all = async { tokio::join!(hear, beat, watch) };
        stopping.run_until_cancelled(all).await;
    });
    Ok(())
}

async fn beat(db: Db, pulse: Pulse) {
    let mut every = interval(BEAT);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let beat = Beat { from: pulse.0.node, at: pulse.millis() };
        let word = serde_json::to_string(&beat).unwrap_or_default();
        match timeout(DEAF, db.say(CHANNEL, &word)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "other nodes do not hear that this one is there"),
            Err(_) => tracing::debug!("the database takes no words"),
        }
    }
}

/// Says again and again that something may be missed, as long as nothing is heard.
async fn watch(pulse: Pulse) {
    let mut deaf = false;
    loop {
        sleep(PAUSE).await;
        let quiet = !pulse.heard_within(QUIET);
        if quiet {
            pulse.0.missed.notify_one();
        }
        if quiet && !deaf && !pulse.heard_within(BOUND) {
            deaf = true;
            tracing::warn!(
                "revocations of other nodes are not heard; nothing is believed for longer than they may take"
            );
        } else if !quiet && deaf {
            deaf = false;
            tracing::info!("revocations of other nodes are heard again");
        }
    }
}

async fn hear(db: Db, mut listener: Listener, pulse: Pulse, tell: impl Fn(Vec<Revoked>)) {
    loop {
        if let Ok(Ok(Some(word))) = timeout(DEAF, listener.next()).await {
            match serde_json::from_str(&word) {
                Ok(Word::Beat(beat)) => pulse.beat(&beat),
                Ok(Word::Told(told)) => tell(told.revoked),
                Err(_) => {}
            }
            continue;
        }
        drop(listener);
        listener = listen_again(&db).await;
        pulse.listens();
    }
}

async fn listen_again(db: &Db) -> Listener {
    loop {
        match timeout(DEAF, db.listen(CHANNEL)).await {
            Ok(Ok(Some(listener))) => return listener,
            Ok(Ok(None)) | Err(_) => {}
            Ok(Err(error)) => tracing::debug!(%error, "revocations of other nodes cannot be heard"),
        }
        sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ago(pulse: &Pulse, seconds: u64) -> AsOf {
        let now = pulse.now();
        AsOf { at: now.at.checked_sub(Duration::from_secs(seconds)).unwrap(), ..now }
    }

    #[test]
    fn what_is_remembered_is_believed_while_the_own_word_comes_back() {
        let pulse = Pulse::new(true);
        pulse.listens();
        assert!(pulse.vouches_for(ago(&pulse, 3)), "younger than a revocation may take");
        assert!(!pulse.vouches_for(ago(&pulse, 6)), "nothing was heard yet");
        let old = ago(&pulse, 6);
        pulse.beat(&Beat { from: pulse.node(), at: pulse.millis() });
        assert!(pulse.vouches_for(old));
        pulse.listens();
        pulse.beat(&Beat { from: pulse.node(), at: pulse.millis() });
        assert!(!pulse.vouches_for(old), "something may have been missed since");
        assert!(Pulse::new(false).vouches_for(old), "a node alone misses nothing");
    }

    #[test]
    fn only_others_are_others() {
        let pulse = Pulse::new(true);
        pulse.beat(&Beat { from: pulse.node(), at: 1 });
        assert!(!pulse.has_others());
        for _ in 0..=MOST_OTHERS {
            pulse.beat(&Beat { from: Uuid::new_v4(), at: 1 });
        }
        assert!(pulse.has_others());
        assert_eq!(pulse.others().len(), MOST_OTHERS);
    }
}
