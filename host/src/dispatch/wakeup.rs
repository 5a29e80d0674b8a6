//! Telling a daemon that there is something to claim. A hint only: a daemon that hears
//! nothing finds the task at its next poll.

use crate::app::App;
use crate::model::ids::WorkspaceId;
use crate::model::task::Task;
use serde_json::{Value, json};

/// A task entered the queue: clients hear of it first, then its daemon is woken, because
/// the claim that follows has an event of its own.
pub fn queued(app: &App, workspace_id: WorkspaceId, task: &Task) {
    app.events.system(workspace_id, "task:queued", || event(task));
    wake(app, task);
}

/// As [`queued`] for the paths that say nothing to clients.
pub fn wake(app: &App, task: &Task) {
    app.wakeups.queued(task.runtime_id, task.id);
}

/// What every `task:*` event carries.
pub fn event(task: &Task) -> Value {
    let mut payload = json!({
        "task_id": task.id,
        "agent_id": task.agent_id,
        "issue_id": task.issue_id.map(|id| id.to_string()).unwrap_or_default(),
        "status": task.status,
    });
    if let (Some(session), Some(map)) = (task.chat_session_id, payload.as_object_mut()) {
        map.insert("chat_session_id".to_owned(), session.to_string().into());
    }
    payload
}
