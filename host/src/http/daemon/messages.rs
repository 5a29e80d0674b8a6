//! What agents say and do while they work.

use axum::Json;
use axum::extract::{Path, RawQuery};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Done;
use crate::app::App;
use crate::http::body::Body;
use crate::http::error::Error;
use crate::http::extract::{self, Caller, TaskAccess};
use crate::model::ids::TaskId;
use crate::model::message::TaskMessage;
use crate::model::message_body::MessageBody;
use crate::model::redact;
use crate::store::{StoreError, messages};

/// The most messages that one call may carry.
const BATCH: usize = 1000;

/// What an agent said and did since the last batch.
#[derive(Deserialize, ToSchema)]
#[schema(as = MessageBatch)]
pub(super) struct Batch {
    /// At most 1000.
    messages: Option<Vec<Option<Message>>>,
}

#[derive(Deserialize, Default, ToSchema)]
#[schema(as = MessageReport)]
struct Message {
    /// Its place among the messages of the task.
    seq: Option<i32>,
    /// `text`, `thinking`, `tool_use`, `tool_result`, `error`, or another.
    #[serde(rename = "type")]
    kind: Option<String>,
    tool: Option<String>,
    content: Option<String>,
    #[schema(value_type = Option<Object>)]
    input: Option<Map<String, Value>>,
    output: Option<String>,
}

/// What an agent said and did. A batch is stored whole or not at all; secrets in it are
/// blacked out.
// The body is looked at first, and an empty batch is fine for any task.
#[utoipa::path(post, path = "/api/daemon/tasks/{taskId}/messages", tag = "daemon",
    params(("taskId" = TaskId, Path, description = "The task's id")), request_body = Batch,
    responses((status = 200, body = Done)))]
pub(super) async fn post(
    app: App,
    caller: Caller,
    Path(task_id): Path<String>,
    Body(sent): Body<Batch>,
) -> Result<Json<Done>, Error> {
    let sent = sent.messages.unwrap_or_default();
    if sent.is_empty() {
        return Ok(Done::json());
    }
    let place = extract::place(&app, &caller, &task_id).await?;
    if sent.len() > BATCH {
        return Err(Error::bad_request(format!(
            "messages has {} entries; send at most {BATCH} at once",
            sent.len()
        )));
    }
    let (id, now) = (place.task_id, app.clock.now());
    let batch: Vec<TaskMessage> = sent
        .into_iter()
        .map(|message| {
            let message = message.unwrap_or_default();
            TaskMessage {
                id: Uuid::now_v7(),
                task_id: id,
                seq: message.seq.unwrap_or(0),
                kind: message.kind.unwrap_or_default(),
                tool: message.tool.filter(|text| !text.is_empty()),
                content: redacted(message.content),
                input: message.input.map(|input| {
                    let mut input = Value::Object(input);
                    redact::top_level(&mut input);
                    input
                }),
                output: redacted(message.output),
                created_at: now,
            }
        })
        .collect();
    let stored = app.db.write_once_soon(move |c| {
        Box::pin(async move {
            messages::insert_batch(c, id, &batch).await?;
            Ok(batch)
        })
    });
    let failed = |error| Error::internal("failed to persist task message", error);
    let batch = match stored.await {
        Ok(batch) => batch,
        Err(error @ StoreError::Reference { .. }) => {
            return Err(extract::unless_gone(&app, &caller, id, failed(error)).await);
        }
        Err(error) => return Err(failed(error)),
    };
    if place.issue_id.is_some() || place.is_in_chat {
        for message in &batch {
            app.events.system(place.workspace_id, "task:message", || {
                let body = MessageBody::new(message, &task_id, place.issue_id);
                serde_json::to_value(body).unwrap_or_default()
            });
        }
    }
    Ok(Done::json())
}

/// What an agent said and did so far, in order.
#[utoipa::path(get, path = "/api/daemon/tasks/{taskId}/messages", tag = "daemon",
    params(("taskId" = TaskId, Path, description = "The task's id"),
        ("since" = Option<i64>, Query, description = "Only messages whose `seq` is greater")),
    responses((status = 200, body = Vec<MessageBody>)))]
pub(super) async fn list(
    app: App,
    Path(task_id): Path<String>,
    access: TaskAccess,
    RawQuery(query): RawQuery,
) -> Result<Json<Vec<MessageBody>>, Error> {
    let since = since(query.as_deref())?;
    let failed = |error| Error::internal("failed to list task messages", error);
    let found = messages::list(&mut app.db.reader().await.map_err(failed)?, access.task.id, since).await;
    let found = found.map_err(failed)?;
    Ok(Json(found.iter().map(|message| MessageBody::new(message, &task_id, access.task.issue_id)).collect()))
}

/// The number in the query that messages must exceed.
fn since(query: Option<&str>) -> Result<Option<i64>, Error> {
    let pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let sent = pairs.into_iter().find(|(key, _)| key == "since").map(|(_, value)| value);
    match sent.as_deref() {
        None | Some("") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| Error::bad_request("invalid since parameter")),
    }
}

fn redacted(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty()).map(|text| redact::text(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_number_or_nothing() {
        for (query, expected) in [
            (None, Some(None)),
            (Some("since="), Some(None)),
            (Some("a=b&since=3"), Some(Some(3))),
            (Some("since=%2B3"), Some(Some(3))),
            (Some("since=-1"), Some(Some(-1))),
            (Some("since=x"), None),
            (Some("since=1.5"), None),
        ] {
            assert_eq!(since(query).ok(), expected, "{query:?}");
        }
    }
}
