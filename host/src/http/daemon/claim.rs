//! Claiming a task, and the skills that a claim only referred to.

use axum::extract::Request;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::heartbeat;
use crate::app::App;
use crate::claim::body::ClaimBody;
use crate::claim::bundle::{Bundle, Resolved};
use crate::claim::{self, AnswerError, SkillDelivery};
use crate::dispatch::claim::{self as dispatch, ClaimError};
use crate::http::body::Body;
use crate::http::error::{Error, ErrorBody};
use crate::http::extract::{Caller, RuntimeAccess, TaskAccess, path_segment};
use crate::http::sorted::Sorted;
use crate::model::ids::{RuntimeId, SkillId, TaskId};
use crate::model::status::TaskStatus;
use crate::store::skills;
use crate::telemetry::slow::ClaimEndpoint;

/// What a daemon says when it asks for the content of skills later.
const SKILL_BUNDLES: &str = "skill-bundles-v1";
/// The whole answer where there is nothing to do.
const NO_TASK: &str = r#"{"task":null}"#;
/// More references than any agent has skills are a mistake.
const MAX_REFERENCES: usize = 1000;

/// Hands out the next task of a runtime, with everything an agent needs to work on it.
#[utoipa::path(post, path = "/api/daemon/runtimes/{runtimeId}/tasks/claim", tag = "daemon",
    params(("runtimeId" = RuntimeId, Path, description = "The runtime's id"),
        ("X-Client-Capabilities" = Option<String>, Header,
            description = "Separated by commas; with `skill-bundles-v1` skills come as references")),
    responses((status = 200, body = ClaimBody)))]
pub async fn claim(app: App, caller: Caller, request: Request) -> Result<Response, Error> {
    let (mut parts, _) = request.into_parts();
    let id = path_segment(&mut parts, "runtimeId").await;
    claim_for(&app, &caller, &id, &parts.headers).await
}

/// As [`claim`], for the runtime with this id.
pub async fn claim_for(app: &App, caller: &Caller, id: &str, headers: &HeaderMap) -> Result<Response, Error> {
    let mut log = ClaimEndpoint::start();
    let answer = Box::pin(claim_timed(app, caller, id, headers, &mut log)).await;
    log.end();
    answer
}

async fn claim_timed(
    app: &App,
    caller: &Caller,
    id: &str,
    headers: &HeaderMap,
    log: &mut ClaimEndpoint,
) -> Result<Response, Error> {
    let known = heartbeat::known(app, caller, id).await;
    log.auth_ms = log.lap();
    let runtime = known?.id;
    log.runtime_id = Some(runtime);
    // One set of plugins for the whole claim, whatever is applied meanwhile.
    let generation = app.plugins.snapshot();
    let claimed = dispatch::claim(app, runtime).await;
    log.claim_ms = log.lap();
    log.outcome = match &claimed {
        Ok(Some(_)) => "claimed",
        Ok(None) => "no_task",
        Err(ClaimError::Isolation) => "error_workspace",
        Err(ClaimError::NoOwner | ClaimError::Mint(_)) => "error_token",
        Err(ClaimError::Gone | ClaimError::Store(_)) => "error_claim",
    };
    let task = match claimed? {
        None => None,
        Some(mut claimed) => {
            let delivery = delivery(headers);
            Box::pin(claim::answer(app, &mut claimed, &generation, delivery)).await?
        }
    };
    let Some(task) = task else {
        log.payload_bytes = NO_TASK.len();
        return Ok(([(header::CONTENT_TYPE, "application/json")], NO_TASK).into_response());
    };
    let body = serde_json::to_vec(&json!({"task": task}))
        .map_err(|error| Error::internal("failed to encode the task", error))?;
    log.build_ms = log.lap();
    log.payload_bytes = body.len();
    if log.is_slow() {
        let skills = ["/agent/skills", "/agent/skill_refs"];
        let task = Value::Object(task);
        let skills = skills.iter().find_map(|path| task.pointer(path));
        log.agent_skill_count = skills.and_then(Value::as_array).map_or(0, Vec::len);
        log.skill_payload_bytes = skills.map_or(0, |skills| skills.to_string().len());
    }
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

/// A reference as a daemon sends it back; more members are ignored.
#[derive(Deserialize, ToSchema)]
#[schema(as = SkillReference)]
pub struct Reference {
    id: Option<String>,
    source: Option<String>,
    hash: Option<String>,
}

/// The skills that a daemon lacks.
#[derive(Deserialize, ToSchema)]
#[schema(as = SkillReferences)]
pub struct References {
    /// At most 1000.
    skills: Option<Vec<Reference>>,
}

/// The skills that were asked for, in that order.
#[derive(Serialize, ToSchema)]
#[schema(as = SkillBundles)]
struct Bundles<'a> {
    bundles: Vec<Resolved<'a>>,
}

/// The content of skills that a claim only referred to. Gives what they are now; a hash
/// that no longer matches is the daemon's to notice.
#[utoipa::path(post, path = "/api/daemon/runtimes/{runtimeId}/tasks/{taskId}/skill-bundles/resolve", tag = "daemon",
    params(("runtimeId" = RuntimeId, Path, description = "The runtime's id"),
        ("taskId" = TaskId, Path, description = "The task's id")),
    request_body = References, responses((status = 200, body = Bundles),
        (status = 409, body = ErrorBody, description = "The task is not being prepared")))]
pub async fn resolve_bundles(
    app: App,
    RuntimeAccess(runtime): RuntimeAccess,
    TaskAccess { task, workspace_id }: TaskAccess,
    request: axum::extract::Request,
) -> Result<Response, Error> {
    if workspace_id != runtime.workspace_id || task.runtime_id != runtime.id {
        return Err(Error::not_found("task not found"));
    }
    if !matches!(task.status, TaskStatus::Dispatched | TaskStatus::WaitingLocalDirectory) {
        return Err(Error::conflict("task is not preparing"));
    }
    let Body(References { skills: wanted }) =
        <Body<References> as axum::extract::FromRequest<App>>::from_request(request, &app).await?;
    let wanted = wanted.unwrap_or_default();
    if wanted.len() > MAX_REFERENCES {
        return Err(Error::bad_request(format!(
            "skills: at most {MAX_REFERENCES} references in one request"
        )));
    }
    let failed = |error| Error::internal("failed to load skills", error);
    let mut conn = app.db.reader().await.map_err(failed)?;
    let stored = skills::list_of_agent(&mut conn, task.agent_id).await.map_err(failed)?;
    let ids: Vec<SkillId> = stored.iter().map(|skill| skill.id).collect();
    let files = if ids.is_empty() {
        Vec::new()
    } else {
        skills::list_files(&mut conn, &ids).await.map_err(failed)?
    };
    let known: Vec<Bundle> = stored.iter().map(|skill| Bundle::of(skill, &files)).collect();
    let mut bundles = Vec::with_capacity(wanted.len());
    for reference in &wanted {
        let member = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let (Some(id), Some(source), Some(_)) =
            (member(&reference.id), member(&reference.source), member(&reference.hash))
        else {
            return Err(Error::bad_request("invalid skill ref"));
        };
        let bundle = known.iter().find(|bundle| bundle.is(&source, &id));
        bundles.push(bundle.ok_or_else(|| Error::not_found("skill bundle not found"))?.resolved());
    }
    Ok(Sorted(Bundles { bundles }).into_response())
}

fn delivery(headers: &HeaderMap) -> SkillDelivery {
    let stated = headers.get("x-client-capabilities").and_then(|value| value.to_str().ok());
    if stated.unwrap_or_default().split(',').any(|part| part.trim() == SKILL_BUNDLES) {
        SkillDelivery::References
    } else {
        SkillDelivery::Full
    }
}

impl From<ClaimError> for Error {
    fn from(error: ClaimError) -> Self {
        match error {
            ClaimError::Gone => Self::not_found(error.to_string()),
            ClaimError::Store(cause) => Self::internal("failed to claim task", cause),
            // Logged where the task was cancelled.
            ClaimError::Isolation | ClaimError::NoOwner => {
                Self::new(axum::http::StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
            }
            ClaimError::Mint(cause) => Self::internal("failed to mint task token", cause),
        }
    }
}

impl From<AnswerError> for Error {
    fn from(error: AnswerError) -> Self {
        let message = error.to_string();
        match error {
            AnswerError::Load(cause) | AnswerError::Settle(cause) => Self::internal(message, cause),
        }
    }
}
