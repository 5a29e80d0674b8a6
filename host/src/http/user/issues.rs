//! `/api/issues`: the board. What belongs to one issue but is a noun of its own (its
//! comments, its tasks) has a file of its own and is put under the same prefix here.

use axum::Json;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{
    attachments, comments, evaluation, issue_batch, issue_children, issue_create, issue_list, issue_preview,
    issue_search, issue_update, metadata, mount_scoped, pull_requests, quick_create, subscribers, tasks,
    timeline,
};
use crate::app::App;
use crate::dispatch::issue_delete;
use crate::http::error::{Error, ErrorBody};
use crate::http::extract::Scope;
use crate::http::issue_path::IssueInPath;
use crate::model::attachment::AttachmentBody;
use crate::model::issue_body::IssueBody;
use crate::store::{self, workspaces};

pub fn routes() -> OpenApiRouter<App> {
    let routes = OpenApiRouter::new()
        .routes(routes!(issue_list::list, issue_create::create))
        .routes(routes!(find, issue_update::update, delete))
        .routes(routes!(quick_create::create))
        .routes(routes!(issue_preview::preview))
        .routes(routes!(issue_search::search))
        .routes(routes!(issue_children::of_many))
        .routes(routes!(issue_children::of_one))
        .routes(routes!(issue_children::progress))
        .routes(routes!(issue_batch::update))
        .routes(routes!(issue_batch::delete))
        .merge(tasks::on_issues())
        .merge(comments::on_issues())
        .merge(super::labels::on_issues())
        .merge(metadata::on_issues())
        .merge(subscribers::on_issues())
        .merge(super::reactions::on_issues())
        .merge(evaluation::on_issues())
        .merge(timeline::on_issues())
        .merge(attachments::on_issues())
        .merge(pull_requests::on_issues());
    mount_scoped("/api/issues", routes)
}

/// One issue, by its id or its identifier.
#[utoipa::path(
    get,
    path = "/{id}",
    tag = "issues",
    params(("id" = String, Path, description = "The id, or an identifier such as `KEY-12`")),
    responses((status = 200, body = IssueBody), (status = 404, body = ErrorBody)),
)]
async fn find(app: App, scope: Scope, IssueInPath(issue): IssueInPath) -> Result<Json<IssueBody>, Error> {
    let mut conn = app.db.reader().await?;
    let prefix = workspaces::find_issue_prefix(&mut conn, scope.workspace_id).await?;
    let labels = store::labels::list_on_issue(&mut conn, issue.id).await?;
    let reactions = store::reactions::list_on_issue(&mut conn, issue.id).await?;
    let attachments = store::attachments::list_on_issue(&mut conn, issue.id).await?;
    let attachments = AttachmentBody::list(&attachments, app.flags.public_url.as_deref());
    Ok(Json(IssueBody { reactions, attachments, ..IssueBody::labelled(&issue, &prefix, labels) }))
}

/// Takes the issue away with its comments and tasks.
#[utoipa::path(
    delete,
    path = "/{id}",
    tag = "issues",
    params(("id" = String, Path, description = "The id, or an identifier such as `KEY-12`")),
    responses((status = 204), (status = 404, body = ErrorBody)),
)]
async fn delete(app: App, scope: Scope, IssueInPath(issue): IssueInPath) -> Result<StatusCode, Error> {
    if issue_delete::delete(&app, scope.actor, &issue).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Error::not_found("issue not found"))
    }
}
