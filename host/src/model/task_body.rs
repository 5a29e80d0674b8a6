//! The task as every route shows it. A claim adds members of its own to this.

use serde_json::{Map, Value};

use crate::model::ids::WorkspaceId;
use crate::model::task::Task;
use crate::model::text::relative_work_dir;
use crate::model::time::{Time, seconds};

/// The task object. Some members are always there, with `null` or `""` for "none"; the
/// others are left out when they are empty.
pub fn task_body(task: &Task, workspace_id: WorkspaceId) -> Map<String, Value> {
    let mut body = Map::new();
    let mut put = |name: &str, value: Value| body.insert(name.to_owned(), value);
    put("id", task.id.to_string().into());
    put("agent_id", task.agent_id.to_string().into());
    put("runtime_id", task.runtime_id.to_string().into());
    put("issue_id", task.issue_id.map(|id| id.to_string()).unwrap_or_default().into());
    put("workspace_id", workspace_id.to_string().into());
    put("status", task.status.as_str().into());
    put("priority", task.priority.into());
    put("dispatched_at", time(task.dispatched_at));
    put("started_at", time(task.started_at));
    put("completed_at", time(task.completed_at));
    put("result", task.result.clone().unwrap_or_default());
    put("error", task.error.clone().into());
    put("attempt", task.attempt.into());
    put("max_attempts", task.max_attempts.into());
    put("created_at", seconds(task.created_at).into());
    put("kind", serde_json::to_value(task.kind()).unwrap_or_default());

    let relative = task
        .work_dir
        .as_deref()
        .and_then(|dir| relative_work_dir(dir, &workspace_id.to_string(), &task.id.to_string()));
    let optional = [
        ("failure_reason", task.failure_reason.clone()),
        ("parent_task_id", task.parent_task_id.map(|id| id.to_string())),
        ("work_dir", task.work_dir.clone()),
        ("relative_work_dir", relative),
        ("trigger_comment_id", task.trigger_comment_id.map(|id| id.to_string())),
        ("trigger_summary", task.trigger_summary.clone()),
        ("handoff_note", task.handoff_note.clone()),
        ("chat_session_id", task.chat_session_id.map(|id| id.to_string())),
        ("autopilot_run_id", task.autopilot_run_id.map(|id| id.to_string())),
    ];
    for (name, value) in optional {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            put(name, value.into());
        }
    }
    body
}

fn time(time: Option<Time>) -> Value {
    time.map(seconds).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::task::tests::sample;

    #[test]
    fn what_is_empty_is_left_out_and_what_is_promised_is_there() {
        let task = Task { trigger_summary: Some(String::new()), ..sample() };
        let body = task_body(&task, WorkspaceId::new());
        assert_eq!(body.len(), 16);
        assert_eq!(body["issue_id"], "");
        assert_eq!(body["kind"], "quick_create");
        assert_eq!(body["result"], Value::Null);
        assert!(!body.contains_key("trigger_summary"));
    }
}
