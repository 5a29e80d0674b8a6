//! What nodes share by Redis where there is one: their words, and which runtimes live. Nothing in
//! it need last. While it is away words go by PostgreSQL and rows say who was seen, so that no
//! caller ever gets an error from here, or waits for it longer than [`ANSWER`].

mod link;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Client, Cmd, FromRedisValue, RedisError};
use thiserror::Error;
use tokio::sync::Notify;

pub use self::link::Heard;
use crate::model::ids::RuntimeId;
use crate::outbound;
use crate::telemetry::metrics;

/// How long a runtime lives that is not heard of again, in seconds: six beats. Less than the 150
/// seconds after which a sweep calls its row stale, so that a key may call one dead early and never
/// alive late.
const LIFE: u64 = 90;
/// What a key of a living runtime holds; a key that holds something else is not ours.
const ALIVE: &[u8] = b"1";
/// How long an answer may take. One that takes longer counts as none, and Redis as away.
const ANSWER: Duration = Duration::from_millis(500);

/// Where Redis is. It may hold a password and is shown to nobody.
pub struct Address(Client);

#[derive(Debug, Error)]
#[error(
    "redis_url cannot be used ({0}): give redis://[USER:PASSWORD@]HOST[:PORT][/DB], the same with rediss:// \
     for TLS, or unix:///PATH"
)]
pub struct BadAddress(RedisError);

/// Cheap to clone; every clone is the same.
#[derive(Clone)]
pub struct Redis(Arc<Inner>);

struct Inner {
    client: Client,
    /// What the names of our keys and of the channel begin with.
    prefix: String,
    /// Absent while Redis is away.
    link: Mutex<Option<MultiplexedConnection>>,
    /// An answer did not come.
    broken: Notify,
    /// Runtimes that beat, or went, since that was last written.
    beats: Mutex<HashMap<RuntimeId, Beat>>,
    /// Something is to be written at once.
    hurry: Notify,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Beat {
    Alive,
    Gone,
}

/// Redis did not answer.
#[derive(Debug, Error)]
pub enum Away {
    #[error("it is not connected")]
    NotConnected,
    #[error(transparent)]
    Failed(#[from] RedisError),
}

impl Address {
    pub fn read(url: &str) -> Result<Self, BadAddress> {
        outbound::trust();
        Client::open(url).map(Self).map_err(BadAddress)
    }
}

impl Redis {
    /// `deployment` tells those apart who share a Redis, and is the same for all nodes of one database.
    pub fn new(address: Address, deployment: &str) -> Self {
        Self(Arc::new(Inner {
            client: address.0,
            prefix: format!("switchyard:{deployment}"),
            link: Mutex::default(),
            broken: Notify::new(),
            beats: Mutex::default(),
            hurry: Notify::new(),
        }))
    }

    /// The runtime was heard; after a silence other nodes are to know at once. Waits for nothing.
    pub fn alive(&self, runtime: RuntimeId, after_silence: bool) {
        self.note(runtime, Beat::Alive, after_silence);
    }

    /// The runtime said goodbye, was changed, or is gone. Waits for nothing.
    pub fn gone(&self, runtime: RuntimeId) {
        self.note(runtime, Beat::Gone, true);
    }

    fn note(&self, runtime: RuntimeId, beat: Beat, at_once: bool) {
        // What was kept until Redis comes back would call a runtime alive that no longer is.
        if self.link().is_none() {
            return;
        }
        self.beats().insert(runtime, beat);
        if at_once {
            self.0.hurry.notify_one();
        }
    }

    /// Which of these any node heard lately.
    pub async fn list_alive(&self, runtimes: &[RuntimeId]) -> Result<HashSet<RuntimeId>, Away> {
        if runtimes.is_empty() {
            return Ok(HashSet::new());
        }
        let keys: Vec<String> = runtimes.iter().map(|id| self.key(*id)).collect();
        let values: Vec<Option<Vec<u8>>> = self.ask(redis::cmd("MGET").arg(keys)).await?;
        let alive = runtimes.iter().zip(values).filter(|(_, value)| value.as_deref() == Some(ALIVE));
        Ok(alive.map(|(id, _)| *id).collect())
    }

    /// Says a word to every node and tells how many heard it, this one included.
    pub async fn say(&self, word: &str) -> Result<usize, Away> {
        self.ask(redis::cmd("PUBLISH").arg(self.channel()).arg(word)).await
    }

    async fn ask<T: FromRedisValue>(&self, question: &Cmd) -> Result<T, Away> {
        let mut link = self.link().clone().ok_or(Away::NotConnected)?;
        question.query_async(&mut link).await.map_err(|error| self.lost(error))
    }

    /// An answer did not come, or was an error: nobody asks again before there is a new connection.
    fn lost(&self, error: RedisError) -> Away {
        tracing::debug!(%error, "Redis did not answer");
        *self.link() = None;
        self.0.broken.notify_one();
        Away::Failed(error)
    }

    /// Writes which runtimes beat since the last time.
    async fn write_beats(&self, link: &mut MultiplexedConnection) -> Result<(), RedisError> {
        /// Redis serves nobody else while it reads a pipeline.
        const MOST: usize = 1000;

        let beats: Vec<(RuntimeId, Beat)> = self.beats().drain().collect();
        for some in beats.chunks(MOST) {
            let mut writes = redis::pipe();
            for (runtime, beat) in some {
                let key = self.key(*runtime);
                match beat {
                    Beat::Alive => writes.cmd("SET").arg(key).arg(ALIVE).arg("EX").arg(LIFE).ignore(),
                    Beat::Gone => writes.cmd("DEL").arg(key).ignore(),
                };
            }
            writes.exec_async(link).await?;
            metrics::redis_beats(some.len());
        }
        Ok(())
    }

    fn key(&self, runtime: RuntimeId) -> String {
        format!("{}:alive:{runtime}", self.0.prefix)
    }

    fn channel(&self) -> String {
        format!("{}:words", self.0.prefix)
    }

    fn link(&self) -> MutexGuard<'_, Option<MultiplexedConnection>> {
        // Neither this nor the other is ever left half changed.
        self.0.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn beats(&self) -> MutexGuard<'_, HashMap<RuntimeId, Beat>> {
        self.0.beats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_address_is_refused_without_being_shown() {
        for url in
            ["", "localhost:6379", "http://u:hush@h", "redis://:hush@h/x", "redis://:hush@", "unix:hush"]
        {
            let error = Address::read(url).err().unwrap_or_else(|| panic!("`{url}` was taken")).to_string();
            assert!(error.starts_with("redis_url cannot be used (") && !error.contains("hush"), "{error}");
        }
        for url in ["redis://:hush@h:1/2", "rediss://u:p@h", "unix:///run/redis.sock?db=1", "redis://[::1]"] {
            assert!(Address::read(url).is_ok(), "{url}");
        }
    }

    #[tokio::test]
    async fn nothing_is_kept_while_it_is_away_and_nobody_waits() {
        let redis = Redis::new(Address::read("unix:///nowhere").unwrap(), "d");
        let id = RuntimeId::new();
        redis.alive(id, true);
        assert!(redis.beats().is_empty());
        assert!(matches!(redis.say("w").await, Err(Away::NotConnected)));
        assert!(matches!(redis.list_alive(&[id]).await, Err(Away::NotConnected)));
        assert!(redis.list_alive(&[]).await.unwrap().is_empty());
    }
}
