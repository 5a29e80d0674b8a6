//! Where tasks belong that are at work, kept in memory: what a daemon reports all the time is then
//! stored without a look at the task first.
//!
//! Known of tasks on issues alone. Such a task goes when its issue goes, and an issue never moves to
//! another workspace, so what is known holds as long as the task is there. That it is there must
//! be found out by the write.

use std::time::Duration;

use moka::sync::Cache;

use crate::model::ids::{IssueId, TaskId, WorkspaceId};
use crate::model::status::TaskKind;
use crate::model::task::Task;

/// How many tasks are remembered, and how long one of which nothing is heard.
const TASKS: u64 = 20_000;
const IDLE: Duration = Duration::from_mins(10);

#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub task_id: TaskId,
    pub workspace_id: WorkspaceId,
    pub issue_id: Option<IssueId>,
    pub is_in_chat: bool,
    /// As metrics tell it; see [`Task::source`].
    pub source: &'static str,
}

impl Place {
    pub fn of(task: &Task, workspace_id: WorkspaceId) -> Self {
        Self {
            task_id: task.id,
            workspace_id,
            issue_id: task.issue_id,
            is_in_chat: task.chat_session_id.is_some(),
            source: task.source(),
        }
    }
}

#[derive(Clone)]
pub struct Places(Cache<TaskId, Place>);

impl Default for Places {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(TASKS).time_to_idle(IDLE).build())
    }
}

impl Places {
    pub fn find(&self, id: TaskId) -> Option<Place> {
        self.0.get(&id)
    }

    pub fn learn(&self, task: &Task, workspace_id: WorkspaceId) {
        let stays = matches!(task.kind(), TaskKind::Comment | TaskKind::Direct) && task.issue_id.is_some();
        if stays {
            self.0.insert(task.id, Place::of(task, workspace_id));
        }
    }

    pub fn forget(&self, id: TaskId) {
        self.0.invalidate(&id);
    }
}
