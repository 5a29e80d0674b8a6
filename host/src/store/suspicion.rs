//! When a connection to the database last broke. What breaks one may have broken others that
//! nobody uses just now: those are tried before they are used again, and only those, so that
//! while nothing breaks nobody pays for it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection, PgConnection};

/// How long an answer to a trial may take.
const TRIAL: Duration = Duration::from_secs(1);

static BEGAN: OnceLock<Instant> = OnceLock::new();
/// In microseconds since the first look at the clock; 0 for never. The whole process shares it:
/// one trial too many costs a round trip.
static BROKE_AT: AtomicU64 = AtomicU64::new(0);

/// A connection broke just now.
pub(super) fn note() {
    BROKE_AT.store(now(), Ordering::Relaxed);
}

/// Whether a connection that lay idle for so long may have broken meanwhile.
fn is_suspect(idle: Duration) -> bool {
    let broke_at = BROKE_AT.load(Ordering::Relaxed);
    broke_at > 0 && broke_at >= now().saturating_sub(micros(idle))
}

fn now() -> u64 {
    micros(BEGAN.get_or_init(Instant::now).elapsed()).saturating_add(1)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Has a pool try connections that may be broken.
pub(super) fn watched(options: PgPoolOptions) -> PgPoolOptions {
    options.test_before_acquire(false).before_acquire(|conn, idle| {
        let suspect = is_suspect(idle.idle_for);
        Box::pin(async move { Ok(!suspect || answers(conn).await) })
    })
}

async fn answers(conn: &mut PgConnection) -> bool {
    matches!(tokio::time::timeout(TRIAL, conn.ping()).await, Ok(Ok(())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_idle_when_something_broke_is_suspect() {
        note();
        let since = BROKE_AT.load(Ordering::Relaxed);
        assert!(is_suspect(Duration::from_secs(1)));
        while now() <= since + 10 {}
        // Another test may have noted something since.
        assert!(!is_suspect(Duration::ZERO) || BROKE_AT.load(Ordering::Relaxed) > since);
    }
}
