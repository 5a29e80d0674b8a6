//! A thread is settled, or open again.

use axum::Json;

use super::comment_path::CommentInPath;
use super::comments::body;
use crate::app::App;
use crate::dispatch::resolution;
use crate::http::error::{Error, ErrorBody};
use crate::http::extract::Scope;
use crate::model::comment_body::CommentBody;

/// Makes the comment what settles its thread; another that did so does no more.
#[utoipa::path(post, path = "/resolve", tag = "comments",
    params(("commentId" = String, Path, description = "The comment's id")),
    responses((status = 200, body = CommentBody), (status = 404, body = ErrorBody)))]
pub(super) async fn resolve(
    app: App,
    scope: Scope,
    CommentInPath(comment): CommentInPath,
) -> Result<Json<CommentBody>, Error> {
    let failed = |error| Error::internal("failed to resolve comment", error);
    let resolved = resolution::resolve(&app, scope.actor, comment.id).await.map_err(failed)?;
    let resolved = resolved.ok_or_else(|| Error::not_found("comment not found"))?;
    Ok(Json(body(&app, &resolved).await.map_err(failed)?))
}

/// The comment settles its thread no more.
#[utoipa::path(delete, path = "/resolve", tag = "comments",
    params(("commentId" = String, Path, description = "The comment's id")),
    responses((status = 200, body = CommentBody), (status = 404, body = ErrorBody)))]
pub(super) async fn unresolve(
    app: App,
    scope: Scope,
    CommentInPath(comment): CommentInPath,
) -> Result<Json<CommentBody>, Error> {
    let failed = |error| Error::internal("failed to unresolve comment", error);
    let open = resolution::unresolve(&app, scope.actor, comment.id).await.map_err(failed)?;
    let open = open.ok_or_else(|| Error::not_found("comment not found"))?;
    Ok(Json(body(&app, &open).await.map_err(failed)?))
}
