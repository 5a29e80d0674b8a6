//! What came of a call to a plugin, and how long it took.

use std::time::Instant;

use serde::Serialize;

use super::error::PluginError;

#[derive(Debug)]
pub struct Report<T> {
    pub result: Result<T, PluginError>,
    pub times: Times,
    /// Counted only by an engine that was made to.
    pub instructions: Option<u64>,
}

/// What a call took: waited for a place, made the instance, ran the guest, waited on its
/// behalf in host calls, microseconds each; and bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Times {
    pub queue_us: u64,
    pub instantiate_us: u64,
    pub guest_us: u64,
    pub host_us: u64,
    /// All memories and tables of the sandbox together, at their largest.
    pub peak_memory_bytes: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
}

impl<T> Report<T> {
    /// A call that was not made.
    pub(super) fn refused(error: PluginError) -> Self {
        Self { result: Err(error), times: Times::default(), instructions: None }
    }

    pub(super) fn missing() -> Self {
        Self::refused(PluginError::NoSuchStage)
    }

    pub fn map<U>(self, convert: impl FnOnce(T) -> U) -> Report<U> {
        Report { result: self.result.map(convert), times: self.times, instructions: self.instructions }
    }
}

impl Times {
    pub(super) fn queued(since: Instant) -> Self {
        Self { queue_us: micros(since), ..Self::default() }
    }

    /// Since the call had its place.
    pub(super) fn total_us(self) -> u64 {
        self.instantiate_us.saturating_add(self.guest_us).saturating_add(self.host_us)
    }
}

pub(super) fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}
