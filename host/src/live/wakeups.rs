//! Which runtimes have new work, told to their daemons and to whoever else listens.

use tokio::sync::broadcast;

use super::hub::Hub;
use crate::model::ids::{RuntimeId, TaskId};

/// How many hints a slow listener may miss before it loses the oldest; it then has to
/// treat every runtime as woken.
const BACKLOG: usize = 1024;

#[derive(Clone)]
pub struct Wakeups {
    hub: Hub,
    sender: broadcast::Sender<RuntimeId>,
}

impl Wakeups {
    pub fn new(hub: Hub) -> Self {
        Self { hub, sender: broadcast::channel(BACKLOG).0 }
    }

    /// Something may have become claimable on the runtime: a task ended, or its agent got
    /// more room.
    pub fn bump(&self, runtime: RuntimeId) {
        self.wake(runtime, None);
    }

    /// A task became claimable on the runtime.
    pub fn queued(&self, runtime: RuntimeId, task: TaskId) {
        self.wake(runtime, Some(task));
    }

    /// Hears of every runtime that is woken here.
    pub fn subscribe(&self) -> broadcast::Receiver<RuntimeId> {
        self.sender.subscribe()
    }

    fn wake(&self, runtime: RuntimeId, task: Option<TaskId>) {
        // Fails only when nobody listens. Before the daemon hears: its claim must not find
        // an older verdict.
        let _ = self.sender.send(runtime);
        self.hub.task_available(runtime, task);
    }
}
