//! What a handler asks for in its signature: the caller, the workspace it acts in, and the
//! runtime or task a path names, with "malformed, absent, not yours" settled before the
//! first line.

use axum::RequestPartsExt;
use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::StatusCode;
use axum::http::request::Parts;

use super::error::Error;
use crate::app::App;
use crate::auth::Identity;
use crate::dispatch::places::Place;
use crate::model::actor::Actor;
use crate::model::ids::{RuntimeId, TaskId, UserId, WorkspaceId};
use crate::model::runtime::Runtime;
use crate::model::task::Task;
use crate::model::workspace::Role;
use crate::store::{Db, StoreError, runtimes, tasks};

/// Who calls; put there by a guard.
#[derive(Clone, Debug)]
pub struct Caller(pub Identity);

/// The workspace a request works in, and as whom.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    pub workspace_id: WorkspaceId,
    /// The authenticated user; for an agent, the owner of its runtime.
    pub user_id: UserId,
    pub role: Role,
    pub actor: Actor,
}

impl Scope {
    /// 403 unless the user is an owner or admin.
    pub fn require_admin(&self) -> Result<(), Error> {
        if self.role.is_admin() { Ok(()) } else { Err(Error::forbidden("insufficient permissions")) }
    }
}

/// A [`Scope`] whose user is an owner or admin of the workspace.
#[derive(Clone, Copy, Debug)]
pub struct AdminScope(pub Scope);

/// The runtime in the path, which the caller may use.
#[derive(Clone, Debug)]
pub struct RuntimeAccess(pub Runtime);

/// The task in the path, which the caller may use, and the workspace it belongs to.
#[derive(Clone, Debug)]
pub struct TaskAccess {
    pub task: Task,
    pub workspace_id: WorkspaceId,
}

/// Where the task in the path belongs, which the caller may use. The task may have gone meanwhile.
#[derive(Clone, Copy, Debug)]
pub struct PlaceAccess(pub Place);

impl FromRequestParts<App> for App {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(_: &mut Parts, app: &App) -> Result<Self, Self::Rejection> {
        Ok(app.clone())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| Error::unauthorized("missing authorization"))
    }
}

impl Caller {
    /// The person behind the call; a daemon's token has none.
    pub fn user_id(&self) -> Option<UserId> {
        match self.0 {
            Identity::User { user_id } | Identity::Task { user_id, .. } => Some(user_id),
            Identity::Daemon { .. } => None,
        }
    }

    /// The person behind the call, on routes that need one.
    pub fn require_user(&self) -> Result<UserId, Error> {
        self.user_id().ok_or_else(|| Error::unauthorized("user not authenticated"))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Scope {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let scope = parts.extensions.get::<Self>().copied();
        scope.ok_or_else(|| Error::bad_request("workspace_id or workspace_slug is required"))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for AdminScope {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let scope = Scope::from_request_parts(parts, state).await?;
        scope.require_admin()?;
        Ok(Self(scope))
    }
}

impl FromRequestParts<App> for RuntimeAccess {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
        let caller = Caller::from_request_parts(parts, app).await?;
        let id = RuntimeId::parse(&path_segment(parts, "runtimeId").await)
            .ok_or_else(|| Error::bad_request("invalid runtime_id"))?;
        runtime(app, &caller, id).await.map(Self)
    }
}

/// The runtime with this id, if the caller may use it. "Absent" is said only when the row
/// does not exist: a daemon forgets a runtime that it is told of in that way.
pub async fn runtime(app: &App, caller: &Caller, id: RuntimeId) -> Result<Runtime, Error> {
    let failed = unloaded("failed to load runtime");
    let runtime = app.db.look(|c| Box::pin(runtimes::find(c, id))).await.map_err(failed)?;
    let runtime = runtime.ok_or_else(|| Error::not_found("runtime not found"))?;
    if may_use(app, caller, runtime.workspace_id).await.map_err(failed)? {
        Ok(runtime)
    } else {
        Err(Error::not_found("not found"))
    }
}

impl FromRequestParts<App> for TaskAccess {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
        let caller = Caller::from_request_parts(parts, app).await?;
        let id = path_segment(parts, "taskId").await;
        task(app, &caller, &id).await
    }
}

/// The task with this id, if the caller may use it; see [`runtime`] for what "absent" does.
pub async fn task(app: &App, caller: &Caller, id: &str) -> Result<TaskAccess, Error> {
    let id = TaskId::parse(id).ok_or_else(|| Error::bad_request("invalid task_id"))?;
    let failed = unloaded("failed to load task");
    let found = find_task(&app.db, id).await.map_err(failed)?;
    let Some((task, Some(workspace_id))) = found else {
        return Err(Error::not_found("task not found"));
    };
    let allowed = may_use(app, caller, workspace_id).await;
    if allowed.map_err(failed)? {
        Ok(TaskAccess { task, workspace_id })
    } else {
        Err(Error::not_found("not found"))
    }
}

impl FromRequestParts<App> for PlaceAccess {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
        let caller = Caller::from_request_parts(parts, app).await?;
        let id = path_segment(parts, "taskId").await;
        place(app, &caller, &id).await.map(Self)
    }
}

/// As [`task`], for those who only need to know where it belongs. Whoever writes for the task, and
/// finds that there is none, asks [`unless_gone`] what to say.
pub async fn place(app: &App, caller: &Caller, id: &str) -> Result<Place, Error> {
    let known = TaskId::parse(id).and_then(|id| app.places.find(id));
    let Some(place) = known else {
        let TaskAccess { task, workspace_id } = task(app, caller, id).await?;
        app.places.learn(&task, workspace_id);
        return Ok(Place::of(&task, workspace_id));
    };
    let allowed = may_use(app, caller, place.workspace_id).await;
    if allowed.map_err(unloaded("failed to load task"))? {
        Ok(place)
    } else {
        Err(Error::not_found("not found"))
    }
}

/// What is said of a task that is gone, or else `error`.
pub async fn unless_gone(app: &App, caller: &Caller, id: TaskId, error: Error) -> Error {
    match task(app, caller, &id.to_string()).await {
        Ok(_) => error,
        Err(gone) => {
            app.places.forget(id);
            gone
        }
    }
}

/// Daemons are told the same whatever the database's trouble is.
fn unloaded(message: &'static str) -> impl Fn(StoreError) -> Error + Copy {
    move |error| {
        let mut error = Error::internal(message, error);
        error.status = StatusCode::INTERNAL_SERVER_ERROR;
        error
    }
}

async fn find_task(db: &Db, id: TaskId) -> Result<Option<(Task, Option<WorkspaceId>)>, StoreError> {
    db.look(|c| Box::pin(tasks::find_placed(c, id))).await
}

/// A daemon's token opens its one workspace; a person's opens those it is a member of.
pub async fn may_use(app: &App, caller: &Caller, workspace: WorkspaceId) -> Result<bool, StoreError> {
    match &caller.0 {
        Identity::Daemon { workspace_id, .. } | Identity::Task { workspace_id, .. } => {
            Ok(*workspace_id == workspace)
        }
        Identity::User { user_id } => app.auth.is_member(*user_id, workspace).await,
    }
}

/// The runtime in the path of a route for people, and what the caller is in the workspace
/// that the runtime belongs to. That need not be the workspace the request names, but for
/// an agent at work.
#[derive(Clone, Debug)]
pub struct RuntimeInPath {
    pub runtime: Runtime,
    pub user_id: UserId,
    pub role: Role,
    pub actor: Actor,
}

impl RuntimeInPath {
    /// 403 unless the user owns the runtime, or is an owner or admin of its workspace.
    pub fn require_control(&self, refusal: &str) -> Result<(), Error> {
        if self.role.is_admin() || self.runtime.owner_id == Some(self.user_id) {
            Ok(())
        } else {
            Err(Error::forbidden(refusal))
        }
    }
}

impl FromRequestParts<App> for RuntimeInPath {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
        let caller = Caller::from_request_parts(parts, app).await?;
        let scope = Scope::from_request_parts(parts, app).await?;
        let id = RuntimeId::parse(&path_segment(parts, "runtimeId").await)
            .ok_or_else(|| Error::bad_request("invalid runtime_id"))?;
        let failed = |error: StoreError| Error::internal("failed to load runtime", error);
        let runtime =
            runtimes::find(&mut app.db.reader().await.map_err(failed)?, id).await.map_err(failed)?;
        let absent = || Error::not_found("runtime not found");
        let runtime = runtime.ok_or_else(absent)?;
        let user_id = scope.user_id;
        if runtime.workspace_id == scope.workspace_id {
            return Ok(Self { runtime, user_id, role: scope.role, actor: scope.actor });
        }
        if matches!(caller.0, Identity::Task { .. }) {
            return Err(absent());
        }
        let role = app.auth.role(user_id, runtime.workspace_id).await.map_err(failed)?.ok_or_else(absent)?;
        Ok(Self { runtime, user_id, role, actor: Actor::Member(user_id) })
    }
}

/// The text of a path parameter; empty when the route has none of that name.
pub async fn path_segment(parts: &mut Parts, name: &str) -> String {
    let params = parts.extract::<RawPathParams>().await;
    let found = params
        .ok()
        .and_then(|params| params.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_owned()));
    found.unwrap_or_default()
}
