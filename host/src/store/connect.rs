//! Opens either database, checks that it may be used, and brings its schema up to date.

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqlSafeStr, SqlitePool};

use super::conn::{Db, Pool};
use super::elsewhere::Elsewhere;
use super::error::StoreError;
use super::queue_versions::QueueVersions;
use super::statistics::Statistics;
use super::suspicion;
use super::writer::Writer;

/// Older ones can corrupt a write-ahead log that several connections use.
const OLDEST_SQLITE: (u32, u32, u32) = (3, 51, 3);
/// How PostgreSQL plans and waits on our connections. A statement is planned once for each: to plan
/// it anew for what is bound to it, as PostgreSQL likes to where that is an array, takes longer
/// than to run it. A plan that is kept since a table was small reads
/// all of it when it is large, until somebody gathers statistics; every query that is asked
/// often has an index, so indexes are what it is to use. Compiling queries never pays here.
///
/// Nobody waits for a lock for ever, or a few of them would take all connections. A transaction
/// of ours is never idle but when its node was stopped or cut off, and then its locks must go.
/// The server also looks whether the other end of a connection is still there.
const SESSION: &str = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET jit = off; SET random_page_cost = 1.1;
    SET lock_timeout = '5s'; SET idle_in_transaction_session_timeout = '5s';
    SET tcp_keepalives_idle = 15; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3;
    SET tcp_user_timeout = 30000";
/// What is said to other nodes need not outlive anything.
const BUS_SESSION: &str = "SET synchronous_commit = off; SET idle_in_transaction_session_timeout = '5s';
    SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3;
    SET tcp_user_timeout = 10000";
/// How often the write-ahead log is folded into the database file.
const CHECKPOINT_EVERY: Duration = Duration::from_millis(250);
/// How many pages the log may hold: 32 MiB.
const LONG_LOG: i64 = 8192;
/// SQLite readers are threads; more than the cores only wait for each other.
const SQLITE_READERS: u32 = 4;
const POSTGRES_CONNECTIONS: u32 = 16;
/// One claims, and another if that breaks.
const CLAIM_CONNECTIONS: u32 = 2;
/// Three that listen, and some that speak.
const BUS_CONNECTIONS: u32 = 6;

mod migrations {
    include!(concat!(env!("OUT_DIR"), "/migrations.rs"));
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Engine {
    Sqlite,
    Postgres,
}

/// Where the data is.
#[derive(Clone, Debug)]
pub struct Options {
    /// `sqlite:PATH` or `postgres://…`.
    pub url: String,
    /// How long a caller waits for a connection.
    pub acquire_timeout: Duration,
}

impl Options {
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), acquire_timeout: Duration::from_secs(5) }
    }

    pub fn engine(&self) -> Result<Engine, StoreError> {
        match self.url.split_once(':').map(|(scheme, _)| scheme) {
            Some("sqlite") => Ok(Engine::Sqlite),
            Some("postgres" | "postgresql") => Ok(Engine::Postgres),
            _ => Err(StoreError::Unsupported(
                "the database URL must start with `sqlite:` or `postgres://`".to_owned(),
            )),
        }
    }
}

impl Db {
    /// Connects and migrates.
    pub async fn open(options: &Options) -> Result<Self, StoreError> {
        match options.engine()? {
            Engine::Sqlite => open_sqlite(options).await,
            Engine::Postgres => open_postgres(options).await,
        }
    }
}

async fn open_sqlite(options: &Options) -> Result<Db, StoreError> {
    let connect = SqliteConnectOptions::from_str(&options.url)?
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(options.acquire_timeout)
        .pragma("wal_autocheckpoint", "0")
        .pragma("journal_size_limit", "67108864")
        .pragma("temp_store", "MEMORY")
        .pragma("cache_size", "-16000")
        .with_regexp()
        .optimize_on_close(true, 400);
    let connect = logging(connect);
    let file = connect.get_filename().to_owned();
    keep_private(&file)?;
    let one = |connect: SqliteConnectOptions| {
        SqlitePoolOptions::new()
            .max_connections(1)
            .min_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .acquire_timeout(options.acquire_timeout)
            .connect_with(connect)
    };
    let writer = one(connect.clone()).await?;
    let version: String = sqlx::query_scalar("SELECT sqlite_version()").fetch_one(&writer).await?;
    if !is_recent(&version) {
        let (major, minor, patch) = OLDEST_SQLITE;
        return Err(StoreError::Unsupported(format!(
            "SQLite {version} is too old: {major}.{minor}.{patch} or newer is needed"
        )));
    }
    migrator(migrations::SQLITE).run(&writer).await?;
    let checkpoints = one(connect.clone()).await?;
    let readers = SqlitePoolOptions::new()
        .max_connections(SQLITE_READERS)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .acquire_timeout(options.acquire_timeout)
        .connect_with(connect.pragma("query_only", "ON"))
        .await?;
    let long_log = Arc::<AtomicBool>::default();
    tokio::spawn(checkpoint(checkpoints.clone(), long_log.clone()));
    let versions = QueueVersions::default();
    let elsewhere = Elsewhere::new(&file);
    let writer = Writer::start(writer, versions.clone(), elsewhere.clone(), long_log)?;
    Ok(Db {
        pool: Pool::Sqlite { readers, writer, checkpoints, elsewhere },
        versions,
        others: Arc::default(),
    })
}

fn migrator(list: &[(i64, &'static str, &'static str)]) -> Migrator {
    let migrations = list.iter().map(|(number, name, sql)| {
        Migration::new(*number, (*name).into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    Migrator::with_migrations(migrations.collect())
}

async fn open_postgres(options: &Options) -> Result<Db, StoreError> {
    let connect = logging(PgConnectOptions::from_str(&options.url)?.application_name("switchyard"));
    // On a connection of its own: it waits for a node that migrates however long that takes.
    let mut conn = connect.connect().await?;
    migrator(migrations::POSTGRES).run(&mut conn).await?;
    conn.close().await?;
    let pool = |connections: u32, session: &'static str| {
        suspicion::watched(PgPoolOptions::new())
            .max_connections(connections)
            .acquire_timeout(options.acquire_timeout)
            .after_connect(move |conn, _| {
                Box::pin(async move { sqlx::raw_sql(session).execute(conn).await.map(drop) })
            })
    };
    let requests = pool(POSTGRES_CONNECTIONS, SESSION).connect_with(connect.clone()).await?;
    let claims = pool(CLAIM_CONNECTIONS, SESSION).connect_lazy_with(connect.clone());
    let bus = pool(BUS_CONNECTIONS, BUS_SESSION).idle_timeout(None).max_lifetime(None);
    let bus = bus.connect_lazy_with(connect);
    Ok(Db {
        pool: Pool::Postgres { requests, claims, bus, statistics: Statistics::default() },
        versions: QueueVersions::default(),
        others: Arc::default(),
    })
}

/// Folds the log back on a connection of its own, so that no writer waits for it. While there
/// is always something to write it never comes to the log's end, which then grows and makes
/// every read slower: past a length the writer is asked to begin it anew.
async fn checkpoint(pool: SqlitePool, long_log: Arc<AtomicBool>) {
    let mut every = tokio::time::interval(CHECKPOINT_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while pool.close_event().do_until(every.tick()).await.is_ok() {
        // Whether it was in somebody's way, pages in the log, pages folded back.
        let done: Result<(i64, i64, i64), _> =
            sqlx::query_as("PRAGMA wal_checkpoint(PASSIVE)").fetch_one(&pool).await;
        match done {
            Ok((_, pages, _)) => long_log.store(pages > LONG_LOG, Ordering::Relaxed),
            Err(error) => tracing::debug!(%error, "a checkpoint was put off"),
        }
    }
}

/// Statements are logged, without what is bound to them, for whoever asks for `sqlx::query` at
/// `trace`; for nobody else a statement bears the cost of the question.
fn logging<O: ConnectOptions>(options: O) -> O {
    let wanted = tracing::enabled!(target: "sqlx::query", tracing::Level::TRACE);
    if wanted { options } else { options.disable_statement_logging() }
}

/// The file holds secrets: nobody but its owner reads it.
fn keep_private(file: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};

    let name = file.to_string_lossy();
    if name.is_empty() || name.starts_with(":memory:") || name.starts_with("file:") {
        return Ok(());
    }
    let made = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(file)
        .and_then(|_| std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)));
    made.map_err(|error| StoreError::Unsupported(format!("cannot open the database file {name}: {error}")))
}

fn is_recent(version: &str) -> bool {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    (next(), next(), next()) >= OLDEST_SQLITE
}

#[cfg(test)]
mod tests {
    use super::super::{Db, Options};
    use super::is_recent;

    /// See `.cargo/config.toml`.
    #[tokio::test]
    async fn sqlite_is_built_as_it_should_be() -> anyhow::Result<()> {
        const SQL: &str = "PRAGMA compile_options";
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("switchyard.db");
        let db = Db::open(&Options::new(format!("sqlite:{}", file.display()))).await?;
        let options: Vec<String> =
            on_conn!(&mut db.reader().await?, |c| sqlx::query_scalar(SQL).fetch_all(c).await)?;
        let has = |name: &str| options.iter().any(|option| option == name);
        assert!(has("ENABLE_QPSG") && has("DEFAULT_MEMSTATUS=0"), "{options:?}");
        assert!(!has("ENABLE_MEMORY_MANAGEMENT"), "{options:?}");
        Ok(())
    }

    #[tokio::test]
    async fn a_closed_database_is_whole_without_its_log() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("switchyard.db");
        let db = Db::open(&Options::new(format!("sqlite:{}", file.display()))).await?;
        let log = folder.path().join("switchyard.db-wal");
        assert!(log.exists());
        db.close().await;
        assert!(!log.exists(), "somebody still has the file open");
        Ok(())
    }

    #[test]
    fn versions_compare_by_number() {
        assert!(is_recent("3.51.3") && is_recent("3.100.0") && is_recent("4.0.0"));
        assert!(!is_recent("3.51.2") && !is_recent("3.9.99") && !is_recent("nonsense"));
    }
}
