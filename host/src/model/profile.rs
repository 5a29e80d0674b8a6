//! The runtime profile: how a workspace says what a custom runtime is.

use serde::{Serialize, Serializer};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::ids::WorkspaceId;
use super::time::{Time, as_seconds};

/// The kinds of CLI that a profile may speak like.
pub const FAMILIES: [&str; 12] = [
    "claude",
    "codebuddy",
    "codex",
    "copilot",
    "opencode",
    "openclaw",
    "hermes",
    "pi",
    "cursor",
    "kimi",
    "kiro",
    "antigravity",
];

/// A row of `runtime_profile`, and its body on the wire.
#[derive(Clone, Serialize, Debug, ToSchema)]
#[schema(title = "RuntimeProfile")]
pub struct Profile {
    pub id: Uuid,
    pub workspace_id: WorkspaceId,
    pub display_name: String,
    /// Which kind of CLI it speaks like; becomes the provider of its runtimes.
    pub protocol_family: String,
    pub command_name: String,
    pub description: Option<String>,
    #[serde(serialize_with = "list")]
    #[schema(value_type = Vec<String>)]
    pub fixed_args: Value,
    pub visibility: String,
    pub created_by: Option<Uuid>,
    pub enabled: bool,
    #[serde(serialize_with = "as_seconds::serialize")]
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Time,
    #[serde(serialize_with = "as_seconds::serialize")]
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Time,
}

/// Never anything but a list.
fn list<S: Serializer>(args: &Value, serializer: S) -> Result<S::Ok, S::Error> {
    args.as_array().map(Vec::as_slice).unwrap_or_default().serialize(serializer)
}
