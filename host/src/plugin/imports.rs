//! What a guest may call. There is only the log.

use std::time::{Duration, Instant};

use super::bindings::switchyard::plugin::{log, types};
use super::limits::Memory;

/// The most of a line, and of lines in one call.
const LINE_BYTES: usize = 1024;
const LINES: u32 = 64;

/// The host's side of one sandbox.
pub struct Host {
    /// Set by the host, never by the guest.
    pub plugin: String,
    pub task: String,
    pub memory: Memory,
    /// Ticks of guest time used, and those allowed.
    pub ticks: u64,
    pub max_ticks: u64,
    lines: u32,
    /// Waits in host calls that ended, and since when one is under way.
    waited: Duration,
    waiting_since: Option<Instant>,
}

impl Host {
    pub fn new(plugin: &str, task: &str, memory: Memory, max_ticks: u64) -> Self {
        Self {
            plugin: plugin.to_owned(),
            task: task.to_owned(),
            memory,
            ticks: 0,
            max_ticks,
            lines: 0,
            waited: Duration::ZERO,
            waiting_since: None,
        }
    }

    /// A host call begins: until it ends, time is the host's and not the guest's.
    pub fn begin_wait(&mut self) {
        self.waiting_since = Some(Instant::now());
    }

    pub fn end_wait(&mut self) {
        self.waited += self.waiting_since.take().map_or(Duration::ZERO, |since| since.elapsed());
    }

    /// All waits, one that was broken off included.
    pub fn waited_us(&self) -> u64 {
        let open = self.waiting_since.map_or(Duration::ZERO, |since| since.elapsed());
        u64::try_from((self.waited + open).as_micros()).unwrap_or(u64::MAX)
    }

    /// Lines that were written and dropped.
    pub fn dropped_lines(&self) -> u32 {
        self.lines.saturating_sub(LINES)
    }
}

impl types::Host for Host {}

impl log::Host for Host {
    fn write(&mut self, level: log::Level, message: String) {
        self.lines = self.lines.saturating_add(1);
        if self.lines > LINES {
            return;
        }
        self.begin_wait();
        let line = printable(&message);
        let (plugin, task) = (self.plugin.as_str(), self.task.as_str());
        match level {
            log::Level::Debug => tracing::debug!(plugin.name = plugin, task.id = task, "{line}"),
            log::Level::Info => tracing::info!(plugin.name = plugin, task.id = task, "{line}"),
            log::Level::Warn => tracing::warn!(plugin.name = plugin, task.id = task, "{line}"),
            log::Level::Error => tracing::error!(plugin.name = plugin, task.id = task, "{line}"),
        }
        self.end_wait();
    }
}

/// One line of bounded length: a guest must not forge a second one.
fn printable(message: &str) -> String {
    let end = message.floor_char_boundary(LINE_BYTES);
    message[..end]
        .chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_one_line_of_bounded_length() {
        assert_eq!(printable("a\nb\u{1b}[31m"), "a\\nb\\u{1b}[31m");
        assert_eq!(printable(&"é".repeat(2000)).len(), LINE_BYTES);
    }
}
