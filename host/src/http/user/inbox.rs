//! `/api/inbox`: what a person was told, read and put away. Every change is told to the
//! person's own connections alone.

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::mount_scoped;
use crate::app::App;
use crate::http::error::{Error, ErrorBody};
use crate::http::extract::{Scope, path_segment};
use crate::model::actor::Actor;
use crate::model::ids::parse_uuid;
use crate::model::inbox::{InboxBody, Unread};
use crate::store::StoreError;
use crate::store::inbox::{self, Inbox, Sweep};

pub fn routes() -> OpenApiRouter<App> {
    let routes = OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(unread_count))
        .routes(routes!(unread_summary))
        .routes(routes!(mark_all_read))
        .routes(routes!(archive_all))
        .routes(routes!(archive_all_read))
        .routes(routes!(archive_completed))
        .routes(routes!(mark_read))
        .routes(routes!(archive));
    mount_scoped("/api/inbox", routes)
}

impl From<&Scope> for Inbox {
    fn from(scope: &Scope) -> Self {
        Self { workspace: scope.workspace_id, user: scope.user_id }
    }
}

/// The item `{id}` of the caller's inbox.
struct ItemInPath(InboxBody);

impl FromRequestParts<App> for ItemInPath {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
        let scope = Scope::from_request_parts(parts, app).await?;
        let id = parse_uuid(&path_segment(parts, "id").await);
        let id = id.ok_or_else(|| Error::bad_request("invalid inbox item id"))?;
        let found = inbox::find(&mut app.db.reader().await?, Inbox::from(&scope), id).await?;
        found.map(Self).ok_or_else(|| Error::not_found("inbox item not found"))
    }
}

#[derive(Serialize, ToSchema)]
struct Count {
    count: i64,
}

/// What is not archived, newest first.
#[utoipa::path(get, path = "/", tag = "inbox", responses((status = 200, body = [InboxBody])))]
async fn list(app: App, scope: Scope) -> Result<Json<Vec<InboxBody>>, Error> {
    let failed = |error| Error::internal("failed to list inbox", error);
    let mut conn = app.db.reader().await.map_err(failed)?;
    Ok(Json(inbox::list(&mut conn, Inbox::from(&scope)).await.map_err(failed)?))
}

/// How much of it is unread.
#[utoipa::path(get, path = "/unread-count", tag = "inbox", responses((status = 200, body = Count)))]
async fn unread_count(app: App, scope: Scope) -> Result<Json<Count>, Error> {
    let failed = |error| Error::internal("failed to count unread inbox", error);
    let mut conn = app.db.reader().await.map_err(failed)?;
    let count = inbox::count_unread(&mut conn, Inbox::from(&scope)).await.map_err(failed)?;
    Ok(Json(Count { count }))
}

/// How many issues and single items are unread, in every workspace of the caller that has
/// some. An agent at work learns of its own alone.
#[utoipa::path(get, path = "/unread-summary", tag = "inbox", responses((status = 200, body = [Unread])))]
async fn unread_summary(app: App, scope: Scope) -> Result<Json<Vec<Unread>>, Error> {
    let failed = |error| Error::internal("failed to summarize unread inbox", error);
    let mut conn = app.db.reader().await.map_err(failed)?;
    let mut unread = inbox::list_unread(&mut conn, scope.user_id).await.map_err(failed)?;
    unread.retain(|unread| !scope.actor.is_agent() || unread.workspace_id == scope.workspace_id);
    Ok(Json(unread))
}

/// Marks an item as read.
#[utoipa::path(post, path = "/{id}/read", tag = "inbox", params(("id" = String, Path)),
    responses((status = 200, body = InboxBody), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)))]
async fn mark_read(app: App, scope: Scope, ItemInPath(item): ItemInPath) -> Result<Json<InboxBody>, Error> {
    let id = item.id;
    let written: Result<(), StoreError> = app.db.write_soon(move |c| Box::pin(inbox::mark_read(c, id))).await;
    written.map_err(|error| Error::internal("failed to mark read", error))?;
    app.events.by(
        Actor::Member(scope.user_id),
        scope.workspace_id,
        "inbox:read",
        || json!({"item_id": id, "recipient_id": scope.user_id}),
    );
    Ok(Json(InboxBody { read: true, ..item }))
}

/// Puts an item away, with all that is there about the same issue.
#[utoipa::path(post, path = "/{id}/archive", tag = "inbox", params(("id" = String, Path)),
    responses((status = 200, body = InboxBody), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)))]
async fn archive(app: App, scope: Scope, ItemInPath(item): ItemInPath) -> Result<Json<InboxBody>, Error> {
    let (of, id, issue) = (Inbox::from(&scope), item.id, item.issue_id);
    let written: Result<(), StoreError> =
        app.db.write_soon(move |c| Box::pin(inbox::archive(c, of, id, issue))).await;
    written.map_err(|error| Error::internal("failed to archive", error))?;
    app.events.by(
        Actor::Member(scope.user_id),
        scope.workspace_id,
        "inbox:archived",
        || json!({"item_id": id, "issue_id": issue, "recipient_id": scope.user_id}),
    );
    Ok(Json(InboxBody { archived: true, ..item }))
}

/// Marks everything as read.
#[utoipa::path(post, path = "/mark-all-read", tag = "inbox", responses((status = 200, body = Count)))]
async fn mark_all_read(app: App, scope: Scope) -> Result<Json<Count>, Error> {
    sweep(&app, scope, Sweep::ReadAll, "inbox:batch-read", "failed to mark all inbox read").await
}

/// Puts everything away.
#[utoipa::path(post, path = "/archive-all", tag = "inbox", responses((status = 200, body = Count)))]
async fn archive_all(app: App, scope: Scope) -> Result<Json<Count>, Error> {
    sweep(&app, scope, Sweep::ArchiveAll, "inbox:batch-archived", "failed to archive all inbox").await
}

/// Puts away what was read.
#[utoipa::path(post, path = "/archive-all-read", tag = "inbox", responses((status = 200, body = Count)))]
async fn archive_all_read(app: App, scope: Scope) -> Result<Json<Count>, Error> {
    sweep(&app, scope, Sweep::ArchiveRead, "inbox:batch-archived", "failed to archive all read inbox").await
}

/// Puts away what is about issues that are over.
#[utoipa::path(post, path = "/archive-completed", tag = "inbox", responses((status = 200, body = Count)))]
async fn archive_completed(app: App, scope: Scope) -> Result<Json<Count>, Error> {
    let failed = "failed to archive completed inbox";
    sweep(&app, scope, Sweep::ArchiveCompleted, "inbox:batch-archived", failed).await
}

async fn sweep(
    app: &App,
    scope: Scope,
    which: Sweep,
    kind: &'static str,
    failed: &'static str,
) -> Result<Json<Count>, Error> {
    let of = Inbox::from(&scope);
    let changed: Result<usize, StoreError> =
        app.db.write_soon(move |c| Box::pin(inbox::sweep(c, of, which))).await;
    let changed = changed.map_err(|error| Error::internal(failed, error))?;
    let count = i64::try_from(changed).unwrap_or(i64::MAX);
    app.events.by(
        Actor::Member(scope.user_id),
        scope.workspace_id,
        kind,
        || json!({"recipient_id": scope.user_id, "count": count}),
    );
    Ok(Json(Count { count }))
}
