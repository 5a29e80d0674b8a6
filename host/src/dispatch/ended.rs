//! A task came to its end: clients hear of it, and plugins that asked to.

use serde_json::Value;

use super::lifecycle::between;
use super::wakeup;
use crate::app::App;
use crate::claim::draft;
use crate::enrich::finished;
use crate::model::ids::WorkspaceId;
use crate::model::task::Task;
use crate::model::task_body::task_body;
use crate::plugin::stage::Subject;
use crate::telemetry::metrics;

/// `kind` is `task:completed`, `task:failed` or `task:cancelled`.
pub fn tell(app: &App, workspace_id: WorkspaceId, task: &Task, kind: &'static str) {
    tell_with(app, workspace_id, task, kind, || wakeup::event(task));
}

/// As [`tell`], with an event that says more.
pub fn tell_with(
    app: &App,
    workspace_id: WorkspaceId,
    task: &Task,
    kind: &'static str,
    payload: impl FnOnce() -> Value,
) {
    app.events.system(workspace_id, kind, payload);
    count(task);
    let subject = || Subject {
        task_id: task.id.to_string(),
        workspace_id: workspace_id.to_string(),
        agent_id: task.agent_id.to_string(),
        kind: draft::kind(task.kind()),
    };
    let shown = || {
        let mut body = task_body(task, workspace_id);
        // What an agent printed may hold anything; an integration gets the fact, not the text.
        body.remove("result");
        Value::Object(body).to_string()
    };
    finished::tell(&app.plugins.snapshot(), subject, shown);
}

fn count(task: &Task) {
    let ended_at = task.completed_at.unwrap_or(task.created_at);
    metrics::task_ended(&metrics::Ended {
        source: task.source(),
        status: task.status.as_str(),
        failure_reason: task.failure_reason.as_deref(),
        attempt: task.attempt,
        ran: task.started_at.map(|started| between(started, ended_at)),
        total: between(task.created_at, ended_at),
    });
}
