//! What a caller can act on when the database says no.

use thiserror::Error;

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
        match &error {
            sqlx::Error::Database(database) => {
                let what = database.constraint().map_or_else(|| database.message().to_owned(), str::to_owned);
                match database.kind() {
                    sqlx::error::ErrorKind::UniqueViolation => Self::Conflict { what },
                    sqlx::error::ErrorKind::ForeignKeyViolation => Self::Reference { what },
                    sqlx::error::ErrorKind::CheckViolation | sqlx::error::ErrorKind::NotNullViolation => {
                        Self::Check { what }
                    }
                    // Busy, deadlock, serialisation, shutdown: nothing is wrong with the call.
                    _ if matches!(
                        database.code().as_deref(),
                        Some("5" | "6" | "40001" | "40P01" | "57P01" | "57P03" | "53300")
                    ) =>
                    {
                        Self::Unavailable(Some(error))
                    }
                    _ => Self::Query(error),
                }
            }
            sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::Io(_)
            | sqlx::Error::WorkerCrashed => Self::Unavailable(Some(error)),
            _ => Self::Query(error),
        }
    }
}

impl StoreError {
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict { .. })
    }
}
