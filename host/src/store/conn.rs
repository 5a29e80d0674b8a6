//! A connection to either database, and the macro that writes a query once for both.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, PgPool, Postgres, Sqlite, SqliteConnection, SqlitePool, Transaction};

use super::elsewhere::Elsewhere;
use super::error::StoreError;
use super::others::{Moved, Others};
use super::queue_versions::{Entered, QueueVersions};
use super::statistics::Statistics;
use super::writer::{Durability, Writer};
use crate::model::ids::RuntimeId;
use crate::telemetry::metrics;

/// The handle everything is read and written through; cheap to clone.
#[derive(Clone)]
pub struct Db {
    pub(super) pool: Pool,
    pub(super) versions: QueueVersions,
    pub(super) others: Arc<Others>,
}

#[derive(Clone)]
pub(super) enum Pool {
    Sqlite {
        readers: SqlitePool,
        writer: Writer,
        checkpoints: SqlitePool,
        elsewhere: Elsewhere,
    },
    /// The bus has connections of its own, and so have groups of claims.
    Postgres {
        requests: PgPool,
        claims: PgPool,
        bus: PgPool,
        statistics: Statistics,
    },
}

/// One connection of whichever database is configured.
pub enum Conn {
    Sqlite(SqliteHandle),
    Postgres(PgHandle),
}

/// A SQLite connection, and what entered queues in the group of writes that it runs.
pub struct SqliteHandle {
    pub(super) conn: PoolConnection<Sqlite>,
    entered: Vec<Entered>,
}

/// A PostgreSQL connection, and what entered queues in its transaction.
pub struct PgHandle {
    link: PgLink,
    entered: Vec<Entered>,
}

enum PgLink {
    Plain(PoolConnection<Postgres>),
    Transaction(Transaction<'static, Postgres>),
}

impl Deref for SqliteHandle {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.conn
    }
}

impl DerefMut for SqliteHandle {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.conn
    }
}

impl Deref for PgHandle {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        match &self.link {
            PgLink::Plain(conn) => conn,
            PgLink::Transaction(conn) => conn,
        }
    }
}

impl DerefMut for PgHandle {
    fn deref_mut(&mut self) -> &mut PgConnection {
        match &mut self.link {
            PgLink::Plain(conn) => conn,
            PgLink::Transaction(conn) => conn,
        }
    }
}

impl Conn {
    pub(super) fn sqlite(conn: PoolConnection<Sqlite>) -> Self {
        Self::Sqlite(SqliteHandle { conn, entered: Vec::new() })
    }

    /// Notes that a task entered a queue, for those who must know once it is committed.
    pub(super) fn note(&mut self, entered: Entered) {
        match self {
            Self::Sqlite(handle) => handle.entered.push(entered),
            Self::Postgres(handle) => handle.entered.push(entered),
        }
    }

    /// What was noted since the last call.
    pub(super) fn take_notes(&mut self) -> Vec<Entered> {
        match self {
            Self::Sqlite(handle) => std::mem::take(&mut handle.entered),
            Self::Postgres(handle) => std::mem::take(&mut handle.entered),
        }
    }
}

/// Runs the body on whichever database is configured. Written once, type-checked for both:
/// `on_conn!(conn, |c| sqlx::query(SQL).bind(id).execute(c).await)?`.
macro_rules! on_conn {
    ($conn:expr, |$c:ident| $body:expr) => {{
        $crate::telemetry::metrics::db_statement();
        match $conn {
            $crate::store::Conn::Sqlite(conn) => {
                let $c = &mut **conn;
                $body
            }
            $crate::store::Conn::Postgres(conn) => {
                let $c = &mut **conn;
                $body
            }
        }
    }};
}

/// Counts the statements of a text that holds several but for the first, which [`on_conn!`] counts.
pub(super) fn count_more(sql: &str) {
    metrics::db_statements(sql.bytes().filter(|byte| *byte == b';').count() as u64);
}

/// Picks a query's text where the engines truly differ.
macro_rules! by_engine {
    ($conn:expr, sqlite: $sqlite:expr, postgres: $postgres:expr $(,)?) => {
        match $conn {
            $crate::store::Conn::Sqlite(_) => $sqlite,
            $crate::store::Conn::Postgres(_) => $postgres,
        }
    };
}

/// Makes a `model` struct readable from a row of either database, column for field. Fields after a
/// semicolon are read from the whole row, as structs of their own.
macro_rules! from_row {
    ($type:ty { $($field:ident $(= $column:literal)?),* $(,)? $(; $($part:ident),+)? }) => {
        from_row!(@one sqlx::sqlite::SqliteRow, $type { $($field $(= $column)?),* ; $($($part),+)? });
        from_row!(@one sqlx::postgres::PgRow, $type { $($field $(= $column)?),* ; $($($part),+)? });
    };
    (@one $row:ty, $type:ty { $($field:ident $(= $column:literal)?),* ; $($part:ident),* }) => {
        impl<'r> sqlx::FromRow<'r, $row> for $type {
            fn from_row(row: &'r $row) -> Result<Self, sqlx::Error> {
                use sqlx::Row;
                Ok(Self {
                    $($field: row.try_get(from_row!(@column $field $(= $column)?))?,)*
                    $($part: sqlx::FromRow::from_row(row)?,)*
                })
            }
        }
    };
    (@column $field:ident = $column:literal) => { $column };
    (@column $field:ident) => {{
        const NAME: &str = stringify!($field);
        NAME.strip_prefix("r#").unwrap_or(NAME)
    }};
}

impl Db {
    /// The same database for groups of claims, of which few are under way at a time. On PostgreSQL
    /// these have connections of their own, so that it is always the same process that claims: each
    /// has its own plans and its own view of the tables, and to fill them takes many times a claim.
    #[must_use]
    pub fn for_claims(&self) -> Self {
        let mut db = self.clone();
        if let Pool::Postgres { requests, claims, .. } = &mut db.pool {
            *requests = claims.clone();
        }
        db
    }

    /// A connection for reading. What it sees is what was committed.
    ///
    /// The wait for one is on the heap, here and below: kilobytes that every call on the way to a
    /// database would carry along otherwise, again at each step, even where none is asked.
    pub async fn reader(&self) -> Result<Conn, StoreError> {
        Ok(match &self.pool {
            Pool::Sqlite { readers, .. } => Conn::sqlite(Box::pin(readers.acquire()).await?),
            Pool::Postgres { requests, .. } => {
                let link = PgLink::Plain(Box::pin(requests.acquire()).await?);
                Conn::Postgres(PgHandle { link, entered: Vec::new() })
            }
        })
    }

    /// Asks something, and once more when the connection turned out to be broken. What is asked
    /// must change nothing.
    pub async fn look<T, F>(&self, ask: F) -> Result<T, StoreError>
    where
        F: for<'c> Fn(&'c mut Conn) -> BoxFuture<'c, Result<T, StoreError>>,
    {
        let mut conn = self.reader().await?;
        match ask(&mut conn).await {
            Err(error) if error.is_broken() => {
                tracing::debug!(%error, "a connection was broken; another one is asked");
                drop(conn);
                ask(&mut self.reader().await?).await
            }
            answer => answer,
        }
    }

    /// Runs `work` in a transaction and answers when it is committed; an error takes back
    /// everything `work` did. For what a caller was promised: it is on disk when this
    /// returns.
    ///
    /// `work` must use the connection it is given and wait for nothing else, because on
    /// SQLite every other write waits for it. On PostgreSQL a failed statement ends the
    /// transaction: a write that may meet a uniqueness rule and go on says `ON CONFLICT`.
    pub async fn write<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.write_with(Durability::Durable, work).await
    }

    /// As [`Db::write`], for what is made again when a power cut takes the last moment:
    /// claims, leases, liveness. A crash of the process alone loses nothing.
    pub async fn write_soon<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.write_with(Durability::Relaxed, work).await
    }

    /// As [`Db::write`], for `work` that is a single statement on PostgreSQL, which is a
    /// transaction of its own there and saves two round trips. Nothing may enter a queue.
    pub async fn write_once<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.write_once_with(Durability::Durable, work).await
    }

    /// As [`Db::write_once`], for what [`Db::write_soon`] is for.
    pub async fn write_once_soon<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.write_once_with(Durability::Relaxed, work).await
    }

    async fn write_once_with<T, E, F>(&self, durability: Durability, work: F) -> Result<T, E>
    where
        F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        match &self.pool {
            Pool::Sqlite { writer, .. } => writer.run(durability, work).await,
            Pool::Postgres { .. } => work(&mut self.reader().await?).await,
        }
    }

    async fn write_with<T, E, F>(&self, durability: Durability, work: F) -> Result<T, E>
    where
        F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        match &self.pool {
            Pool::Sqlite { writer, .. } => writer.run(durability, work).await,
            Pool::Postgres { requests, .. } => {
                let transaction = Box::pin(begin(requests)).await?;
                let link = PgLink::Transaction(transaction);
                let mut conn = Conn::Postgres(PgHandle { link, entered: Vec::new() });
                // A dropped transaction rolls back, so an error needs nothing more.
                let value = work(&mut conn).await?;
                Box::pin(self.commit(conn)).await?;
                Ok(value)
            }
        }
    }

    /// Ends a transaction of PostgreSQL. What entered a queue is made known even when the
    /// caller goes away while the commit is under way, and when nobody can say whether it
    /// happened.
    async fn commit(&self, mut conn: Conn) -> Result<(), StoreError> {
        let entered = conn.take_notes();
        let Conn::Postgres(PgHandle { link: PgLink::Transaction(transaction), .. }) = conn else {
            return Ok(());
        };
        metrics::db_statement();
        if entered.is_empty() {
            return Ok(transaction.commit().await?);
        }
        if let Pool::Postgres { bus, statistics, .. } = &self.pool {
            statistics.grew(entered.len(), bus);
        }
        let (versions, others) = (self.versions.clone(), self.others.clone());
        let committing = tokio::spawn(async move {
            let committed = transaction.commit().await;
            versions.entered(&entered);
            for entry in &entered {
                others.note(Moved::Queue(entry.queue()));
            }
            committed
        });
        Ok(committing.await.unwrap_or(Err(sqlx::Error::WorkerCrashed))?)
    }

    /// A number that moves whenever something enters the runtime's queue. `None` where it
    /// cannot be known, because others write to the same database and do not say so.
    pub fn queue_version(&self, runtime: RuntimeId) -> Option<u64> {
        // Neither part ever shrinks, so that the sum stands still only when both do.
        let outside = self.outside_changes()?;
        Some(self.versions.current(runtime).wrapping_add(outside))
    }

    /// A number that moves when another process may have written to the database. `None`
    /// where that cannot be noticed.
    pub fn outside_changes(&self) -> Option<u64> {
        match &self.pool {
            // Whose operator says that nobody else writes need not look.
            Pool::Sqlite { .. } if self.others.is_exclusive() => Some(0),
            Pool::Sqlite { elsewhere, .. } => Some(elsewhere.changes()),
            Pool::Postgres { .. } => self.others.changes(),
        }
    }

    /// Whether other nodes may read and write here, too.
    pub fn is_shared(&self) -> bool {
        matches!(self.pool, Pool::Postgres { .. })
    }

    /// Whether the database answers a trivial question.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let mut conn = self.reader().await?;
        on_conn!(&mut conn, |c| sqlx::query("SELECT 1").execute(c).await.map(drop))?;
        Ok(())
    }

    /// Waits for what is under way and closes every connection.
    pub async fn close(&self) {
        match &self.pool {
            Pool::Sqlite { readers, writer, checkpoints, .. } => {
                writer.close().await;
                readers.close().await;
                // Last, so that the file is whole without its log when this returns.
                checkpoints.close().await;
            }
            Pool::Postgres { requests, claims, bus, .. } => {
                tokio::join!(requests.close(), claims.close(), bus.close());
            }
        }
    }
}

/// Begins a transaction; on another connection when the first turned out to be broken, because
/// nothing was written yet.
async fn begin(pool: &PgPool) -> Result<Transaction<'static, Postgres>, StoreError> {
    metrics::db_statement();
    match pool.begin().await.map_err(StoreError::from) {
        Err(error) if error.is_broken() => {
            metrics::db_statement();
            Ok(pool.begin().await?)
        }
        begun => begun,
    }
}
