//! Issues below issues.

use axum::Json;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::app::App;
use crate::http::error::{Error, ErrorBody};
use crate::http::extract::Scope;
use crate::http::issue_path::IssueInPath;
use crate::http::query::{self, Query};
use crate::model::ids::IssueId;
use crate::model::issue_body::IssueBody;
use crate::store::batch::Ids;
use crate::store::{issue_tree, workspaces};

/// The most parents that one call may name.
const PARENTS: usize = 200;

#[derive(Serialize, ToSchema)]
pub(super) struct Children {
    issues: Vec<IssueBody>,
}

/// The children of one issue, by number.
#[utoipa::path(
    get,
    path = "/{id}/children",
    tag = "issues",
    params(("id" = String, Path, description = "The id, or an identifier such as `KEY-12`")),
    responses((status = 200, body = Children), (status = 404, body = ErrorBody)),
)]
pub(super) async fn of_one(
    app: App,
    scope: Scope,
    IssueInPath(issue): IssueInPath,
) -> Result<Json<Children>, Error> {
    list(&app, &scope, Ids::of([issue.id.0])).await
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Parents {
    /// Comma-separated ids.
    parent_ids: Option<String>,
}

/// The children of several issues, by number.
#[utoipa::path(
    get,
    path = "/children",
    tag = "issues",
    params(Parents),
    responses((status = 200, body = Children), (status = 400, body = ErrorBody)),
)]
pub(super) async fn of_many(
    app: App,
    scope: Scope,
    Query(sent): Query<Parents>,
) -> Result<Json<Children>, Error> {
    let sent = sent.parent_ids.as_deref();
    if sent.is_some_and(|list| list.split(',').count() > PARENTS) {
        return Err(Error::bad_request("too many parent_ids"));
    }
    let parents = query::ids("parent_ids", sent)?.unwrap_or_default();
    list(&app, &scope, Ids::of(parents)).await
}

async fn list(app: &App, scope: &Scope, parents: Ids) -> Result<Json<Children>, Error> {
    let mut conn = app.db.reader().await?;
    let prefix = workspaces::find_issue_prefix(&mut conn, scope.workspace_id).await?;
    let children = issue_tree::list_children(&mut conn, scope.workspace_id, parents).await?;
    Ok(Json(Children { issues: children.iter().map(|issue| IssueBody::new(issue, &prefix)).collect() }))
}

#[derive(Serialize, ToSchema)]
pub(super) struct Progress {
    progress: Vec<ProgressOfOne>,
}

#[derive(Serialize, ToSchema)]
struct ProgressOfOne {
    parent_issue_id: IssueId,
    total: i64,
    /// Done or cancelled.
    done: i64,
}

/// How far the children of every issue are.
#[utoipa::path(
    get,
    path = "/child-progress",
    tag = "issues",
    responses((status = 200, body = Progress)),
)]
pub(super) async fn progress(app: App, scope: Scope) -> Result<Json<Progress>, Error> {
    let rows = issue_tree::list_progress(&mut app.db.reader().await?, scope.workspace_id).await?;
    let progress = rows
        .into_iter()
        .map(|row| ProgressOfOne { parent_issue_id: row.parent_issue_id, total: row.total, done: row.done })
        .collect();
    Ok(Json(Progress { progress }))
}
