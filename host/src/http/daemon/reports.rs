//! What came of the requests that a daemon got with its beats.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Request};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::Done;
use crate::app::App;
use crate::dispatch::requests;
use crate::dispatch::skill_import::{self, Bundle, ImportError};
use crate::http::body;
use crate::http::error::Error;
use crate::http::extract::RuntimeAccess;
use crate::model::ids::RuntimeId;
use crate::model::pending_request::{Kind, PendingRequest};
use crate::model::runtime_report::{self, LocalSkill, Model};
use crate::store::StoreError;

/// The path of a report: the runtime, which is checked before, and the request.
type Named = Path<(String, String)>;

#[derive(Deserialize, ToSchema)]
pub(super) struct UpdateReport {
    /// `completed`, `failed` or `running`.
    status: Option<String>,
    output: Option<String>,
    error: Option<String>,
}

/// What came of an update of the CLI. A request that is over takes no report, and is answered as if it did.
#[utoipa::path(post, path = "/api/daemon/runtimes/{runtimeId}/update/{updateId}/result", tag = "daemon",
    params(("runtimeId" = RuntimeId, Path, description = "The runtime's id"),
        ("updateId" = String, Path, description = "The id that came with the beat: 32 hex digits")),
    request_body = UpdateReport, responses((status = 200, body = Done)))]
pub(super) async fn update(
    app: App,
    RuntimeAccess(runtime): RuntimeAccess,
    Path(ids): Named,
    request: Request,
) -> Result<Json<Done>, Error> {
    let Some((open, body)) = open(&app, runtime.id, Kind::Update, &ids.1, request).await? else {
        return Ok(Done::json());
    };
    let sent: UpdateReport = body::decode(&body, false)?;
    let status = sent.status.unwrap_or_default();
    match status.as_str() {
        "completed" => {
            let output = json!({"output": sent.output.unwrap_or_default()});
            requests::complete(&app, open.id, output).await.map_err(completion_failed)?;
        }
        "failed" => {
            let error = sent.error.unwrap_or_default();
            requests::fail(&app, open.id, error).await.map_err(failure_failed)?;
        }
        "running" => {}
        _ => return Err(Error::bad_request(format!("invalid status: {status}"))),
    }
    Ok(Done::json())
}

#[derive(Deserialize, ToSchema)]
pub(super) struct ModelsReport {
    /// Anything but `completed` is a failure.
    status: Option<String>,
    #[serde(default, deserialize_with = "runtime_report::list")]
    #[schema(value_type = Option<Vec<Option<Model>>>)]
    models: Vec<Model>,
    supported: Option<bool>,
    error: Option<String>,
}

/// The models that a provider offers. A request that is over takes no report, and is answered as if it did.
#[utoipa::path(post, path = "/api/daemon/runtimes/{runtimeId}/models/{requestId}/result", tag = "daemon",
    params(("runtimeId" = RuntimeId, Path, description = "The runtime's id"),
        ("requestId" = String, Path, description = "The id that came with the beat: 32 hex digits")),
    request_body = ModelsReport, responses((status = 200, body = Done)))]
pub(super) async fn models(
    app: App,
    RuntimeAccess(runtime): RuntimeAccess,
    Path(ids): Named,
    request: Request,
) -> Result<Json<Done>, Error> {
    let Some((open, body)) = open(&app, runtime.id, Kind::ModelList, &ids.1, request).await? else {
        return Ok(Done::json());
    };
    let sent: ModelsReport = body::decode(&body, false)?;
    let output = json!({"models": sent.models, "supported": sent.supported.unwrap_or(true)});
    finish(&app, open, sent.status.as_deref(), output, sent.error).await
}

#[derive(Deserialize, ToSchema)]
pub(super) struct SkillsReport {
    /// Anything but `completed` is a failure.
    status: Option<String>,
    #[serde(default, deserialize_with = "runtime_report::list")]
    #[schema(value_type = Option<Vec<Option<LocalSkill>>>)]
    skills: Vec<LocalSkill>,
    supported: Option<bool>,
    error: Option<String>,
}

/// The skills on the machine's disk. A request that is over takes no report, and is answered as if it did.
#[utoipa::path(post, path = "/api/daemon/runtimes/{runtimeId}/local-skills/{requestId}/result", tag = "daemon",
    params(("runtimeId" = RuntimeId, Path, description = "The runtime's id"),
        ("requestId" = String, Path, description = "The id that came with the beat: 32 hex digits")),
    request_body = SkillsReport, responses((status = 200, body = Done)))]
pub(super) async fn local_skills(
    app: App,
    RuntimeAccess(runtime): RuntimeAccess,
    Path(ids): Named,
    request: Request,
) -> Result<Json<Done>, Error> {
    let Some((open, body)) = open(&app, runtime.id, Kind::LocalSkills, &ids.1, request).await? else {
        return Ok(Done::json());
    };
    let sent: SkillsReport = body::decode(&body, false)?;
    let output = json!({"skills": sent.skills, "supported": sent.supported.unwrap_or(true)});
    finish(&app, open, sent.status.as_deref(), output, sent.error).await
}

#[derive(Deserialize, ToSchema)]
pub(super) struct ImportReport {
    /// Anything but `completed` is a failure.
    status: Option<String>,
    skill: Option<BundleBody>,
    error: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[schema(as = LocalSkillBundle)]
struct BundleBody {
    name: Option<String>,
    description: Option<String>,
    content: Option<String>,
    source_path: Option<String>,
    provider: Option<String>,
    #[serde(default, deserialize_with = "runtime_report::list")]
    #[schema(value_type = Option<Vec<Option<BundleFile>>>)]
    files: Vec<BundleFile>,
}

#[derive(Deserialize, Default, ToSchema)]
#[schema(as = LocalSkillFile)]
struct BundleFile {
    path: Option<String>,
    content: Option<String>,
}

/// The content of a skill that a person wants to have. A request that is over takes no report, and is answered as if it did.
#[utoipa::path(post, path = "/api/daemon/runtimes/{runtimeId}/local-skills/import/{requestId}/result", tag = "daemon",
    params(("runtimeId" = RuntimeId, Path, description = "The runtime's id"),
        ("requestId" = String, Path, description = "The id that came with the beat: 32 hex digits")),
    request_body = ImportReport, responses((status = 200, body = Done)))]
pub(super) async fn import(
    app: App,
    RuntimeAccess(runtime): RuntimeAccess,
    Path(ids): Named,
    request: Request,
) -> Result<Json<Done>, Error> {
    let Some((open, body)) = open(&app, runtime.id, Kind::LocalSkillImport, &ids.1, request).await? else {
        return Ok(Done::json());
    };
    let sent: ImportReport = body::decode(&body, false)?;
    if sent.status.as_deref() != Some("completed") {
        requests::fail(&app, open.id, sent.error.unwrap_or_default()).await.map_err(failure_failed)?;
        return Ok(Done::json());
    }
    let Some(skill) = sent.skill else {
        let text = "daemon returned an empty skill bundle".to_owned();
        requests::fail(&app, open.id, text).await.map_err(failure_failed)?;
        return Ok(Done::json());
    };
    let bundle = Bundle {
        name: skill.name.unwrap_or_default(),
        description: skill.description.unwrap_or_default(),
        content: skill.content.unwrap_or_default(),
        source_path: skill.source_path.unwrap_or_default(),
        provider: skill.provider.unwrap_or_default(),
        files: skill
            .files
            .into_iter()
            .map(|file| (file.path.unwrap_or_default(), file.content.unwrap_or_default()))
            .collect(),
    };
    match skill_import::receive(&app, open.clone(), runtime.workspace_id, bundle).await {
        Ok(()) => Ok(Done::json()),
        Err(ImportError::Store(error)) => Err(Error::internal("failed to persist import completion", error)),
        Err(unusable @ (ImportError::NoRequester | ImportError::Unreadable(_))) => {
            let text = unusable.to_string();
            requests::fail(&app, open.id, text.clone()).await.map_err(failure_failed)?;
            Err(Error::internal(text, unusable))
        }
    }
}

/// Anything but `completed` is a failure.
async fn finish(
    app: &App,
    request: PendingRequest,
    status: Option<&str>,
    output: Value,
    error: Option<String>,
) -> Result<Json<Done>, Error> {
    if status == Some("completed") {
        requests::complete(app, request.id, output).await.map_err(completion_failed)?;
    } else {
        requests::fail(app, request.id, error.unwrap_or_default()).await.map_err(failure_failed)?;
    }
    Ok(Done::json())
}

/// The request that a report is about, and the report. `None` when the request is over,
/// and then the body is not even looked at: a daemon that repeats itself is answered as
/// the first time.
async fn open(
    app: &App,
    runtime: RuntimeId,
    kind: Kind,
    id: &str,
    request: Request,
) -> Result<Option<(PendingRequest, Bytes)>, Error> {
    let noun = if kind == Kind::Update { "update" } else { "request" };
    let found = requests::find(app, runtime, kind, id).await.map_err(|error| {
        Error::internal(format!("failed to load {noun}: the database gave no answer"), error)
    })?;
    let found = found.ok_or_else(|| Error::not_found(format!("{noun} not found")))?;
    if found.status.is_terminal() {
        return Ok(None);
    }
    Ok(Some((found, body::bytes(request, app).await?)))
}

fn completion_failed(error: StoreError) -> Error {
    Error::internal("failed to persist completion", error)
}

fn failure_failed(error: StoreError) -> Error {
    Error::internal("failed to persist failure", error)
}
