//! `/api/projects/{id}/resources`: the repositories and directories of a project.

use std::collections::HashMap;

use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::projects::no_project;
use crate::app::App;
use crate::http::body::{Body, Sent};
use crate::http::error::{Error, ErrorBody};
use crate::http::extract::Scope;
use crate::http::project_path::ProjectInPath;
use crate::model::ids::ResourceId;
use crate::model::project::{Project, ProjectResource};
use crate::model::resource::{ResourceError, daemon_of, normalised};
use crate::model::time::Time;
use crate::store::{StoreError, projects, resources as attached};

/// How many resources one project may have.
const MOST_RESOURCES: usize = 200;

/// Put under `/api/projects`.
pub(super) fn on_projects() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, attach)).routes(routes!(update, detach))
}

#[derive(Debug, Serialize, ToSchema)]
struct ResourceList {
    resources: Vec<ProjectResource>,
    total: usize,
}

/// What is attached to the project, in its order.
#[utoipa::path(get, path = "/{id}/resources", tag = "projects",
    params(("id" = String, Path, description = "The project's id")),
    responses((status = 200, body = ResourceList), (status = 404, body = ErrorBody, description = "No such project in the workspace")))]
async fn list(app: App, ProjectInPath(project): ProjectInPath) -> Result<Json<ResourceList>, Error> {
    let failed = |error| Error::internal("failed to list project resources", error);
    let mut conn = app.db.reader().await.map_err(failed)?;
    let resources = projects::list_resources(&mut conn, project.id).await.map_err(failed)?;
    Ok(Json(ResourceList { total: resources.len(), resources }))
}

/// Something to attach.
#[derive(Deserialize, ToSchema)]
pub(super) struct ResourceBody {
    /// `github_repo` or `local_directory`.
    resource_type: Option<String>,
    /// `{url, ref?, default_branch_hint?}` or `{local_path, daemon_id, label?}`.
    resource_ref: Option<Value>,
    label: Option<String>,
    /// Behind what is there unless said otherwise.
    position: Option<i64>,
}

/// What to attach to a project that is about to be made.
pub(super) fn of_new_project(
    project: &Project,
    sent: Vec<ResourceBody>,
    scope: &Scope,
    now: Time,
) -> Result<Vec<ProjectResource>, Error> {
    if sent.len() > MOST_RESOURCES {
        return Err(too_many());
    }
    let mut daemons: HashMap<String, usize> = HashMap::new();
    let mut wanted: Vec<ProjectResource> = Vec::with_capacity(sent.len());
    for (index, body) in sent.into_iter().enumerate() {
        let at = |message: String| Error::bad_request(format!("resources[{index}]: {message}"));
        let kind = body.resource_type.filter(|kind| !kind.is_empty());
        let kind = kind.ok_or_else(|| Error::bad_request("resources[].resource_type is required"))?;
        let reference = normalised(&kind, body.resource_ref).map_err(|error| at(error.to_string()))?;
        if let Some(daemon) = daemon_of(&kind, &reference)
            && let Some(other) = daemons.insert(daemon.to_owned(), index)
        {
            return Err(at(format!(
                "duplicate local_directory for daemon (already at index {other}); each daemon may attach at \
                 most one local_directory per project"
            )));
        }
        if wanted.iter().any(|other| other.resource_type == kind && other.resource_ref == reference) {
            return Err(Error::conflict(format!("resources[{index}]: this resource is already attached")));
        }
        let position = match body.position {
            Some(position) => in_range(position)?,
            None => i32::try_from(index).unwrap_or(i32::MAX),
        };
        wanted.push(ProjectResource {
            id: ResourceId::new(),
            project_id: project.id,
            workspace_id: project.workspace_id,
            resource_type: kind,
            resource_ref: reference,
            label: body.label,
            position,
            created_at: now,
            created_by: Some(scope.user_id),
        });
    }
    Ok(wanted)
}

/// Attaches something to the project.
#[utoipa::path(post, path = "/{id}/resources", tag = "projects", request_body = ResourceBody,
    params(("id" = String, Path, description = "The project's id")),
    responses((status = 201, body = ProjectResource), (status = 400, body = ErrorBody, description = "A value is missing or wrong"),
        (status = 404, body = ErrorBody, description = "No such project in the workspace"),
        (status = 409, body = ErrorBody, description = "Attached already")))]
async fn attach(
    app: App,
    scope: Scope,
    ProjectInPath(project): ProjectInPath,
    Body(sent): Body<ResourceBody>,
) -> Result<(StatusCode, Json<ProjectResource>), Error> {
    let kind = sent.resource_type.filter(|kind| !kind.is_empty());
    let kind = kind.ok_or_else(|| Error::bad_request("resource_type is required"))?;
    let reference = normalised(&kind, sent.resource_ref)?;
    let asked = sent.position.map(in_range).transpose()?;
    let mut resource = ProjectResource {
        id: ResourceId::new(),
        project_id: project.id,
        workspace_id: project.workspace_id,
        resource_type: kind,
        resource_ref: reference,
        label: sent.label,
        position: 0,
        created_at: app.clock.now(),
        created_by: Some(scope.user_id),
    };
    let made = app.db.write(move |c| {
        Box::pin(async move {
            projects::find_locked(c, resource.project_id).await?.ok_or_else(no_project)?;
            let others = projects::list_resources(c, resource.project_id).await?;
            if others.len() >= MOST_RESOURCES {
                return Err(too_many());
            }
            if shares_daemon(&resource, &others) {
                return Err(Error::conflict(
                    "this daemon already has a local_directory attached to the project; remove it before adding \
                     another",
                ));
            }
            resource.position = asked.unwrap_or_else(|| i32::try_from(others.len()).unwrap_or(i32::MAX));
            attached::insert(c, &resource).await.map_err(not_written)?;
            Ok(resource)
        })
    });
    let made = made.await?;
    tell(&app, &scope, &made, "project_resource:created");
    Ok((StatusCode::CREATED, Json(made)))
}

/// What an edit may hold. What is absent stays as it is.
#[derive(Deserialize, ToSchema)]
struct UpdateResource {
    #[serde(default)]
    #[schema(value_type = Option<Value>)]
    resource_ref: Sent<Value>,
    /// Null takes it away.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    label: Sent<Value>,
    #[serde(default)]
    #[schema(value_type = Option<i32>)]
    position: Sent<Value>,
}

/// Changes what is attached, but not its type.
#[utoipa::path(put, path = "/{id}/resources/{resourceId}", tag = "projects", request_body = UpdateResource,
    params(("id" = String, Path, description = "The project's id"),
        ("resourceId" = String, Path, description = "The resource's id")),
    responses((status = 200, body = ProjectResource), (status = 400, body = ErrorBody, description = "A value is wrong"),
        (status = 404, body = ErrorBody, description = "No such project, or no such resource of it"),
        (status = 409, body = ErrorBody, description = "Attached already")))]
async fn update(
    app: App,
    scope: Scope,
    ProjectInPath(project): ProjectInPath,
    names: Path<(String, String)>,
    Body(sent): Body<UpdateResource>,
) -> Result<Json<ProjectResource>, Error> {
    let id = resource_id(&names.1)?;
    let label = match sent.label {
        Sent::Absent => Sent::Absent,
        Sent::Null => Sent::Null,
        Sent::Value(Value::String(text)) => Sent::Value(text),
        Sent::Value(_) => return Err(Error::bad_request("label must be a string or null")),
    };
    let position = match sent.position {
        Sent::Absent | Sent::Null => None,
        Sent::Value(value) => {
            let number = value.as_i64().ok_or_else(|| Error::bad_request("position must be an integer"))?;
            Some(in_range(number)?)
        }
    };
    let written = app.db.write(move |c| {
        Box::pin(async move {
            projects::find_locked(c, project.id).await?.ok_or_else(no_project)?;
            let mut resource = attached::find(c, project.id, id).await?.ok_or_else(no_resource)?;
            if !sent.resource_ref.is_absent() {
                resource.resource_ref = normalised(&resource.resource_type, sent.resource_ref.value())?;
                if shares_daemon(&resource, &projects::list_resources(c, project.id).await?) {
                    return Err(Error::conflict(
                        "another local_directory on this daemon is already attached to the project",
                    ));
                }
            }
            if !label.is_absent() {
                resource.label = label.value();
            }
            resource.position = position.unwrap_or(resource.position);
            attached::update(c, &resource).await.map_err(not_written)?;
            Ok(resource)
        })
    });
    let written = written.await?;
    tell(&app, &scope, &written, "project_resource:updated");
    Ok(Json(written))
}

/// Takes something off the project.
#[utoipa::path(delete, path = "/{id}/resources/{resourceId}", tag = "projects",
    params(("id" = String, Path, description = "The project's id"),
        ("resourceId" = String, Path, description = "The resource's id")),
    responses((status = 204), (status = 404, body = ErrorBody, description = "No such project, or no such resource of it")))]
async fn detach(
    app: App,
    scope: Scope,
    ProjectInPath(project): ProjectInPath,
    names: Path<(String, String)>,
) -> Result<StatusCode, Error> {
    let id = resource_id(&names.1)?;
    let deleted = app.db.write(move |c| Box::pin(attached::delete(c, project.id, id))).await;
    let failed = |error: StoreError| Error::internal("failed to delete project resource", error);
    if !deleted.map_err(failed)? {
        return Err(no_resource());
    }
    app.events.by(
        scope.actor,
        scope.workspace_id,
        "project_resource:deleted",
        || json!({"resource_id": id, "project_id": project.id}),
    );
    Ok(StatusCode::NO_CONTENT)
}

pub(super) fn tell(app: &App, scope: &Scope, resource: &ProjectResource, kind: &'static str) {
    app.events.by(
        scope.actor,
        scope.workspace_id,
        kind,
        || json!({"resource": resource, "project_id": resource.project_id}),
    );
}

impl From<ResourceError> for Error {
    fn from(error: ResourceError) -> Self {
        Self::bad_request(error.to_string())
    }
}

/// Whether another directory of the same daemon is among those attached.
fn shares_daemon(resource: &ProjectResource, others: &[ProjectResource]) -> bool {
    let daemon = daemon_of(&resource.resource_type, &resource.resource_ref);
    daemon.is_some()
        && others.iter().any(|other| {
            other.id != resource.id && daemon_of(&other.resource_type, &other.resource_ref) == daemon
        })
}

fn resource_id(text: &str) -> Result<ResourceId, Error> {
    ResourceId::parse(text).ok_or_else(|| Error::bad_request("invalid resource id"))
}

fn no_resource() -> Error {
    Error::not_found("project resource not found")
}

fn not_written(error: StoreError) -> Error {
    if error.is_conflict() {
        return Error::conflict("this resource is already attached to the project");
    }
    Error::internal("failed to save project resource", error)
}

fn in_range(position: i64) -> Result<i32, Error> {
    i32::try_from(position).map_err(|_| {
        Error::bad_request(format!("position must be an integer between {} and {}", i32::MIN, i32::MAX))
    })
}

fn too_many() -> Error {
    Error::bad_request(format!("a project may have at most {MOST_RESOURCES} resources"))
}
