//! What a guest may call. There is only the log.

use super::bindings::switchyard::plugin::{log, types};
use super::limits::{Limits, Memory};
use super::log_share::LogShare;

/// The most of a line.
const LINE_BYTES: usize = 1024;

/// The host's side of one sandbox.
pub struct Host {
    /// Set by the host, never by the guest.
    pub plugin: String,
    pub task: String,
    pub memory: Memory,
    /// Ticks of guest time used, and those allowed.
    pub ticks: u64,
    pub max_ticks: u64,
    pub log: LogShare,
}

impl Host {
    pub fn new(plugin: &str, task: &str, memory: Memory, max_ticks: u64) -> Self {
        let log = LogShare::new(&Limits::default(), std::sync::Arc::default());
        Self { plugin: plugin.to_owned(), task: task.to_owned(), memory, ticks: 0, max_ticks, log }
    }

    /// Lines that were written and dropped.
    pub fn dropped_lines(&self) -> u32 {
        self.log.dropped()
    }
}

impl types::Host for Host {}

impl log::Host for Host {
    fn write(&mut self, level: log::Level, message: String) {
        let line = printable(&message);
        if !self.log.take(line.len()) {
            return;
        }
        let (plugin, task) = (self.plugin.as_str(), self.task.as_str());
        match level {
            log::Level::Debug => tracing::debug!(plugin.name = plugin, task.id = task, "{line}"),
            log::Level::Info => tracing::info!(plugin.name = plugin, task.id = task, "{line}"),
            log::Level::Warn => tracing::warn!(plugin.name = plugin, task.id = task, "{line}"),
            log::Level::Error => tracing::error!(plugin.name = plugin, task.id = task, "{line}"),
        }
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
