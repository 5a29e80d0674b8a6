//! The floor of a claim's storage: a table that holds nothing but what a claim must touch,
//! and the least SQL that marks a task and mints its token, through the library that the
//! gateway uses. No caps, no lanes, no context, no answer.

use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::Context;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, PgPool, SqliteConnection};
use uuid::Uuid;

use crate::report::as_f64;

/// Claims that share a commit.
pub const GROUP: u16 = 32;
/// Runtimes, each with a queue of its own.
const RUNTIMES: u16 = 32;
/// Tasks that wait for each second of a run; more than any machine claims.
const TASKS_A_SECOND: i64 = 50_000;
/// Clients on PostgreSQL that claim one by one, and those that claim in groups.
const SINGLES: u16 = 8;
const GROUPERS: u16 = 2;

pub enum Bare {
    Sqlite(SqliteConnection),
    Postgres(PgPool),
}

const ONE_SQLITE: &str = "UPDATE floor_task SET status = 1 WHERE id =
    (SELECT id FROM floor_task WHERE runtime = $1 AND status = 0 ORDER BY priority DESC, id LIMIT 1) RETURNING id";
const TOKEN_SQLITE: &str = "INSERT INTO floor_token (hash, task) VALUES ($1, $2)";
/// Both steps at once, and one round trip.
const ONE_POSTGRES: &str = "WITH claimed AS (UPDATE floor_task SET status = 1 WHERE id =
        (SELECT id FROM floor_task WHERE runtime = $1 AND status = 0 ORDER BY priority DESC, id LIMIT 1
         FOR UPDATE SKIP LOCKED) RETURNING id)
    INSERT INTO floor_token (hash, task) SELECT $2, id FROM claimed RETURNING task";
const GROUP_SQLITE: &str = "UPDATE floor_task SET status = 1 WHERE id IN
    (SELECT (SELECT id FROM floor_task WHERE runtime = value AND status = 0 ORDER BY priority DESC, id LIMIT 1)
     FROM json_each($1)) RETURNING id";
const TOKENS_SQLITE: &str =
    "INSERT INTO floor_token (hash, task) SELECT randomblob(32), value FROM json_each($1)";
const GROUP_POSTGRES: &str = "WITH picked AS MATERIALIZED (SELECT t.id FROM unnest($1::int[]) r (runtime)
        CROSS JOIN LATERAL (SELECT id FROM floor_task WHERE runtime = r.runtime AND status = 0
            ORDER BY priority DESC, id LIMIT 1 FOR UPDATE SKIP LOCKED) t),
    claimed AS (UPDATE floor_task SET status = 1 WHERE id = ANY(ARRAY(SELECT id FROM picked)) RETURNING id)
    INSERT INTO floor_token (hash, task) SELECT decode(md5(id::text || $2), 'hex'), id FROM claimed RETURNING task";

impl Bare {
    /// Makes the tables anew and fills them for both runs, each of so long.
    pub async fn open(url: &str, time: Duration) -> anyhow::Result<Self> {
        let tasks = TASKS_A_SECOND * 2 * i64::try_from(time.as_secs().clamp(1, 60))?;
        if url.starts_with("sqlite:") {
            let options = SqliteConnectOptions::from_str(url)?
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Normal)
                .disable_statement_logging();
            let mut conn = options.connect().await.context("the floor's database cannot be opened")?;
            for sql in [
                "DROP TABLE IF EXISTS floor_token",
                "DROP TABLE IF EXISTS floor_task",
                "CREATE TABLE floor_task (id INTEGER PRIMARY KEY, runtime INTEGER NOT NULL, status INTEGER NOT NULL,
                    priority INTEGER NOT NULL)",
                "CREATE INDEX floor_next ON floor_task (runtime, priority DESC, id) WHERE status = 0",
                "CREATE TABLE floor_token (hash BLOB NOT NULL UNIQUE, task INTEGER NOT NULL)",
            ] {
                sqlx::query(sql).execute(&mut conn).await?;
            }
            let fill = "INSERT INTO floor_task (runtime, status, priority)
                WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < $1)
                SELECT i % $2, 0, 0 FROM n";
            sqlx::query(fill).bind(tasks).bind(i32::from(RUNTIMES)).execute(&mut conn).await?;
            return Ok(Self::Sqlite(conn));
        }
        let options = PgConnectOptions::from_str(url)?.disable_statement_logging();
        let pool = PgPoolOptions::new()
            .max_connections(u32::from(SINGLES))
            .test_before_acquire(false)
            .connect_with(options)
            .await
            .context("the floor's database cannot be opened")?;
        for sql in [
            "DROP TABLE IF EXISTS floor_token",
            "DROP TABLE IF EXISTS floor_task",
            "CREATE TABLE floor_task (id BIGINT PRIMARY KEY, runtime INT NOT NULL, status INT NOT NULL,
                priority INT NOT NULL)",
            "CREATE INDEX floor_next ON floor_task (runtime, priority DESC, id) WHERE status = 0",
            "CREATE TABLE floor_token (hash BYTEA NOT NULL UNIQUE, task BIGINT NOT NULL)",
        ] {
            sqlx::query(sql).execute(&pool).await?;
        }
        let fill = "INSERT INTO floor_task SELECT i, i % $2, 0, 0 FROM generate_series(1, $1) i";
        sqlx::query(fill).bind(tasks).bind(i64::from(RUNTIMES)).execute(&pool).await?;
        sqlx::query("ANALYZE floor_task").execute(&pool).await?;
        Ok(Self::Postgres(pool))
    }

    /// Claims a second, each with a commit of its own.
    pub async fn one_by_one(&mut self, time: Duration) -> anyhow::Result<f64> {
        let began = Instant::now();
        let claimed = match self {
            Self::Sqlite(conn) => {
                let mut claimed = 0;
                while began.elapsed() < time {
                    let mut transaction = conn.begin_with("BEGIN IMMEDIATE").await?;
                    let runtime = i32::try_from(claimed % u64::from(RUNTIMES))?;
                    let task: i64 =
                        sqlx::query_scalar(ONE_SQLITE).bind(runtime).fetch_one(&mut *transaction).await?;
                    let token = token();
                    sqlx::query(TOKEN_SQLITE).bind(token).bind(task).execute(&mut *transaction).await?;
                    transaction.commit().await?;
                    claimed += 1;
                }
                claimed
            }
            Self::Postgres(pool) => {
                side_by_side(SINGLES, |number| {
                    let pool = pool.clone();
                    async move {
                        let mut conn = pool.acquire().await?;
                        let mut claimed = 0;
                        while began.elapsed() < time {
                            let runtime =
                                (u64::from(number) + claimed * u64::from(SINGLES)) % u64::from(RUNTIMES);
                            let _: i64 = sqlx::query_scalar(ONE_POSTGRES)
                                .bind(i32::try_from(runtime)?)
                                .bind(token())
                                .fetch_one(&mut *conn)
                                .await?;
                            claimed += 1;
                        }
                        Ok(claimed)
                    }
                })
                .await?
            }
        };
        Ok(as_f64(claimed) / began.elapsed().as_secs_f64())
    }

    /// Claims a second, a group of them with each commit.
    pub async fn in_groups(&mut self, time: Duration) -> anyhow::Result<f64> {
        let began = Instant::now();
        let claimed = match self {
            Self::Sqlite(conn) => {
                let runtimes: Vec<u16> = (0..GROUP).map(|number| number % RUNTIMES).collect();
                let runtimes = serde_json::to_string(&runtimes)?;
                let mut claimed = 0;
                while began.elapsed() < time {
                    let mut transaction = conn.begin_with("BEGIN IMMEDIATE").await?;
                    let tasks: Vec<i64> =
                        sqlx::query_scalar(GROUP_SQLITE).bind(&runtimes).fetch_all(&mut *transaction).await?;
                    let list = serde_json::to_string(&tasks)?;
                    sqlx::query(TOKENS_SQLITE).bind(list).execute(&mut *transaction).await?;
                    transaction.commit().await?;
                    claimed += tasks.len() as u64;
                }
                claimed
            }
            Self::Postgres(pool) => {
                side_by_side(GROUPERS, |number| {
                    let pool = pool.clone();
                    async move {
                        let mut conn = pool.acquire().await?;
                        // Two that never want the same row first.
                        let mut runtimes: Vec<i32> = (0..i32::from(GROUP)).collect();
                        runtimes.rotate_left(usize::from(number) * usize::from(GROUP / GROUPERS));
                        let mut claimed = 0;
                        while began.elapsed() < time {
                            let tasks: Vec<i64> = sqlx::query_scalar(GROUP_POSTGRES)
                                .bind(&runtimes)
                                .bind(Uuid::new_v4().to_string())
                                .fetch_all(&mut *conn)
                                .await?;
                            claimed += tasks.len() as u64;
                        }
                        Ok(claimed)
                    }
                })
                .await?
            }
        };
        Ok(as_f64(claimed) / began.elapsed().as_secs_f64())
    }
}

/// Runs them side by side and adds up what they give.
async fn side_by_side<F>(count: u16, work: impl Fn(u16) -> F) -> anyhow::Result<u64>
where
    F: Future<Output = anyhow::Result<u64>> + Send + 'static,
{
    let mut workers = tokio::task::JoinSet::new();
    for number in 0..count {
        workers.spawn(work(number));
    }
    let mut total = 0;
    while let Some(worker) = workers.join_next().await {
        total += worker.context("a worker broke off")??;
    }
    Ok(total)
}

/// As long and as random as a token's hash.
fn token() -> Vec<u8> {
    [Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_claim_takes_a_task_and_leaves_a_token() {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", dir.path().join("floor.db").display());
        let time = Duration::from_millis(50);
        let mut bare = Bare::open(&url, time).await.unwrap();
        assert!(bare.one_by_one(time).await.unwrap() > 0.0);
        assert!(bare.in_groups(time).await.unwrap() > 0.0);
        let Bare::Sqlite(conn) = &mut bare else { panic!("this is SQLite") };
        let sql =
            "SELECT (SELECT count(*) FROM floor_task WHERE status = 1), (SELECT count(*) FROM floor_token),
            (SELECT count(DISTINCT task) FROM floor_token)";
        let (claimed, tokens, tasks): (i64, i64, i64) = sqlx::query_as(sql).fetch_one(conn).await.unwrap();
        assert!(claimed > 32);
        assert_eq!((claimed, claimed), (tokens, tasks));
    }
}
