//! What was said in a chat, and saying more.

use std::collections::HashMap;

use axum::Json;
use axum::http::StatusCode;
use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::chat::SessionId;
use crate::app::App;
use crate::dispatch::chat::{self, Said};
use crate::http::body::Body;
use crate::http::error::Error;
use crate::http::extract::Scope;
use crate::http::query::Query;
use crate::model::attachment::AttachmentBody;
use crate::model::chat::{ChatMessage, ChatMessageBody};
use crate::model::ids::{AttachmentId, TaskId, parse_uuid};
use crate::model::time::{Time, nanos, seconds};
use crate::store::batch::Ids;
use crate::store::{Conn, StoreError, attachments, chats};

/// How many messages a page has when nobody says.
const PAGE: i64 = 50;
const MOST: i64 = 100;
/// More files than a message can have are a mistake.
const ATTACHMENTS: usize = 100;

/// What goes under `/api/chat/sessions`.
pub(super) fn on_sessions() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, send)).routes(routes!(page))
}

#[derive(Deserialize, ToSchema)]
struct NewMessage {
    content: Option<String>,
    attachment_ids: Option<Vec<Option<String>>>,
}

#[derive(Serialize, ToSchema)]
struct SentBody {
    message_id: Uuid,
    task_id: TaskId,
    /// Those that the message has now; `null` when none were asked for.
    attachment_ids: Option<Vec<AttachmentId>>,
    created_at: String,
}

/// Says something; a task answers it.
#[utoipa::path(post, path = "/{id}/messages", tag = "chat", params(("id" = String, Path)),
    request_body = NewMessage, responses((status = 201, body = SentBody)))]
async fn send(
    app: App,
    scope: Scope,
    SessionId(id): SessionId,
    Body(sent): Body<NewMessage>,
) -> Result<(StatusCode, Json<SentBody>), Error> {
    let content = sent.content.filter(|content| !content.is_empty());
    let content = content.ok_or_else(|| Error::bad_request("content is required"))?;
    let wanted = sent.attachment_ids.filter(|ids| !ids.is_empty());
    let asked = wanted.is_some();
    let ids: Option<Vec<Uuid>> =
        wanted.unwrap_or_default().iter().map(|id| id.as_deref().and_then(parse_uuid)).collect();
    let ids = ids.filter(|ids| ids.len() <= ATTACHMENTS);
    let ids = ids.ok_or_else(|| Error::bad_request("invalid attachment_ids"))?;
    let Said { message_id, attachments, task } = chat::say(&app, scope.into(), id, content, ids).await?;
    let body = SentBody {
        message_id,
        task_id: task.id,
        attachment_ids: asked.then_some(attachments),
        created_at: seconds(task.created_at),
    };
    Ok((StatusCode::CREATED, Json(body)))
}

/// Everything that was said, oldest first.
#[utoipa::path(get, path = "/{id}/messages", tag = "chat", params(("id" = String, Path)),
    responses((status = 200, body = Vec<ChatMessageBody>)))]
async fn list(app: App, scope: Scope, SessionId(id): SessionId) -> Result<Json<Vec<ChatMessageBody>>, Error> {
    let mut conn = app.db.reader().await?;
    chat::find_visible(&mut conn, scope.into(), id).await?;
    let messages = chats::list_messages(&mut conn, id).await?;
    Ok(Json(bodies(&app, &mut conn, &messages).await?))
}

/// The messages as they go out, in the order given.
async fn bodies(
    app: &App,
    conn: &mut Conn,
    messages: &[ChatMessage],
) -> Result<Vec<ChatMessageBody>, StoreError> {
    let ids = Ids::of(messages.iter().map(|message| message.id));
    let mut on: HashMap<Uuid, Vec<AttachmentBody>> = HashMap::new();
    for attachment in attachments::list_on_messages(conn, &ids).await? {
        if let Some(message) = attachment.chat_message_id {
            let body = AttachmentBody::new(&attachment, app.flags.public_url.as_deref());
            on.entry(message).or_default().push(body);
        }
    }
    let bodies = messages.iter().map(|message| ChatMessageBody {
        attachments: on.remove(&message.id).unwrap_or_default(),
        ..ChatMessageBody::from(message)
    });
    Ok(bodies.collect())
}

#[derive(Deserialize)]
struct PageQuery {
    limit: Option<String>,
    before_created_at: Option<String>,
    before_id: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct PageBody {
    /// Oldest first.
    messages: Vec<ChatMessageBody>,
    limit: i64,
    has_more: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<CursorBody>,
}

/// Where the page before this one ends.
#[derive(Serialize, ToSchema)]
struct CursorBody {
    created_at: String,
    id: Uuid,
}

/// A page of what was said: the last messages, or those before a cursor.
#[utoipa::path(get, path = "/{id}/messages/page", tag = "chat",
    params(
        ("id" = String, Path),
        ("limit" = Option<i64>, Query, description = "1 to 100, 50 when absent"),
        ("before_created_at" = Option<String>, Query, description = "`created_at` of a cursor"),
        ("before_id" = Option<String>, Query, description = "`id` of a cursor"),
    ),
    responses((status = 200, body = PageBody)))]
async fn page(
    app: App,
    scope: Scope,
    SessionId(id): SessionId,
    Query(query): Query<PageQuery>,
) -> Result<Json<PageBody>, Error> {
    let limit = match query.limit.as_deref() {
        None => PAGE,
        Some(text) => text
            .parse()
            .ok()
            .filter(|limit| (1..=MOST).contains(limit))
            .ok_or_else(|| Error::bad_request("invalid limit"))?,
    };
    let before = cursor(query.before_created_at.as_deref(), query.before_id.as_deref())?;
    let mut conn = app.db.reader().await?;
    chat::find_visible(&mut conn, scope.into(), id).await?;
    let mut messages = chats::list_messages_before(&mut conn, id, before, limit + 1).await?;
    let has_more = i64::try_from(messages.len()).is_ok_and(|found| found > limit);
    if has_more {
        messages.pop();
    }
    let next_cursor = messages.last().filter(|_| has_more).map(CursorBody::from);
    messages.reverse();
    let messages = bodies(&app, &mut conn, &messages).await?;
    Ok(Json(PageBody { messages, limit, has_more, next_cursor }))
}

impl From<&ChatMessage> for CursorBody {
    fn from(message: &ChatMessage) -> Self {
        Self { created_at: nanos(message.created_at), id: message.id }
    }
}

/// Both halves or none.
fn cursor(created_at: Option<&str>, id: Option<&str>) -> Result<Option<(Time, Uuid)>, Error> {
    let invalid = || Error::bad_request("invalid cursor");
    let (created_at, id) = match (created_at, id) {
        (None, None) => return Ok(None),
        (Some(created_at), Some(id)) => (created_at, id),
        _ => return Err(invalid()),
    };
    let at = DateTime::parse_from_rfc3339(created_at).map_err(|_| invalid())?.with_timezone(&Utc);
    let at = at.duration_trunc(TimeDelta::microseconds(1)).map_err(|_| invalid())?;
    Ok(Some((at, parse_uuid(id).ok_or_else(invalid)?)))
}
