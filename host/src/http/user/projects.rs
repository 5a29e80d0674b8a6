//! `/api/projects`: issues that belong together, and what their agents need.

use axum::Json;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::resources::{self, ResourceBody};
use super::{mount_scoped, project_search};
use crate::app::App;
use crate::http::body::{Body, Sent, StrictBody};
use crate::http::error::{Error, ErrorBody};
use crate::http::extract::Scope;
use crate::http::project_path::ProjectInPath;
use crate::http::query::Query;
use crate::model::ids::{ProjectId, parse_uuid};
use crate::model::issue::PRIORITIES;
use crate::model::project::{PROJECT_STATUSES, Project, ProjectBody, ProjectResource};
use crate::store::{StoreError, projects, resources as attached};

pub fn routes() -> OpenApiRouter<App> {
    let routes = OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(project_search::search))
        .routes(routes!(get, update, delete))
        .merge(resources::on_projects());
    mount_scoped("/api/projects", routes)
}

#[derive(Deserialize)]
struct Filter {
    status: Option<String>,
    priority: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
struct ProjectList {
    projects: Vec<ProjectBody>,
    total: usize,
}

/// The projects of the workspace, newest first.
#[utoipa::path(get, path = "/", tag = "projects",
    params(("status" = Option<String>, Query, description = "Only of this status"),
        ("priority" = Option<String>, Query, description = "Only of this priority")),
    responses((status = 200, body = ProjectList)))]
async fn list(app: App, scope: Scope, Query(filter): Query<Filter>) -> Result<Json<ProjectList>, Error> {
    let failed = |error| Error::internal("failed to list projects", error);
    let mut conn = app.db.reader().await.map_err(failed)?;
    let (status, priority) = (filter.status.as_deref(), filter.priority.as_deref());
    let projects = projects::list(&mut conn, scope.workspace_id, status, priority).await.map_err(failed)?;
    Ok(Json(ProjectList { total: projects.len(), projects }))
}

/// One project.
#[utoipa::path(get, path = "/{id}", tag = "projects",
    params(("id" = String, Path, description = "The project's id")),
    responses((status = 200, body = ProjectBody), (status = 404, body = ErrorBody, description = "No such project in the workspace")))]
async fn get(app: App, ProjectInPath(project): ProjectInPath) -> Result<Json<ProjectBody>, Error> {
    let failed = |error| Error::internal("failed to load project", error);
    let mut conn = app.db.reader().await.map_err(failed)?;
    let body = projects::find_body(&mut conn, project.id).await.map_err(failed)?;
    body.map(Json).ok_or_else(no_project)
}

/// What a new project is made of.
#[derive(Deserialize, ToSchema)]
struct CreateProject {
    title: Option<String>,
    description: Option<String>,
    icon: Option<String>,
    /// `planned` unless said otherwise.
    status: Option<String>,
    /// `none` unless said otherwise.
    priority: Option<String>,
    /// `member` or `agent`.
    lead_type: Option<String>,
    lead_id: Option<String>,
    resources: Option<Vec<ResourceBody>>,
}

/// The new project, with what was attached to it.
#[derive(Debug, Serialize, ToSchema)]
struct CreatedProject {
    #[serde(flatten)]
    project: ProjectBody,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    resources: Vec<ProjectResource>,
}

/// Creates a project, with its resources or not at all.
#[utoipa::path(post, path = "/", tag = "projects", request_body = CreateProject,
    responses((status = 201, body = CreatedProject), (status = 400, body = ErrorBody, description = "A value is missing or wrong"),
        (status = 409, body = ErrorBody, description = "A resource is named twice")))]
async fn create(
    app: App,
    scope: Scope,
    Body(sent): Body<CreateProject>,
) -> Result<(StatusCode, Json<CreatedProject>), Error> {
    let title = sent.title.filter(|title| !title.is_empty());
    let title = title.ok_or_else(|| Error::bad_request("title is required"))?;
    let status = sent.status.filter(|status| !status.is_empty()).unwrap_or_else(|| "planned".to_owned());
    check_status(&status)?;
    let priority = sent.priority.filter(|priority| !priority.is_empty()).unwrap_or_else(|| "none".to_owned());
    check_priority(&priority)?;
    let lead_id = sent.lead_id.as_deref().map(lead_id).transpose()?;
    let now = app.clock.now();
    let project = Project {
        id: ProjectId::new(),
        workspace_id: scope.workspace_id,
        title,
        description: sent.description,
        icon: sent.icon,
        status,
        priority,
        lead_type: sent.lead_type,
        lead_id,
        created_at: now,
        updated_at: now,
    };
    let wanted = resources::of_new_project(&project, sent.resources.unwrap_or_default(), &scope, now)?;
    check_lead_type(project.lead_type.as_deref(), "create")?;
    let id = project.id;
    let made = app.db.write(move |c| {
        Box::pin(async move {
            projects::insert(c, &project).await?;
            for resource in &wanted {
                attached::insert(c, resource).await?;
            }
            let body = projects::find_body(c, id).await?;
            Ok::<_, StoreError>(body.map(|project| CreatedProject { project, resources: wanted }))
        })
    });
    let failed = |error| Error::internal("failed to create project", error);
    let made = made.await.map_err(failed)?.ok_or_else(no_project)?;
    app.events.by(scope.actor, scope.workspace_id, "project:created", || json!({"project": made.project}));
    for resource in &made.resources {
        resources::tell(&app, &scope, resource, "project_resource:created");
    }
    Ok((StatusCode::CREATED, Json(made)))
}

/// What an edit may hold. What is absent stays as it is.
#[derive(Deserialize, ToSchema)]
struct UpdateProject {
    title: Option<String>,
    status: Option<String>,
    priority: Option<String>,
    /// Null takes it away, here and below.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    description: Sent<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    icon: Sent<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    lead_type: Sent<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    lead_id: Sent<String>,
}

/// Changes a project.
#[utoipa::path(put, path = "/{id}", tag = "projects", request_body = UpdateProject,
    params(("id" = String, Path, description = "The project's id")),
    responses((status = 200, body = ProjectBody), (status = 400, body = ErrorBody, description = "A value is wrong"),
        (status = 404, body = ErrorBody, description = "No such project in the workspace")))]
async fn update(
    app: App,
    scope: Scope,
    ProjectInPath(project): ProjectInPath,
    StrictBody(sent): StrictBody<UpdateProject>,
) -> Result<Json<ProjectBody>, Error> {
    sent.status.as_deref().map(check_status).transpose()?;
    sent.priority.as_deref().map(check_priority).transpose()?;
    let lead_id: Sent<Uuid> = match sent.lead_id {
        Sent::Value(id) => Sent::Value(lead_id(&id)?),
        Sent::Null => Sent::Null,
        Sent::Absent => Sent::Absent,
    };
    if let Sent::Value(kind) = &sent.lead_type {
        check_lead_type(Some(kind), "update")?;
    }
    let now = app.clock.now();
    let written = app.db.write(move |c| {
        Box::pin(async move {
            let Some(mut project) = projects::find_locked(c, project.id).await? else { return Ok(None) };
            project.title = sent.title.unwrap_or(project.title);
            project.status = sent.status.unwrap_or(project.status);
            project.priority = sent.priority.unwrap_or(project.priority);
            project.description = or_kept(sent.description, project.description);
            project.icon = or_kept(sent.icon, project.icon);
            project.lead_type = or_kept(sent.lead_type, project.lead_type);
            project.lead_id = or_kept(lead_id, project.lead_id);
            project.updated_at = now;
            projects::update(c, &project).await?;
            projects::find_body(c, project.id).await
        })
    });
    let failed = |error: StoreError| Error::internal("failed to update project", error);
    let body = written.await.map_err(failed)?.ok_or_else(no_project)?;
    app.events.by(scope.actor, scope.workspace_id, "project:updated", || json!({"project": body}));
    Ok(Json(body))
}

/// Deletes a project. Its issues stay.
#[utoipa::path(delete, path = "/{id}", tag = "projects",
    params(("id" = String, Path, description = "The project's id")),
    responses((status = 204), (status = 403, body = ErrorBody, description = "Not an owner or admin"),
        (status = 404, body = ErrorBody, description = "No such project in the workspace")))]
async fn delete(app: App, scope: Scope, ProjectInPath(project): ProjectInPath) -> Result<StatusCode, Error> {
    scope.require_admin()?;
    let id = project.id;
    let deleted: Result<(), StoreError> = app.db.write(move |c| Box::pin(projects::delete(c, id))).await;
    deleted.map_err(|error| Error::internal("failed to delete project", error))?;
    app.events.by(scope.actor, scope.workspace_id, "project:deleted", || json!({"project_id": id}));
    Ok(StatusCode::NO_CONTENT)
}

pub(super) fn no_project() -> Error {
    Error::not_found("project not found")
}

fn or_kept<T>(sent: Sent<T>, kept: Option<T>) -> Option<T> {
    if sent.is_absent() { kept } else { sent.value() }
}

fn lead_id(sent: &str) -> Result<Uuid, Error> {
    parse_uuid(sent).ok_or_else(|| Error::bad_request("invalid lead_id"))
}

fn check_lead_type(kind: Option<&str>, verb: &str) -> Result<(), Error> {
    match kind {
        None | Some("member" | "agent") => Ok(()),
        Some(_) => Err(Error::bad_request(format!(
            "project {verb} rejected: a field value failed a database constraint"
        ))),
    }
}

fn check_status(status: &str) -> Result<(), Error> {
    check_one_of("status", status, &PROJECT_STATUSES)
}

fn check_priority(priority: &str) -> Result<(), Error> {
    check_one_of("priority", priority, &PRIORITIES)
}

fn check_one_of(name: &str, value: &str, known: &[&str]) -> Result<(), Error> {
    if known.contains(&value) {
        return Ok(());
    }
    Err(Error::bad_request(format!("invalid {name} {value:?}; valid values: {}", known.join(", "))))
}
