//! What an agent says and does while it works.

use serde_json::{Map, Value};
use uuid::Uuid;

use super::ids::TaskId;
use super::time::Time;

/// A row of `task_message`.
#[derive(Clone, Debug)]
pub struct TaskMessage {
    pub id: Uuid,
    pub task_id: TaskId,
    /// Orders the messages of a task; not unique.
    pub seq: i32,
    /// The column `type`: `text`, `thinking`, `tool_use`, `tool_result`, `error`, or any text.
    pub kind: String,
    pub tool: Option<String>,
    pub content: Option<String>,
    pub input: Option<Value>,
    pub output: Option<String>,
    pub created_at: Time,
}

/// Tokens that one model used in one task.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Usage {
    pub provider: String,
    pub model: String,
    pub input_tokens: i64,
    pub output_tokens: i64,
    pub cache_read_tokens: i64,
    pub cache_write_tokens: i64,
}

impl TaskMessage {
    /// The input, if it is an object that says something.
    pub fn input_object(&self) -> Option<&Map<String, Value>> {
        self.input.as_ref()?.as_object().filter(|map| !map.is_empty())
    }
}
