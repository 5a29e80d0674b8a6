//! Who follows an issue.

use axum::Json;
use axum::body::Bytes;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::app::App;
use crate::http::body;
use crate::http::error::{Error, ErrorBody};
use crate::http::extract::{Scope, path_segment};
use crate::http::issue_path::IssueInPath;
use crate::model::ids::{AgentId, IssueId, UserId, parse_uuid};
use crate::model::subscriber::Subscriber;
use crate::store::{Conn, StoreError, agents, subscribers, users};

/// What goes under `/api/issues`.
pub fn on_issues() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(subscribe)).routes(routes!(unsubscribe))
}

/// The issue as the path spells it: events repeat it so.
struct IssueText(String);

impl FromRequestParts<App> for IssueText {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Error> {
        Ok(Self(path_segment(parts, "id").await))
    }
}

#[derive(Deserialize, ToSchema, Default)]
struct Target {
    /// Whoever acts, if it is left out.
    user_id: Option<String>,
    /// `member` or `agent`.
    user_type: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct Subscribed {
    subscribed: bool,
}

#[utoipa::path(get, path = "/{id}/subscribers", tag = "issues",
    params(("id" = String, Path, description = "The id, or an identifier such as `KEY-12`")),
    responses((status = 200, body = [Subscriber]), (status = 404, body = ErrorBody)))]
async fn list(app: App, IssueInPath(issue): IssueInPath) -> Result<Json<Vec<Subscriber>>, Error> {
    let failed = |error| Error::internal("failed to list subscribers", error);
    let mut conn = app.db.reader().await.map_err(failed)?;
    subscribers::list(&mut conn, issue.id).await.map(Json).map_err(failed)
}

/// Lets somebody follow the issue.
#[utoipa::path(post, path = "/{id}/subscribe", tag = "issues",
    params(("id" = String, Path, description = "The id, or an identifier such as `KEY-12`")),
    request_body = Target,
    responses((status = 200, body = Subscribed), (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody)))]
async fn subscribe(
    app: App,
    scope: Scope,
    IssueText(text): IssueText,
    IssueInPath(issue): IssueInPath,
    sent: Bytes,
) -> Result<Json<Subscribed>, Error> {
    let failed = |error: StoreError| Error::internal("failed to subscribe", error);
    let (kind, id) = target(&app, scope, &sent).await?;
    let now = app.clock.now();
    let IssueId(issue) = issue.id;
    let added = app
        .db
        .write(move |c| {
            Box::pin(async move { subscribers::insert(c, IssueId(issue), kind, id, "manual", now).await })
        })
        .await;
    if added.map_err(failed)?.is_some() {
        let payload = || json!({"issue_id": text, "user_type": kind, "user_id": id, "reason": "manual"});
        app.events.by(scope.actor, scope.workspace_id, "subscriber:added", payload);
    }
    Ok(Json(Subscribed { subscribed: true }))
}

/// Lets somebody follow the issue no more.
#[utoipa::path(post, path = "/{id}/unsubscribe", tag = "issues",
    params(("id" = String, Path, description = "The id, or an identifier such as `KEY-12`")),
    request_body = Target,
    responses((status = 200, body = Subscribed), (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody)))]
async fn unsubscribe(
    app: App,
    scope: Scope,
    IssueText(text): IssueText,
    IssueInPath(issue): IssueInPath,
    sent: Bytes,
) -> Result<Json<Subscribed>, Error> {
    let failed = |error: StoreError| Error::internal("failed to unsubscribe", error);
    let (kind, id) = target(&app, scope, &sent).await?;
    let issue_id = issue.id;
    let removed = app
        .db
        .write(move |c| Box::pin(async move { subscribers::delete(c, issue_id, kind, id).await }))
        .await;
    if removed.map_err(failed)? {
        let payload = || json!({"issue_id": text, "user_type": kind, "user_id": id});
        app.events.by(scope.actor, scope.workspace_id, "subscriber:removed", payload);
    }
    Ok(Json(Subscribed { subscribed: false }))
}

/// Who is meant: whoever acts, unless a readable body names somebody of the workspace.
async fn target(app: &App, scope: Scope, sent: &[u8]) -> Result<(&'static str, Uuid), Error> {
    let sent: Target = body::decode(sent, false).unwrap_or_default();
    let stranger = || Error::forbidden("target user is not a member of this workspace");
    let (default_type, id) = match sent.user_id.filter(|id| !id.is_empty()) {
        Some(text) => ("member", parse_uuid(&text).ok_or_else(stranger)?),
        None => (scope.actor.kind(), scope.actor.id()),
    };
    let kind = match sent.user_type.as_deref().unwrap_or(default_type) {
        "member" => "member",
        "agent" => "agent",
        _ => return Err(stranger()),
    };
    let belongs = async {
        let mut conn = app.db.reader().await?;
        belongs(&mut conn, scope, kind, id).await
    };
    let belongs = belongs.await.map_err(|error| Error::internal("failed to load the target user", error))?;
    if belongs { Ok((kind, id)) } else { Err(stranger()) }
}

async fn belongs(conn: &mut Conn, scope: Scope, kind: &str, id: Uuid) -> Result<bool, StoreError> {
    if kind == "agent" {
        let agent = agents::find(conn, AgentId(id)).await?;
        return Ok(agent.is_some_and(|agent| agent.workspace_id == scope.workspace_id));
    }
    Ok(users::find_role(conn, UserId(id), scope.workspace_id).await?.is_some())
}
