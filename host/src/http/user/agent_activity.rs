//! What agents did and do: the tasks of one, and the lists about all of them.

use std::collections::HashSet;

use axum::Json;
use chrono::{NaiveTime, TimeDelta};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::agent_answer::Details;
use super::alone_scoped;
use crate::app::App;
use crate::http::agent_path::VisibleAgent;
use crate::http::error::{Error, ErrorBody};
use crate::http::extract::Scope;
use crate::model::ids::{AgentId, WorkspaceId};
use crate::model::task::Task;
use crate::model::task_body::TaskBody;
use crate::model::time::{Time, seconds};
use crate::store::{Conn, StoreError, agent_activity};

/// How far back the counts go.
const WINDOW: TimeDelta = TimeDelta::days(30);

/// Put under `/api/agents`.
pub(super) fn on_agents() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(tasks))
}

/// Routes of their own.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(alone_scoped(routes!(snapshot)))
        .routes(alone_scoped(routes!(run_counts)))
        .routes(alone_scoped(routes!(days)))
}

/// Every task of the agent, newest first.
#[utoipa::path(get, path = "/{id}/tasks", tag = "agents",
    params(("id" = String, Path, description = "The agent's id")),
    responses((status = 200, body = Vec<TaskBody>), (status = 403, body = ErrorBody, description = "Not shared with the caller"),
        (status = 404, body = ErrorBody, description = "No such agent in the workspace")))]
async fn tasks(
    app: App,
    scope: Scope,
    VisibleAgent(agent): VisibleAgent,
) -> Result<Json<Vec<TaskBody>>, Error> {
    let failed = |error| Error::internal("failed to list agent tasks", error);
    let mut conn = app.db.reader().await.map_err(failed)?;
    let tasks = agent_activity::list_tasks(&mut conn, agent.id).await.map_err(failed)?;
    Ok(Json(bodies(&tasks, scope.workspace_id)))
}

/// What agents have to do now, and of each what it finished last.
#[utoipa::path(get, path = "/api/agent-task-snapshot", tag = "agents",
    responses((status = 200, body = Vec<TaskBody>)))]
async fn snapshot(app: App, scope: Scope) -> Result<Json<Vec<TaskBody>>, Error> {
    let failed = |error| Error::internal("failed to load the task snapshot", error);
    let mut conn = app.db.reader().await.map_err(failed)?;
    let visible = visible(&mut conn, &scope).await.map_err(failed)?;
    let mut tasks = agent_activity::list_snapshot(&mut conn, scope.workspace_id).await.map_err(failed)?;
    tasks.retain(|task| visible.contains(&task.agent_id));
    Ok(Json(bodies(&tasks, scope.workspace_id)))
}

#[derive(Debug, Serialize, ToSchema)]
struct RunCount {
    agent_id: AgentId,
    run_count: i64,
}

/// How many tasks each agent was given in the last 30 days. Agents without any are left out.
#[utoipa::path(get, path = "/api/agent-run-counts", tag = "agents",
    responses((status = 200, body = Vec<RunCount>)))]
async fn run_counts(app: App, scope: Scope) -> Result<Json<Vec<RunCount>>, Error> {
    let failed = |error| Error::internal("failed to count runs", error);
    let mut conn = app.db.reader().await.map_err(failed)?;
    let visible = visible(&mut conn, &scope).await.map_err(failed)?;
    let since = app.clock.now() - WINDOW;
    let counts = agent_activity::count_runs(&mut conn, scope.workspace_id, since).await.map_err(failed)?;
    let counts = counts.into_iter().filter(|(agent, _)| visible.contains(agent));
    Ok(Json(counts.map(|(agent_id, run_count)| RunCount { agent_id, run_count }).collect()))
}

#[derive(Debug, Serialize, ToSchema)]
struct Day {
    agent_id: AgentId,
    /// Where the day begins, UTC.
    #[schema(format = DateTime)]
    bucket_at: String,
    task_count: i64,
    failed_count: i64,
}

/// What each agent finished in the last 30 days, by day. Days without anything are left out.
#[utoipa::path(get, path = "/api/agent-activity-30d", tag = "agents",
    responses((status = 200, body = Vec<Day>)))]
async fn days(app: App, scope: Scope) -> Result<Json<Vec<Day>>, Error> {
    let failed = |error| Error::internal("failed to load agent activity", error);
    let mut conn = app.db.reader().await.map_err(failed)?;
    let visible = visible(&mut conn, &scope).await.map_err(failed)?;
    let since = app.clock.now() - WINDOW;
    let days = agent_activity::list_days(&mut conn, scope.workspace_id, since).await.map_err(failed)?;
    let days = days.into_iter().filter(|day| visible.contains(&day.agent_id)).map(|day| Day {
        agent_id: day.agent_id,
        bucket_at: seconds(Time::from_naive_utc_and_offset(day.day.and_time(NaiveTime::MIN), chrono::Utc)),
        task_count: day.task_count,
        failed_count: day.failed_count,
    });
    Ok(Json(days.collect()))
}

/// The agents whose work the caller may see, archived ones too.
async fn visible(conn: &mut Conn, scope: &Scope) -> Result<HashSet<AgentId>, StoreError> {
    let all = Details::list(conn, scope, true).await?;
    Ok(all.into_iter().filter(|agent| agent.is_visible(scope)).map(|agent| agent.agent.id).collect())
}

fn bodies(tasks: &[Task], workspace: WorkspaceId) -> Vec<TaskBody> {
    tasks.iter().map(|task| TaskBody::new(task, workspace)).collect()
}
