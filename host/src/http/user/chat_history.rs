//! What an agent at work asks about the channel that its chat is held in. No channel is
//! connected here, so the answer is always that there is nothing to read.

use axum::Json;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::alone_scoped;
use crate::app::App;
use crate::auth::Identity;
use crate::http::error::Error;
use crate::http::extract::{Caller, Scope};
use crate::store::{chats, tasks};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(alone_scoped(routes!(history))).routes(alone_scoped(routes!(thread)))
}

#[derive(Serialize, ToSchema)]
struct HistoryBody {
    channel_type: &'static str,
    #[schema(value_type = Vec<Object>)]
    messages: [Value; 0],
    note: &'static str,
}

/// What was said in the channel around a chat.
#[utoipa::path(get, path = "/api/chat/history", tag = "chat", responses((status = 200, body = HistoryBody)))]
async fn history(app: App, scope: Scope, caller: Caller) -> Result<Json<HistoryBody>, Error> {
    nothing(&app, scope, caller).await
}

/// What was said in one thread of the channel.
#[utoipa::path(get, path = "/api/chat/thread", tag = "chat", responses((status = 200, body = HistoryBody)))]
async fn thread(app: App, scope: Scope, caller: Caller) -> Result<Json<HistoryBody>, Error> {
    nothing(&app, scope, caller).await
}

async fn nothing(app: &App, scope: Scope, Caller(caller): Caller) -> Result<Json<HistoryBody>, Error> {
    let Identity::Task { task_id, .. } = caller else {
        return Err(Error::forbidden("chat history is only available from within an agent task"));
    };
    let mut conn = app.db.reader().await?;
    let task = tasks::find(&mut conn, task_id).await?.ok_or_else(|| Error::not_found("task not found"))?;
    let session = task.chat_session_id.ok_or_else(|| Error::bad_request("this task is not a chat task"))?;
    let session = chats::find(&mut conn, session).await?;
    let session = session.ok_or_else(|| Error::not_found("chat session not found"))?;
    if session.workspace_id != scope.workspace_id {
        return Err(Error::forbidden("chat session does not belong to this workspace"));
    }
    Ok(Json(HistoryBody {
        channel_type: "",
        messages: [],
        note: "No chat channel integration is configured on this server.",
    }))
}
