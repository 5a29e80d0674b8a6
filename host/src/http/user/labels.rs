//! `/api/labels`, and the labels of an issue.

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::mount_scoped;
use crate::app::App;
use crate::http::body::Body;
use crate::http::error::{Error, ErrorBody};
use crate::http::extract::{Scope, path_segment};
use crate::http::issue_path::IssueInPath;
use crate::model::actor::Actor;
use crate::model::ids::{IssueId, LabelId};
use crate::model::issue::Issue;
use crate::model::label::{self, Label, LabelError};
use crate::store::{StoreError, labels};

const TAKEN: &str = "a label with that name already exists";

pub fn routes() -> OpenApiRouter<App> {
    let routes = OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(find, update, delete));
    mount_scoped("/api/labels", routes)
}

/// What goes under `/api/issues`.
pub fn on_issues() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(on_issue, attach)).routes(routes!(detach))
}

impl From<LabelError> for Error {
    fn from(error: LabelError) -> Self {
        Self::bad_request(error.to_string())
    }
}

/// The label that a path names by `{id}` or `{labelId}`.
struct LabelInPath(Label);

impl FromRequestParts<App> for LabelInPath {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
        let scope = Scope::from_request_parts(parts, app).await?;
        let mut id = path_segment(parts, "labelId").await;
        if id.is_empty() {
            id = path_segment(parts, "id").await;
        }
        let id = LabelId::parse(&id).ok_or_else(|| Error::bad_request("invalid label id"))?;
        let found = labels::find(&mut app.db.reader().await?, scope.workspace_id, id).await?;
        found.map(Self).ok_or_else(|| Error::not_found("label not found"))
    }
}

#[derive(Serialize, ToSchema)]
struct LabelList {
    labels: Vec<Label>,
    total: usize,
}

#[derive(Serialize, ToSchema)]
struct IssueLabels {
    labels: Vec<Label>,
}

#[derive(Deserialize, ToSchema)]
struct LabelSent {
    name: Option<String>,
    /// Six hex digits, with or without `#`.
    color: Option<String>,
}

/// The workspace's labels, by name.
#[utoipa::path(get, path = "/", tag = "labels", responses((status = 200, body = LabelList)))]
async fn list(app: App, scope: Scope) -> Result<Json<LabelList>, Error> {
    let failed = |error| Error::internal("failed to list labels", error);
    let mut conn = app.db.reader().await.map_err(failed)?;
    let labels = labels::list(&mut conn, scope.workspace_id).await.map_err(failed)?;
    Ok(Json(LabelList { total: labels.len(), labels }))
}

#[utoipa::path(post, path = "/", tag = "labels", request_body = LabelSent,
    responses((status = 201, body = Label), (status = 400, body = ErrorBody), (status = 409, body = ErrorBody)))]
async fn create(
    app: App,
    scope: Scope,
    Body(sent): Body<LabelSent>,
) -> Result<(StatusCode, Json<Label>), Error> {
    let failed = |error: StoreError| Error::internal("failed to create label", error);
    let now = app.clock.now();
    let label = Label {
        id: LabelId::new(),
        workspace_id: scope.workspace_id,
        name: label::name(&sent.name.unwrap_or_default())?,
        color: label::color(&sent.color.unwrap_or_default())?,
        created_at: now,
        updated_at: now,
    };
    let adding = label.clone();
    let added = app.db.write(move |c| Box::pin(async move { labels::insert(c, &adding).await })).await;
    if !added.map_err(failed)? {
        return Err(Error::conflict(TAKEN));
    }
    tell(&app, scope, "label:created", json!({"label": label}));
    Ok((StatusCode::CREATED, Json(label)))
}

#[utoipa::path(get, path = "/{id}", tag = "labels",
    params(("id" = String, Path, description = "The label's id")),
    responses((status = 200, body = Label), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)))]
async fn find(LabelInPath(label): LabelInPath) -> Json<Label> {
    Json(label)
}

/// Changes the name, the colour, or both.
#[utoipa::path(put, path = "/{id}", tag = "labels",
    params(("id" = String, Path, description = "The label's id")),
    request_body = LabelSent,
    responses((status = 200, body = Label), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody)))]
async fn update(
    app: App,
    scope: Scope,
    LabelInPath(label): LabelInPath,
    Body(sent): Body<LabelSent>,
) -> Result<Json<Label>, Error> {
    let name = sent.name.map(|name| label::name(&name)).transpose()?;
    let color = sent.color.map(|color| label::color(&color)).transpose()?;
    let now = app.clock.now();
    let updated = app
        .db
        .write(move |c| {
            Box::pin(async move { labels::update(c, label.id, name.as_deref(), color.as_deref(), now).await })
        })
        .await;
    let updated = updated.map_err(|error: StoreError| {
        if error.is_conflict() {
            Error::conflict(TAKEN)
        } else {
            Error::internal("failed to update label", error)
        }
    })?;
    let label = updated.ok_or_else(|| Error::not_found("label not found"))?;
    tell(&app, scope, "label:updated", json!({"label": label}));
    Ok(Json(label))
}

/// Takes the label away, off every issue.
#[utoipa::path(delete, path = "/{id}", tag = "labels",
    params(("id" = String, Path, description = "The label's id")),
    responses((status = 204), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)))]
async fn delete(app: App, scope: Scope, LabelInPath(label): LabelInPath) -> Result<StatusCode, Error> {
    let failed = |error: StoreError| Error::internal("failed to delete label", error);
    let id = label.id;
    let deleted = app.db.write(move |c| Box::pin(async move { labels::delete(c, id).await })).await;
    if !deleted.map_err(failed)? {
        return Err(Error::not_found("label not found"));
    }
    tell(&app, scope, "label:deleted", json!({"label_id": id}));
    Ok(StatusCode::NO_CONTENT)
}

/// The labels of an issue, by name.
#[utoipa::path(get, path = "/{id}/labels", tag = "labels",
    params(("id" = String, Path, description = "The id, or an identifier such as `KEY-12`")),
    responses((status = 200, body = IssueLabels), (status = 404, body = ErrorBody)))]
async fn on_issue(app: App, IssueInPath(issue): IssueInPath) -> Result<Json<IssueLabels>, Error> {
    labels_of(&app, issue.id).await.map(Json)
}

#[derive(Deserialize, ToSchema)]
struct LabelChosen {
    label_id: Option<String>,
}

/// Puts a label on an issue, where it may be already.
#[utoipa::path(post, path = "/{id}/labels", tag = "labels",
    params(("id" = String, Path, description = "The id, or an identifier such as `KEY-12`")),
    request_body = LabelChosen,
    responses((status = 200, body = IssueLabels), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)))]
async fn attach(
    app: App,
    scope: Scope,
    IssueInPath(issue): IssueInPath,
    Body(sent): Body<LabelChosen>,
) -> Result<Json<IssueLabels>, Error> {
    let failed = |error: StoreError| Error::internal("failed to attach label", error);
    let id = sent.label_id.filter(|id| !id.is_empty());
    let id = id.ok_or_else(|| Error::bad_request("label_id is required"))?;
    let id = LabelId::parse(&id).ok_or_else(|| Error::bad_request("invalid label_id"))?;
    let mut conn = app.db.reader().await.map_err(failed)?;
    let label = labels::find(&mut conn, scope.workspace_id, id).await.map_err(failed)?;
    label.ok_or_else(|| Error::not_found("label not found"))?;
    drop(conn);
    let issue_id = issue.id;
    let changed = app.db.write(move |c| Box::pin(async move { labels::attach(c, issue_id, id).await })).await;
    changed_labels(&app, scope, &issue, changed.map_err(failed)?).await
}

/// Takes a label off an issue, where it may not be.
#[utoipa::path(delete, path = "/{id}/labels/{labelId}", tag = "labels",
    params(
        ("id" = String, Path, description = "The id, or an identifier such as `KEY-12`"),
        ("labelId" = String, Path, description = "The label's id")),
    responses((status = 200, body = IssueLabels), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)))]
async fn detach(
    app: App,
    scope: Scope,
    IssueInPath(issue): IssueInPath,
    LabelInPath(label): LabelInPath,
) -> Result<Json<IssueLabels>, Error> {
    let failed = |error: StoreError| Error::internal("failed to detach label", error);
    let (issue_id, id) = (issue.id, label.id);
    let changed = app.db.write(move |c| Box::pin(async move { labels::detach(c, issue_id, id).await })).await;
    changed_labels(&app, scope, &issue, changed.map_err(failed)?).await
}

async fn changed_labels(
    app: &App,
    scope: Scope,
    issue: &Issue,
    changed: bool,
) -> Result<Json<IssueLabels>, Error> {
    let found = labels_of(app, issue.id).await?;
    if changed {
        let payload = || json!({"issue_id": issue.id, "labels": found.labels});
        app.events.by(scope.actor, scope.workspace_id, "issue_labels:changed", payload);
    }
    Ok(Json(found))
}

async fn labels_of(app: &App, issue: IssueId) -> Result<IssueLabels, Error> {
    let failed = |error| Error::internal("failed to list labels", error);
    let mut conn = app.db.reader().await.map_err(failed)?;
    Ok(IssueLabels { labels: labels::list_on_issue(&mut conn, issue).await.map_err(failed)? })
}

/// Labels are the workspace's: it is always the person who changes them.
fn tell(app: &App, scope: Scope, kind: &'static str, payload: Value) {
    app.events.by(Actor::Member(scope.user_id), scope.workspace_id, kind, || payload);
}
