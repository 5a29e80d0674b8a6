//! Comments: written here; read, changed and settled in the files beside.

use std::collections::{BTreeSet, HashMap};

use axum::Json;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{comment_edit, comment_list, mount_scoped, reactions, resolutions, trigger_preview};
use crate::app::App;
use crate::dispatch::comment::{self, NewComment};
use crate::dispatch::permission;
use crate::http::body::Body;
use crate::http::error::{Error, ErrorBody};
use crate::http::extract::Scope;
use crate::http::issue_path::IssueInPath;
use crate::model::actor::Actor;
use crate::model::attachment::AttachmentBody;
use crate::model::comment_body::CommentBody;
use crate::model::ids::{AgentId, CommentId, parse_uuid};
use crate::model::issue::{COMMENT_TYPES, Comment, Issue};
use crate::model::reaction::CommentReaction;
use crate::store::batch::Ids;
use crate::store::{self, Conn, StoreError, comments, task_transitions, tasks};

pub fn routes() -> OpenApiRouter<App> {
    let routes = OpenApiRouter::new()
        .routes(routes!(comment_edit::edit, comment_edit::delete))
        .routes(routes!(resolutions::resolve, resolutions::unresolve))
        .routes(routes!(reactions::add_to_comment, reactions::remove_from_comment));
    mount_scoped("/api/comments/{commentId}", routes)
}

/// What goes under `/api/issues`, whose prefix is mounted in `issues`.
pub fn on_issues() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(comment_list::list, create)).routes(routes!(trigger_preview::preview))
}

/// The comment as it goes out.
pub(super) async fn body(app: &App, comment: &Comment) -> Result<CommentBody, StoreError> {
    let mut conn = app.db.reader().await?;
    let bodies = bodies(app, &mut conn, std::slice::from_ref(comment)).await?;
    Ok(bodies.into_iter().next().unwrap_or_else(|| CommentBody::from(comment)))
}

/// The comments as they go out, in the order given.
pub(super) async fn bodies(
    app: &App,
    conn: &mut Conn,
    comments: &[Comment],
) -> Result<Vec<CommentBody>, StoreError> {
    let ids = Ids::of(comments.iter().map(|comment| comment.id.0));
    let mut on: HashMap<CommentId, Vec<CommentReaction>> = HashMap::new();
    for reaction in store::reactions::list_on_comments(conn, &ids).await? {
        on.entry(reaction.comment_id).or_default().push(reaction);
    }
    let mut shown: HashMap<CommentId, Vec<AttachmentBody>> = HashMap::new();
    for attachment in store::attachments::list_on_comments(conn, &ids).await? {
        let body = AttachmentBody::new(&attachment, app.flags.public_url.as_deref());
        if let Some(comment) = attachment.comment_id {
            shown.entry(comment).or_default().push(body);
        }
    }
    let bodies = comments.iter().map(|comment| CommentBody {
        attachments: shown.remove(&comment.id).unwrap_or_default(),
        reactions: on.remove(&comment.id).unwrap_or_default(),
        ..CommentBody::from(comment)
    });
    Ok(bodies.collect())
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

/// Writes a comment, which starts whom it is for.
#[utoipa::path(post, path = "/{id}/comments", tag = "comments",
    params(("id" = String, Path, description = "The id, or an identifier such as `KEY-12`")),
    request_body = CommentSent,
    responses((status = 201, body = CommentBody), (status = 400, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
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
    let attachments = ids("attachment_ids", sent.attachment_ids)?.unwrap_or_default();
    let suppressed = suppressed(sent.suppress_agent_ids)?;
    may_speak(&mut conn, &issue, scope.actor, parent_id).await?;
    let kind = kind(sent.kind.as_deref().unwrap_or_default())?;
    let by = permission::of_actor(&mut conn, scope.actor).await.map_err(failed)?;
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
        attachments,
    };
    let comment = comment::write(&app, issue, new, by, suppressed).await.map_err(failed)?;
    Ok((StatusCode::CREATED, Json(body(&app, &comment).await.map_err(failed)?)))
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

pub(super) fn suppressed(sent: Option<Vec<String>>) -> Result<BTreeSet<AgentId>, Error> {
    Ok(ids("suppress_agent_ids", sent)?.unwrap_or_default().into_iter().map(AgentId).collect())
}

/// The ids of a list, if it was sent.
pub(super) fn ids(name: &str, sent: Option<Vec<String>>) -> Result<Option<Vec<uuid::Uuid>>, Error> {
    let invalid = || Error::bad_request(format!("invalid {name}"));
    sent.map(|list| list.iter().map(|text| parse_uuid(text).ok_or_else(invalid)).collect()).transpose()
}
