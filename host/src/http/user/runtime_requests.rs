//! `/api/runtimes/{runtimeId}/…`: short commands to a runtime's daemon. A request is made
//! here, handed over with a heartbeat, and polled here until the daemon has reported.

use axum::Json;
use axum::extract::Path;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::dispatch::requests::{self, AskError};
use crate::http::body::Body;
use crate::http::error::Error;
use crate::http::extract::RuntimeInPath;
use crate::model::ids::{RuntimeId, SkillId};
use crate::model::pending_request::{ImportInput, Kind, PendingRequest, UpdateInput};
use crate::model::pending_request_body::{ImportBody, ModelListBody, SkillListBody, UpdateBody};
use crate::model::runtime::Runtime;

/// The longest of the texts that go to a daemon: what one answer to a beat carries, ten
/// imports at the most, must stay below the 64 KiB that a daemon reads.
const VERSION_BYTES: usize = 256;
const KEY_BYTES: usize = 512;
/// The longest name and description that an import may ask for.
const NAME_CHARS: usize = 255;
const DESCRIPTION_BYTES: usize = 64 << 10;

/// What goes under `/api/runtimes`, whose prefix is mounted in `runtimes`.
pub fn on_runtimes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(update))
        .routes(routes!(get_update))
        .routes(routes!(models))
        .routes(routes!(get_models))
        .routes(routes!(local_skills))
        .routes(routes!(get_local_skills))
        .routes(routes!(import))
        .routes(routes!(get_import))
}

#[derive(Deserialize, ToSchema)]
struct UpdateWanted {
    target_version: Option<String>,
}

/// Asks the daemon to update its CLI. It need not be there now.
#[utoipa::path(post, path = "/{runtimeId}/update", tag = "runtimes", request_body = UpdateWanted,
    params(("runtimeId" = String, Path, description = "The runtime's id")),
    responses((status = 200, body = UpdateBody), (status = 400, description = "No version was named"),
        (status = 404, description = "No such runtime"), (status = 409, description = "An update is under way"),
        (status = 429, description = "Too many requests wait for the runtime")))]
async fn update(
    app: App,
    access: RuntimeInPath,
    Body(sent): Body<UpdateWanted>,
) -> Result<Json<UpdateBody>, Error> {
    let target_version = sent.target_version.unwrap_or_default();
    if target_version.is_empty() {
        return Err(Error::bad_request("target_version is required"));
    }
    check_length("target_version", &target_version, VERSION_BYTES)?;
    let input = UpdateInput { target_version };
    let asked = requests::ask(&app, access.runtime.id, Kind::Update, access.user_id, &input).await;
    Ok(Json(asked.map_err(|error| not_asked("update", error))?.into()))
}

/// How the update goes.
#[utoipa::path(get, path = "/{runtimeId}/update/{updateId}", tag = "runtimes",
    params(("runtimeId" = String, Path, description = "The runtime's id"),
        ("updateId" = String, Path, description = "The request's id")),
    responses((status = 200, body = UpdateBody), (status = 404, description = "No such runtime or update")))]
async fn get_update(
    app: App,
    access: RuntimeInPath,
    names: Path<(String, String)>,
) -> Result<Json<UpdateBody>, Error> {
    Ok(Json(find(&app, access.runtime.id, Kind::Update, &names.1).await?.into()))
}

/// Asks the daemon which models the runtime can run.
#[utoipa::path(post, path = "/{runtimeId}/models", tag = "runtimes",
    params(("runtimeId" = String, Path, description = "The runtime's id")),
    responses((status = 200, body = ModelListBody), (status = 404, description = "No such runtime"),
        (status = 429, description = "Too many requests wait for the runtime"),
        (status = 503, description = "The runtime is offline")))]
async fn models(app: App, access: RuntimeInPath) -> Result<Json<ModelListBody>, Error> {
    require_online(&access.runtime)?;
    let asked = requests::ask(&app, access.runtime.id, Kind::ModelList, access.user_id, &json!({})).await;
    Ok(Json(asked.map_err(|error| not_asked("model list request", error))?.into()))
}

/// The models, once the daemon has told.
#[utoipa::path(get, path = "/{runtimeId}/models/{requestId}", tag = "runtimes",
    params(("runtimeId" = String, Path, description = "The runtime's id"),
        ("requestId" = String, Path, description = "The request's id")),
    responses((status = 200, body = ModelListBody), (status = 404, description = "No such request")))]
async fn get_models(
    app: App,
    access: Result<RuntimeInPath, Error>,
    names: Path<(String, String)>,
) -> Result<Json<ModelListBody>, Error> {
    // Whoever may not see the runtime learns no more than that there is no such request.
    let access = access.map_err(|error| {
        if error.status.is_server_error() { error } else { Error::not_found("request not found") }
    })?;
    Ok(Json(find(&app, access.runtime.id, Kind::ModelList, &names.1).await?.into()))
}

/// Asks the daemon which skills are on its disk. For the runtime's owner alone: it is the
/// owner's disk.
#[utoipa::path(post, path = "/{runtimeId}/local-skills", tag = "runtimes",
    params(("runtimeId" = String, Path, description = "The runtime's id")),
    responses((status = 200, body = SkillListBody), (status = 403, description = "Not the runtime's owner"),
        (status = 404, description = "No such runtime"), (status = 429, description = "Too many requests wait for the runtime"),
        (status = 503, description = "The runtime is offline")))]
async fn local_skills(app: App, access: RuntimeInPath) -> Result<Json<SkillListBody>, Error> {
    require_owner(&access)?;
    require_online(&access.runtime)?;
    let asked = requests::ask(&app, access.runtime.id, Kind::LocalSkills, access.user_id, &json!({})).await;
    Ok(Json(asked.map_err(|error| not_asked("local skills request", error))?.into()))
}

/// The skills, once the daemon has told.
#[utoipa::path(get, path = "/{runtimeId}/local-skills/{requestId}", tag = "runtimes",
    params(("runtimeId" = String, Path, description = "The runtime's id"),
        ("requestId" = String, Path, description = "The request's id")),
    responses((status = 200, body = SkillListBody), (status = 403, description = "Not the runtime's owner"),
        (status = 404, description = "No such runtime or request")))]
async fn get_local_skills(
    app: App,
    access: RuntimeInPath,
    names: Path<(String, String)>,
) -> Result<Json<SkillListBody>, Error> {
    require_owner(&access)?;
    Ok(Json(find(&app, access.runtime.id, Kind::LocalSkills, &names.1).await?.into()))
}

#[derive(Deserialize, ToSchema)]
struct ImportWanted {
    /// Which of the skills on the daemon's disk.
    skill_key: Option<String>,
    /// In place of the name that it has there.
    name: Option<String>,
    description: Option<String>,
    /// Empty for a new skill, or `overwrite`.
    action: Option<String>,
    /// What to overwrite.
    target_skill_id: Option<String>,
    /// Whether the caller wants to be told of a name that is taken as of a conflict.
    supports_conflict: Option<bool>,
}

impl ImportWanted {
    fn check(self) -> Result<ImportInput, Error> {
        let trimmed = |text: Option<String>| {
            let text = text.unwrap_or_default().trim().to_owned();
            (!text.is_empty()).then_some(text)
        };
        let skill_key = trimmed(self.skill_key).ok_or_else(|| Error::bad_request("skill_key is required"))?;
        let (name, description) = (trimmed(self.name), trimmed(self.description));
        check_length("skill_key", &skill_key, KEY_BYTES)?;
        check_length("description", description.as_deref().unwrap_or_default(), DESCRIPTION_BYTES)?;
        if name.as_deref().unwrap_or_default().chars().count() > NAME_CHARS {
            return Err(Error::bad_request(format!("name must be {NAME_CHARS} characters or fewer")));
        }
        let target_skill_id = match self.action.as_deref().unwrap_or_default() {
            "" => None,
            "overwrite" => {
                let target = SkillId::parse(self.target_skill_id.as_deref().unwrap_or_default());
                Some(target.ok_or_else(|| Error::bad_request("invalid target_skill_id"))?)
            }
            _ => return Err(Error::bad_request("invalid action")),
        };
        let supports_conflict = self.supports_conflict.unwrap_or(false) || target_skill_id.is_some();
        Ok(ImportInput { skill_key, name, description, target_skill_id, supports_conflict })
    }
}

/// Asks the daemon to send a skill from its disk, to become one of the workspace.
#[utoipa::path(post, path = "/{runtimeId}/local-skills/import", tag = "runtimes", request_body = ImportWanted,
    params(("runtimeId" = String, Path, description = "The runtime's id")),
    responses((status = 200, body = ImportBody), (status = 400, description = "A value is missing or wrong"),
        (status = 403, description = "Not the runtime's owner"), (status = 404, description = "No such runtime"),
        (status = 429, description = "Too many requests wait for the runtime"),
        (status = 503, description = "The runtime is offline")))]
async fn import(
    app: App,
    access: RuntimeInPath,
    sent: Result<Body<ImportWanted>, Error>,
) -> Result<Json<ImportBody>, Error> {
    require_owner(&access)?;
    require_online(&access.runtime)?;
    let input = sent?.0.check()?;
    let asked = requests::ask(&app, access.runtime.id, Kind::LocalSkillImport, access.user_id, &input).await;
    Ok(Json(asked.map_err(|error| not_asked("local skill import", error))?.into()))
}

/// How the import goes.
#[utoipa::path(get, path = "/{runtimeId}/local-skills/import/{requestId}", tag = "runtimes",
    params(("runtimeId" = String, Path, description = "The runtime's id"),
        ("requestId" = String, Path, description = "The request's id")),
    responses((status = 200, body = ImportBody), (status = 403, description = "Not the runtime's owner"),
        (status = 404, description = "No such runtime or request")))]
async fn get_import(
    app: App,
    access: RuntimeInPath,
    names: Path<(String, String)>,
) -> Result<Json<ImportBody>, Error> {
    require_owner(&access)?;
    Ok(Json(find(&app, access.runtime.id, Kind::LocalSkillImport, &names.1).await?.into()))
}

/// Not even an admin may look at somebody else's disk.
fn require_owner(access: &RuntimeInPath) -> Result<(), Error> {
    if access.runtime.owner_id == Some(access.user_id) {
        Ok(())
    } else {
        Err(Error::forbidden("insufficient permissions"))
    }
}

fn require_online(runtime: &Runtime) -> Result<(), Error> {
    if runtime.status == "online" {
        Ok(())
    } else {
        Err(Error::new(axum::http::StatusCode::SERVICE_UNAVAILABLE, "runtime is offline"))
    }
}

async fn find(app: &App, runtime: RuntimeId, kind: Kind, id: &str) -> Result<PendingRequest, Error> {
    let noun = if kind == Kind::Update { "update" } else { "request" };
    let found = requests::find(app, runtime, kind, id).await;
    let found = found.map_err(|error| Error::internal(format!("failed to load {noun}"), error))?;
    found.ok_or_else(|| Error::not_found(format!("{noun} not found")))
}

fn not_asked(what: &str, error: AskError) -> Error {
    match error {
        AskError::UpdateUnderWay => Error::conflict(error.to_string()),
        AskError::TooMany => Error::new(
            axum::http::StatusCode::TOO_MANY_REQUESTS,
            format!("failed to enqueue {what}: {error}"),
        ),
        AskError::Store(cause) => {
            Error::internal(format!("failed to enqueue {what}: the request could not be stored"), cause)
        }
    }
}

fn check_length(name: &str, text: &str, bytes: usize) -> Result<(), Error> {
    if text.len() > bytes {
        return Err(Error::bad_request(format!("{name} must be {bytes} bytes or fewer")));
    }
    Ok(())
}
