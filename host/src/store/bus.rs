//! Words from node to node over PostgreSQL. Kept by nobody: who is not connected misses them.
//!
//! They go over connections of their own. When all of those for requests are taken, nodes still
//! hear each other.

use sqlx::postgres::PgListener;

use super::conn::{Db, Pool};
use super::error::StoreError;
use super::suspicion;

/// The longest word that PostgreSQL carries, in bytes.
pub const LONGEST: usize = 7999;

/// Hears what any node said on a channel since it was opened, this one included.
pub struct Listener(PgListener);

impl Listener {
    /// The next word; `None` when the connection is lost, and what is said from then on with it.
    pub async fn next(&mut self) -> Result<Option<String>, StoreError> {
        let word = self.0.try_recv().await?;
        if word.is_none() {
            suspicion::note();
        }
        Ok(word.map(|word| word.payload().to_owned()))
    }
}

impl Db {
    /// Listens on a channel; `None` where no other node can be.
    pub async fn listen(&self, channel: &str) -> Result<Option<Listener>, StoreError> {
        let Pool::Postgres { bus, .. } = &self.pool else { return Ok(None) };
        let mut listener = PgListener::connect_with(bus).await?;
        // Whoever listens is to know at once that nothing is heard, not once it is heard again.
        listener.eager_reconnect(false);
        listener.listen(channel).await?;
        Ok(Some(Listener(listener)))
    }

    /// Says a word of at most [`LONGEST`] bytes to every node that listens on the channel. Never
    /// part of a transaction: commits that say something wait for each other.
    pub async fn say(&self, channel: &str, word: &str) -> Result<(), StoreError> {
        let Pool::Postgres { bus, .. } = &self.pool else { return Ok(()) };
        sqlx::query("SELECT pg_notify($1, $2)").bind(channel).bind(word).execute(bus).await?;
        Ok(())
    }

    /// Says several words together: they are heard one after the other, with nothing of this
    /// node's between them. Of words that are alike only one is heard.
    pub async fn say_all(&self, channel: &str, words: &[String]) -> Result<(), StoreError> {
        const SQL: &str = "SELECT pg_notify($1, word) FROM unnest($2::text[]) AS word";
        let Pool::Postgres { bus, .. } = &self.pool else { return Ok(()) };
        sqlx::query(SQL).bind(channel).bind(words).execute(bus).await?;
        Ok(())
    }
}
