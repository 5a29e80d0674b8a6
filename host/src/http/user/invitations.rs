//! Invitations, as those who invite see them and as those who are invited do.

use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::alone;
use crate::app::App;
use crate::dispatch::membership::{self, AnswerError};
use crate::http::body::Body;
use crate::http::error::{Error, ErrorBody};
use crate::http::extract::{Caller, Scope};
use crate::model::ids::{WorkspaceId, parse_uuid};
use crate::model::invitation::{Invitation, LIFETIME};
use crate::model::member::Member;
use crate::model::workspace::{Role, User};
use crate::store::{StoreError, invitations, members, users, workspaces};

/// The longest address that mail knows, which every database can index.
const ADDRESS_BYTES: usize = 320;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(alone(routes!(list_mine)))
        .routes(alone(routes!(show_mine)))
        .routes(alone(routes!(accept)))
        .routes(alone(routes!(decline)))
}

/// What goes under `/api/workspaces`, but for inviting, which shares a path with the list of members.
pub fn on_workspaces() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(revoke))
}

#[derive(Deserialize, ToSchema)]
pub(super) struct NewInvitation {
    email: Option<String>,
    /// `admin` or `member`, which it is when absent.
    role: Option<String>,
}

/// Invites somebody. They are a member once they accept.
#[utoipa::path(post, path = "/{id}/members", tag = "members", params(("id" = WorkspaceId, Path)),
    request_body = NewInvitation, responses(
    (status = 201, body = Invitation),
    (status = 400, body = ErrorBody),
    (status = 403, body = ErrorBody),
    (status = 404, body = ErrorBody),
    (status = 409, body = ErrorBody),
))]
pub(super) async fn invite(
    app: App,
    scope: Scope,
    sent: Result<Body<NewInvitation>, Error>,
) -> Result<(StatusCode, Json<Invitation>), Error> {
    scope.require_admin()?;
    let Body(sent) = sent?;
    let email = sent.email.unwrap_or_default().trim().to_lowercase();
    if email.is_empty() {
        return Err(Error::bad_request("email is required"));
    }
    if email.len() > ADDRESS_BYTES {
        return Err(Error::bad_request("email is too long"));
    }
    let role = match sent.role.as_deref().unwrap_or_default() {
        "" => Role::Member,
        role => Role::parse(role).ok_or_else(|| Error::bad_request("invalid member role"))?,
    };
    if role == Role::Owner {
        return Err(Error::bad_request("cannot invite as owner"));
    }
    let now = app.clock.now();
    let invitation = Invitation {
        id: Uuid::now_v7(),
        workspace_id: scope.workspace_id,
        inviter_id: scope.user_id,
        invitee_email: email,
        invitee_user_id: None,
        role: role.as_str().to_owned(),
        status: "pending".to_owned(),
        created_at: now,
        updated_at: now,
        expires_at: now + LIFETIME,
        inviter_name: None,
        inviter_email: None,
        workspace_name: None,
    };
    let stored = store(&app, invitation).await;
    let (invitation, workspace_name) = stored.map_err(|error| match error {
        InviteError::Member => Error::conflict("user is already a member"),
        InviteError::Pending | InviteError::Store(StoreError::Conflict { .. }) => {
            Error::conflict("invitation already pending for this email")
        }
        InviteError::Store(error) => Error::internal("failed to create invitation", error),
    })?;
    app.events.by(
        scope.actor,
        scope.workspace_id,
        "invitation:created",
        || json!({"invitation": invitation, "workspace_name": workspace_name}),
    );
    Ok((StatusCode::CREATED, Json(invitation)))
}

enum InviteError {
    Member,
    Pending,
    Store(StoreError),
}

impl From<StoreError> for InviteError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Keeps the invitation, addressed to an account if the address has one. Gives the name of
/// the workspace with it.
async fn store(app: &App, new: Invitation) -> Result<(Invitation, Option<String>), InviteError> {
    app.db
        .write(move |c| {
            Box::pin(async move {
                let workspace = new.workspace_id;
                if members::has_email(c, workspace, &new.invitee_email).await? {
                    return Err(InviteError::Member);
                }
                invitations::expire(c, workspace, &new.invitee_email, new.created_at).await?;
                if invitations::is_pending(c, workspace, &new.invitee_email).await? {
                    return Err(InviteError::Pending);
                }
                let invitee_user_id = users::find_by_email(c, &new.invitee_email).await?;
                let new = Invitation { invitee_user_id, ..new };
                invitations::insert(c, &new).await?;
                let name = workspaces::find(c, workspace).await?.map(|workspace| workspace.name);
                Ok((new, name))
            })
        })
        .await
}

/// The workspace's invitations that nobody has answered yet.
#[utoipa::path(get, path = "/{id}/invitations", tag = "members", params(("id" = WorkspaceId, Path)), responses(
    (status = 200, body = [Invitation]),
    (status = 404, body = ErrorBody),
))]
async fn list(app: App, scope: Scope) -> Result<Json<Vec<Invitation>>, Error> {
    let failed = |error| Error::internal("failed to list invitations", error);
    let mut conn = app.db.reader().await.map_err(failed)?;
    let found = invitations::list_pending(&mut conn, scope.workspace_id, app.clock.now()).await;
    Ok(Json(found.map_err(failed)?))
}

/// Takes an invitation back.
#[utoipa::path(delete, path = "/{id}/invitations/{invitationId}", tag = "members",
    params(("id" = WorkspaceId, Path), ("invitationId" = Uuid, Path)), responses(
    (status = 204),
    (status = 400, body = ErrorBody),
    (status = 403, body = ErrorBody),
    (status = 404, body = ErrorBody),
))]
async fn revoke(app: App, scope: Scope, Path(path): Path<(String, String)>) -> Result<StatusCode, Error> {
    scope.require_admin()?;
    let (id, workspace) = (invitation_id(&path.1)?, scope.workspace_id);
    let revoked = app.db.write(move |c| Box::pin(invitations::revoke(c, workspace, id))).await;
    let revoked = revoked.map_err(|error| Error::internal("failed to revoke invitation", error))?;
    let (email, user) = revoked.ok_or_else(|| Error::not_found("invitation not found"))?;
    app.events.by(
        scope.actor,
        workspace,
        "invitation:revoked",
        || json!({"invitation_id": id, "invitee_email": email, "invitee_user_id": user}),
    );
    Ok(StatusCode::NO_CONTENT)
}

/// The caller's invitations that they have not answered yet.
#[utoipa::path(get, path = "/api/invitations", tag = "members", responses(
    (status = 200, body = [Invitation]),
    (status = 401, body = ErrorBody),
))]
async fn list_mine(app: App, caller: Caller) -> Result<Json<Vec<Invitation>>, Error> {
    let user = myself(&app, &caller).await?;
    let failed = |error| Error::internal("failed to list invitations", error);
    let mut conn = app.db.reader().await.map_err(failed)?;
    let (email, now) = (user.email.to_lowercase(), app.clock.now());
    let found = invitations::list_of_person(&mut conn, user.id, &email, now).await;
    Ok(Json(found.map_err(failed)?))
}

/// One invitation of the caller's.
#[utoipa::path(get, path = "/api/invitations/{id}", tag = "members", params(("id" = Uuid, Path)), responses(
    (status = 200, body = Invitation),
    (status = 403, body = ErrorBody),
    (status = 404, body = ErrorBody),
))]
async fn show_mine(app: App, caller: Caller, Path(id): Path<String>) -> Result<Json<Invitation>, Error> {
    let (user, id) = (myself(&app, &caller).await?, invitation_id(&id)?);
    let failed = |error| Error::internal("failed to load invitation", error);
    let found = invitations::find(&mut app.db.reader().await.map_err(failed)?, id).await.map_err(failed)?;
    let found = found.ok_or_else(|| Error::not_found("invitation not found"))?;
    if found.is_for(&user) {
        Ok(Json(found))
    } else {
        Err(Error::forbidden("invitation does not belong to you"))
    }
}

/// Joins the workspace.
#[utoipa::path(post, path = "/api/invitations/{id}/accept", tag = "members", params(("id" = Uuid, Path)), responses(
    (status = 200, body = Member),
    (status = 400, body = ErrorBody),
    (status = 403, body = ErrorBody),
    (status = 404, body = ErrorBody),
    (status = 409, body = ErrorBody),
    (status = 410, body = ErrorBody),
))]
async fn accept(app: App, caller: Caller, Path(id): Path<String>) -> Result<Json<Member>, Error> {
    let (user, id) = (myself(&app, &caller).await?, invitation_id(&id)?);
    Ok(Json(membership::accept(&app, user, id).await.map_err(refused)?))
}

/// Stays out of the workspace.
#[utoipa::path(post, path = "/api/invitations/{id}/decline", tag = "members", params(("id" = Uuid, Path)), responses(
    (status = 204),
    (status = 400, body = ErrorBody),
    (status = 403, body = ErrorBody),
    (status = 404, body = ErrorBody),
))]
async fn decline(app: App, caller: Caller, Path(id): Path<String>) -> Result<StatusCode, Error> {
    let (user, id) = (myself(&app, &caller).await?, invitation_id(&id)?);
    membership::decline(&app, user, id).await.map_err(refused)?;
    Ok(StatusCode::NO_CONTENT)
}

fn refused(error: AnswerError) -> Error {
    let message = error.to_string();
    match error {
        AnswerError::NotFound => Error::not_found(message),
        AnswerError::NotYours => Error::forbidden(message),
        AnswerError::NotPending => Error::bad_request(message),
        AnswerError::Expired => Error::new(StatusCode::GONE, message),
        AnswerError::AlreadyMember => Error::conflict(message),
        AnswerError::Store(error) => Error::internal("failed to answer invitation", error),
    }
}

fn invitation_id(text: &str) -> Result<Uuid, Error> {
    parse_uuid(text).ok_or_else(|| Error::bad_request("invalid invitation id"))
}

async fn myself(app: &App, caller: &Caller) -> Result<User, Error> {
    let id = caller.require_user()?;
    let failed = |error| Error::internal("failed to load user", error);
    let user = users::find(&mut app.db.reader().await.map_err(failed)?, id).await.map_err(failed)?;
    user.ok_or_else(|| Error::not_found("user not found"))
}
