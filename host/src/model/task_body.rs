//! The task as every route shows it. A claim adds members of its own to this.

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::model::ids::{AgentId, AutopilotRunId, ChatSessionId, CommentId, RuntimeId, TaskId, WorkspaceId};
use crate::model::status::{TaskKind, TaskStatus};
use crate::model::task::Task;
use crate::model::text::relative_work_dir;
use crate::model::time::Time;

/// Some members are always there, with `null` or `""` for "none"; the others are left out
/// when they are empty.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TaskBody {
    pub id: TaskId,
    pub agent_id: AgentId,
    pub runtime_id: RuntimeId,
    /// Empty when the task is bound to no issue.
    pub issue_id: String,
    pub workspace_id: WorkspaceId,
    pub status: TaskStatus,
    pub priority: i32,
    #[serde(serialize_with = "super::time::as_seconds_or_null::serialize")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub dispatched_at: Option<Time>,
    #[serde(serialize_with = "super::time::as_seconds_or_null::serialize")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Time>,
    #[serde(serialize_with = "super::time::as_seconds_or_null::serialize")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub completed_at: Option<Time>,
    pub result: Option<Value>,
    pub error: Option<String>,
    pub attempt: i32,
    pub max_attempts: i32,
    #[serde(serialize_with = "super::time::as_seconds::serialize")]
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Time,
    pub kind: TaskKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_task_id: Option<TaskId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub work_dir: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relative_work_dir: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trigger_comment_id: Option<CommentId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trigger_summary: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handoff_note: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chat_session_id: Option<ChatSessionId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autopilot_run_id: Option<AutopilotRunId>,
}

impl TaskBody {
    pub fn new(task: &Task, workspace_id: WorkspaceId) -> Self {
        let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let relative = task
            .work_dir
            .as_deref()
            .and_then(|dir| relative_work_dir(dir, &workspace_id.to_string(), &task.id.to_string()));
        Self {
            id: task.id,
            agent_id: task.agent_id,
            runtime_id: task.runtime_id,
            issue_id: task.issue_id.map(|id| id.to_string()).unwrap_or_default(),
            workspace_id,
            status: task.status,
            priority: task.priority,
            dispatched_at: task.dispatched_at,
            started_at: task.started_at,
            completed_at: task.completed_at,
            result: task.result.clone(),
            error: task.error.clone(),
            attempt: task.attempt,
            max_attempts: task.max_attempts,
            created_at: task.created_at,
            kind: task.kind(),
            failure_reason: text(&task.failure_reason),
            parent_task_id: task.parent_task_id,
            work_dir: text(&task.work_dir),
            relative_work_dir: relative.filter(|text| !text.is_empty()),
            trigger_comment_id: task.trigger_comment_id,
            trigger_summary: text(&task.trigger_summary),
            handoff_note: text(&task.handoff_note),
            chat_session_id: task.chat_session_id,
            autopilot_run_id: task.autopilot_run_id,
        }
    }
}

/// As an object that members can be added to.
pub fn task_body(task: &Task, workspace_id: WorkspaceId) -> Map<String, Value> {
    match serde_json::to_value(TaskBody::new(task, workspace_id)) {
        Ok(Value::Object(body)) => body,
        _ => Map::new(),
    }
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
