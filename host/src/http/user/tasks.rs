//! Tasks as people see them: what runs on an issue, what it said, why it does not run, and
//! stopping it.

use axum::Json;
use axum::extract::Path;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{alone_scoped, issue_tasks};
use crate::app::App;
use crate::dispatch::cancel::{self, CancelledMessage};
use crate::dispatch::permission;
use crate::dispatch::why::{self, Why};
use crate::http::error::{Error, ErrorBody};
use crate::http::extract::Scope;
use crate::http::query::Query;
use crate::model::ids::TaskId;
use crate::model::message_body::MessageBody;
use crate::model::task::Task;
use crate::model::task_body::TaskBody;
use crate::store::{Conn, agent_targets, agents, messages, sessions, tasks};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(alone_scoped(routes!(cancel)))
        .routes(alone_scoped(routes!(list_messages)))
        .routes(alone_scoped(routes!(explain)))
}

/// What goes under `/api/issues`.
pub fn on_issues() -> OpenApiRouter<App> {
    issue_tasks::routes()
}

/// A task as it is after it was to be stopped.
#[derive(Serialize, ToSchema)]
pub(super) struct CancelAnswer {
    #[serde(flatten)]
    pub(super) task: TaskBody,
    /// The chat message that got no answer, to be edited and sent again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cancelled_chat_message: Option<CancelledMessage>,
}

/// Stops a task of any kind; one that is over stays as it is.
#[utoipa::path(
    post,
    path = "/api/tasks/{taskId}/cancel",
    tag = "tasks",
    params(("taskId" = String, Path)),
    responses(
        (status = 200, body = CancelAnswer),
        (status = 400, body = ErrorBody),
        (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody),
    ),
)]
async fn cancel(app: App, scope: Scope, Path(task_id): Path<String>) -> Result<Json<CancelAnswer>, Error> {
    let id = TaskId::parse(&task_id).ok_or_else(|| Error::bad_request("invalid task id"))?;
    let mut conn = app.db.reader().await?;
    let task = find(&mut conn, &scope, id).await?;
    check_visible(&mut conn, &scope, &task).await?;
    drop(conn);
    let stopped = cancel::one(&app, id).await?.ok_or_else(|| Error::not_found("task not found"))?;
    Ok(Json(CancelAnswer {
        task: TaskBody::new(&stopped.task, scope.workspace_id),
        cancelled_chat_message: stopped.chat_message,
    }))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Since {
    /// Only messages of a greater number.
    since: Option<String>,
}

/// What the agent said and did, in order.
#[utoipa::path(
    get,
    path = "/api/tasks/{taskId}/messages",
    tag = "tasks",
    params(("taskId" = String, Path), Since),
    responses(
        (status = 200, body = Vec<MessageBody>),
        (status = 400, body = ErrorBody),
        (status = 404, body = ErrorBody),
    ),
)]
async fn list_messages(
    app: App,
    scope: Scope,
    Path(task_id): Path<String>,
    Query(sent): Query<Since>,
) -> Result<Json<Vec<MessageBody>>, Error> {
    let id = TaskId::parse(&task_id).ok_or_else(|| Error::bad_request("invalid task_id"))?;
    let mut conn = app.db.reader().await?;
    let task = find(&mut conn, &scope, id).await?;
    let since = sent.since.as_deref().map(str::parse).transpose();
    let since = since.map_err(|_| Error::bad_request("invalid since parameter"))?;
    let found = messages::list(&mut conn, id, since).await?;
    let issue_id = task.issue_id;
    Ok(Json(found.iter().map(|message| MessageBody::new(message, &task_id, issue_id)).collect()))
}

/// Why the task does not run: the first cause that holds.
#[utoipa::path(
    get,
    path = "/api/tasks/{taskId}/why",
    tag = "tasks",
    params(("taskId" = String, Path)),
    responses(
        (status = 200, body = Why),
        (status = 400, body = ErrorBody),
        (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody),
    ),
)]
async fn explain(app: App, scope: Scope, Path(task_id): Path<String>) -> Result<Json<Why>, Error> {
    let id = TaskId::parse(&task_id).ok_or_else(|| Error::bad_request("invalid task id"))?;
    let mut conn = app.db.reader().await?;
    let task = find(&mut conn, &scope, id).await?;
    check_visible(&mut conn, &scope, &task).await?;
    let why = why::explain(&mut conn, &task, app.clock.now()).await?;
    Ok(Json(why.with_trace(app.traces.find(&id.to_string()).as_deref())))
}

/// A task of the caller's workspace.
pub(super) async fn find(conn: &mut Conn, scope: &Scope, id: TaskId) -> Result<Task, Error> {
    let absent = || Error::not_found("task not found");
    let (task, workspace) = tasks::find_placed(conn, id).await?.ok_or_else(absent)?;
    if workspace == Some(scope.workspace_id) { Ok(task) } else { Err(absent()) }
}

/// A chat is its creator's alone; other tasks are whoever's who sees their agent.
async fn check_visible(conn: &mut Conn, scope: &Scope, task: &Task) -> Result<(), Error> {
    if let Some(session) = task.chat_session_id {
        let creator = sessions::find_creator(conn, session).await?;
        return if creator == Some(scope.user_id) { Ok(()) } else { Err(Error::forbidden("not your task")) };
    }
    let denied = || Error::forbidden("you do not have access to this agent");
    let agent = agents::find(conn, task.agent_id).await?.ok_or_else(denied)?;
    let targets = agent_targets::list(conn, agent.id).await?;
    if permission::may_view(&agent, &targets, scope.user_id, scope.role, scope.actor.is_agent()) {
        Ok(())
    } else {
        Err(denied())
    }
}
