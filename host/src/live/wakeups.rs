//! Which runtimes have new work, and which profiles changed, told to the daemons whom it
//! concerns: those with a socket here at once, those on other nodes over the bus.

use std::sync::Arc;

use tokio::sync::{Notify, broadcast};
use uuid::Uuid;

use super::bus::{Hint, Outbox};
use super::hub::Hub;
use crate::model::ids::{RuntimeId, TaskId, WorkspaceId};

/// Questions that may wait here; those over it are lost, and asked again by who wants to know.
const ASKED: usize = 256;

#[derive(Clone)]
pub struct Wakeups {
    hub: Hub,
    /// Absent where there are no other nodes.
    outbox: Option<Outbox>,
    /// Told when another node applied a set of plugins.
    applied: Arc<Notify>,
    /// Tasks whose traces other nodes ask for.
    asked: broadcast::Sender<TaskId>,
}

impl Wakeups {
    pub fn new(hub: Hub, outbox: Option<Outbox>, applied: Arc<Notify>) -> Self {
        Self { hub, outbox, applied, asked: broadcast::Sender::new(ASKED) }
    }

    /// Something may have become claimable on the runtime: a task ended, or its agent got
    /// more room.
    pub fn bump(&self, runtime: RuntimeId) {
        self.hub.task_available(runtime, None);
        self.tell(Hint::Task { runtime, task: None });
    }

    /// A task became claimable on the runtime.
    pub fn queued(&self, runtime: RuntimeId, task: TaskId) {
        self.hub.task_available(runtime, Some(task));
        self.tell(Hint::Task { runtime, task: Some(task) });
    }

    /// A custom runtime of the workspace was added, changed or removed; `profile` says which.
    pub fn profiles_changed(&self, workspace: WorkspaceId, profile: Option<Uuid>) {
        self.hub.profiles_changed(workspace, profile);
        self.tell(Hint::Profiles { workspace, profile });
    }

    /// A set of plugins was applied here; the other nodes ought to look.
    pub fn set_applied(&self, generation: u64) {
        if let Some(outbox) = &self.outbox {
            outbox.push(Hint::Plugins { generation });
        }
    }

    /// Asks the other nodes for the trace of a task; whether there can be any.
    pub fn ask_for_trace(&self, task: TaskId) -> bool {
        let Some(outbox) = &self.outbox else { return false };
        outbox.push(Hint::Trace { task });
        true
    }

    /// Tasks whose traces other nodes ask for from now on.
    pub fn asked_for_traces(&self) -> broadcast::Receiver<TaskId> {
        self.asked.subscribe()
    }

    /// What waits for other nodes.
    pub(super) fn outbox(&self) -> Option<&Outbox> {
        self.outbox.as_ref()
    }

    /// As [`Wakeups::queued`] or [`Wakeups::bump`], on another node.
    pub(super) fn task_elsewhere(&self, runtime: RuntimeId, task: Option<TaskId>) {
        self.hub.task_available(runtime, task);
    }

    /// As [`Wakeups::profiles_changed`], on another node.
    pub(super) fn profiles_elsewhere(&self, workspace: WorkspaceId, profile: Option<Uuid>) {
        self.hub.profiles_changed(workspace, profile);
    }

    /// As [`Wakeups::set_applied`], on another node.
    pub(super) fn set_applied_elsewhere(&self) {
        self.applied.notify_one();
    }

    /// Another node asks for the trace of a task.
    pub(super) fn trace_wanted(&self, task: TaskId) {
        // Nobody listens while the gateway starts.
        let _ = self.asked.send(task);
    }

    fn tell(&self, hint: Hint) {
        if let Some(outbox) = &self.outbox {
            outbox.push(hint);
        }
    }
}
