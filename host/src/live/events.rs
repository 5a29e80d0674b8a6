//! What just happened, for whoever listens. Published only after the change is committed;
//! a listener that is slow or absent never holds anybody up.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::broadcast;

use super::relay::Relay;
use super::watchers::Watchers;
use crate::model::actor::Actor;
use crate::model::ids::WorkspaceId;

/// How many events a slow listener may fall behind before it loses the oldest.
const BACKLOG: usize = 1024;

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Event {
    pub workspace_id: WorkspaceId,
    /// For example `task:queued`.
    pub kind: Cow<'static, str>,
    /// `member`, `agent` or `system`.
    pub actor_type: Cow<'static, str>,
    /// Empty for the system.
    pub actor_id: String,
    pub payload: Value,
}

#[derive(Clone)]
pub struct Events {
    watchers: Watchers,
    sender: broadcast::Sender<Event>,
    /// Absent where there are no other nodes.
    relay: Option<Relay>,
}

impl Events {
    pub fn new(relay: Option<Relay>) -> Self {
        Self { watchers: Watchers::default(), sender: broadcast::channel(BACKLOG).0, relay }
    }

    /// Hands the event to everyone who listens. It is made only if somebody does.
    pub fn publish(&self, event: impl FnOnce() -> Event) {
        let listened = self.sender.receiver_count() > 0;
        let relay = self.relay.as_ref().filter(|relay| relay.is_wanted());
        if !listened && relay.is_none() && self.watchers.is_empty() {
            return;
        }
        let event = event();
        self.watchers.tell(&event);
        if let Some(relay) = relay {
            relay.push(&event);
        }
        if listened {
            // Fails only when the last listener left meanwhile.
            let _ = self.sender.send(event);
        }
    }

    /// What tells people on other nodes.
    pub fn relay(&self) -> Option<&Relay> {
        self.relay.as_ref()
    }

    /// The sockets of people.
    pub fn watchers(&self) -> &Watchers {
        &self.watchers
    }

    /// An event of the system itself.
    pub fn system(&self, workspace_id: WorkspaceId, kind: &'static str, payload: impl FnOnce() -> Value) {
        self.publish(|| Event {
            workspace_id,
            kind: kind.into(),
            actor_type: "system".into(),
            actor_id: String::new(),
            payload: payload(),
        });
    }

    /// An event that somebody caused.
    pub fn by(
        &self,
        actor: Actor,
        workspace_id: WorkspaceId,
        kind: &'static str,
        payload: impl FnOnce() -> Value,
    ) {
        self.publish(|| Event {
            workspace_id,
            kind: kind.into(),
            actor_type: actor.kind().into(),
            actor_id: actor.id().to_string(),
            payload: payload(),
        });
    }

    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.sender.subscribe()
    }
}
