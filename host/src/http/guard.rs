//! What stands before the routes: who calls, and for which workspace. What a guard found
//! out is left in the request's extensions, where the extractors pick it up; there they find
//! the App, too, because the tree of routes is made before there is one.

use axum::extract::{RawPathParams, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::{RequestExt, http::Uri};

use super::error::Error;
use super::extract::{Caller, Scope};
use super::observe::CalledBy;
use crate::app::App;
use crate::auth::{Identity, cookie};
use crate::model::actor::Actor;
use crate::model::ids::{AgentId, TaskId, UserId, WorkspaceId, parse_uuid};
use crate::store::{agents, tasks, workspaces};

/// `/api/daemon/*`: a daemon's or a person's token.
pub async fn daemon_plane(app: App, mut request: Request) -> Result<Request, Error> {
    let identity = daemon_caller(&app, request.headers()).await?;
    note(&mut request, identity);
    Ok(request)
}

/// Who calls `/api/daemon/*`.
pub async fn daemon_caller(app: &App, headers: &HeaderMap) -> Result<Identity, Error> {
    let header = headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap_or_default());
    let token = match header {
        None | Some("") => return Err(Error::unauthorized("missing authorization header")),
        Some(text) => {
            text.strip_prefix("Bearer ").ok_or_else(|| Error::unauthorized("invalid authorization format"))?
        }
    };
    Ok(app.auth.daemon_plane(token).await?)
}

/// The rest of `/api`: a person's token, their login's cookie, or the token of an agent at
/// work.
pub async fn user_plane(app: App, mut request: Request) -> Result<Request, Response> {
    match authenticated(&app, request.headers(), &request.method().clone()).await {
        Ok(identity) => {
            note(&mut request, identity);
            Ok(request)
        }
        Err(error) => Err(error.into_text()),
    }
}

async fn authenticated(app: &App, headers: &HeaderMap, method: &Method) -> Result<Identity, Error> {
    if let Some(token) = bearer(headers) {
        return Ok(app.auth.user_plane(token).await?);
    }
    let login = login_cookie(headers).ok_or_else(|| Error::unauthorized("missing authorization"))?;
    // A browser sends a cookie along whoever asks it to; only our own pages can read the
    // other one.
    let changes = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE].contains(method);
    let csrf = headers.get("x-csrf-token").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if changes && !cookie::is_csrf_of(login, csrf) {
        return Err(Error::forbidden("CSRF validation failed"));
    }
    Ok(app.auth.user_plane(login).await?)
}

/// The token in a browser's cookie.
pub fn login_cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies.into_iter().find_map(|cookies| cookie::find(cookies, cookie::LOGIN))
}

/// Routes whose workspace comes from a header or the query. Behind [`user_plane`].
pub async fn scoped(app: App, mut request: Request) -> Result<Request, Error> {
    let (user, workspace) = match caller(&request)? {
        Identity::Task { user_id, workspace_id, .. } => (user_id, workspace_id),
        Identity::User { user_id } => {
            (user_id, named_workspace(&app, request.headers(), request.uri()).await?)
        }
        Identity::Daemon { .. } => return Err(Error::unauthorized("invalid token")),
    };
    let scope = enter(&app, &caller(&request)?, request.headers(), user, workspace).await?;
    request.extensions_mut().insert(scope);
    Ok(request)
}

/// `/api/workspaces/{id}/…`. Behind [`user_plane`].
pub async fn workspace_in_path(app: App, mut request: Request) -> Result<Request, Error> {
    let params: RawPathParams =
        request.extract_parts().await.map_err(|_| Error::bad_request("invalid workspace_id"))?;
    let id = params.iter().find(|(name, _)| *name == "id").map(|(_, id)| id.to_owned()).unwrap_or_default();
    let user = match caller(&request)? {
        Identity::Task { user_id, workspace_id, .. } => {
            if parse_uuid(&id) != Some(workspace_id.0) {
                return Err(Error::forbidden("task token is bound to a different workspace"));
            }
            user_id
        }
        Identity::User { user_id } => user_id,
        Identity::Daemon { .. } => return Err(Error::unauthorized("invalid token")),
    };
    let workspace = WorkspaceId::parse(&id).ok_or_else(|| Error::bad_request("invalid workspace_id"))?;
    let scope = enter(&app, &caller(&request)?, request.headers(), user, workspace).await?;
    request.extensions_mut().insert(scope);
    Ok(request)
}

/// The admin API: an operator's token.
pub async fn operator(State(app): State<App>, request: Request, next: Next) -> Result<Response, Error> {
    let header = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = header.and_then(|text| text.strip_prefix("Bearer ")).unwrap_or_default();
    if token.is_empty() {
        return Err(Error::unauthorized("missing authorization: send `Authorization: Bearer <admin_token>`"));
    }
    let known = app.auth.is_admin(token).await;
    if !known.map_err(|error| Error::internal("authentication is unavailable; try again", error))? {
        return Err(Error::unauthorized("invalid admin token"));
    }
    Ok(next.run(request).await)
}

/// The token of the `Authorization` header, if it has one.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    header.and_then(|text| text.strip_prefix("Bearer ")).filter(|token| !token.is_empty())
}

/// What an unmatched path gets.
pub async fn page_not_found() -> Response {
    let text = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    (StatusCode::NOT_FOUND, text, "404 page not found\n").into_response()
}

/// Leaves the caller for the extractors, and its user for the log.
fn note(request: &mut Request, identity: Identity) {
    if let Some(called_by) = request.extensions().get::<CalledBy>() {
        called_by.note(&identity);
    }
    request.extensions_mut().insert(Caller(identity));
}

fn caller(request: &Request) -> Result<Identity, Error> {
    let caller = request.extensions().get::<Caller>();
    caller
        .map(|Caller(identity)| identity.clone())
        .ok_or_else(|| Error::unauthorized("missing authorization"))
}

/// The first of slug in the query, slug header, id in the query, id header.
async fn named_workspace(app: &App, headers: &HeaderMap, uri: &Uri) -> Result<WorkspaceId, Error> {
    if let Some(slug) = query(uri, "workspace_slug").or_else(|| header(headers, "x-workspace-slug")) {
        let found = workspaces::find_id_by_slug(&mut app.db.reader().await?, &slug.replace('\0', "")).await?;
        return found.ok_or_else(|| Error::not_found("workspace not found"));
    }
    let id = query(uri, "workspace_id").or_else(|| header(headers, "x-workspace-id"));
    let id = id.ok_or_else(|| Error::bad_request("workspace_id or workspace_slug is required"))?;
    WorkspaceId::parse(&id).ok_or_else(|| Error::bad_request("invalid workspace_id"))
}

/// The workspace of a route that works without one too: that of the token, else the first
/// that is named and exists of slug header, slug in the query, id header, id in the query.
pub async fn optional_workspace(
    app: &App,
    caller: &Identity,
    headers: &HeaderMap,
    uri: &Uri,
) -> Result<Option<Scope>, Error> {
    let refused = || Error::forbidden("not a member of this workspace");
    let (user, workspace) = match *caller {
        Identity::Task { user_id, workspace_id, .. } => (user_id, workspace_id),
        Identity::Daemon { .. } => return Err(Error::unauthorized("invalid token")),
        Identity::User { user_id } => {
            let mut found = None;
            for slug in
                [header(headers, "x-workspace-slug"), query(uri, "workspace_slug")].into_iter().flatten()
            {
                let mut conn = app.db.reader().await?;
                found = found.or(workspaces::find_id_by_slug(&mut conn, &slug.replace('\0', "")).await?);
            }
            let id = || header(headers, "x-workspace-id").or_else(|| query(uri, "workspace_id"));
            match (found, id()) {
                (Some(found), _) => (user_id, found),
                (None, Some(id)) => (user_id, WorkspaceId::parse(&id).ok_or_else(refused)?),
                (None, None) => return Ok(None),
            }
        }
    };
    let scope = enter(app, caller, headers, user, workspace).await;
    scope.map(Some).map_err(|error| if error.status == StatusCode::NOT_FOUND { refused() } else { error })
}

/// A parameter of the query that says something.
fn query(uri: &Uri, name: &str) -> Option<String> {
    let pairs = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let found = pairs.into_iter().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    found.filter(|value| !value.is_empty())
}

/// A header that says something.
fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    value.filter(|value| !value.is_empty())
}

/// Checks the membership and settles who acts.
async fn enter(
    app: &App,
    caller: &Identity,
    headers: &HeaderMap,
    user_id: UserId,
    workspace_id: WorkspaceId,
) -> Result<Scope, Error> {
    let role = app.auth.role(user_id, workspace_id).await?;
    let role = role.ok_or_else(|| Error::not_found("workspace not found"))?;
    let actor = match *caller {
        Identity::Task { agent_id, task_id, .. } => Actor::Agent { id: agent_id, task_id },
        _ => claimed_agent(app, headers, workspace_id).await?.unwrap_or(Actor::Member(user_id)),
    };
    Ok(Scope { workspace_id, user_id, role, actor })
}

/// The agent that a person's tool says it acts for: both headers, an agent of this
/// workspace, and a task of that agent. Anything less means the person.
async fn claimed_agent(
    app: &App,
    headers: &HeaderMap,
    workspace_id: WorkspaceId,
) -> Result<Option<Actor>, Error> {
    let id = |name: &str| headers.get(name).and_then(|value| parse_uuid(value.to_str().ok()?));
    let (Some(agent), Some(task)) = (id("x-agent-id"), id("x-task-id")) else {
        return Ok(None);
    };
    let (agent_id, task_id) = (AgentId(agent), TaskId(task));
    let mut conn = app.db.reader().await?;
    let Some(agent) = agents::find(&mut conn, agent_id).await? else { return Ok(None) };
    let Some(task) = tasks::find(&mut conn, task_id).await? else { return Ok(None) };
    let holds = agent.workspace_id == workspace_id && task.agent_id == agent_id;
    Ok(holds.then_some(Actor::Agent { id: agent_id, task_id }))
}
