//! What PostgreSQL knows of the tables that grow fastest. It plans by that, and keeps plans for as
//! long; of a table that filled up within the minute it knows nothing yet, and takes an index that
//! reads all of it for as good as the one that was made for the question.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::{AssertSqlSafe, PgPool};

/// How many entered queues, here and since the start, when PostgreSQL is asked to look. Later
/// its own clock is fast enough.
const WHEN: [u64; 5] = [50, 250, 1_000, 5_000, 20_000];

/// Those tables that are more than twice as long as they were at the last look, or had none. Of a long
/// table a look takes the time of a thousand claims, and a few thousand rows more change nothing there.
const GROWN: &str = "SELECT t.name FROM unnest(ARRAY['agent_task_queue', 'task_token', 'issue', 'comment',
        'activity_log', 'task_message']) WITH ORDINALITY AS t (name, place)
    JOIN pg_class c ON c.oid = t.name::regclass
    WHERE pg_relation_size(c.oid) > 2 * c.relpages::bigint * current_setting('block_size')::bigint
    ORDER BY t.place";

/// Cheap to clone; every clone is the same.
#[derive(Clone, Default)]
pub struct Statistics(Arc<AtomicU64>);

impl Statistics {
    /// So many tasks entered queues.
    pub fn grew(&self, by: usize, pool: &PgPool) {
        if !self.is_due(by as u64) {
            return;
        }
        let pool = pool.clone();
        tokio::spawn(async move {
            if let Err(error) = look(&pool).await {
                tracing::debug!(%error, "the statistics of tables were not gathered");
            }
        });
    }

    fn is_due(&self, by: u64) -> bool {
        let before = self.0.fetch_add(by, Ordering::Relaxed);
        WHEN.iter().any(|when| (before..before + by).contains(&(when - 1)))
    }
}

/// Each table in a transaction of its own, so that none keeps what was deleted from another. Skips
/// what somebody else looks at.
async fn look(pool: &PgPool) -> Result<(), sqlx::Error> {
    let grown: Vec<String> = sqlx::query_scalar(GROWN).fetch_all(pool).await?;
    if grown.is_empty() {
        return Ok(());
    }
    let look = format!("ANALYZE (SKIP_LOCKED) {}", grown.join(", "));
    sqlx::raw_sql(AssertSqlSafe(look)).execute(pool).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_is_due_each_time_that_a_number_is_reached() {
        let statistics = Statistics::default();
        let due = (0..30_000).filter(|_| statistics.is_due(1)).count();
        assert_eq!(due, WHEN.len());
        let statistics = Statistics::default();
        assert!(!statistics.is_due(49) && statistics.is_due(7) && !statistics.is_due(100));
        assert!(statistics.is_due(10_000) && !statistics.is_due(0));
    }
}
