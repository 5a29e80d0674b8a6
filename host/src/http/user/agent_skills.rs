//! `/api/agents/{id}/skills`: which skills an agent has.

use std::collections::HashSet;

use axum::Json;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::http::agent_path::{AgentInPath, ManagedAgent};
use crate::http::body::Body;
use crate::http::error::{Error, ErrorBody};
use crate::http::extract::Scope;
use crate::model::agent::Agent;
use crate::model::ids::SkillId;
use crate::model::skill::SkillSummary;
use crate::store::batch::Ids;
use crate::store::{agent_skills, agents, skills};

/// How many skills one request may name.
const MOST_SKILLS: usize = 1000;

/// Put under `/api/agents`.
pub(super) fn on_agents() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, replace)).routes(routes!(add))
}

/// What the agent can do, by name.
#[utoipa::path(get, path = "/{id}/skills", tag = "agents",
    params(("id" = String, Path, description = "The agent's id")),
    responses((status = 200, body = Vec<SkillSummary>), (status = 404, body = ErrorBody, description = "No such agent in the workspace")))]
async fn list(app: App, AgentInPath(agent): AgentInPath) -> Result<Json<Vec<SkillSummary>>, Error> {
    let failed = |error| Error::internal("failed to list agent skills", error);
    let mut conn = app.db.reader().await.map_err(failed)?;
    Ok(Json(skills::list_summaries_of_agent(&mut conn, agent.id).await.map_err(failed)?))
}

/// Which skills.
#[derive(Deserialize, ToSchema)]
struct SkillIds {
    skill_ids: Option<Vec<String>>,
}

/// Gives the agent these skills and no others.
#[utoipa::path(put, path = "/{id}/skills", tag = "agents", request_body = SkillIds,
    params(("id" = String, Path, description = "The agent's id")),
    responses((status = 200, body = Vec<SkillSummary>), (status = 400, body = ErrorBody, description = "Not a list of ids"),
        (status = 403, body = ErrorBody, description = "Not the caller's to change"),
        (status = 404, body = ErrorBody, description = "No such agent or skill in the workspace")))]
async fn replace(
    app: App,
    scope: Scope,
    ManagedAgent(agent): ManagedAgent,
    Body(sent): Body<SkillIds>,
) -> Result<Json<Vec<SkillSummary>>, Error> {
    assign(&app, &scope, &agent, sent, true).await
}

/// Gives the agent these skills beside those it has.
#[utoipa::path(post, path = "/{id}/skills/add", tag = "agents", request_body = SkillIds,
    params(("id" = String, Path, description = "The agent's id")),
    responses((status = 200, body = Vec<SkillSummary>), (status = 400, body = ErrorBody, description = "Not a list of ids"),
        (status = 403, body = ErrorBody, description = "Not the caller's to change"),
        (status = 404, body = ErrorBody, description = "No such agent or skill in the workspace")))]
async fn add(
    app: App,
    scope: Scope,
    ManagedAgent(agent): ManagedAgent,
    Body(sent): Body<SkillIds>,
) -> Result<Json<Vec<SkillSummary>>, Error> {
    assign(&app, &scope, &agent, sent, false).await
}

async fn assign(
    app: &App,
    scope: &Scope,
    agent: &Agent,
    sent: SkillIds,
    replaces: bool,
) -> Result<Json<Vec<SkillSummary>>, Error> {
    let wanted = sent.skill_ids.unwrap_or_default();
    if wanted.len() > MOST_SKILLS {
        return Err(Error::bad_request(format!("skill_ids may name at most {MOST_SKILLS} skills")));
    }
    let ids: Option<HashSet<SkillId>> = wanted.iter().map(|id| SkillId::parse(id)).collect();
    let ids = ids.ok_or_else(|| Error::bad_request("invalid skill_ids"))?;
    let (id, workspace, now) = (agent.id, scope.workspace_id, app.clock.now());
    let assigned = app.db.write(move |c| {
        Box::pin(async move {
            agents::lock(c, id).await?;
            let named = Ids::of(ids.iter().map(|id| id.0));
            let known = agent_skills::count_known(c, workspace, named.clone()).await?;
            if usize::try_from(known).ok() != Some(ids.len()) {
                return Err(Error::not_found("skill not found"));
            }
            if replaces {
                agent_skills::delete_all(c, id).await?;
            }
            agent_skills::insert(c, id, workspace, named, now).await?;
            Ok(skills::list_summaries_of_agent(c, id).await?)
        })
    });
    let list = assigned.await?;
    app.events.by(scope.actor, workspace, "agent:status", || json!({"agent_id": id, "skills": list}));
    Ok(Json(list))
}
