//! One change, or the end, of many issues at once. What cannot be done is skipped.

use axum::Json;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::issue_update::PatchSent;
use crate::app::App;
use crate::dispatch::{issue_delete, issue_update};
use crate::http::body::{Body, StrictBody};
use crate::http::error::{Error, ErrorBody};
use crate::http::extract::Scope;
use crate::model::ids::IssueId;
use crate::store::issues;

/// The most issues that one call may name.
const ISSUES: usize = 1000;

#[derive(Deserialize, ToSchema)]
pub(super) struct BatchUpdate {
    issue_ids: Option<Vec<String>>,
    updates: Option<PatchSent>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct BatchUpdated {
    updated: usize,
}

/// Changes many issues alike.
#[utoipa::path(
    post,
    path = "/batch-update",
    tag = "issues",
    request_body = BatchUpdate,
    responses((status = 200, body = BatchUpdated), (status = 400, body = ErrorBody)),
)]
pub(super) async fn update(
    app: App,
    scope: Scope,
    StrictBody(sent): StrictBody<BatchUpdate>,
) -> Result<Json<BatchUpdated>, Error> {
    let ids = named(sent.issue_ids)?;
    let updates = sent.updates.unwrap_or_default();
    updates.check_enums()?;
    let mut updated = 0;
    if updates.is_empty() {
        return Ok(Json(BatchUpdated { updated }));
    }
    for id in ids {
        match update_one(&app, &scope, id, &updates).await {
            Ok(()) => updated += 1,
            Err(error) => {
                tracing::debug!(issue.id = %id, error = error.message, "an issue of a batch was skipped");
            }
        }
    }
    Ok(Json(BatchUpdated { updated }))
}

async fn update_one(app: &App, scope: &Scope, id: IssueId, updates: &PatchSent) -> Result<(), Error> {
    let mut conn = app.db.reader().await?;
    let issue = issues::find_in(&mut conn, scope.workspace_id, id).await?;
    let issue = issue.ok_or_else(|| Error::not_found("issue not found"))?;
    let patch = updates.patch(&mut conn, scope, &issue).await?;
    drop(conn);
    issue_update::update(app, scope.actor, id, patch, updates.options(true)).await?;
    Ok(())
}

#[derive(Deserialize, ToSchema)]
pub(super) struct BatchDelete {
    issue_ids: Option<Vec<String>>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct BatchDeleted {
    deleted: usize,
}

/// Takes many issues away.
#[utoipa::path(
    post,
    path = "/batch-delete",
    tag = "issues",
    request_body = BatchDelete,
    responses((status = 200, body = BatchDeleted), (status = 400, body = ErrorBody)),
)]
pub(super) async fn delete(
    app: App,
    scope: Scope,
    Body(sent): Body<BatchDelete>,
) -> Result<Json<BatchDeleted>, Error> {
    let mut deleted = 0;
    for id in named(sent.issue_ids)? {
        let issue = issues::find_in(&mut app.db.reader().await?, scope.workspace_id, id).await?;
        let Some(issue) = issue else { continue };
        deleted += usize::from(issue_delete::delete(&app, scope.actor, &issue).await?);
    }
    Ok(Json(BatchDeleted { deleted }))
}

/// The ids among what was sent.
fn named(sent: Option<Vec<String>>) -> Result<Vec<IssueId>, Error> {
    let sent = sent.unwrap_or_default();
    if sent.is_empty() {
        return Err(Error::bad_request("issue_ids is required"));
    }
    if sent.len() > ISSUES {
        return Err(Error::bad_request(format!("too many issue_ids; send at most {ISSUES}")));
    }
    Ok(sent.iter().filter_map(|text| IssueId::parse(text)).collect())
}
