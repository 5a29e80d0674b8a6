//! What was said and what was done on an issue, in one list.

use axum::Json;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::comments::bodies;
use crate::app::App;
use crate::http::error::{Error, ErrorBody};
use crate::http::issue_path::IssueInPath;
use crate::http::query::Query;
use crate::model::activity::Activity;
use crate::model::attachment::AttachmentBody;
use crate::model::comment_body::CommentBody;
use crate::model::ids::{CommentId, IssueId, TaskId, parse_uuid};
use crate::model::reaction::CommentReaction;
use crate::model::time::seconds;
use crate::store::{Conn, StoreError, activities, comments};

/// The most comments, and the most other entries, that a timeline shows.
const MOST: i64 = 2000;

/// What goes under `/api/issues`.
pub fn on_issues() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(timeline))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct TimelineQuery {
    /// With any of these the answer is an object, the newest entry first.
    limit: Option<String>,
    before: Option<String>,
    after: Option<String>,
    /// The entry whose place is told as `target_index`.
    around: Option<String>,
}

/// A comment, or something that was done.
#[derive(Serialize, ToSchema)]
struct Entry {
    /// `comment` or `activity`.
    #[serde(rename = "type")]
    kind: &'static str,
    id: Uuid,
    actor_type: String,
    /// Empty for the system.
    actor_id: String,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_id: Option<CommentId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment_type: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reactions: Vec<CommentReaction>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attachments: Vec<AttachmentBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resolved_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resolved_by_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resolved_by_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_task_id: Option<TaskId>,
}

/// The same as an object; nothing of it is paged.
#[derive(Serialize, ToSchema)]
struct Timeline {
    entries: Vec<Entry>,
    next_cursor: Option<String>,
    prev_cursor: Option<String>,
    has_more_before: bool,
    has_more_after: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_index: Option<usize>,
}

/// A list, or an object when a page is asked for.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum TimelineBody {
    Entries(Vec<Entry>),
    Page(Timeline),
}

/// The entries, the oldest first; an object with the newest first when a page is asked for.
#[utoipa::path(get, path = "/{id}/timeline", tag = "issues",
    params(("id" = String, Path, description = "The id, or an identifier such as `KEY-12`"), TimelineQuery),
    responses((status = 200, body = TimelineBody), (status = 404, body = ErrorBody)))]
async fn timeline(
    app: App,
    IssueInPath(issue): IssueInPath,
    Query(query): Query<TimelineQuery>,
) -> Result<Json<TimelineBody>, Error> {
    let failed = |error| Error::internal("failed to list the timeline", error);
    let mut conn = app.db.reader().await.map_err(failed)?;
    let mut entries = entries(&app, &mut conn, issue.id).await.map_err(failed)?;
    let TimelineQuery { limit, before, after, around } = query;
    if limit.or(before).or(after).is_none() && around.is_none() {
        return Ok(Json(TimelineBody::Entries(entries)));
    }
    entries.reverse();
    let target = around.as_deref().and_then(parse_uuid);
    let target_index = target.and_then(|id| entries.iter().position(|entry| entry.id == id));
    Ok(Json(TimelineBody::Page(Timeline {
        entries,
        next_cursor: None,
        prev_cursor: None,
        has_more_before: false,
        has_more_after: false,
        target_index,
    })))
}

async fn entries(app: &App, conn: &mut Conn, issue: IssueId) -> Result<Vec<Entry>, StoreError> {
    let comments = comments::list(conn, issue, None, MOST).await?;
    let activities = activities::list_of_issue(conn, issue, MOST).await?;
    let said = bodies(app, conn, &comments).await?;
    let said = comments.iter().map(|comment| comment.created_at).zip(said.into_iter().map(Entry::from));
    let done = activities.into_iter().map(|activity| (activity.created_at, Entry::from(activity)));
    let mut entries: Vec<_> = said.chain(done).collect();
    entries.sort_by_key(|(at, entry)| (*at, entry.id));
    Ok(entries.into_iter().map(|(_, entry)| entry).collect())
}

impl From<CommentBody> for Entry {
    fn from(comment: CommentBody) -> Self {
        Self {
            kind: "comment",
            id: comment.id.0,
            actor_type: comment.author_type,
            actor_id: comment.author_id.to_string(),
            created_at: comment.created_at,
            action: None,
            details: None,
            content: Some(comment.content),
            parent_id: comment.parent_id,
            updated_at: Some(comment.updated_at),
            comment_type: Some(comment.kind),
            reactions: comment.reactions,
            attachments: comment.attachments,
            resolved_at: comment.resolved_at,
            resolved_by_type: comment.resolved_by_type,
            resolved_by_id: comment.resolved_by_id,
            source_task_id: comment.source_task_id,
        }
    }
}

impl From<Activity> for Entry {
    fn from(activity: Activity) -> Self {
        Self {
            kind: "activity",
            id: activity.id,
            actor_type: activity.actor_type,
            actor_id: activity.actor_id.map(|id| id.to_string()).unwrap_or_default(),
            created_at: seconds(activity.created_at),
            action: Some(activity.action),
            details: Some(activity.details),
            content: None,
            parent_id: None,
            updated_at: None,
            comment_type: None,
            reactions: Vec::new(),
            attachments: Vec::new(),
            resolved_at: None,
            resolved_by_type: None,
            resolved_by_id: None,
            source_task_id: None,
        }
    }
}
