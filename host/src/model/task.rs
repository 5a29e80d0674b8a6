//! The task: one run of one agent.

use serde_json::Value;
use uuid::Uuid;

use super::ids::{
    AgentId, AutopilotRunId, ChatSessionId, CommentId, IssueId, RuntimeId, SquadId, TaskId, UserId,
};
use super::status::{TaskKind, TaskStatus};
use super::time::Time;

/// A row of `agent_task_queue`, without the overlay, which only a claim reads.
#[derive(Clone, Debug)]
pub struct Task {
    pub id: TaskId,
    pub agent_id: AgentId,
    pub runtime_id: RuntimeId,
    pub issue_id: Option<IssueId>,
    pub chat_session_id: Option<ChatSessionId>,
    pub autopilot_run_id: Option<AutopilotRunId>,
    pub status: TaskStatus,
    pub priority: i32,
    /// How often the task was handed out; a later claim makes an earlier one stale.
    pub claim_epoch: i32,
    pub dispatched_at: Option<Time>,
    pub started_at: Option<Time>,
    pub completed_at: Option<Time>,
    pub prepare_lease_expires_at: Option<Time>,
    pub wait_reason: Option<String>,
    pub result: Option<Value>,
    pub error: Option<String>,
    pub failure_reason: Option<String>,
    pub context: Option<Value>,
    pub session_id: Option<String>,
    pub work_dir: Option<String>,
    pub trigger_comment_id: Option<CommentId>,
    pub trigger_summary: Option<String>,
    pub attempt: i32,
    pub max_attempts: i32,
    pub parent_task_id: Option<TaskId>,
    pub force_fresh_session: bool,
    pub is_leader_task: bool,
    pub squad_id: Option<SquadId>,
    pub handoff_note: Option<String>,
    pub initiator_user_id: Option<UserId>,
    pub originator_user_id: Option<UserId>,
    pub escalation_for_task_id: Option<TaskId>,
    pub fire_at: Option<Time>,
    pub created_at: Time,
}

/// What a quick-create task carries in place of a link.
#[derive(Clone, Debug)]
pub struct QuickCreate {
    pub prompt: String,
    pub requester_id: Option<UserId>,
    pub workspace_id: Option<Uuid>,
    pub project_id: Option<Uuid>,
    pub squad_id: Option<Uuid>,
    pub parent_issue_id: Option<String>,
    pub attachment_ids: Vec<String>,
}

impl Task {
    /// First match: chat, autopilot, no issue, trigger comment, else direct.
    pub fn kind(&self) -> TaskKind {
        if self.chat_session_id.is_some() {
            TaskKind::Chat
        } else if self.autopilot_run_id.is_some() {
            TaskKind::Autopilot
        } else if self.issue_id.is_none() {
            TaskKind::QuickCreate
        } else if self.trigger_comment_id.is_some() {
            TaskKind::Comment
        } else {
            TaskKind::Direct
        }
    }

    /// Where the task comes from, as metrics tell it.
    pub fn source(&self) -> &'static str {
        match self.kind() {
            TaskKind::Chat => "chat",
            TaskKind::Autopilot => "autopilot",
            TaskKind::QuickCreate => "quick_create",
            TaskKind::Comment | TaskKind::Direct => "issue",
        }
    }

    /// The quick-create document, if that is what binds the task: no link at all and a
    /// context that says so.
    pub fn quick_create(&self) -> Option<QuickCreate> {
        if self.issue_id.is_some() || self.chat_session_id.is_some() || self.autopilot_run_id.is_some() {
            return None;
        }
        let context = self.context.as_ref()?.as_object()?;
        let text = |key: &str| context.get(key).and_then(Value::as_str);
        let id = |key: &str| text(key).and_then(super::ids::parse_uuid);
        (text("type") == Some("quick_create")).then(|| QuickCreate {
            prompt: text("prompt").unwrap_or_default().to_owned(),
            requester_id: id("requester_id").map(UserId),
            workspace_id: id("workspace_id"),
            project_id: id("project_id"),
            squad_id: id("squad_id"),
            parent_issue_id: text("parent_issue_id").filter(|text| !text.is_empty()).map(str::to_owned),
            attachment_ids: context
                .get("attachment_ids")
                .and_then(Value::as_array)
                .map(|ids| ids.iter().filter_map(Value::as_str).map(str::to_owned).collect())
                .unwrap_or_default(),
        })
    }
}

/// A task about to be queued. What is absent here is the column's default.
#[derive(Clone, Debug)]
pub struct NewTask {
    pub id: TaskId,
    pub agent_id: AgentId,
    pub runtime_id: RuntimeId,
    pub issue_id: Option<IssueId>,
    pub chat_session_id: Option<ChatSessionId>,
    pub autopilot_run_id: Option<AutopilotRunId>,
    pub status: TaskStatus,
    pub priority: i32,
    pub context: Option<Value>,
    pub session_id: Option<String>,
    pub work_dir: Option<String>,
    pub trigger_comment_id: Option<CommentId>,
    pub trigger_summary: Option<String>,
    pub attempt: i32,
    pub max_attempts: i32,
    pub parent_task_id: Option<TaskId>,
    pub force_fresh_session: bool,
    pub is_leader_task: bool,
    pub squad_id: Option<SquadId>,
    pub handoff_note: Option<String>,
    pub initiator_user_id: Option<UserId>,
    pub originator_user_id: Option<UserId>,
    pub escalation_for_task_id: Option<TaskId>,
    pub fire_at: Option<Time>,
    /// Secret: `{"mcpServers":{…}}` made when the task was queued.
    pub runtime_mcp_overlay: Option<Value>,
    pub runtime_connected_apps: Option<Value>,
    pub created_at: Time,
}

impl NewTask {
    /// A queued first attempt, bound to nothing yet.
    pub fn queued(agent_id: AgentId, runtime_id: RuntimeId, now: Time) -> Self {
        Self {
            id: TaskId::new(),
            agent_id,
            runtime_id,
            issue_id: None,
            chat_session_id: None,
            autopilot_run_id: None,
            status: TaskStatus::Queued,
            priority: 0,
            context: None,
            session_id: None,
            work_dir: None,
            trigger_comment_id: None,
            trigger_summary: None,
            attempt: 1,
            max_attempts: 2,
            parent_task_id: None,
            force_fresh_session: false,
            is_leader_task: false,
            squad_id: None,
            handoff_note: None,
            initiator_user_id: None,
            originator_user_id: None,
            escalation_for_task_id: None,
            fire_at: None,
            runtime_mcp_overlay: None,
            runtime_connected_apps: None,
            created_at: now,
        }
    }
}

/// What an issue's priority is worth in the queue.
pub fn priority_of(issue_priority: &str) -> i32 {
    match issue_priority {
        "urgent" => 4,
        "high" => 3,
        "medium" => 2,
        "low" => 1,
        _ => 0,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A queued task bound to nothing.
    pub(crate) fn sample() -> Task {
        let new =
            NewTask::queued(AgentId::new(), RuntimeId::new(), super::super::time::Clock::system().now());
        Task {
            id: new.id,
            agent_id: new.agent_id,
            runtime_id: new.runtime_id,
            issue_id: None,
            chat_session_id: None,
            autopilot_run_id: None,
            status: new.status,
            priority: 0,
            claim_epoch: 0,
            dispatched_at: None,
            started_at: None,
            completed_at: None,
            prepare_lease_expires_at: None,
            wait_reason: None,
            result: None,
            error: None,
            failure_reason: None,
            context: None,
            session_id: None,
            work_dir: None,
            trigger_comment_id: None,
            trigger_summary: None,
            attempt: 1,
            max_attempts: 2,
            parent_task_id: None,
            force_fresh_session: false,
            is_leader_task: false,
            squad_id: None,
            handoff_note: None,
            initiator_user_id: None,
            originator_user_id: None,
            escalation_for_task_id: None,
            fire_at: None,
            created_at: new.created_at,
        }
    }
}
