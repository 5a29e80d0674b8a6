//! What just happened, for whoever listens. Published only after the change is committed;
//! a listener that is slow or absent never holds anybody up.

use serde_json::Value;
use tokio::sync::broadcast;

use super::watchers::Watchers;
use crate::model::actor::Actor;
use crate::model::ids::WorkspaceId;

/// How many events a slow listener may fall behind before it loses the oldest.
const BACKLOG: usize = 1024;

#[derive(Clone, Debug)]
pub struct Event {
    pub workspace_id: WorkspaceId,
    /// For example `task:queued`.
    pub kind: &'static str,
    /// `member`, `agent` or `system`.
    pub actor_type: &'static str,
    /// Empty for the system.
    pub actor_id: String,
    pub payload: Value,
}

#[derive(Clone)]
pub struct Events {
    watchers: Watchers,
    sender: broadcast::Sender<Event>,
}

impl Default for Events {
    fn default() -> Self {
        Self { watchers: Watchers::default(), sender: broadcast::channel(BACKLOG).0 }
    }
}

impl Events {
    /// Hands the event to everyone who listens. It is made only if somebody does.
    pub fn publish(&self, event: impl FnOnce() -> Event) {
        let listened = self.sender.receiver_count() > 0;
        if !listened && self.watchers.is_empty() {
            return;
        }
        let event = event();
        self.watchers.tell(&event);
        if listened {
            // Fails only when the last listener left meanwhile.
            let _ = self.sender.send(event);
        }
    }

    /// The sockets of people.
    pub fn watchers(&self) -> &Watchers {
        &self.watchers
    }

    /// An event of the system itself.
    pub fn system(&self, workspace_id: WorkspaceId, kind: &'static str, payload: impl FnOnce() -> Value) {
        self.publish(|| Event {
            workspace_id,
            kind,
            actor_type: "system",
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
            kind,
            actor_type: actor.kind(),
            actor_id: actor.id().to_string(),
            payload: payload(),
        });
    }

    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.sender.subscribe()
    }
}
