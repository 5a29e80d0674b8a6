//! Chats: their sessions, and what is under way in them.

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{alone_scoped, chat_messages, mount_scoped};
use crate::app::App;
use crate::dispatch::chat::{self, ChatError, Talker};
use crate::http::body::Body;
use crate::http::error::Error;
use crate::http::extract::{Scope, path_segment};
use crate::http::query::Query;
use crate::model::chat::{ChatSessionBody, TITLE_CHARS};
use crate::model::ids::{AgentId, ChatSessionId, TaskId, parse_uuid};
use crate::model::time::seconds;
use crate::store::chats;

pub fn routes() -> OpenApiRouter<App> {
    let sessions = OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(find, rename, delete))
        .routes(routes!(pending_task))
        .routes(routes!(read))
        .merge(chat_messages::on_sessions());
    let pending = OpenApiRouter::new().routes(alone_scoped(routes!(pending_tasks)));
    mount_scoped("/api/chat/sessions", sessions).merge(pending)
}

impl From<Scope> for Talker {
    fn from(scope: Scope) -> Self {
        Self {
            workspace_id: scope.workspace_id,
            user_id: scope.user_id,
            role: scope.role,
            actor: scope.actor,
        }
    }
}

/// The session that a path names.
pub(super) struct SessionId(pub ChatSessionId);

impl FromRequestParts<App> for SessionId {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Error> {
        let id = ChatSessionId::parse(&path_segment(parts, "id").await);
        id.map(Self).ok_or_else(|| Error::bad_request("invalid chat session id"))
    }
}

#[derive(Deserialize, ToSchema)]
pub(super) struct NewSession {
    agent_id: Option<String>,
    title: Option<String>,
}

/// Begins a chat with an agent.
#[utoipa::path(post, path = "/", tag = "chat", request_body = NewSession,
    responses((status = 201, body = ChatSessionBody)))]
async fn create(
    app: App,
    scope: Scope,
    Body(sent): Body<NewSession>,
) -> Result<(StatusCode, Json<ChatSessionBody>), Error> {
    let agent = sent.agent_id.filter(|id| !id.is_empty());
    let agent = agent.ok_or_else(|| Error::bad_request("agent_id is required"))?;
    let agent = parse_uuid(&agent).ok_or_else(|| Error::bad_request("invalid agent_id"))?;
    let title = sent.title.unwrap_or_default();
    check_length(&title)?;
    let session = chat::open(&app, scope.into(), AgentId(agent), title).await?;
    Ok((StatusCode::CREATED, Json((&session).into())))
}

#[derive(Deserialize)]
pub(super) struct ListQuery {
    status: Option<String>,
}

/// The caller's chats, the last to change first.
#[utoipa::path(get, path = "/", tag = "chat",
    params(("status" = Option<String>, Query, description = "`all` gives archived ones too")),
    responses((status = 200, body = Vec<ChatSessionBody>)))]
async fn list(
    app: App,
    scope: Scope,
    Query(query): Query<ListQuery>,
) -> Result<Json<Vec<ChatSessionBody>>, Error> {
    let archived_too = query.status.as_deref() == Some("all");
    let sessions = chat::list(&mut app.db.reader().await?, scope.into(), archived_too).await?;
    let bodies = sessions
        .iter()
        .map(|session| ChatSessionBody { has_unread: session.unread_since.is_some(), ..session.into() });
    Ok(Json(bodies.collect()))
}

/// One chat of the caller's.
#[utoipa::path(get, path = "/{id}", tag = "chat", params(("id" = String, Path)),
    responses((status = 200, body = ChatSessionBody)))]
async fn find(app: App, scope: Scope, SessionId(id): SessionId) -> Result<Json<ChatSessionBody>, Error> {
    let (session, _) = chat::find_visible(&mut app.db.reader().await?, scope.into(), id).await?;
    Ok(Json((&session).into()))
}

#[derive(Deserialize, ToSchema)]
pub(super) struct Title {
    title: Option<String>,
}

/// Gives a chat another title.
#[utoipa::path(patch, path = "/{id}", tag = "chat", params(("id" = String, Path)), request_body = Title,
    responses((status = 200, body = ChatSessionBody)))]
async fn rename(
    app: App,
    scope: Scope,
    SessionId(id): SessionId,
    Body(sent): Body<Title>,
) -> Result<Json<ChatSessionBody>, Error> {
    let title = sent.title.map(|title| title.trim().to_owned()).filter(|title| !title.is_empty());
    let title = title.ok_or_else(|| Error::bad_request("title is required"))?;
    check_length(&title)?;
    let session = chat::rename(&app, scope.into(), id, title).await?;
    Ok(Json((&session).into()))
}

fn check_length(title: &str) -> Result<(), Error> {
    if title.chars().count() > TITLE_CHARS {
        return Err(Error::bad_request("title is too long"));
    }
    Ok(())
}

/// Deletes a chat; what is under way in it is cancelled.
#[utoipa::path(delete, path = "/{id}", tag = "chat", params(("id" = String, Path)), responses((status = 204)))]
async fn delete(app: App, scope: Scope, SessionId(id): SessionId) -> Result<StatusCode, Error> {
    chat::delete(&app, scope.into(), id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Members are left out when there is no such task.
#[derive(Default, Serialize, ToSchema)]
pub(super) struct PendingBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    task_id: Option<TaskId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
}

/// The newest task of a chat that has not ended.
#[utoipa::path(get, path = "/{id}/pending-task", tag = "chat", params(("id" = String, Path)),
    responses((status = 200, body = PendingBody)))]
async fn pending_task(app: App, scope: Scope, SessionId(id): SessionId) -> Result<Json<PendingBody>, Error> {
    let mut conn = app.db.reader().await?;
    chat::find_visible(&mut conn, scope.into(), id).await?;
    let pending = chats::find_pending(&mut conn, id).await?;
    Ok(Json(pending.map_or_else(PendingBody::default, |task| PendingBody {
        task_id: Some(task.id),
        status: Some(task.status.as_str()),
        created_at: Some(seconds(task.created_at)),
    })))
}

/// The caller has seen everything in a chat.
#[utoipa::path(post, path = "/{id}/read", tag = "chat", params(("id" = String, Path)), responses((status = 204)))]
async fn read(app: App, scope: Scope, SessionId(id): SessionId) -> Result<StatusCode, Error> {
    chat::read(&app, scope.into(), id).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Serialize, ToSchema)]
pub(super) struct PendingTasks {
    tasks: Vec<PendingOfSession>,
}

#[derive(Serialize, ToSchema)]
struct PendingOfSession {
    task_id: TaskId,
    status: &'static str,
    chat_session_id: ChatSessionId,
}

/// What is under way in all of the caller's chats.
#[utoipa::path(get, path = "/api/chat/pending-tasks", tag = "chat", responses((status = 200, body = PendingTasks)))]
async fn pending_tasks(app: App, scope: Scope) -> Result<Json<PendingTasks>, Error> {
    let mut conn = app.db.reader().await?;
    let tasks = chats::list_pending_of_user(&mut conn, scope.workspace_id, scope.user_id).await?;
    let tasks = tasks.into_iter().map(|task| PendingOfSession {
        task_id: task.id,
        status: task.status.as_str(),
        chat_session_id: task.chat_session_id,
    });
    Ok(Json(PendingTasks { tasks: tasks.collect() }))
}

impl From<ChatError> for Error {
    fn from(error: ChatError) -> Self {
        let message = error.to_string();
        match error {
            ChatError::NoSession | ChatError::NoAgent => Self::not_found(message),
            ChatError::NotYours | ChatError::NoAccess => Self::forbidden(message),
            ChatError::AgentArchived | ChatError::SessionArchived => Self::bad_request(message),
            ChatError::NotQueued => Self::new(StatusCode::INTERNAL_SERVER_ERROR, message),
            ChatError::Store(cause) => cause.into(),
        }
    }
}
