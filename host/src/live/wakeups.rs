//! Which runtimes have new work, and which profiles changed, told to the daemons whom it
//! concerns: those with a socket here at once, those on other nodes over the bus.

use uuid::Uuid;

use super::bus::{Hint, Outbox};
use super::hub::Hub;
use crate::model::ids::{RuntimeId, TaskId, WorkspaceId};

#[derive(Clone)]
pub struct Wakeups {
    hub: Hub,
    /// Absent where there are no other nodes.
    outbox: Option<Outbox>,
}

impl Wakeups {
    pub fn new(hub: Hub, outbox: Option<Outbox>) -> Self {
        Self { hub, outbox }
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

    fn tell(&self, hint: Hint) {
        if let Some(outbox) = &self.outbox {
            outbox.push(hint);
        }
    }
}
