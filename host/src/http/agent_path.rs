//! The agent that a path names, with "malformed, absent, not yours" settled before the
//! first line of a handler.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::app::App;
use crate::dispatch::permission;
use crate::http::error::Error;
use crate::http::extract::{Scope, path_segment};
use crate::model::agent::Agent;
use crate::model::ids::AgentId;
use crate::store::{agent_targets, agents};

/// The agent `{id}` of the caller's workspace, archived or not.
#[derive(Clone, Debug)]
pub struct AgentInPath(pub Agent);

/// The same, which the caller may see.
#[derive(Clone, Debug)]
pub struct VisibleAgent(pub Agent);

/// The same, which the caller may manage.
#[derive(Clone, Debug)]
pub struct ManagedAgent(pub Agent);

impl FromRequestParts<App> for AgentInPath {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
        let scope = Scope::from_request_parts(parts, app).await?;
        let id = AgentId::parse(&path_segment(parts, "id").await)
            .ok_or_else(|| Error::bad_request("invalid agent id"))?;
        let found = agents::find(&mut app.db.reader().await?, id).await?;
        let found = found.filter(|agent| agent.workspace_id == scope.workspace_id);
        found.map(Self).ok_or_else(|| Error::not_found("agent not found"))
    }
}

impl FromRequestParts<App> for VisibleAgent {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
        let scope = Scope::from_request_parts(parts, app).await?;
        let AgentInPath(agent) = AgentInPath::from_request_parts(parts, app).await?;
        let targets = agent_targets::list(&mut app.db.reader().await?, agent.id).await?;
        if permission::may_view(&agent, &targets, scope.user_id, scope.role, scope.actor.is_agent()) {
            Ok(Self(agent))
        } else {
            Err(Error::forbidden("you do not have access to this agent"))
        }
    }
}

impl FromRequestParts<App> for ManagedAgent {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
        let scope = Scope::from_request_parts(parts, app).await?;
        let AgentInPath(agent) = AgentInPath::from_request_parts(parts, app).await?;
        if permission::may_manage(&agent, scope.user_id, scope.role) {
            Ok(Self(agent))
        } else {
            Err(Error::forbidden("only the agent owner can manage this agent"))
        }
    }
}
