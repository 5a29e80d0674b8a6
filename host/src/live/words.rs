//! By which way a word goes to the other nodes: by Redis where every node hears that, by PostgreSQL
//! otherwise. Nobody has to agree on anything, because a node that hears a word twice drops one.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use chrono::TimeDelta;
use tokio::time::Instant;
use uuid::Uuid;

use super::redis::Redis;
use crate::model::time::Clock;
use crate::store::{Db, StoreError, plugin_nodes};

/// How long the number of nodes is believed.
const COUNTED: Duration = Duration::from_secs(5);
/// A node that was not seen for so long is gone; until then it counts among those who ought to hear.
const GONE: TimeDelta = TimeDelta::seconds(45);
/// How many words are remembered, to know those that come a second time.
const RECENT: usize = 1000;

/// The ways out of this node.
pub(super) struct Ways {
    db: Db,
    clock: Clock,
    redis: Option<Redis>,
    /// How many nodes there are, and when they were counted.
    nodes: Option<(usize, Instant)>,
}

impl Ways {
    pub(super) fn new(db: Db, clock: Clock, redis: Option<Redis>) -> Self {
        Self { db, clock, redis, nodes: None }
    }

    /// Says the word to every node, on `channel` where it goes by PostgreSQL, and tells by which
    /// way it went. A node that just came may not be counted yet: `everywhere` goes by both ways.
    pub(super) async fn say(
        &mut self,
        channel: &str,
        word: &str,
        everywhere: bool,
    ) -> Result<&'static str, StoreError> {
        if let Some(redis) = &self.redis
            && let Ok(heard) = redis.say(word).await
            && !everywhere
            && heard >= self.count_nodes().await
        {
            return Ok("redis");
        }
        self.db.say(channel, word).await?;
        Ok("postgres")
    }

    /// One that is cut off from Redis, or was never told of it, is seen in the database.
    async fn count_nodes(&mut self) -> usize {
        if let Some((nodes, at)) = self.nodes
            && at.elapsed() < COUNTED
        {
            return nodes;
        }
        let since = self.clock.now() - GONE;
        let counted = async { plugin_nodes::count(&mut self.db.reader().await?, since).await };
        let Ok(nodes) = counted.await else { return usize::MAX };
        self.nodes = Some((nodes, Instant::now()));
        nodes
    }
}

/// The words that came last, by who said them and their number there.
#[derive(Default)]
pub(super) struct Recent {
    order: VecDeque<(Uuid, u64)>,
    known: HashSet<(Uuid, u64)>,
}

impl Recent {
    /// Whether the word came before. Words of older nodes have the number 0 and come once.
    pub(super) fn is_known(&mut self, from: Uuid, number: u64) -> bool {
        if number == 0 {
            return false;
        }
        if !self.known.insert((from, number)) {
            return true;
        }
        self.order.push_back((from, number));
        if self.order.len() > RECENT
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_new_once_and_only_so_many_are_remembered() {
        let (mut recent, from) = (Recent::default(), Uuid::from_u128(1));
        for number in 1..=3000 {
            assert!(!recent.is_known(from, number) && recent.is_known(from, number), "{number}");
        }
        assert!(!recent.is_known(Uuid::from_u128(2), 3000));
        assert_eq!((recent.order.len(), recent.known.len()), (RECENT, RECENT));
        // What older nodes say cannot be told apart.
        assert!(!recent.is_known(from, 0) && !recent.is_known(from, 0));
    }
}
