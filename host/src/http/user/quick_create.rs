//! `POST /api/issues/quick-create`: an issue from a prompt, written by an agent.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::issue_fields as fields;
use crate::app::App;
use crate::dispatch::quick_create::{self, Prompt};
use crate::dispatch::{assign, permission};
use crate::http::body::Body;
use crate::http::error::{Error, ErrorBody};
use crate::http::extract::Scope;
use crate::model::agent::Agent;
use crate::model::cli_version::{self, QUICK_CREATE};
use crate::model::ids::{AgentId, IssueId, ProjectId, RuntimeId, SquadId, TaskId};
use crate::store::{Conn, issues, projects, runtimes};

#[derive(Deserialize, ToSchema)]
pub(super) struct QuickCreateSent {
    prompt: Option<String>,
    /// This or `squad_id`.
    agent_id: Option<String>,
    squad_id: Option<String>,
    project_id: Option<String>,
    parent_issue_id: Option<String>,
    attachment_ids: Option<Vec<String>>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Accepted {
    task_id: TaskId,
}

/// Why the agent cannot be asked now.
#[derive(Serialize, ToSchema)]
#[serde(tag = "code", rename_all = "snake_case")]
pub(super) enum Refusal {
    AgentUnavailable { reason: String },
    DaemonVersionUnsupported { current_version: String, min_version: String, runtime_id: RuntimeId },
}

/// Asks an agent, or a squad's leader, to write an issue.
#[utoipa::path(
    post,
    path = "/quick-create",
    tag = "issues",
    request_body = QuickCreateSent,
    responses(
        (status = 202, body = Accepted),
        (status = 400, body = ErrorBody),
        (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody),
        (status = 422, body = Refusal),
    ),
)]
pub(super) async fn create(
    app: App,
    scope: Scope,
    Body(sent): Body<QuickCreateSent>,
) -> Result<Response, Error> {
    let text = sent.prompt.as_deref().unwrap_or_default().trim().to_owned();
    if text.is_empty() {
        return Err(Error::bad_request("prompt is required"));
    }
    let mut conn = app.db.reader().await?;
    let (agent, squad_id) = addressee(&mut conn, &scope, &sent).await?;
    if let Some(refusal) = check_runtime(&mut conn, &agent).await? {
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, Json(refusal)).into_response());
    }
    let attachment_ids = fields::attachment_ids(sent.attachment_ids.as_deref())?;
    let project_id = match unless_empty(sent.project_id.as_deref()) {
        Some(text) => Some(project(&mut conn, &scope, text).await?),
        None => None,
    };
    let parent_issue_id = match unless_empty(sent.parent_issue_id.as_deref()) {
        Some(text) => Some(parent(&mut conn, &scope, text).await?),
        None => None,
    };
    let by = permission::of_actor(&mut conn, scope.actor).await?;
    drop(conn);
    let prompt = Prompt {
        workspace_id: scope.workspace_id,
        text,
        requester: scope.user_id,
        by,
        squad_id,
        project_id,
        parent_issue_id,
        attachment_ids,
    };
    let task = quick_create::enqueue(&app, &agent, prompt).await;
    let task = task.map_err(|error| Error::internal("failed to enqueue quick-create task", error))?;
    Ok((StatusCode::ACCEPTED, Json(Accepted { task_id: task.id })).into_response())
}

/// The agent that is asked, and the squad that it leads if the squad was.
async fn addressee(
    conn: &mut Conn,
    scope: &Scope,
    sent: &QuickCreateSent,
) -> Result<(Agent, Option<SquadId>), Error> {
    let agent = unless_empty(sent.agent_id.as_deref());
    let squad = unless_empty(sent.squad_id.as_deref());
    let (agent, squad) = match (agent, squad) {
        (Some(text), None) => (AgentId(fields::id("agent_id", text)?), None),
        (None, Some(text)) => {
            let id = SquadId(fields::id("squad_id", text)?);
            let squad = assign::find_squad(conn, scope.workspace_id, id).await?;
            let squad = squad.ok_or_else(|| Error::not_found("squad not found"))?;
            if squad.archived_at.is_some() {
                return Err(Error::bad_request("squad is archived"));
            }
            (squad.leader_id, Some(id))
        }
        _ => return Err(Error::bad_request("exactly one of agent_id or squad_id is required")),
    };
    let by = permission::of_actor(conn, scope.actor).await?;
    Ok((assign::agent(conn, scope.workspace_id, by, agent).await?, squad))
}

/// Whether the agent's daemon is there and new enough.
async fn check_runtime(conn: &mut Conn, agent: &Agent) -> Result<Option<Refusal>, Error> {
    let runtime = runtimes::find(conn, agent.runtime_id).await?;
    let runtime = match quick_create::check_reachable(runtime.as_ref()) {
        Ok(runtime) => runtime,
        Err(unavailable) => {
            return Ok(Some(Refusal::AgentUnavailable { reason: unavailable.to_string() }));
        }
    };
    let version = cli_version::of_metadata(&runtime.metadata);
    if cli_version::supports(version, QUICK_CREATE) {
        return Ok(None);
    }
    Ok(Some(Refusal::DaemonVersionUnsupported {
        current_version: version.to_owned(),
        min_version: cli_version::text(QUICK_CREATE),
        runtime_id: runtime.id,
    }))
}

async fn project(conn: &mut Conn, scope: &Scope, text: &str) -> Result<ProjectId, Error> {
    let id = ProjectId(fields::id("project_id", text)?);
    let found = projects::find(conn, id).await?;
    let found = found.filter(|project| project.workspace_id == scope.workspace_id);
    found.map(|project| project.id).ok_or_else(|| Error::bad_request("project not found"))
}

async fn parent(conn: &mut Conn, scope: &Scope, text: &str) -> Result<IssueId, Error> {
    let id = IssueId(fields::id("parent_issue_id", text)?);
    let found = issues::find_in(conn, scope.workspace_id, id).await?;
    found.map(|issue| issue.id).ok_or_else(|| Error::bad_request("parent issue not found in this workspace"))
}

fn unless_empty(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}
