//! Requests to daemons as those who made them see them.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::ids::{RuntimeId, SkillId, UserId};
use super::pending_request::{ImportInput, PendingRequest, RequestStatus, UpdateInput};
use super::runtime_report::{LocalSkill, Model};
use super::skill::Skill;
use super::time::nanos;

/// What every request shows.
#[derive(Serialize, ToSchema)]
pub struct RequestBody {
    /// 32 hex digits.
    pub id: String,
    pub runtime_id: RuntimeId,
    pub status: RequestStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    pub created_at: String,
    pub updated_at: String,
}

#[derive(Serialize, ToSchema)]
pub struct UpdateBody {
    #[serde(flatten)]
    pub request: RequestBody,
    pub target_version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct ModelListBody {
    #[serde(flatten)]
    pub request: RequestBody,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Model>>)]
    pub models: Option<Value>,
    /// Whether models can be chosen at all.
    pub supported: bool,
}

#[derive(Serialize, ToSchema)]
pub struct SkillListBody {
    #[serde(flatten)]
    pub request: RequestBody,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<LocalSkill>>)]
    pub skills: Option<Value>,
    pub supported: bool,
}

#[derive(Serialize, ToSchema)]
pub struct ImportBody {
    #[serde(flatten)]
    pub request: RequestBody,
    pub skill_key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_skill_id: Option<SkillId>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub supports_conflict: bool,
    /// What was made, without its files.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Skill>)]
    pub skill: Option<Value>,
    /// The skill that has the name already.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<ConflictBody>)]
    pub conflict: Option<Value>,
}

#[derive(Serialize, ToSchema)]
pub struct ConflictBody {
    pub existing_skill_id: SkillId,
    pub existing_created_by: Option<UserId>,
    pub can_overwrite: bool,
}

impl From<PendingRequest> for RequestBody {
    fn from(request: PendingRequest) -> Self {
        Self {
            id: request.id,
            runtime_id: request.runtime_id,
            status: request.status,
            error: request.error.filter(|error| !error.is_empty()),
            created_at: nanos(request.created_at),
            updated_at: nanos(request.updated_at),
        }
    }
}

impl From<PendingRequest> for UpdateBody {
    fn from(request: PendingRequest) -> Self {
        let input: Option<UpdateInput> = serde_json::from_value(request.input.clone()).ok();
        let output = request.output.get("output").and_then(Value::as_str).unwrap_or_default();
        Self {
            target_version: input.map(|input| input.target_version).unwrap_or_default(),
            output: (!output.is_empty()).then(|| output.to_owned()),
            request: request.into(),
        }
    }
}

impl From<PendingRequest> for ModelListBody {
    fn from(request: PendingRequest) -> Self {
        Self { models: list(&request, "models"), supported: supported(&request), request: request.into() }
    }
}

impl From<PendingRequest> for SkillListBody {
    fn from(request: PendingRequest) -> Self {
        Self { skills: list(&request, "skills"), supported: supported(&request), request: request.into() }
    }
}

impl From<PendingRequest> for ImportBody {
    fn from(request: PendingRequest) -> Self {
        let input: ImportInput = serde_json::from_value(request.input.clone()).unwrap_or_default();
        Self {
            skill_key: input.skill_key,
            name: input.name,
            description: input.description,
            action: input.target_skill_id.map(|_| "overwrite"),
            target_skill_id: input.target_skill_id,
            supports_conflict: input.supports_conflict,
            skill: request.output.get("skill").cloned(),
            conflict: request.output.get("conflict").cloned(),
            request: request.into(),
        }
    }
}

/// A list that was reported; one without entries is left out.
fn list(request: &PendingRequest, name: &str) -> Option<Value> {
    request.output.get(name).filter(|list| list.as_array().is_some_and(|list| !list.is_empty())).cloned()
}

fn supported(request: &PendingRequest) -> bool {
    request.output.get("supported").and_then(Value::as_bool).unwrap_or(true)
}
