//! Skills: what an agent can be taught, with files beside.

use serde_json::Value;
use uuid::Uuid;

use super::ids::{SkillId, UserId, WorkspaceId};
use super::time::Time;

/// A row of `skill`.
#[derive(Clone, Debug)]
pub struct Skill {
    pub id: SkillId,
    pub workspace_id: WorkspaceId,
    pub name: String,
    pub description: String,
    pub content: String,
    pub config: Value,
    pub created_by: Option<UserId>,
    pub created_at: Time,
    pub updated_at: Time,
}

/// A row of `skill_file`.
#[derive(Clone, Debug)]
pub struct SkillFile {
    pub id: Uuid,
    pub skill_id: SkillId,
    pub path: String,
    pub content: String,
    pub created_at: Time,
    pub updated_at: Time,
}
