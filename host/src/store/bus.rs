//! Words from node to node over PostgreSQL. Kept by nobody: who is not connected misses them.

use sqlx::postgres::PgListener;

use super::conn::{Db, Pool};
use super::error::StoreError;

/// The longest word that PostgreSQL carries, in bytes.
pub const LONGEST: usize = 7999;

/// Hears what any node said on a channel since it was opened, this one included.
pub struct Listener(PgListener);

impl Listener {
    /// The next word; `None` when the connection is lost, and what is said from then on with it.
    pub async fn next(&mut self) -> Result<Option<String>, StoreError> {
        Ok(self.0.try_recv().await?.map(|word| word.payload().to_owned()))
    }
}

impl Db {
    /// Listens on a channel; `None` where no other node can be.
    pub async fn listen(&self, channel: &str) -> Result<Option<Listener>, StoreError> {
        let Pool::Postgres(pool) = &self.pool else { return Ok(None) };
        let mut listener = PgListener::connect_with(pool).await?;
        listener.listen(channel).await?;
        Ok(Some(Listener(listener)))
    }

    /// Says a word of at most [`LONGEST`] bytes to every node that listens on the channel. Never
    /// part of a transaction: commits that say something wait for each other.
    pub async fn say(&self, channel: &str, word: &str) -> Result<(), StoreError> {
        let Pool::Postgres(pool) = &self.pool else { return Ok(()) };
        sqlx::query("SELECT pg_notify($1, $2)").bind(channel).bind(word).execute(pool).await?;
        Ok(())
    }
}
