//! A comment changed or taken away by its author, an owner or an admin.

use axum::Json;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::comment_path::EditableComment;
use super::comments::{body, ids, suppressed};
use crate::app::App;
use crate::dispatch::comment_edit;
use crate::http::body::Body;
use crate::http::error::{Error, ErrorBody};
use crate::http::extract::Scope;
use crate::model::comment_body::CommentBody;

#[derive(Deserialize, ToSchema)]
pub(super) struct CommentChange {
    content: Option<String>,
    /// What the comment shows from now on; left out, it keeps its attachments.
    attachment_ids: Option<Vec<String>>,
    /// Agents that the new text shall not start.
    suppress_agent_ids: Option<Vec<String>>,
}

/// Gives the comment another text; whom it started stops, and whom it is for now starts.
#[utoipa::path(put, path = "/", tag = "comments",
    params(("commentId" = String, Path, description = "The comment's id")),
    request_body = CommentChange,
    responses((status = 200, body = CommentBody), (status = 400, body = ErrorBody),
        (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(super) async fn edit(
    app: App,
    scope: Scope,
    EditableComment(comment): EditableComment,
    Body(sent): Body<CommentChange>,
) -> Result<Json<CommentBody>, Error> {
    let failed = |error| Error::internal("failed to update comment", error);
    let content = sent.content.filter(|content| !content.is_empty());
    let content = content.ok_or_else(|| Error::bad_request("content is required"))?;
    let uploads = ids("attachment_ids", sent.attachment_ids)?;
    let suppressed = suppressed(sent.suppress_agent_ids)?;
    let edited = comment_edit::edit(&app, scope.actor, comment.id, content, uploads, suppressed).await;
    let edited = edited.map_err(failed)?.ok_or_else(|| Error::not_found("comment not found"))?;
    Ok(Json(body(&app, &edited).await.map_err(failed)?))
}

/// Takes the comment away, with the answers to it; whom it started stops.
#[utoipa::path(delete, path = "/", tag = "comments",
    params(("commentId" = String, Path, description = "The comment's id")),
    responses((status = 204), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(super) async fn delete(
    app: App,
    scope: Scope,
    EditableComment(comment): EditableComment,
) -> Result<StatusCode, Error> {
    let failed = |error| Error::internal("failed to delete comment", error);
    if comment_edit::delete(&app, scope.actor, comment).await.map_err(failed)? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Error::not_found("comment not found"))
    }
}
