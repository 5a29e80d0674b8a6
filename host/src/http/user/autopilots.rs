//! Autopilots: what they do, for whom, and who may change that.

use std::collections::HashSet;

use axum::Json;
use axum::extract::{FromRequestParts, Path};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::{autopilot_fields as fields, autopilot_runs, mount_scoped, triggers, webhooks};
use crate::app::App;
use crate::http::body::{Body, Sent};
use crate::http::error::{Error, ErrorBody};
use crate::http::extract::{Scope, path_segment};
use crate::http::query::{self, Query};
use crate::model::autopilot::{Autopilot, AutopilotBody, SubscriberBody, TriggerBody};
use crate::model::ids::{AutopilotId, UserId, parse_uuid};
use crate::model::time::seconds;
use crate::store::autopilot_settings::{self, Outlook};
use crate::store::{Conn, StoreError, triggers as stored_triggers, users};

pub fn routes() -> OpenApiRouter<App> {
    let routes = OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(find, change, delete))
        .routes(routes!(share))
        .routes(routes!(unshare))
        .merge(triggers::on_autopilots())
        .merge(autopilot_runs::on_autopilots())
        .merge(webhooks::on_autopilots());
    mount_scoped("/api/autopilots", routes)
}

/// Limit and offset of a list of runs or deliveries.
pub(super) fn page(limit: Option<&str>, offset: Option<&str>) -> (i64, i64) {
    (query::limit(limit, 20, 100), query::offset(offset))
}

/// The autopilot that a path names, in the caller's workspace.
pub(super) struct Access {
    pub scope: Scope,
    pub autopilot: Autopilot,
    may_write: bool,
}

impl FromRequestParts<App> for Access {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
        let scope = Scope::from_request_parts(parts, app).await?;
        let id = AutopilotId::parse(&path_segment(parts, "id").await);
        let id = id.ok_or_else(|| Error::bad_request("invalid autopilot id"))?;
        let mut conn = app.db.reader().await?;
        let autopilot = autopilot_settings::find(&mut conn, id).await?;
        let autopilot = autopilot.filter(|autopilot| autopilot.workspace_id == scope.workspace_id);
        let autopilot = autopilot.ok_or_else(|| Error::not_found("autopilot not found"))?;
        let may_write = manages(&scope, &autopilot)
            || autopilot_settings::is_collaborator(&mut conn, id, scope.user_id).await?;
        Ok(Self { scope, autopilot, may_write })
    }
}

fn manages(scope: &Scope, autopilot: &Autopilot) -> bool {
    scope.role.is_admin()
        || (autopilot.created_by_type == "member" && autopilot.created_by_id == scope.user_id.0)
}

impl Access {
    pub fn require_write(&self) -> Result<(), Error> {
        if self.may_write {
            return Ok(());
        }
        Err(Error::forbidden(
            "only the autopilot creator, a workspace admin, or a granted collaborator can manage this autopilot",
        ))
    }

    fn require_manage(&self) -> Result<(), Error> {
        if manages(&self.scope, &self.autopilot) {
            return Ok(());
        }
        Err(Error::forbidden("only the autopilot creator or a workspace admin can manage access"))
    }

    /// Tells clients that something about the autopilot changed.
    pub fn tell(&self, app: &App, payload: Value) {
        app.events.by(self.scope.actor, self.scope.workspace_id, "autopilot:updated", || payload);
    }
}

#[derive(Deserialize)]
struct ListQuery {
    status: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct Autopilots {
    autopilots: Vec<Row>,
    total: usize,
}

#[derive(Serialize, ToSchema)]
struct Row {
    #[serde(flatten)]
    autopilot: AutopilotBody,
    /// Of the enabled triggers, sorted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    trigger_kinds: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_run_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_run_status: Option<String>,
    can_write: bool,
}

/// The workspace's autopilots, newest first.
#[utoipa::path(get, path = "/", tag = "autopilots", params(("status" = Option<String>, Query)),
    responses((status = 200, body = Autopilots)))]
async fn list(app: App, scope: Scope, Query(query): Query<ListQuery>) -> Result<Json<Autopilots>, Error> {
    let mut conn = app.db.reader().await?;
    let found = autopilot_settings::list(&mut conn, scope.workspace_id, query.status.as_deref()).await?;
    let outlooks = autopilot_settings::list_outlooks(&mut conn, scope.workspace_id).await?;
    let kinds = autopilot_settings::list_trigger_kinds(&mut conn, scope.workspace_id).await?;
    let shared = autopilot_settings::list_shared_with(&mut conn, scope.workspace_id, scope.user_id).await?;
    let shared: HashSet<AutopilotId> = shared.into_iter().collect();
    let rows = found.iter().map(|autopilot| {
        let outlook = outlooks.iter().find(|outlook| outlook.id == autopilot.id);
        let kinds = kinds.iter().filter(|(id, _)| *id == autopilot.id).map(|(_, kind)| kind.clone());
        Row {
            autopilot: AutopilotBody::new(autopilot, Vec::new()),
            trigger_kinds: kinds.collect(),
            next_run_at: outlook.and_then(|Outlook { next_run_at, .. }| next_run_at.map(seconds)),
            last_run_status: outlook.and_then(|outlook| outlook.last_run_status.clone()),
            can_write: manages(&scope, autopilot) || shared.contains(&autopilot.id),
        }
    });
    let autopilots: Vec<Row> = rows.collect();
    Ok(Json(Autopilots { total: autopilots.len(), autopilots }))
}

/// Makes an autopilot, active and without a trigger.
#[utoipa::path(post, path = "/", tag = "autopilots", request_body = fields::New,
    responses((status = 201, body = AutopilotBody),
        (status = 422, body = ErrorBody, description = "The assignee is archived")))]
async fn create(
    app: App,
    scope: Scope,
    Body(sent): Body<fields::New>,
) -> Result<(StatusCode, Json<AutopilotBody>), Error> {
    let now = app.clock.now();
    let (autopilot, subscribers) = {
        let mut conn = app.db.reader().await?;
        sent.read(&mut conn, &scope, now).await?
    };
    let stored = autopilot.clone();
    let added: Result<Vec<SubscriberBody>, StoreError> = app
        .db
        .write(move |c| {
            Box::pin(async move {
                autopilot_settings::insert(c, &stored).await?;
                autopilot_settings::set_subscribers(c, stored.id, &subscribers, now).await?;
                list_subscribers(c, stored.id).await
            })
        })
        .await;
    let body = AutopilotBody::new(&autopilot, added?);
    app.events.by(scope.actor, scope.workspace_id, "autopilot:created", || json!({"autopilot": body}));
    Ok((StatusCode::CREATED, Json(body)))
}

#[derive(Serialize, ToSchema)]
struct Detail {
    autopilot: DetailBody,
    collaborators: Vec<CollaboratorBody>,
    triggers: Vec<TriggerBody>,
}

#[derive(Serialize, ToSchema)]
struct DetailBody {
    #[serde(flatten)]
    autopilot: AutopilotBody,
    can_write: bool,
    can_manage_access: bool,
}

#[derive(Serialize, ToSchema)]
struct CollaboratorBody {
    user_type: &'static str,
    user_id: UserId,
    granted_by: Option<UserId>,
    created_at: String,
}

/// One autopilot with its triggers, oldest first.
#[utoipa::path(get, path = "/{id}", tag = "autopilots", params(("id" = String, Path)),
    responses((status = 200, body = Detail)))]
async fn find(app: App, access: Access) -> Result<Json<Detail>, Error> {
    let mut conn = app.db.reader().await?;
    let id = access.autopilot.id;
    let subscribers = list_subscribers(&mut conn, id).await?;
    let found = stored_triggers::list(&mut conn, id).await?;
    let public_url = app.flags.public_url.as_deref();
    Ok(Json(Detail {
        autopilot: DetailBody {
            autopilot: AutopilotBody::new(&access.autopilot, subscribers),
            can_write: access.may_write,
            can_manage_access: manages(&access.scope, &access.autopilot),
        },
        collaborators: collaborators(&mut conn, id).await?,
        triggers: found
            .iter()
            .map(|trigger| TriggerBody::new(trigger, access.may_write, public_url))
            .collect(),
    }))
}

/// Changes an autopilot.
#[utoipa::path(patch, path = "/{id}", tag = "autopilots", params(("id" = String, Path)),
    request_body = fields::Changes, responses((status = 200, body = AutopilotBody),
        (status = 422, body = ErrorBody, description = "The assignee is archived")))]
async fn change(
    app: App,
    access: Access,
    Body(sent): Body<fields::Changes>,
) -> Result<Json<AutopilotBody>, Error> {
    access.require_write()?;
    let now = app.clock.now();
    let (autopilot, subscribers) = {
        let mut conn = app.db.reader().await?;
        sent.read(&mut conn, &access.scope, access.autopilot.clone(), now).await?
    };
    let stored = autopilot.clone();
    let kept: Result<Option<Vec<SubscriberBody>>, StoreError> = app
        .db
        .write(move |c| {
            Box::pin(async move {
                if !autopilot_settings::update(c, &stored).await? {
                    return Ok(None);
                }
                if let Some(users) = subscribers {
                    autopilot_settings::set_subscribers(c, stored.id, &users, now).await?;
                }
                list_subscribers(c, stored.id).await.map(Some)
            })
        })
        .await;
    let subscribers = kept?.ok_or_else(|| Error::not_found("autopilot not found"))?;
    let body = AutopilotBody::new(&autopilot, subscribers);
    access.tell(&app, json!({"autopilot": body}));
    Ok(Json(body))
}

/// Deletes an autopilot with its triggers and runs. Issues that it made stay.
#[utoipa::path(delete, path = "/{id}", tag = "autopilots", params(("id" = String, Path)),
    responses((status = 204)))]
async fn delete(app: App, access: Access) -> Result<StatusCode, Error> {
    access.require_write()?;
    crate::dispatch::autopilot_follow::delete(&app, access.autopilot.id).await?;
    let id = access.autopilot.id;
    let payload = || json!({"autopilot_id": id});
    app.events.by(access.scope.actor, access.scope.workspace_id, "autopilot:deleted", payload);
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, ToSchema)]
struct Sharing {
    user_id: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct Collaborators {
    collaborators: Vec<CollaboratorBody>,
}

/// Lets another member change the autopilot.
#[utoipa::path(post, path = "/{id}/collaborators", tag = "autopilots", params(("id" = String, Path)),
    request_body = Sharing, responses((status = 201, body = Collaborators)))]
async fn share(
    app: App,
    access: Access,
    Body(sent): Body<Sharing>,
) -> Result<(StatusCode, Json<Collaborators>), Error> {
    access.require_manage()?;
    let user = sent.user_id.filter(|id| !id.is_empty());
    let user = user.ok_or_else(|| Error::bad_request("user_id is required"))?;
    let user = parse_uuid(&user).map(UserId).ok_or_else(|| Error::bad_request("invalid user_id"))?;
    let role = users::find_role(&mut app.db.reader().await?, user, access.scope.workspace_id).await?;
    role.ok_or_else(|| Error::bad_request("user_id must be a member of this workspace"))?;
    let (id, by, now) = (access.autopilot.id, access.scope.user_id, app.clock.now());
    let shared: Result<Vec<CollaboratorBody>, StoreError> = app
        .db
        .write(move |c| {
            Box::pin(async move {
                autopilot_settings::insert_collaborator(c, id, user, by, now).await?;
                collaborators(c, id).await
            })
        })
        .await;
    let body = Collaborators { collaborators: shared? };
    access.tell(&app, json!({"autopilot_id": id}));
    Ok((StatusCode::CREATED, Json(body)))
}

/// Takes that away again.
#[utoipa::path(delete, path = "/{id}/collaborators/{userId}", tag = "autopilots",
    params(("id" = String, Path), ("userId" = String, Path)), responses((status = 200, body = Collaborators)))]
async fn unshare(
    app: App,
    access: Access,
    Path(ids): Path<(String, String)>,
) -> Result<Json<Collaborators>, Error> {
    access.require_manage()?;
    let user = parse_uuid(&ids.1).map(UserId).ok_or_else(|| Error::bad_request("invalid user id"))?;
    let id = access.autopilot.id;
    let left: Result<Vec<CollaboratorBody>, StoreError> = app
        .db
        .write(move |c| {
            Box::pin(async move {
                autopilot_settings::delete_collaborator(c, id, user).await?;
                collaborators(c, id).await
            })
        })
        .await;
    let body = Collaborators { collaborators: left? };
    access.tell(&app, json!({"autopilot_id": id}));
    Ok(Json(body))
}

async fn collaborators(conn: &mut Conn, id: AutopilotId) -> Result<Vec<CollaboratorBody>, StoreError> {
    let found = autopilot_settings::list_collaborators(conn, id).await?;
    let bodies = found.into_iter().map(|collaborator| CollaboratorBody {
        user_type: "member",
        user_id: collaborator.user_id,
        granted_by: collaborator.granted_by,
        created_at: seconds(collaborator.created_at),
    });
    Ok(bodies.collect())
}

async fn list_subscribers(conn: &mut Conn, id: AutopilotId) -> Result<Vec<SubscriberBody>, StoreError> {
    let found = autopilot_settings::list_subscribers(conn, id).await?;
    let bodies = found.into_iter().map(|(user_id, at): (Uuid, _)| SubscriberBody {
        user_type: "member",
        user_id,
        created_at: seconds(at),
    });
    Ok(bodies.collect())
}

/// A member that was sent as text, trimmed; nothing when it is blank.
pub(super) fn given(text: Option<String>) -> Option<String> {
    text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// The text of a member that can be cleared.
pub(super) fn cleared(sent: Sent<String>, before: Option<String>) -> Option<String> {
    match sent {
        Sent::Absent => before,
        Sent::Null => None,
        Sent::Value(text) => given(Some(text)),
    }
}
