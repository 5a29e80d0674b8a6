//! `/api/squads`: groups of agents and people that are given work as one.

use std::collections::HashMap;

use axum::Json;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{mount_scoped, squad_members, squad_status};
use crate::app::App;
use crate::http::body::Body;
use crate::http::error::{Error, ErrorBody};
use crate::http::extract::{AdminScope, Scope};
use crate::http::squad_path::SquadInPath;
use crate::model::ids::{AgentId, SquadId};
use crate::model::squad::{LEADER, Squad, SquadBody, SquadMember};
use crate::store::{Conn, agents, squad_members as members, squads};

pub fn routes() -> OpenApiRouter<App> {
    let routes = OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, update, archive))
        .merge(squad_members::on_squads())
        .merge(squad_status::on_squads());
    mount_scoped("/api/squads", routes)
}

/// The squads of the workspace that are not archived, oldest first.
#[utoipa::path(get, path = "/", tag = "squads", responses((status = 200, body = Vec<SquadBody>)))]
async fn list(app: App, scope: Scope) -> Result<Json<Vec<SquadBody>>, Error> {
    let failed = |error| Error::internal("failed to list squads", error);
    let mut conn = app.db.reader().await.map_err(failed)?;
    let found = squads::list(&mut conn, scope.workspace_id).await.map_err(failed)?;
    let mut by_squad: HashMap<SquadId, Vec<SquadMember>> = HashMap::new();
    for member in members::list_of_workspace(&mut conn, scope.workspace_id).await.map_err(failed)? {
        by_squad.entry(member.squad_id).or_default().push(member);
    }
    let bodies = found.into_iter().map(|squad| {
        let members = by_squad.remove(&squad.id).unwrap_or_default();
        SquadBody::new(squad, &members)
    });
    Ok(Json(bodies.collect()))
}

/// One squad, archived or not.
#[utoipa::path(get, path = "/{id}", tag = "squads",
    params(("id" = String, Path, description = "The squad's id")),
    responses((status = 200, body = SquadBody), (status = 404, body = ErrorBody, description = "No such squad in the workspace")))]
async fn get(app: App, SquadInPath(squad): SquadInPath) -> Result<Json<SquadBody>, Error> {
    let failed = |error| Error::internal("failed to load squad", error);
    let members =
        members::list(&mut app.db.reader().await.map_err(failed)?, squad.id).await.map_err(failed)?;
    Ok(Json(SquadBody::new(squad, &members)))
}

/// What a new squad is made of.
#[derive(Deserialize, ToSchema)]
struct CreateSquad {
    name: Option<String>,
    description: Option<String>,
    /// The agent that leads; it becomes the first member.
    leader_id: Option<String>,
    avatar_url: Option<String>,
}

/// Creates a squad with its leader as the only member.
#[utoipa::path(post, path = "/", tag = "squads", request_body = CreateSquad,
    responses((status = 201, body = SquadBody), (status = 400, body = ErrorBody, description = "A value is missing or wrong"),
        (status = 403, body = ErrorBody, description = "Not an owner or admin")))]
async fn create(
    app: App,
    AdminScope(scope): AdminScope,
    Body(sent): Body<CreateSquad>,
) -> Result<(StatusCode, Json<SquadBody>), Error> {
    let name = sent.name.filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| Error::bad_request("name is required"))?;
    let leader = sent.leader_id.filter(|id| !id.is_empty());
    let leader = leader.ok_or_else(|| Error::bad_request("leader_id is required"))?;
    let leader_id = leader_id(&leader)?;
    let now = app.clock.now();
    let squad = Squad {
        id: SquadId::new(),
        workspace_id: scope.workspace_id,
        name,
        description: sent.description.unwrap_or_default(),
        instructions: String::new(),
        avatar_url: sent.avatar_url,
        leader_id,
        creator_id: scope.user_id.0,
        archived_at: None,
        archived_by: None,
        created_at: now,
        updated_at: now,
    };
    let made = app.db.write(move |c| {
        Box::pin(async move {
            check_leader(c, &squad).await?;
            squads::insert(c, &squad).await?;
            let leader = members::insert(c, squad.id, "agent", leader_id.0, LEADER, now).await?;
            Ok::<_, Error>(SquadBody::new(squad, leader.as_slice()))
        })
    });
    let body = made.await?;
    app.events.by(scope.actor, scope.workspace_id, "squad:created", || json!({"squad": body}));
    Ok((StatusCode::CREATED, Json(body)))
}

/// What an edit may hold. What is absent or null stays as it is.
#[derive(Deserialize, ToSchema)]
struct UpdateSquad {
    name: Option<String>,
    description: Option<String>,
    instructions: Option<String>,
    /// Joins the squad if it is not in it; the old leader stays a member.
    leader_id: Option<String>,
    avatar_url: Option<String>,
}

/// Changes a squad.
#[utoipa::path(put, path = "/{id}", tag = "squads", request_body = UpdateSquad,
    params(("id" = String, Path, description = "The squad's id")),
    responses((status = 200, body = SquadBody), (status = 400, body = ErrorBody, description = "A value is wrong"),
        (status = 403, body = ErrorBody, description = "Not an owner or admin"),
        (status = 404, body = ErrorBody, description = "No such squad in the workspace")))]
async fn update(
    app: App,
    AdminScope(scope): AdminScope,
    SquadInPath(squad): SquadInPath,
    Body(sent): Body<UpdateSquad>,
) -> Result<Json<SquadBody>, Error> {
    let new_leader = sent.leader_id.as_deref().map(leader_id).transpose()?;
    let now = app.clock.now();
    let written = app.db.write(move |c| {
        Box::pin(async move {
            let mut squad = squads::find_locked(c, squad.id).await?.ok_or_else(no_squad)?;
            squad.name = sent.name.unwrap_or(squad.name);
            squad.description = sent.description.unwrap_or(squad.description);
            squad.instructions = sent.instructions.unwrap_or(squad.instructions);
            squad.avatar_url = sent.avatar_url.or(squad.avatar_url);
            squad.updated_at = now;
            if let Some(leader) = new_leader {
                squad.leader_id = leader;
                check_leader(c, &squad).await?;
                members::insert(c, squad.id, "agent", leader.0, LEADER, now).await?;
            }
            squads::update(c, &squad).await?;
            let members = members::list(c, squad.id).await?;
            Ok::<_, Error>(SquadBody::new(squad, &members))
        })
    });
    let body = written.await?;
    app.events.by(scope.actor, scope.workspace_id, "squad:updated", || json!({"squad": body}));
    Ok(Json(body))
}

/// Archives a squad. What is assigned to it goes to its leader, which starts nothing.
#[utoipa::path(delete, path = "/{id}", tag = "squads",
    params(("id" = String, Path, description = "The squad's id")),
    responses((status = 204), (status = 400, body = ErrorBody, description = "Archived already"),
        (status = 403, body = ErrorBody, description = "Not an owner or admin"),
        (status = 404, body = ErrorBody, description = "No such squad in the workspace")))]
async fn archive(
    app: App,
    AdminScope(scope): AdminScope,
    SquadInPath(squad): SquadInPath,
) -> Result<StatusCode, Error> {
    let now = app.clock.now();
    let archived = app.db.write(move |c| {
        Box::pin(async move {
            let mut squad = squads::find_locked(c, squad.id).await?.ok_or_else(no_squad)?;
            if squad.archived_at.is_some() {
                return Err(Error::bad_request("squad is already archived"));
            }
            squads::hand_over(c, squad.id, squad.leader_id, now).await?;
            squad.archived_at = Some(now);
            squad.archived_by = Some(scope.user_id);
            squad.updated_at = now;
            squads::update(c, &squad).await?;
            Ok::<_, Error>(squad)
        })
    });
    let squad = archived.await?;
    app.events.by(
        scope.actor,
        scope.workspace_id,
        "squad:deleted",
        || json!({"squad_id": squad.id, "leader_id": squad.leader_id}),
    );
    Ok(StatusCode::NO_CONTENT)
}

pub(super) fn no_squad() -> Error {
    Error::not_found("squad not found")
}

fn leader_id(sent: &str) -> Result<AgentId, Error> {
    AgentId::parse(sent).ok_or_else(|| Error::bad_request("invalid leader_id"))
}

/// 400 unless the leader is an agent of the squad's workspace. An archived one may lead:
/// it is whoever assigns work to the squad that must be told.
async fn check_leader(conn: &mut Conn, squad: &Squad) -> Result<(), Error> {
    let found = agents::find(conn, squad.leader_id).await?;
    if found.is_some_and(|agent| agent.workspace_id == squad.workspace_id) {
        return Ok(());
    }
    Err(Error::bad_request("leader must be a valid agent in this workspace"))
}
