//! `/api/workspaces`: tenants. What belongs to one workspace but is a noun of its own (its
//! members, their invitations, its runtime profiles) has a file of its own and is put under
//! the same prefix here.

use axum::Json;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{invitations, members, mount, runtime_profiles};
use crate::app::App;
use crate::dispatch::workspace_removal;
use crate::http::body::Body;
use crate::http::error::{Error, ErrorBody};
use crate::http::extract::{Caller, Scope};
use crate::http::gate::Gate;
use crate::http::guard;
use crate::model::ids::WorkspaceId;
use crate::model::workspace::{Role, Workspace, default_issue_prefix};
use crate::model::workspace_body::WorkspaceBody;
use crate::model::{repo_url, slug};
use crate::store::workspaces::{self, WorkspaceChange};
use crate::store::{StoreError, users};

pub fn routes() -> OpenApiRouter<App> {
    let of_one = OpenApiRouter::new()
        .routes(routes!(show, update, delete))
        .merge(members::on_workspaces())
        .merge(invitations::on_workspaces())
        .merge(runtime_profiles::on_workspaces())
        .layer(Gate(guard::workspace_in_path));
    mount("/api/workspaces", OpenApiRouter::new().routes(routes!(list, create)).merge(of_one))
}

/// The caller's workspaces, oldest first.
#[utoipa::path(get, path = "/", responses((status = 200, body = [WorkspaceBody]), (status = 401, body = ErrorBody)))]
async fn list(app: App, caller: Caller) -> Result<Json<Vec<WorkspaceBody>>, Error> {
    let user = caller.require_user()?;
    let failed = |error| Error::internal("failed to list workspaces", error);
    let found = workspaces::list_of_user(&mut app.db.reader().await.map_err(failed)?, user).await;
    Ok(Json(found.map_err(failed)?.into_iter().map(WorkspaceBody::from).collect()))
}

#[derive(Deserialize, ToSchema)]
struct NewWorkspace {
    name: Option<String>,
    /// Lower-case letters, digits and single hyphens.
    slug: Option<String>,
    description: Option<String>,
    context: Option<String>,
    /// Derived from the name when absent.
    issue_prefix: Option<String>,
}

/// Makes a workspace, which the caller owns.
#[utoipa::path(post, path = "/", request_body = NewWorkspace, responses(
    (status = 201, body = WorkspaceBody),
    (status = 400, body = ErrorBody),
    (status = 401, body = ErrorBody),
    (status = 403, body = ErrorBody),
    (status = 409, body = ErrorBody),
))]
async fn create(
    app: App,
    caller: Caller,
    sent: Result<Body<NewWorkspace>, Error>,
) -> Result<(StatusCode, Json<WorkspaceBody>), Error> {
    let user = caller.require_user()?;
    if app.flags.disable_workspace_creation {
        return Err(Error::forbidden("workspace creation is disabled for this instance"));
    }
    let Body(sent) = sent?;
    let name = sent.name.unwrap_or_default().trim().to_owned();
    let slug = sent.slug.unwrap_or_default().trim().to_lowercase();
    if name.is_empty() || slug.is_empty() {
        return Err(Error::bad_request("name and slug are required"));
    }
    slug::check(&slug).map_err(|error| Error::bad_request(error.to_string()))?;
    let prefix = prefix(sent.issue_prefix).unwrap_or_else(|| default_issue_prefix(&name));
    let now = app.clock.now();
    let workspace = Workspace {
        id: WorkspaceId::new(),
        name,
        slug,
        description: sent.description,
        context: sent.context,
        avatar_url: None,
        settings: json!({}),
        repos: json!([]),
        issue_prefix: prefix,
        created_at: now,
        updated_at: now,
    };
    let row = workspace.clone();
    let stored: Result<(), StoreError> = app
        .db
        .write(move |c| {
            Box::pin(async move {
                workspaces::insert(c, &row).await?;
                users::insert_member(c, row.id, user, Role::Owner.as_str(), now).await
            })
        })
        .await;
    stored.map_err(|error| match error {
        StoreError::Conflict { .. } => Error::conflict("workspace slug already exists"),
        // A token may outlive its user.
        StoreError::Reference { .. } => Error::not_found("user not found"),
        error => Error::internal("failed to create workspace", error),
    })?;
    Ok((StatusCode::CREATED, Json(workspace.into())))
}

/// One workspace.
#[utoipa::path(get, path = "/{id}", params(("id" = WorkspaceId, Path)), responses(
    (status = 200, body = WorkspaceBody),
    (status = 400, body = ErrorBody),
    (status = 401, body = ErrorBody),
    (status = 404, body = ErrorBody),
))]
async fn show(app: App, scope: Scope) -> Result<Json<WorkspaceBody>, Error> {
    let failed = |error| Error::internal("failed to load workspace", error);
    let found = workspaces::find(&mut app.db.reader().await.map_err(failed)?, scope.workspace_id).await;
    let found = found.map_err(failed)?.ok_or_else(|| Error::not_found("workspace not found"))?;
    Ok(Json(found.into()))
}

#[derive(Deserialize, ToSchema)]
struct ChangedWorkspace {
    name: Option<String>,
    description: Option<String>,
    context: Option<String>,
    avatar_url: Option<String>,
    /// Replaces the whole value.
    settings: Option<Value>,
    /// A list of `{url, description?}`; replaces the whole list.
    repos: Option<Value>,
    issue_prefix: Option<String>,
}

/// Changes a workspace; what is absent stays as it is.
#[utoipa::path(method(put, patch), path = "/{id}", params(("id" = WorkspaceId, Path)),
    request_body = ChangedWorkspace, responses(
    (status = 200, body = WorkspaceBody),
    (status = 400, body = ErrorBody),
    (status = 401, body = ErrorBody),
    (status = 403, body = ErrorBody),
    (status = 404, body = ErrorBody),
))]
async fn update(
    app: App,
    scope: Scope,
    sent: Result<Body<ChangedWorkspace>, Error>,
) -> Result<Json<WorkspaceBody>, Error> {
    scope.require_admin()?;
    let Body(sent) = sent?;
    let change = checked(sent)?;
    let (id, now) = (scope.workspace_id, app.clock.now());
    let updated =
        app.db.write(move |c| Box::pin(async move { workspaces::update(c, id, &change, now).await }));
    let updated = updated.await.map_err(|error| Error::internal("failed to update workspace", error))?;
    let updated = updated.ok_or_else(|| Error::not_found("workspace not found"))?;
    let body = WorkspaceBody::from(updated);
    app.events.by(scope.actor, id, "workspace:updated", || json!({"workspace": body}));
    Ok(Json(body))
}

fn checked(sent: ChangedWorkspace) -> Result<WorkspaceChange, Error> {
    let name = sent.name.map(|name| name.trim().to_owned());
    if name.as_ref().is_some_and(String::is_empty) {
        return Err(Error::bad_request("name is required"));
    }
    let repos = sent.repos.as_ref().map(repo_url::checked).transpose();
    let repos = repos.map_err(|error| Error::bad_request(error.to_string()))?;
    Ok(WorkspaceChange {
        name,
        description: sent.description,
        context: sent.context,
        avatar_url: sent.avatar_url,
        settings: sent.settings,
        repos: repos.map(|repos| json!(repos)),
        issue_prefix: prefix(sent.issue_prefix),
    })
}

/// A prefix as it is kept; `None` for a blank one.
fn prefix(sent: Option<String>) -> Option<String> {
    sent.map(|prefix| prefix.trim().to_uppercase()).filter(|prefix| !prefix.is_empty())
}

/// Deletes a workspace with everything in it.
#[utoipa::path(delete, path = "/{id}", params(("id" = WorkspaceId, Path)), responses(
    (status = 204),
    (status = 401, body = ErrorBody),
    (status = 403, body = ErrorBody),
    (status = 404, body = ErrorBody),
))]
async fn delete(app: App, scope: Scope) -> Result<StatusCode, Error> {
    if scope.role != Role::Owner {
        return Err(Error::forbidden("insufficient permissions"));
    }
    let removed = workspace_removal::remove(&app, scope.actor, scope.workspace_id).await;
    removed.map_err(|error| Error::internal("failed to delete workspace", error))?;
    Ok(StatusCode::NO_CONTENT)
}
