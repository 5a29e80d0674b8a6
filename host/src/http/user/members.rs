//! `/api/workspaces/{id}/members`: who belongs to a workspace.

use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::invitations;
use crate::app::App;
use crate::dispatch::membership::{self, Changer, Leaving, MemberError};
use crate::http::body::Body;
use crate::http::error::{Error, ErrorBody};
use crate::http::extract::Scope;
use crate::model::ids::{WorkspaceId, parse_uuid};
use crate::model::member::Member;
use crate::model::workspace::Role;
use crate::store::members;

/// What goes under `/api/workspaces`.
pub fn on_workspaces() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, invitations::invite))
        .routes(routes!(set_role, remove))
        .routes(routes!(leave))
}

/// Everybody in the workspace, oldest membership first.
#[utoipa::path(get, path = "/{id}/members", tag = "members", params(("id" = WorkspaceId, Path)), responses(
    (status = 200, body = [Member]),
    (status = 401, body = ErrorBody),
    (status = 404, body = ErrorBody),
))]
async fn list(app: App, scope: Scope) -> Result<Json<Vec<Member>>, Error> {
    let failed = |error| Error::internal("failed to list members", error);
    let found = members::list(&mut app.db.reader().await.map_err(failed)?, scope.workspace_id).await;
    Ok(Json(found.map_err(failed)?))
}

#[derive(Deserialize, ToSchema)]
struct NewRole {
    /// `owner`, `admin` or `member`.
    role: Option<String>,
}

/// Gives a member another role.
#[utoipa::path(patch, path = "/{id}/members/{memberId}", tag = "members",
    params(("id" = WorkspaceId, Path), ("memberId" = Uuid, Path)), request_body = NewRole, responses(
    (status = 200, body = Member),
    (status = 400, body = ErrorBody),
    (status = 403, body = ErrorBody),
    (status = 404, body = ErrorBody),
))]
async fn set_role(
    app: App,
    scope: Scope,
    Path(path): Path<(String, String)>,
    sent: Result<Body<NewRole>, Error>,
) -> Result<Json<Member>, Error> {
    scope.require_admin()?;
    let (id, workspace) = (member_id(&path.1)?, scope.workspace_id);
    let failed = |error| Error::internal("failed to load member", error);
    let found = members::find(&mut app.db.reader().await.map_err(failed)?, workspace, id).await;
    found.map_err(failed)?.ok_or_else(|| Error::not_found("member not found"))?;
    let Body(sent) = sent?;
    let role = sent.role.map(|role| role.trim().to_owned()).filter(|role| !role.is_empty());
    let role = role.ok_or_else(|| Error::bad_request("role is required"))?;
    let role = Role::parse(&role).ok_or_else(|| Error::bad_request("invalid member role"))?;
    let changed = membership::set_role(&app, changer(&scope), workspace, id, role).await;
    Ok(Json(changed.map_err(|error| refused(error, "failed to update member"))?))
}

/// Removes a member, with their runtimes and what ran there.
#[utoipa::path(delete, path = "/{id}/members/{memberId}", tag = "members",
    params(("id" = WorkspaceId, Path), ("memberId" = Uuid, Path)), responses(
    (status = 204),
    (status = 400, body = ErrorBody),
    (status = 403, body = ErrorBody),
    (status = 404, body = ErrorBody),
))]
async fn remove(app: App, scope: Scope, Path(path): Path<(String, String)>) -> Result<StatusCode, Error> {
    scope.require_admin()?;
    go(&app, &scope, Leaving::Membership(member_id(&path.1)?), "failed to remove member").await
}

/// The caller leaves.
#[utoipa::path(post, path = "/{id}/leave", tag = "members", params(("id" = WorkspaceId, Path)), responses(
    (status = 204),
    (status = 400, body = ErrorBody),
    (status = 404, body = ErrorBody),
))]
async fn leave(app: App, scope: Scope) -> Result<StatusCode, Error> {
    go(&app, &scope, Leaving::Myself, "failed to leave workspace").await
}

async fn go(app: &App, scope: &Scope, who: Leaving, failed: &str) -> Result<StatusCode, Error> {
    let gone = membership::remove(app, changer(scope), scope.workspace_id, who).await;
    gone.map_err(|error| refused(error, failed))?;
    Ok(StatusCode::NO_CONTENT)
}

fn changer(scope: &Scope) -> Changer {
    Changer { actor: scope.actor, user_id: scope.user_id, role: scope.role }
}

fn member_id(text: &str) -> Result<Uuid, Error> {
    parse_uuid(text).ok_or_else(|| Error::bad_request("invalid member id"))
}

fn refused(error: MemberError, failed: &str) -> Error {
    let message = error.to_string();
    match error {
        MemberError::NotFound => Error::not_found(message),
        MemberError::NotAllowed => Error::forbidden(message),
        MemberError::LastOwner => Error::bad_request(message),
        MemberError::Store(error) => Error::internal(failed, error),
    }
}
