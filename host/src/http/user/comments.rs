//! Comments on an issue: written and listed.

use std::collections::BTreeSet;

use axum::Json;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::dispatch::comment::{self, NewComment};
use crate::dispatch::triggers;
use crate::http::body::Body;
use crate::http::error::Error;
use crate::http::extract::Scope;
use crate::http::issue_path::IssueInPath;
use crate::model::actor::Actor;
use crate::model::comment_body::CommentBody;
use crate::model::ids::{AgentId, CommentId, parse_uuid};
use crate::model::issue::{COMMENT_TYPES, Issue};
use crate::store::{Conn, comments, task_transitions, tasks};

pub fn routes(app: &App) -> OpenApiRouter<App> {
    let _ = app;
    OpenApiRouter::new()
}

/// What goes under `/api/issues`, whose prefix is mounted in `issues`.
pub fn on_issues() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, create))
}

/// The most comments that one answer gives.
const MOST: i64 = 2000;

#[utoipa::path(get, path = "/{id}/comments", tag = "comments",
    params(("id" = String, Path, description = "An issue's id or `KEY-n`")),
    responses((status = 200, body = [CommentBody]), (status = 404)))]
async fn list(app: App, IssueInPath(issue): IssueInPath) -> Result<Json<Vec<CommentBody>>, Error> {
    let failed = |error| Error::internal("failed to list comments", error);
    let mut conn = app.db.reader().await.map_err(failed)?;
    let found = comments::list(&mut conn, issue.id, None, MOST).await.map_err(failed)?;
    Ok(Json(found.iter().map(CommentBody::from).collect()))
}

#[derive(Deserialize, ToSchema)]
struct CommentSent {
    content: Option<String>,
    /// `comment` unless said otherwise.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// The comment that this one answers.
    parent_id: Option<String>,
    /// Attachments of the issue to show with the comment.
    attachment_ids: Option<Vec<String>>,
    /// Agents that this comment shall not start.
    suppress_agent_ids: Option<Vec<String>>,
}

#[utoipa::path(post, path = "/{id}/comments", tag = "comments",
    params(("id" = String, Path, description = "An issue's id or `KEY-n`")),
    request_body = CommentSent,
    responses((status = 201, body = CommentBody), (status = 400), (status = 404), (status = 409)))]
async fn create(
    app: App,
    scope: Scope,
    IssueInPath(issue): IssueInPath,
    Body(sent): Body<CommentSent>,
) -> Result<(StatusCode, Json<CommentBody>), Error> {
    let failed = |error| Error::internal("failed to create comment", error);
    let content = sent.content.filter(|content| !content.is_empty());
    let content = content.ok_or_else(|| Error::bad_request("content is required"))?;
    let mut conn = app.db.reader().await.map_err(failed)?;
    let parent_id = parent(&mut conn, &issue, sent.parent_id.as_deref()).await?;
    ids("attachment_ids", sent.attachment_ids)?;
    let suppressed = suppressed(sent.suppress_agent_ids)?;
    may_speak(&mut conn, &issue, scope.actor, parent_id).await?;
    let kind = kind(sent.kind.as_deref().unwrap_or_default())?;
    let by = triggers::principal(&mut conn, scope.actor).await.map_err(failed)?;
    drop(conn);
    let new = NewComment {
        issue_id: issue.id,
        workspace_id: issue.workspace_id,
        author_type: scope.actor.kind(),
        author_id: scope.actor.id(),
        content,
        kind,
        parent_id,
        source_task_id: scope.actor.task_id(),
    };
    let comment = comment::write(&app, issue, new, by, suppressed).await.map_err(failed)?;
    Ok((StatusCode::CREATED, Json(CommentBody::from(&comment))))
}

/// The comment that an answer is to, which must be one on the same issue.
async fn parent(conn: &mut Conn, issue: &Issue, sent: Option<&str>) -> Result<Option<CommentId>, Error> {
    let Some(text) = sent else { return Ok(None) };
    let id = CommentId::parse(text).ok_or_else(|| Error::bad_request("invalid parent_id"))?;
    let found = comments::find_on(conn, issue.id, id).await?;
    found.map(|parent| Some(parent.id)).ok_or_else(|| Error::bad_request("invalid parent comment"))
}

/// An agent that a comment started answers that comment, and a leader that decided to say
/// nothing says nothing; on other issues it is free.
async fn may_speak(
    conn: &mut Conn,
    issue: &Issue,
    actor: Actor,
    parent: Option<CommentId>,
) -> Result<(), Error> {
    let Some(task_id) = actor.task_id() else { return Ok(()) };
    let task = tasks::find(conn, task_id).await?.filter(|task| task.issue_id == Some(issue.id));
    let Some(task) = task else { return Ok(()) };
    if let Some(trigger) = task.trigger_comment_id
        && parent != Some(trigger)
    {
        return Err(Error::conflict(format!(
            "parent_id must equal this task's trigger comment id ({trigger})"
        )));
    }
    if task_transitions::chose_silence(conn, issue.id, task.id).await? {
        return Err(Error::conflict(
            "squad leader recorded no_action; comments are not allowed for this task",
        ));
    }
    Ok(())
}

fn kind(sent: &str) -> Result<&'static str, Error> {
    let wanted = if sent.is_empty() { "comment" } else { sent };
    COMMENT_TYPES.into_iter().find(|kind| *kind == wanted).ok_or_else(|| {
        Error::bad_request(format!("invalid type {sent:?}; valid values: {}", COMMENT_TYPES.join(", ")))
    })
}

fn suppressed(sent: Option<Vec<String>>) -> Result<BTreeSet<AgentId>, Error> {
    Ok(ids("suppress_agent_ids", sent)?.unwrap_or_default().into_iter().map(AgentId).collect())
}

/// The ids of a list, if it was sent.
fn ids(name: &str, sent: Option<Vec<String>>) -> Result<Option<Vec<uuid::Uuid>>, Error> {
    let invalid = || Error::bad_request(format!("invalid {name}"));
    sent.map(|list| list.iter().map(|text| parse_uuid(text).ok_or_else(invalid)).collect()).transpose()
}
