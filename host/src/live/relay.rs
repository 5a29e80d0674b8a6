//! What happens on one node, told to the people who watch on the others. Sent only while there
//! are others; one that is lost is seen when its page is loaded again.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::events::Event;
use super::pulse::Pulse;
use super::watchers::Watchers;
use crate::store::bus::{LONGEST, Listener};
use crate::store::{Db, StoreError};
use crate::telemetry::metrics;

const CHANNEL: &str = "switchyard_events";
/// How long events are gathered before they go out together.
const GATHER: Duration = Duration::from_millis(3);
/// What may wait to go out. There is more only while the database is away, or overwhelmed.
const MOST: usize = 10_000;
const MOST_BYTES: usize = 16 << 20;
/// The longest event that other nodes are told of.
const LONGEST_EVENT: usize = 1 << 20;
/// How much text a word holds beside its frame.
const ROOM: usize = LONGEST - 120;
/// How many words one statement says.
const WORDS: usize = 64;
/// How many nodes may be in the middle of a long event.
const MOST_NODES: usize = 256;
/// How long to wait for a database that cannot be reached.
const PAUSE: Duration = Duration::from_secs(1);

/// Events that wait to go out to other nodes. Cheap to clone; every clone is the same.
#[derive(Clone)]
pub struct Relay {
    pulse: Pulse,
    waiting: Arc<Mutex<Waiting>>,
    more: Arc<Notify>,
}

#[derive(Default)]
struct Waiting {
    events: VecDeque<String>,
    bytes: usize,
}

impl Relay {
    pub fn new(pulse: Pulse) -> Self {
        Self { pulse, waiting: Arc::default(), more: Arc::default() }
    }

    /// Whether there is anybody to tell.
    pub fn is_wanted(&self) -> bool {
        self.pulse.has_others()
    }

    pub fn push(&self, event: &Event) {
        let Ok(text) = serde_json::to_string(event) else { return };
        let mut waiting = self.waiting();
        let full = waiting.events.len() >= MOST || waiting.bytes + text.len() > MOST_BYTES;
        if full || text.len() > LONGEST_EVENT {
            return metrics::relayed("lost", 1);
        }
        waiting.bytes += text.len();
        waiting.events.push_back(text);
        self.more.notify_one();
    }

    fn take(&self) -> VecDeque<String> {
        let mut waiting = self.waiting();
        waiting.bytes = 0;
        std::mem::take(&mut waiting.events)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // A list is never left half changed.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Connects this node with the others until the gateway stops.
pub async fn connect(
    db: &Db,
    relay: &Relay,
    watchers: &Watchers,
    stopping: &CancellationToken,
) -> Result<(), StoreError> {
    let Some(listener) = db.listen(CHANNEL).await? else { return Ok(()) };
    tokio::spawn(stopping.clone().run_until_cancelled_owned(send(db.clone(), relay.clone())));
    let hear = hear(db.clone(), listener, relay.pulse.node(), watchers.clone());
    tokio::spawn(stopping.clone().run_until_cancelled_owned(hear));
    Ok(())
}

async fn send(db: Db, relay: Relay) {
    let mut words = Words { node: relay.pulse.node(), count: 0 };
    loop {
        relay.more.notified().await;
        sleep(GATHER).await;
        let events = relay.take();
        let count = events.len();
        let words = words.of(events);
        let mut said = Ok(());
        for some in words.chunks(WORDS) {
            said = said.and(db.say_all(CHANNEL, some).await);
        }
        match said {
            Ok(()) => metrics::relayed("sent", count),
            Err(error) => {
                metrics::relayed("lost", count);
                tracing::warn!(%error, events = count, "people on other nodes were not told of all that happened");
            }
        }
    }
}

/// Events as words. A word holds a list of them, or a part of a list that fits into none. Before
/// it stand the node, a number that no other word of the node has, and how many parts follow.
struct Words {
    node: Uuid,
    count: u64,
}

impl Words {
    fn of(&mut self, events: impl IntoIterator<Item = String>) -> Vec<String> {
        let mut words = Vec::new();
        let mut together = String::new();
        for event in events {
            if together.len() + event.len() + 3 > ROOM {
                self.close(&mut together, &mut words);
            }
            if event.len() + 2 > ROOM {
                let whole = format!("[{event}]");
                let parts = parts(&whole);
                let last = parts.len() - 1;
                for (place, part) in parts.into_iter().enumerate() {
                    words.push(self.word(last - place, part));
                }
                continue;
            }
            together.push(if together.is_empty() { '[' } else { ',' });
            together.push_str(&event);
        }
        self.close(&mut together, &mut words);
        words
    }

    fn close(&mut self, together: &mut String, words: &mut Vec<String>) {
        if !together.is_empty() {
            together.push(']');
            words.push(self.word(0, together));
            together.clear();
        }
    }

    fn word(&mut self, follow: usize, text: &str) -> String {
        self.count += 1;
        format!("{} {} {follow} {text}", self.node.simple(), self.count)
    }
}

/// Pieces of a text that fit into a word each.
fn parts(mut text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    while !text.is_empty() {
        let (part, rest) = text.split_at(text.floor_char_boundary(ROOM));
        parts.push(part);
        text = rest;
    }
    parts
}

async fn hear(db: Db, mut listener: Listener, node: Uuid, watchers: Watchers) {
    let mut heard = Heard { node, begun: HashMap::new() };
    loop {
        if let Ok(Some(word)) = listener.next().await {
            // Nothing is read for nobody.
            if !watchers.is_empty() {
                heard.take(&word).iter().for_each(|event| watchers.tell(event));
            }
            continue;
        }
        tracing::warn!("what happens on other nodes is not heard until the database is");
        // A part that was missed makes a whole of no event.
        heard.begun.clear();
        drop(listener);
        listener = listen_again(&db).await;
    }
}

async fn listen_again(db: &Db) -> Listener {
    loop {
        match db.listen(CHANNEL).await {
            Ok(Some(listener)) => return listener,
            Ok(None) => {}
            Err(error) => tracing::debug!(%error, "what happens on other nodes cannot be heard"),
        }
        sleep(PAUSE).await;
    }
}

/// Makes events of words again.
struct Heard {
    node: Uuid,
    /// Long events of which parts are missing, by node.
    begun: HashMap<Uuid, Begun>,
}

struct Begun {
    text: String,
    /// How many parts must still follow.
    follow: usize,
}

impl Heard {
    fn take(&mut self, word: &str) -> Vec<Event> {
        let mut fields = word.splitn(4, ' ');
        let mut next = || fields.next().unwrap_or_default();
        let (Ok(from), _, Ok(follow), text) = (next().parse::<Uuid>(), next(), next().parse(), next()) else {
            return Vec::new();
        };
        if from == self.node {
            return Vec::new();
        }
        let Some(text) = self.whole(from, follow, text) else { return Vec::new() };
        let events: Option<Vec<Event>> = serde_json::from_str(&text).ok();
        match &events {
            Some(events) => metrics::relayed("heard", events.len()),
            None => metrics::relayed("lost", 1),
        }
        events.unwrap_or_default()
    }

    /// The text, once nothing of it is missing.
    fn whole(&mut self, from: Uuid, follow: usize, part: &str) -> Option<String> {
        let begun = self.begun.remove(&from);
        let begun = begun.filter(|begun| begun.follow == follow + 1);
        let mut text = begun.map(|begun| begun.text).unwrap_or_default();
        text.push_str(part);
        if follow == 0 {
            return Some(text);
        }
        if text.len() < LONGEST_EVENT + LONGEST && self.begun.len() < MOST_NODES {
            self.begun.insert(from, Begun { text, follow });
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::ids::WorkspaceId;

    fn event(text: &str) -> Event {
        Event {
            workspace_id: WorkspaceId::new(),
            kind: "issue:created".into(),
            actor_type: "system".into(),
            actor_id: String::new(),
            payload: json!({"text": text}),
        }
    }

    #[test]
    fn short_and_long_events_arrive_as_they_were_and_in_order() {
        let long = "ü\u{0}\"".repeat(20_000);
        let events =
            ["a", "b", &long, "c", &"x".repeat(ROOM / 2), &"y".repeat(ROOM / 2), &long].map(event).to_vec();
        let texts = events.iter().map(|event| serde_json::to_string(event).unwrap());
        let words = Words { node: Uuid::new_v4(), count: 0 }.of(texts);
        assert!(words.iter().all(|word| word.len() <= LONGEST && !word.contains('\0')));
        let mut heard = Heard { node: Uuid::new_v4(), begun: HashMap::new() };
        let arrived: Vec<Event> = words.iter().flat_map(|word| heard.take(word)).collect();
        assert_eq!(arrived, events);
        // An event of which a part is missing is lost alone.
        let arrived: Vec<Event> = words
            .iter()
            .enumerate()
            .filter(|(at, _)| *at != 3)
            .flat_map(|(_, word)| heard.take(word))
            .collect();
        let mut rest = events;
        rest.remove(2);
        assert_eq!(arrived, rest);
    }

    #[test]
    fn own_words_and_nonsense_are_passed_over() {
        let node = Uuid::new_v4();
        let words = Words { node, count: 0 }.of([serde_json::to_string(&event("a")).unwrap()]);
        let mut heard = Heard { node, begun: HashMap::new() };
        assert_eq!(heard.take(&words[0]), []);
        let other = Uuid::new_v4().simple().to_string();
        for word in ["", "x", "  ", &format!("{other} 1 x {{}}"), &format!("{other} 1 0 nonsense")] {
            assert_eq!(heard.take(word), [], "{word}");
        }
    }

    #[test]
    fn what_waits_is_bounded() {
        let relay = Relay::new(Pulse::new(true));
        relay.push(&event(&"x".repeat(LONGEST_EVENT)));
        assert!(relay.take().is_empty());
        for _ in 0..=MOST {
            relay.push(&event("a"));
        }
        assert_eq!(relay.take().len(), MOST);
        for _ in 0..40 {
            relay.push(&event(&"x".repeat(LONGEST_EVENT / 2)));
        }
        assert!(relay.take().len() < 40);
    }
}
