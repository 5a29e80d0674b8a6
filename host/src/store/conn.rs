//! A connection to either database, and the macro that writes a query once for both.

use std::ops::{Deref, DerefMut};

use futures_util::future::BoxFuture;
use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, PgPool, Postgres, Sqlite, SqlitePool, Transaction};

use super::error::StoreError;
use super::writer::{Durability, Writer};

/// The handle everything is read and written through; cheap to clone.
#[derive(Clone)]
pub struct Db {
    pub(super) pool: Pool,
}

#[derive(Clone)]
pub(super) enum Pool {
    Sqlite { readers: SqlitePool, writer: Writer },
    Postgres(PgPool),
}

/// One connection of whichever database is configured.
pub enum Conn {
    Sqlite(PoolConnection<Sqlite>),
    Postgres(PgHandle),
}

/// A PostgreSQL connection, in a transaction or not.
pub enum PgHandle {
    Plain(PoolConnection<Postgres>),
    Transaction(Transaction<'static, Postgres>),
}

impl Deref for PgHandle {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        match self {
            Self::Plain(conn) => conn,
            Self::Transaction(conn) => conn,
        }
    }
}

impl DerefMut for PgHandle {
    fn deref_mut(&mut self) -> &mut PgConnection {
        match self {
            Self::Plain(conn) => conn,
            Self::Transaction(conn) => conn,
        }
    }
}

/// Runs the body on whichever database is configured. Written once, type-checked for both:
/// `on_conn!(conn, |c| sqlx::query(SQL).bind(id).execute(c).await)?`.
macro_rules! on_conn {
    ($conn:expr, |$c:ident| $body:expr) => {
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
    };
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

/// Makes a `model` struct readable from a row of either database, column for field.
macro_rules! from_row {
    ($type:ty { $($field:ident $(= $column:literal)?),* $(,)? }) => {
        from_row!(@one sqlx::sqlite::SqliteRow, $type { $($field $(= $column)?),* });
        from_row!(@one sqlx::postgres::PgRow, $type { $($field $(= $column)?),* });
    };
    (@one $row:ty, $type:ty { $($field:ident $(= $column:literal)?),* }) => {
        impl<'r> sqlx::FromRow<'r, $row> for $type {
            fn from_row(row: &'r $row) -> Result<Self, sqlx::Error> {
                use sqlx::Row;
                Ok(Self { $($field: row.try_get(from_row!(@column $field $(= $column)?))?,)* })
            }
        }
    };
    (@column $field:ident = $column:literal) => { $column };
    (@column $field:ident) => { stringify!($field).trim_start_matches("r#") };
}

impl Db {
    /// A connection for reading. What it sees is what was committed.
    pub async fn reader(&self) -> Result<Conn, StoreError> {
        Ok(match &self.pool {
            Pool::Sqlite { readers, .. } => Conn::Sqlite(readers.acquire().await?),
            Pool::Postgres(pool) => Conn::Postgres(PgHandle::Plain(pool.acquire().await?)),
        })
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

    async fn write_with<T, E, F>(&self, durability: Durability, work: F) -> Result<T, E>
    where
        F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        match &self.pool {
            Pool::Sqlite { writer, .. } => writer.run(durability, work).await,
            Pool::Postgres(pool) => {
                let transaction = pool.begin().await.map_err(StoreError::from)?;
                let mut conn = Conn::Postgres(PgHandle::Transaction(transaction));
                // A dropped transaction rolls back, so an error needs nothing more.
                let value = work(&mut conn).await?;
                if let Conn::Postgres(PgHandle::Transaction(transaction)) = conn {
                    transaction.commit().await.map_err(StoreError::from)?;
                }
                Ok(value)
            }
        }
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
            Pool::Sqlite { readers, writer } => {
                writer.close().await;
                readers.close().await;
            }
            Pool::Postgres(pool) => pool.close().await,
        }
    }
}
