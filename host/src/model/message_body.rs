//! What an agent said or did, as both planes show it.

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::ids::IssueId;
use super::message::TaskMessage;
use super::time::nanos;

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MessageBody {
    /// As the caller spelt it.
    pub task_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issue_id: Option<IssueId>,
    pub seq: i32,
    /// `text`, `thinking`, `tool_use`, `tool_result`, `error`, or whatever a daemon sends.
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub input: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// With as many fractional digits as it needs.
    pub created_at: String,
}

impl MessageBody {
    pub fn new(message: &TaskMessage, task_id: &str, issue_id: Option<IssueId>) -> Self {
        Self {
            task_id: task_id.to_owned(),
            issue_id,
            seq: message.seq,
            kind: message.kind.clone(),
            tool: message.tool.clone(),
            content: message.content.clone(),
            input: message.input_object().cloned(),
            output: message.output.clone(),
            created_at: nanos(message.created_at),
        }
    }
}
