//! What is known of an attachment, and taking it away. Its bytes go in and out in the files
//! beside.

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::alone_scoped;
use crate::app::App;
use crate::http::error::{Error, ErrorBody};
use crate::http::extract::{Scope, path_segment};
use crate::http::issue_path::IssueInPath;
use crate::model::attachment::{Attachment, AttachmentBody};
use crate::model::ids::AttachmentId;
use crate::store::{StoreError, attachments};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(alone_scoped(routes!(find, delete)))
}

/// What goes under `/api/issues`.
pub fn on_issues() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list))
}

/// The attachment `{id}` of the caller's workspace.
pub(super) struct AttachmentInPath(pub Attachment);

impl FromRequestParts<App> for AttachmentInPath {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
        let scope = Scope::from_request_parts(parts, app).await?;
        let found = named(parts, app).await?;
        let found = found.filter(|attachment| attachment.workspace_id == scope.workspace_id);
        found.map(Self).ok_or_else(|| Error::not_found("attachment not found"))
    }
}

/// The attachment that the path names, whoever it belongs to.
pub(super) async fn named(parts: &mut Parts, app: &App) -> Result<Option<Attachment>, Error> {
    let id = AttachmentId::parse(&path_segment(parts, "id").await)
        .ok_or_else(|| Error::bad_request("invalid attachment id"))?;
    Ok(attachments::find(&mut app.db.reader().await?, id).await?)
}

/// One attachment.
#[utoipa::path(get, path = "/api/attachments/{id}", tag = "attachments", params(("id" = String, Path)),
    responses((status = 200, body = AttachmentBody), (status = 400, body = ErrorBody),
        (status = 404, body = ErrorBody)))]
async fn find(app: App, AttachmentInPath(found): AttachmentInPath) -> Json<AttachmentBody> {
    Json(AttachmentBody::new(&found, app.flags.public_url.as_deref()))
}

/// Takes an attachment away; for whoever uploaded it, owners and admins.
#[utoipa::path(delete, path = "/api/attachments/{id}", tag = "attachments", params(("id" = String, Path)),
    responses((status = 204), (status = 400, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody)))]
async fn delete(
    app: App,
    scope: Scope,
    AttachmentInPath(found): AttachmentInPath,
) -> Result<StatusCode, Error> {
    let is_own = found.uploader_type == "member" && found.uploader_id == scope.user_id.0;
    if !is_own && !scope.role.is_admin() {
        return Err(Error::forbidden("not authorized to delete this attachment"));
    }
    let id = found.id;
    let deleted = app.db.write(move |c| Box::pin(async move { attachments::delete(c, id).await })).await;
    if !deleted.map_err(|error: StoreError| Error::internal("failed to delete attachment", error))? {
        return Err(Error::not_found("attachment not found"));
    }
    app.uploads.forget(vec![found.url]).await;
    Ok(StatusCode::NO_CONTENT)
}

/// What hangs on the issue and on its comments, oldest first.
#[utoipa::path(get, path = "/{id}/attachments", tag = "attachments",
    params(("id" = String, Path, description = "The id, or an identifier such as `KEY-12`")),
    responses((status = 200, body = [AttachmentBody]), (status = 404, body = ErrorBody)))]
async fn list(app: App, IssueInPath(issue): IssueInPath) -> Result<Json<Vec<AttachmentBody>>, Error> {
    let found = attachments::list_on_issue(&mut app.db.reader().await?, issue.id).await?;
    Ok(Json(AttachmentBody::list(&found, app.flags.public_url.as_deref())))
}
