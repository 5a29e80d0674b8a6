//! Which runtimes have new work, for whoever holds a line to their daemons.

use tokio::sync::broadcast;

use crate::model::ids::RuntimeId;

/// How many hints a slow listener may miss before it loses the oldest; it then has to
/// treat every runtime as woken.
const BACKLOG: usize = 1024;

#[derive(Clone)]
pub struct Wakeups {
    sender: broadcast::Sender<RuntimeId>,
}

impl Default for Wakeups {
    fn default() -> Self {
        Self { sender: broadcast::channel(BACKLOG).0 }
    }
}

impl Wakeups {
    /// Something became claimable on the runtime.
    pub fn bump(&self, runtime: RuntimeId) {
        // Fails only when nobody listens.
        let _ = self.sender.send(runtime);
    }

    pub fn subscribe(&self) -> broadcast::Receiver<RuntimeId> {
        self.sender.subscribe()
    }
}
