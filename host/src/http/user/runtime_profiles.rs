//! `/api/workspaces/{id}/runtime-profiles`: how a workspace says what its custom runtimes
//! are.

use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::app::App;
use crate::dispatch::runtime_removal::{self, Refusal, Stopped};
use crate::http::body::Body;
use crate::http::error::{Error, ErrorBody};
use crate::http::extract::Scope;
use crate::model::ids::{WorkspaceId, parse_uuid};
use crate::model::profile::{FAMILIES, Profile};
use crate::store::StoreError;
use crate::store::profiles::{self, ProfileChange};

/// The longest name, which every database can index.
const NAME_CHARS: usize = 255;
/// How many arguments a command may have.
const MOST_ARGS: usize = 256;

/// What goes under `/api/workspaces`.
pub fn on_workspaces() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(show, update, delete))
}

#[derive(Serialize, ToSchema)]
struct Profiles {
    runtime_profiles: Vec<Profile>,
}

/// The workspace's profiles, oldest first.
#[utoipa::path(get, path = "/{id}/runtime-profiles", tag = "runtimes", params(("id" = WorkspaceId, Path)), responses(
    (status = 200, body = Profiles),
    (status = 404, body = ErrorBody),
))]
async fn list(app: App, scope: Scope) -> Result<Json<Profiles>, Error> {
    let failed = |error| Error::internal("failed to list runtime profiles", error);
    let found = profiles::list(&mut app.db.reader().await.map_err(failed)?, scope.workspace_id).await;
    Ok(Json(Profiles { runtime_profiles: found.map_err(failed)? }))
}

/// One profile.
#[utoipa::path(get, path = "/{id}/runtime-profiles/{profileId}", tag = "runtimes",
    params(("id" = WorkspaceId, Path), ("profileId" = Uuid, Path)), responses(
    (status = 200, body = Profile),
    (status = 400, body = ErrorBody),
    (status = 404, body = ErrorBody),
))]
async fn show(app: App, scope: Scope, Path(path): Path<(String, String)>) -> Result<Json<Profile>, Error> {
    let id = profile_id(&path.1)?;
    let failed = |error| Error::internal("failed to load runtime profile", error);
    let found = profiles::find(&mut app.db.reader().await.map_err(failed)?, scope.workspace_id, id).await;
    Ok(Json(found.map_err(failed)?.ok_or_else(absent)?))
}

#[derive(Deserialize, ToSchema)]
struct Sent {
    /// Unique in the workspace.
    display_name: Option<String>,
    /// Which kind of CLI it speaks like; stays what it was when a profile is changed.
    protocol_family: Option<String>,
    /// A single token; arguments go in `fixed_args`.
    command_name: Option<String>,
    description: Option<String>,
    fixed_args: Option<Vec<Option<String>>>,
    enabled: Option<bool>,
}

/// Makes a profile.
#[utoipa::path(post, path = "/{id}/runtime-profiles", tag = "runtimes", params(("id" = WorkspaceId, Path)),
    request_body = Sent, responses(
    (status = 201, body = Profile),
    (status = 400, body = ErrorBody),
    (status = 403, body = ErrorBody),
    (status = 404, body = ErrorBody),
    (status = 409, body = ErrorBody),
))]
async fn create(
    app: App,
    scope: Scope,
    sent: Result<Body<Sent>, Error>,
) -> Result<(StatusCode, Json<Profile>), Error> {
    scope.require_admin()?;
    let Body(sent) = sent?;
    let display_name = name(&sent.display_name.unwrap_or_default(), "display_name is required")?;
    let family = sent.protocol_family.unwrap_or_default().trim().to_owned();
    if !FAMILIES.contains(&family.as_str()) {
        let known = FAMILIES.join(", ");
        return Err(Error::bad_request(format!("unsupported protocol_family: must be one of {known}")));
    }
    let command_name = command(&sent.command_name.unwrap_or_default())?;
    let fixed_args = args(&sent.fixed_args.unwrap_or_default())?;
    let now = app.clock.now();
    let profile = Profile {
        id: Uuid::now_v7(),
        workspace_id: scope.workspace_id,
        display_name,
        protocol_family: family,
        command_name,
        description: sent.description,
        fixed_args,
        visibility: "workspace".to_owned(),
        created_by: Some(scope.user_id.0),
        enabled: sent.enabled.unwrap_or(true),
        created_at: now,
        updated_at: now,
    };
    let row = profile.clone();
    let stored = app.db.write(move |c| Box::pin(async move { profiles::insert(c, &row).await })).await;
    stored.map_err(|error| not_stored(error, "failed to create runtime profile"))?;
    tell(&app, &scope, profile.id);
    Ok((StatusCode::CREATED, Json(profile)))
}

/// Changes a profile; what is absent stays as it is.
#[utoipa::path(method(put, patch), path = "/{id}/runtime-profiles/{profileId}", tag = "runtimes",
    params(("id" = WorkspaceId, Path), ("profileId" = Uuid, Path)), request_body = Sent, responses(
    (status = 200, body = Profile),
    (status = 400, body = ErrorBody),
    (status = 403, body = ErrorBody),
    (status = 404, body = ErrorBody),
    (status = 409, body = ErrorBody),
))]
async fn update(
    app: App,
    scope: Scope,
    Path(path): Path<(String, String)>,
    sent: Result<Body<Sent>, Error>,
) -> Result<Json<Profile>, Error> {
    scope.require_admin()?;
    let (id, workspace) = (profile_id(&path.1)?, scope.workspace_id);
    let failed = |error| Error::internal("failed to load runtime profile", error);
    let found = profiles::find(&mut app.db.reader().await.map_err(failed)?, workspace, id).await;
    found.map_err(failed)?.ok_or_else(absent)?;
    let Body(sent) = sent?;
    let change = ProfileChange {
        display_name: sent
            .display_name
            .as_deref()
            .map(|text| name(text, "display_name cannot be empty"))
            .transpose()?,
        command_name: sent.command_name.as_deref().map(command).transpose()?,
        description: sent.description,
        fixed_args: sent.fixed_args.as_deref().map(args).transpose()?,
        enabled: sent.enabled,
    };
    let now = app.clock.now();
    let updated = app
        .db
        .write(move |c| Box::pin(async move { profiles::update(c, workspace, id, &change, now).await }));
    let updated = updated.await.map_err(|error| not_stored(error, "failed to update runtime profile"))?;
    let updated = updated.ok_or_else(absent)?;
    tell(&app, &scope, id);
    Ok(Json(updated))
}

/// Deletes a profile with its runtimes and their archived agents.
#[utoipa::path(delete, path = "/{id}/runtime-profiles/{profileId}", tag = "runtimes",
    params(("id" = WorkspaceId, Path), ("profileId" = Uuid, Path)), responses(
    (status = 204),
    (status = 400, body = ErrorBody),
    (status = 403, body = ErrorBody),
    (status = 404, body = ErrorBody),
    (status = 409, body = ErrorBody),
))]
async fn delete(app: App, scope: Scope, Path(path): Path<(String, String)>) -> Result<StatusCode, Error> {
    scope.require_admin()?;
    let removed =
        runtime_removal::remove_profile(&app, scope.actor, scope.workspace_id, profile_id(&path.1)?).await;
    removed.map_err(|stopped| match stopped {
        Stopped::Store(error) => Error::internal("failed to delete runtime profile", error),
        Stopped::Refused(Refusal::LeadsActiveSquad) => Error::conflict(
            "cannot delete runtime profile: a runtime has active squads led by archived agents. Archive those \
             squads or assign them a new leader first.",
        ),
        Stopped::Refused(Refusal::ActiveAgents(_) | Refusal::PlanChanged(_)) => {
            Error::conflict("cannot delete runtime profile: active agents are still bound to its runtimes")
        }
        Stopped::Refused(Refusal::Gone | Refusal::OfProfile) => absent(),
    })?;
    Ok(StatusCode::NO_CONTENT)
}

/// Browsers look at their runtimes again, and daemons at what they should register.
fn tell(app: &App, scope: &Scope, profile: Uuid) {
    app.wakeups.profiles_changed(scope.workspace_id, Some(profile));
    app.events.by(
        scope.actor,
        scope.workspace_id,
        "daemon:register",
        || json!({"runtime_profile_id": profile}),
    );
}

fn profile_id(text: &str) -> Result<Uuid, Error> {
    parse_uuid(text).ok_or_else(|| Error::bad_request("invalid profile id"))
}

fn absent() -> Error {
    Error::not_found("runtime profile not found")
}

fn not_stored(error: StoreError, failed: &str) -> Error {
    match error {
        StoreError::Conflict { .. } => {
            Error::conflict("a runtime profile with this display_name already exists")
        }
        error => Error::internal(failed, error),
    }
}

fn name(text: &str, when_blank: &str) -> Result<String, Error> {
    let text = text.trim().to_owned();
    if text.is_empty() {
        return Err(Error::bad_request(when_blank));
    }
    if text.chars().count() > NAME_CHARS {
        return Err(Error::bad_request(format!("display_name exceeds {NAME_CHARS} characters")));
    }
    Ok(text)
}

fn command(text: &str) -> Result<String, Error> {
    let text = text.trim().to_owned();
    if text.is_empty() {
        return Err(Error::bad_request("command_name is required"));
    }
    if text.contains([' ', '\t', '\r', '\n']) {
        return Err(Error::bad_request(
            "command_name must be a single executable token; put arguments in fixed_args",
        ));
    }
    Ok(text)
}

fn args(sent: &[Option<String>]) -> Result<Value, Error> {
    if sent.len() > MOST_ARGS {
        return Err(Error::bad_request(format!("fixed_args may have at most {MOST_ARGS} entries")));
    }
    if sent.iter().any(|arg| arg.as_deref().is_none_or(|arg| arg.trim().is_empty())) {
        return Err(Error::bad_request("fixed_args entries must be non-empty"));
    }
    Ok(json!(sent))
}
