//! What a durable commit costs at least: an append of one page, and its sync.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::report::Seen;

#[derive(Clone, Copy, Debug)]
pub struct Synced {
    pub p50_us: u64,
    pub p99_us: u64,
}

pub fn syncs(dir: &Path, time: Duration) -> anyhow::Result<Synced> {
    let mut file =
        tempfile::tempfile_in(dir).with_context(|| format!("no file can be made in {}", dir.display()))?;
    let page = [7_u8; 4096];
    let mut seen = Seen::default();
    let began = Instant::now();
    while began.elapsed() < time {
        let one = Instant::now();
        file.write_all(&page)?;
        file.sync_data()?;
        seen.ok("sync", one.elapsed());
    }
    let (p50_us, p99_us) = seen.percentiles("sync");
    Ok(Synced { p50_us, p99_us })
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_sync_takes_some_time() {
        let dir = tempfile::tempdir().unwrap();
        let synced = super::syncs(dir.path(), std::time::Duration::from_millis(5)).unwrap();
        assert!(synced.p50_us >= 1 && synced.p99_us >= synced.p50_us);
    }
}
