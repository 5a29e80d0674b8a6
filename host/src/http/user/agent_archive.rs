//! Archiving an agent, taking it back, and stopping what it does.

use axum::Json;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::agent_answer::{Reader, for_everybody};
use crate::app::App;
use crate::dispatch::archive::{self, ArchiveError};
use crate::dispatch::cancel;
use crate::http::agent_path::ManagedAgent;
use crate::http::error::{Error, ErrorBody};
use crate::http::extract::Scope;
use crate::model::agent::Agent;
use crate::model::agent_body::AgentBody;
use crate::store::agent_skills;
use crate::store::task_cancels::CancelScope;

/// Put under `/api/agents`.
pub(super) fn on_agents() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(archive)).routes(routes!(restore)).routes(routes!(cancel_tasks))
}

/// Archives an agent and cancels its tasks.
#[utoipa::path(post, path = "/{id}/archive", tag = "agents",
    params(("id" = String, Path, description = "The agent's id")),
    responses((status = 200, body = AgentBody), (status = 403, body = ErrorBody, description = "Not the caller's to change"),
        (status = 404, body = ErrorBody, description = "No such agent in the workspace"),
        (status = 409, body = ErrorBody, description = "Archived already")))]
async fn archive(
    app: App,
    scope: Scope,
    ManagedAgent(agent): ManagedAgent,
) -> Result<Json<AgentBody>, Error> {
    let agent = archive::archive(&app, agent.id, scope.user_id).await?;
    answer(&app, scope, agent, "agent:archived").await
}

/// Takes an archived agent back.
#[utoipa::path(post, path = "/{id}/restore", tag = "agents",
    params(("id" = String, Path, description = "The agent's id")),
    responses((status = 200, body = AgentBody), (status = 403, body = ErrorBody, description = "Not the caller's to change"),
        (status = 404, body = ErrorBody, description = "No such agent in the workspace"),
        (status = 409, body = ErrorBody, description = "Not archived")))]
async fn restore(
    app: App,
    scope: Scope,
    ManagedAgent(agent): ManagedAgent,
) -> Result<Json<AgentBody>, Error> {
    let agent = archive::restore(&app, agent.id).await?;
    answer(&app, scope, agent, "agent:restored").await
}

#[derive(Debug, Serialize, ToSchema)]
struct CancelledTasks {
    /// How many tasks were not over.
    cancelled: usize,
}

/// Cancels everything the agent has to do.
#[utoipa::path(post, path = "/{id}/cancel-tasks", tag = "agents",
    params(("id" = String, Path, description = "The agent's id")),
    responses((status = 200, body = CancelledTasks), (status = 403, body = ErrorBody, description = "Not the caller's to change"),
        (status = 404, body = ErrorBody, description = "No such agent in the workspace")))]
async fn cancel_tasks(app: App, ManagedAgent(agent): ManagedAgent) -> Result<Json<CancelledTasks>, Error> {
    let failed = |error| Error::internal("failed to cancel tasks", error);
    let cancelled = cancel::all(&app, CancelScope::Agent(agent.id)).await.map_err(failed)?;
    Ok(Json(CancelledTasks { cancelled }))
}

/// Tells everybody, and the caller what they may see.
async fn answer(app: &App, scope: Scope, agent: Agent, kind: &'static str) -> Result<Json<AgentBody>, Error> {
    let mut conn = app.db.reader().await?;
    let skills = agent_skills::list_tags(&mut conn, agent.id).await?;
    let shown = Reader::of(app, &mut conn, scope).await?.shown(&agent);
    drop(conn);
    app.events.by(
        scope.actor,
        scope.workspace_id,
        kind,
        || json!({"agent": AgentBody::without_targets(agent.clone(), skills.clone(), for_everybody(app))}),
    );
    Ok(Json(AgentBody::without_targets(agent, skills, shown)))
}

impl From<ArchiveError> for Error {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::NoAgent => Self::not_found(error.to_string()),
            ArchiveError::Archived | ArchiveError::NotArchived => Self::conflict(error.to_string()),
            ArchiveError::Store(error) => error.into(),
        }
    }
}
