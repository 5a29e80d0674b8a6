//! Why a task does not run: the first cause that holds, with what is known of it.

use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::enrich::trace::{Outcome, Trace};
use crate::model::ids::TaskId;
use crate::model::runtime::Runtime;
use crate::model::status::TaskStatus;
use crate::model::task::Task;
use crate::model::time::{Time, seconds};
use crate::store::{Conn, StoreError, agents, queue_place, runtimes};

/// What keeps a task from running, or that nothing does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// It is over.
    Ended,
    /// A plugin decided that it must not run.
    DeniedByPlugin,
    AlreadyRunning,
    /// With its daemon, which has not started it yet.
    BeingPrepared,
    /// With its daemon, which waits for a directory that another run holds.
    WaitingForDirectory,
    /// A fallback whose time has not come.
    Deferred,
    AgentArchived,
    RuntimeGone,
    NoDaemonEverRegistered,
    RuntimeOffline,
    AgentAtCapacity,
    LaneHeld,
    /// A plugin that must not fail did; the task waits for the next attempt.
    PluginFailed,
    /// Nothing stands in its way.
    WaitingForPoll,
}

/// The answer to the question.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Why {
    pub task_id: TaskId,
    pub status: TaskStatus,
    pub cause: Cause,
    /// A sentence for people.
    pub message: String,
    /// What the sentence is made of, by name.
    #[schema(value_type = Object)]
    pub facts: Map<String, Value>,
    /// What its last claim on this node went without, because it failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skipped_plugins: Vec<SkippedPlugin>,
}

/// A plugin that failed and was passed over.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SkippedPlugin {
    pub plugin: String,
    pub stage: &'static str,
    /// The cause, for programs.
    pub code: String,
    pub message: String,
}

impl Why {
    /// Adds what the task's trace says, when there is one.
    #[must_use]
    pub fn with_trace(mut self, trace: Option<&Trace>) -> Self {
        let steps = trace.into_iter().flat_map(|trace| &trace.steps);
        let skipped = steps.filter(|step| step.outcome == Outcome::Skipped).map(|step| SkippedPlugin {
            plugin: step.plugin.clone(),
            stage: step.stage.as_str(),
            code: step.code.clone().unwrap_or_default(),
            message: step.message.clone().unwrap_or_default(),
        });
        self.skipped_plugins = skipped.collect();
        self
    }
}

/// Looks for the cause, in the order in which a claim would meet them.
pub async fn explain(conn: &mut Conn, task: &Task, now: Time) -> Result<Why, StoreError> {
    if let Some(why) = by_status(task) {
        return Ok(why);
    }
    let runtime = runtimes::find(conn, task.runtime_id).await?;
    if task.status == TaskStatus::Deferred {
        return Ok(deferred(task, runtime.as_ref(), now));
    }
    let agent = agents::find(conn, task.agent_id).await?;
    let name = agent.as_ref().map_or("the agent", |agent| agent.name.as_str());
    if let Some(archived_at) = agent.as_ref().and_then(|agent| agent.archived_at) {
        return Ok(why(
            task,
            Cause::AgentArchived,
            format!("{name} was archived and takes no work"),
            json!({"agent_id": task.agent_id, "archived_at": seconds(archived_at)}),
        ));
    }
    if let Some(why) = by_runtime(task, runtime.as_ref()) {
        return Ok(why);
    }
    if let Some(capacity) = queue_place::find_capacity(conn, task.agent_id).await?
        && capacity.in_flight >= i64::from(capacity.most)
    {
        return Ok(why(
            task,
            Cause::AgentAtCapacity,
            format!("{name} has {} of at most {} tasks in flight", capacity.in_flight, capacity.most),
            json!({"agent_id": task.agent_id, "in_flight": capacity.in_flight, "max_concurrent_tasks": capacity.most}),
        ));
    }
    if let Some(holder) = queue_place::find_lane_holder(conn, task).await? {
        let lane = lane(task);
        return Ok(why(
            task,
            Cause::LaneHeld,
            format!(
                "{name} does one task at a time {lane}, and task {} is {}",
                holder.id,
                words(&holder.status)
            ),
            json!({
                "held_by": holder.id,
                "holder_status": holder.status,
                "dispatched_at": holder.dispatched_at.map(seconds),
                "started_at": holder.started_at.map(seconds),
            }),
        ));
    }
    let ahead = queue_place::count_ahead(conn, task).await?;
    if let Some(error) = task.error.as_deref().filter(|error| !error.is_empty()) {
        return Ok(why(
            task,
            Cause::PluginFailed,
            format!("the last claim was taken back: {error}; the next poll tries again"),
            json!({"error": error, "claims": task.claim_epoch, "ahead": ahead}),
        ));
    }
    let last_seen = runtime.and_then(|runtime| runtime.last_seen_at).map(seconds);
    Ok(why(
        task,
        Cause::WaitingForPoll,
        "nothing stands in its way; its daemon takes it with one of its next polls".to_owned(),
        json!({"runtime_id": task.runtime_id, "ahead": ahead, "runtime_last_seen_at": last_seen}),
    ))
}

/// A task that has left the queue explains itself.
fn by_status(task: &Task) -> Option<Why> {
    let times = json!({
        "dispatched_at": task.dispatched_at.map(seconds),
        "started_at": task.started_at.map(seconds),
        "lease_until": task.prepare_lease_expires_at.map(seconds),
        "wait_reason": task.wait_reason,
    });
    match task.status {
        TaskStatus::Queued | TaskStatus::Deferred => None,
        TaskStatus::Running => {
            let message = match task.started_at {
                Some(at) => format!("it has been running since {}", seconds(at)),
                None => "it is running".to_owned(),
            };
            Some(why(task, Cause::AlreadyRunning, message, times))
        }
        TaskStatus::Dispatched => {
            let message = "its daemon has taken it and not started it yet".to_owned();
            Some(why(task, Cause::BeingPrepared, message, times))
        }
        TaskStatus::WaitingLocalDirectory => {
            let reason = task.wait_reason.as_deref().unwrap_or("another run holds it");
            let message = format!("its daemon waits for a directory: {reason}");
            Some(why(task, Cause::WaitingForDirectory, message, times))
        }
        TaskStatus::Completed | TaskStatus::Failed | TaskStatus::Cancelled => Some(ended(task)),
    }
}

fn ended(task: &Task) -> Why {
    let facts = json!({
        "ended_at": task.completed_at.map(seconds),
        "failure_reason": task.failure_reason,
        "error": task.error,
    });
    let error = task.error.as_deref().unwrap_or_default();
    if task.failure_reason.as_deref() == Some("plugin_denied") {
        return why(task, Cause::DeniedByPlugin, format!("it was {error}"), facts);
    }
    let message = match (task.status, error) {
        (TaskStatus::Failed, error) if !error.is_empty() => format!("it failed: {error}"),
        (status, _) => format!("it is over: {}", status.as_str()),
    };
    why(task, Cause::Ended, message, facts)
}

fn deferred(task: &Task, runtime: Option<&Runtime>, now: Time) -> Why {
    let facts = json!({
        "until": task.fire_at.map(seconds),
        "stands_by_for": task.escalation_for_task_id,
        "runtime_status": runtime.map(|runtime| runtime.status.as_str()),
    });
    let message = match (task.fire_at, task.escalation_for_task_id) {
        (Some(until), _) if until <= now => {
            "its time has come; its daemon's next poll puts it in the queue".to_owned()
        }
        (Some(until), Some(primary)) => {
            format!("it stands by until {} in case task {primary} does not start", seconds(until))
        }
        (Some(until), None) => format!("it is deferred until {}", seconds(until)),
        (None, _) => "it is deferred".to_owned(),
    };
    why(task, Cause::Deferred, message, facts)
}

/// Whether anybody is there to take it.
fn by_runtime(task: &Task, runtime: Option<&Runtime>) -> Option<Why> {
    let Some(runtime) = runtime else {
        let message = "its runtime is gone".to_owned();
        return Some(why(task, Cause::RuntimeGone, message, json!({"runtime_id": task.runtime_id})));
    };
    if runtime.status == "online" {
        return None;
    }
    let facts = json!({
        "runtime_id": runtime.id,
        "runtime_name": runtime.name,
        "daemon_id": runtime.daemon_id,
        "since": runtime.last_seen_at.map(seconds),
    });
    Some(match runtime.last_seen_at {
        None => why(
            task,
            Cause::NoDaemonEverRegistered,
            format!("no daemon has ever come for its runtime {}", runtime.name),
            facts,
        ),
        Some(at) => why(
            task,
            Cause::RuntimeOffline,
            format!("its runtime {} is offline; it was last seen at {}", runtime.name, seconds(at)),
            facts,
        ),
    })
}

fn lane(task: &Task) -> &'static str {
    match (task.issue_id, task.chat_session_id) {
        (Some(_), _) => "on this issue",
        (None, Some(_)) => "in this chat",
        (None, None) => "from a prompt",
    }
}

fn words(status: &str) -> &str {
    if status == "waiting_local_directory" { "waiting for a directory" } else { status }
}

fn why(task: &Task, cause: Cause, message: String, facts: Value) -> Why {
    let facts = match facts {
        Value::Object(facts) => facts,
        _ => Map::new(),
    };
    Why { task_id: task.id, status: task.status, cause, message, facts, skipped_plugins: Vec::new() }
}
