//! What a caller can act on when the database says no.

use thiserror::Error;

use super::suspicion;

#[derive(Debug, Error)]
pub enum StoreError {
    /// A uniqueness rule was hit; `what` names the constraint or the columns.
    #[error("conflict with {what}")]
    Conflict { what: String },
    /// A row that another refers to is missing, or still referred to.
    #[error("a reference is broken: {what}")]
    Reference { what: String },
    /// A value outside what a column accepts.
    #[error("a value was rejected: {what}")]
    Check { what: String },
    /// The database did not answer; trying again may help.
    #[error("the database is unavailable")]
    Unavailable(#[source] Option<sqlx::Error>),
    #[error("query failed")]
    Query(#[source] sqlx::Error),
    #[error("the schema could not be brought up to date")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    #[error("{0}")]
    Unsupported(String),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if is_broken(&error) {
            suspicion::note();
        }
        match &error {
            sqlx::Error::Database(database) => {
                let what = database.constraint().map_or_else(|| database.message().to_owned(), str::to_owned);
                match database.kind() {
                    sqlx::error::ErrorKind::UniqueViolation => Self::Conflict { what },
                    sqlx::error::ErrorKind::ForeignKeyViolation => Self::Reference { what },
                    sqlx::error::ErrorKind::CheckViolation | sqlx::error::ErrorKind::NotNullViolation => {
                        Self::Check { what }
                    }
                    // Busy, deadlock, serialisation, a lock that was waited for too long, too many
                    // connections: nothing is wrong with the call.
                    _ if matches!(
                        database.code().as_deref(),
                        Some("5" | "6" | "40001" | "40P01" | LOCKED | "53300")
                    ) || is_broken(&error) =>
                    {
                        Self::Unavailable(Some(error))
                    }
                    _ => Self::Query(error),
                }
            }
            sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::Io(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::WorkerCrashed => Self::Unavailable(Some(error)),
            _ => Self::Query(error),
        }
    }
}

/// Somebody held a lock for longer than it is waited for.
const LOCKED: &str = "55P03";

/// Whether the connection is of no more use: lost, ended by the server, or by one that starts.
fn is_broken(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) => true,
        sqlx::Error::Database(database) => database.code().is_some_and(|code| {
            code.starts_with("08") || matches!(&*code, "57P01" | "57P02" | "57P03" | "57P05" | "25P03")
        }),
        _ => false,
    }
}

impl StoreError {
    /// Whether it was the connection that failed, and not what was asked of it.
    pub fn is_broken(&self) -> bool {
        matches!(self, Self::Unavailable(Some(error)) if is_broken(error))
    }

    /// Whether somebody held a lock for longer than it is waited for.
    pub fn is_locked(&self) -> bool {
        let Self::Unavailable(Some(sqlx::Error::Database(database))) = self else { return false };
        database.code().as_deref() == Some(LOCKED)
    }

    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict { .. })
    }
}
