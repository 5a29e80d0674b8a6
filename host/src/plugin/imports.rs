//! What a guest may call: the log, and what its plugin was granted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::Rng;

use super::bindings::switchyard::plugin::{clock, http, kv, log, random, secrets, types};
use super::engine::ticks;
use super::limits::{Limits, Memory};
use super::log_share::LogShare;
use super::reach::{Reach, Refusal, Request, Used};
use super::standing::Standing;

/// The most of a line.
const LINE_BYTES: usize = 1024;
/// The most bytes of chance in one go.
const RANDOM_BYTES: u32 = 4096;

/// The host's side of one sandbox.
pub struct Host {
    /// Set by the host, never by the guest.
    pub plugin: String,
    pub task: String,
    pub memory: Memory,
    /// Ticks of guest time used, and those allowed.
    pub ticks: u64,
    pub max_ticks: u64,
    /// Whether the next tick passed in a host call.
    pub forgiven: bool,
    pub used: Used,
    pub log: LogShare,
    reach: Option<Arc<Reach>>,
    /// Set while a host call is under way.
    waiting_since: Option<Instant>,
}

impl Host {
    /// Without `reach`, which is how a plugin is asked who it is, nothing outside answers.
    pub fn new(
        (plugin, task): (&str, &str),
        memory: Memory,
        max_ticks: u64,
        reach: Option<Arc<Reach>>,
        ends: Instant,
    ) -> Self {
        Self {
            plugin: plugin.to_owned(),
            task: task.to_owned(),
            memory,
            ticks: 0,
            max_ticks,
            forgiven: false,
            used: Used::until(ends),
            log: LogShare::new(&Limits::default(), Arc::default()),
            reach,
            waiting_since: None,
        }
    }

    /// A host call begins: until it ends, time is the host's and not the guest's.
    fn begin(&mut self) -> Waiting {
        let now = Instant::now();
        self.waiting_since = Some(now);
        Waiting { began: now, tick: ticks() }
    }

    fn ended(&mut self, since: Waiting) {
        self.waiting_since = None;
        self.used.waited += since.began.elapsed();
        self.forgiven |= ticks() > since.tick;
    }

    /// All waits, one that was broken off included.
    pub fn waited_us(&self) -> u64 {
        let open = self.waiting_since.map_or(Duration::ZERO, |since| since.elapsed());
        u64::try_from((self.used.waited + open).as_micros()).unwrap_or(u64::MAX)
    }

    /// Lines that were written and dropped.
    pub fn dropped_lines(&self) -> u32 {
        self.log.dropped()
    }

    /// The references that this call was given.
    pub fn standing(&self) -> Vec<Standing> {
        self.reach.as_ref().map(|reach| reach.standing(&self.used)).unwrap_or_default()
    }

    /// Something outside, and what this call has used of it.
    fn outside(&mut self) -> Result<(Arc<Reach>, &mut Used), types::Failure> {
        match &self.reach {
            Some(reach) => Ok((reach.clone(), &mut self.used)),
            None => Err(failure(Refusal::new(
                "unavailable",
                "nothing is reached while a plugin describes itself",
            ))),
        }
    }

    /// Bills a wait to the call's host time.
    fn waited<T>(&mut self, since: Waiting, result: Result<T, Refusal>) -> Result<T, types::Failure> {
        self.ended(since);
        result.map_err(failure)
    }
}

/// A host call under way.
#[derive(Clone, Copy)]
struct Waiting {
    began: Instant,
    tick: u64,
}

fn failure(refusal: Refusal) -> types::Failure {
    types::Failure { code: refusal.code.to_owned(), message: refusal.message, attributes: Vec::new() }
}

impl types::Host for Host {}

impl kv::Host for Host {
    async fn get(&mut self, key: String) -> Result<Option<Vec<u8>>, types::Failure> {
        let since = self.begin();
        let (reach, used) = self.outside()?;
        let found = reach.get_value(used, &key).await;
        self.waited(since, found)
    }

    async fn set(
        &mut self,
        key: String,
        value: Vec<u8>,
        ttl_seconds: Option<u32>,
    ) -> Result<(), types::Failure> {
        let since = self.begin();
        let (reach, used) = self.outside()?;
        let set = reach.set_value(used, &key, value, ttl_seconds).await;
        self.waited(since, set)
    }

    async fn delete(&mut self, key: String) -> Result<bool, types::Failure> {
        let since = self.begin();
        let (reach, used) = self.outside()?;
        let deleted = reach.delete_value(used, &key).await;
        self.waited(since, deleted)
    }

    async fn increment(
        &mut self,
        key: String,
        by: i64,
        ttl_seconds: Option<u32>,
    ) -> Result<i64, types::Failure> {
        let since = self.begin();
        let (reach, used) = self.outside()?;
        let sum = reach.increment_value(used, &key, by, ttl_seconds).await;
        self.waited(since, sum)
    }

    async fn keys(&mut self, prefix: String, after: Option<String>) -> Result<Vec<String>, types::Failure> {
        let since = self.begin();
        let (reach, used) = self.outside()?;
        let found = reach.list_keys(used, &prefix, after.as_deref()).await;
        self.waited(since, found)
    }
}

impl http::Host for Host {
    async fn send(&mut self, request: http::Request) -> Result<http::Response, types::Failure> {
        let since = self.begin();
        let (reach, used) = self.outside()?;
        let request = Request {
            method: request.method,
            url: request.url,
            headers: request.headers.into_iter().map(|header| (header.name, header.value)).collect(),
            body: request.body,
            timeout_ms: request.timeout_ms,
        };
        let answer = reach.send(used, request).await;
        let answer = self.waited(since, answer)?;
        let header = |(name, value)| http::Header { name, value };
        Ok(http::Response {
            status: answer.status,
            headers: answer.headers.into_iter().map(header).collect(),
            body: answer.body,
            attributes: Vec::new(),
        })
    }
}

impl secrets::Host for Host {
    fn reference(&mut self, name: String) -> Result<String, types::Failure> {
        let (reach, used) = self.outside()?;
        reach.reference(used, &name).map_err(failure)
    }
}

impl clock::Host for Host {
    fn now(&mut self) -> u64 {
        self.reach.as_ref().map_or(0, |reach| reach.now_ms())
    }
}

impl random::Host for Host {
    fn bytes(&mut self, count: u32) -> Vec<u8> {
        let mut bytes = vec![0; count.min(RANDOM_BYTES) as usize];
        rand::rng().fill_bytes(&mut bytes);
        bytes
    }
}

impl log::Host for Host {
    fn write(&mut self, level: log::Level, message: String) {
        let line = printable(&message);
        if !self.log.take(line.len()) {
            return;
        }
        let since = self.begin();
        let (plugin, task) = (self.plugin.as_str(), self.task.as_str());
        match level {
            log::Level::Debug => tracing::debug!(plugin.name = plugin, task.id = task, "{line}"),
            log::Level::Info => tracing::info!(plugin.name = plugin, task.id = task, "{line}"),
            log::Level::Warn => tracing::warn!(plugin.name = plugin, task.id = task, "{line}"),
            log::Level::Error => tracing::error!(plugin.name = plugin, task.id = task, "{line}"),
        }
        self.ended(since);
    }
}

/// One line of bounded length: a guest must not forge a second one.
fn printable(message: &str) -> String {
    let mut line = String::new();
    for c in message.chars() {
        let before = line.len();
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
        if line.len() > LINE_BYTES {
            line.truncate(before);
            break;
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_one_line_of_bounded_length() {
        assert_eq!(printable("a\nb\u{1b}[31m"), "a\\nb\\u{1b}[31m");
        assert_eq!(printable(&"é".repeat(2000)).len(), LINE_BYTES);
        assert_eq!(printable(&"\u{1b}".repeat(2000)).len(), LINE_BYTES / 6 * 6, "as it is written");
    }
}
