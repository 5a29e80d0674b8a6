//! `/api/squads/{id}/members`: who is in a squad, as what.

use axum::Json;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::squads::no_squad;
use crate::app::App;
use crate::http::body::Body;
use crate::http::error::{Error, ErrorBody};
use crate::http::extract::{AdminScope, Scope};
use crate::http::squad_path::SquadInPath;
use crate::model::ids::{AgentId, SquadId, UserId, WorkspaceId, parse_uuid};
use crate::model::squad::SquadMemberBody;
use crate::store::{Conn, agents, squad_members as members, squads, users};

/// Put under `/api/squads`.
pub(super) fn on_squads() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, add, remove)).routes(routes!(set_role))
}

/// Everyone in the squad, in the order they joined.
#[utoipa::path(get, path = "/{id}/members", tag = "squads",
    params(("id" = String, Path, description = "The squad's id")),
    responses((status = 200, body = Vec<SquadMemberBody>),
        (status = 404, body = ErrorBody, description = "No such squad in the workspace")))]
async fn list(app: App, SquadInPath(squad): SquadInPath) -> Result<Json<Vec<SquadMemberBody>>, Error> {
    let failed = |error| Error::internal("failed to list squad members", error);
    let found = members::list(&mut app.db.reader().await.map_err(failed)?, squad.id).await.map_err(failed)?;
    Ok(Json(found.into_iter().map(SquadMemberBody::from).collect()))
}

/// Who, and as what.
#[derive(Deserialize, ToSchema)]
struct Named {
    /// `agent`, or `member` for a person.
    member_type: Option<String>,
    /// The agent's id, or the user's.
    member_id: Option<String>,
    role: Option<String>,
}

impl Named {
    fn kind(&self) -> &str {
        self.member_type.as_deref().unwrap_or_default()
    }

    fn id(&self) -> Result<Uuid, Error> {
        let id = self.member_id.as_deref().and_then(parse_uuid);
        id.ok_or_else(|| Error::bad_request("invalid member_id"))
    }
}

/// Adds an agent or a person.
#[utoipa::path(post, path = "/{id}/members", tag = "squads", request_body = Named,
    params(("id" = String, Path, description = "The squad's id")),
    responses((status = 201, body = SquadMemberBody), (status = 400, body = ErrorBody, description = "Nobody of this workspace"),
        (status = 403, body = ErrorBody, description = "Not an owner or admin"),
        (status = 404, body = ErrorBody, description = "No such squad in the workspace"),
        (status = 409, body = ErrorBody, description = "In the squad already")))]
async fn add(
    app: App,
    AdminScope(scope): AdminScope,
    SquadInPath(squad): SquadInPath,
    Body(sent): Body<Named>,
) -> Result<(StatusCode, Json<SquadMemberBody>), Error> {
    let kind = match sent.kind() {
        "agent" => "agent",
        "member" => "member",
        _ => return Err(Error::bad_request("member_type must be 'agent' or 'member'")),
    };
    if sent.member_id.as_deref().unwrap_or_default().is_empty() {
        return Err(Error::bad_request("member_id is required"));
    }
    let id = sent.id()?;
    let role = sent.role.unwrap_or_default();
    let now = app.clock.now();
    let added = app.db.write(move |c| {
        Box::pin(async move {
            exists(c, scope.workspace_id, kind, id).await?;
            let added = members::insert(c, squad.id, kind, id, &role, now).await?;
            added.ok_or_else(|| Error::conflict("member already in squad"))
        })
    });
    let body = SquadMemberBody::from(added.await?);
    tell(&app, &scope, squad.id);
    Ok((StatusCode::CREATED, Json(body)))
}

/// Takes somebody out. The leader stays until another one leads.
#[utoipa::path(delete, path = "/{id}/members", tag = "squads", request_body = Named,
    params(("id" = String, Path, description = "The squad's id")),
    responses((status = 204), (status = 400, body = ErrorBody, description = "The leader, or no id"),
        (status = 403, body = ErrorBody, description = "Not an owner or admin"),
        (status = 404, body = ErrorBody, description = "No such squad, or not a member of it")))]
async fn remove(
    app: App,
    AdminScope(scope): AdminScope,
    SquadInPath(squad): SquadInPath,
    Body(sent): Body<Named>,
) -> Result<StatusCode, Error> {
    let id = sent.id()?;
    let removed = app.db.write(move |c| {
        Box::pin(async move {
            let squad = squads::find_locked(c, squad.id).await?.ok_or_else(no_squad)?;
            if sent.kind() == "agent" && id == squad.leader_id.0 {
                return Err(Error::bad_request("cannot remove the squad leader; change leader first"));
            }
            Ok::<_, Error>(members::delete(c, squad.id, sent.kind(), id).await?)
        })
    });
    if !removed.await? {
        return Err(no_member());
    }
    tell(&app, &scope, squad.id);
    Ok(StatusCode::NO_CONTENT)
}

/// Gives somebody another role.
#[utoipa::path(patch, path = "/{id}/members/role", tag = "squads", request_body = Named,
    params(("id" = String, Path, description = "The squad's id")),
    responses((status = 200, body = SquadMemberBody), (status = 400, body = ErrorBody, description = "No id"),
        (status = 403, body = ErrorBody, description = "Not an owner or admin"),
        (status = 404, body = ErrorBody, description = "No such squad, or not a member of it")))]
async fn set_role(
    app: App,
    AdminScope(scope): AdminScope,
    SquadInPath(squad): SquadInPath,
    Body(sent): Body<Named>,
) -> Result<Json<SquadMemberBody>, Error> {
    let id = sent.id()?;
    let changed = app.db.write(move |c| {
        Box::pin(async move {
            let role = sent.role.as_deref().unwrap_or_default();
            Ok::<_, Error>(members::set_role(c, squad.id, sent.kind(), id, role).await?)
        })
    });
    let member = changed.await?.ok_or_else(no_member)?;
    tell(&app, &scope, squad.id);
    Ok(Json(SquadMemberBody::from(member)))
}

fn no_member() -> Error {
    Error::not_found("squad member not found")
}

fn tell(app: &App, scope: &Scope, squad: SquadId) {
    app.events.by(scope.actor, scope.workspace_id, "squad:updated", || json!({"squad_id": squad}));
}

/// 400 unless there is such an agent or member in the workspace.
async fn exists(conn: &mut Conn, workspace: WorkspaceId, kind: &str, id: Uuid) -> Result<(), Error> {
    if kind == "agent" {
        let agent = agents::find(conn, AgentId(id)).await?;
        let here = agent.is_some_and(|agent| agent.workspace_id == workspace);
        return here.then_some(()).ok_or_else(|| Error::bad_request("agent not found in this workspace"));
    }
    let role = users::find_role(conn, UserId(id), workspace).await?;
    role.map(drop).ok_or_else(|| Error::bad_request("member not found in this workspace"))
}
