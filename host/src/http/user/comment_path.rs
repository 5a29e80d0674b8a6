//! The comment that a path names.

use axum::extract::FromRequestParts;
use axum::http::Method;
use axum::http::request::Parts;

use crate::app::App;
use crate::http::error::Error;
use crate::http::extract::{Scope, path_segment};
use crate::model::ids::CommentId;
use crate::model::issue::Comment;
use crate::store::comments;

/// The comment `{commentId}` of the caller's workspace.
#[derive(Clone, Debug)]
pub struct CommentInPath(pub Comment);

impl FromRequestParts<App> for CommentInPath {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
        let scope = Scope::from_request_parts(parts, app).await?;
        let id = CommentId::parse(&path_segment(parts, "commentId").await);
        let id = id.ok_or_else(|| Error::bad_request("invalid comment id"))?;
        let found = comments::find(&mut app.db.reader().await?, id).await?;
        let found = found.filter(|comment| comment.workspace_id == scope.workspace_id);
        found.map(Self).ok_or_else(|| Error::not_found("comment not found"))
    }
}

/// The same, which the caller may change: whoever wrote it, and owners and admins.
#[derive(Clone, Debug)]
pub struct EditableComment(pub Comment);

impl FromRequestParts<App> for EditableComment {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
        let CommentInPath(comment) = CommentInPath::from_request_parts(parts, app).await?;
        let scope = Scope::from_request_parts(parts, app).await?;
        let wrote = comment.author_type == scope.actor.kind() && comment.author_id == scope.actor.id();
        if wrote || scope.role.is_admin() {
            return Ok(Self(comment));
        }
        let verb = if parts.method == Method::DELETE { "delete" } else { "edit" };
        Err(Error::forbidden(format!("only comment author or admin can {verb}")))
    }
}
