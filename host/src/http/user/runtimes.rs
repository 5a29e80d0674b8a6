//! `/api/runtimes`: the agent CLIs that daemons registered. Requests to a runtime's daemon
//! have a file of their own and are put under the same prefix here.

use std::collections::BTreeSet;

use axum::Json;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{mount_scoped, runtime_requests, runtime_usage};
use crate::app::App;
use crate::dispatch::runtime_removal::{self, Refusal, Removal, Stopped};
use crate::http::body::Body;
use crate::http::error::{Error, ErrorBody};
use crate::http::extract::{RuntimeInPath, Scope};
use crate::http::query::Query;
use crate::model::ids::{AgentId, RuntimeId};
use crate::model::runtime::RuntimeBody;
use crate::store::runtimes;

/// What whoever may not delete a runtime is told.
const NOT_YOURS: &str = "you can only delete your own runtimes";

pub fn routes() -> OpenApiRouter<App> {
    let routes = OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(update, delete))
        .routes(routes!(delete_with_agents))
        .merge(runtime_usage::on_runtimes())
        .merge(runtime_requests::on_runtimes());
    mount_scoped("/api/runtimes", routes)
}

#[derive(Deserialize)]
struct Filter {
    owner: Option<String>,
}

/// The workspace's runtimes, oldest first.
#[utoipa::path(get, path = "/", params(("owner" = Option<String>, Query, description = "`me`: only the caller's")),
    responses(
    (status = 200, body = [RuntimeBody]),
    (status = 400, body = ErrorBody),
    (status = 401, body = ErrorBody),
    (status = 404, body = ErrorBody),
))]
async fn list(app: App, scope: Scope, Query(filter): Query<Filter>) -> Result<Json<Vec<RuntimeBody>>, Error> {
    let owner = (filter.owner.as_deref() == Some("me")).then_some(scope.user_id);
    let failed = |error| Error::internal("failed to list runtimes", error);
    let found = runtimes::list(&mut app.db.reader().await.map_err(failed)?, scope.workspace_id, owner).await;
    Ok(Json(found.map_err(failed)?.into_iter().map(RuntimeBody::from).collect()))
}

#[derive(Deserialize, ToSchema)]
struct RuntimeChange {
    /// `private` or `public`: who may bind agents to it.
    visibility: Option<String>,
}

/// Says who may bind agents to a runtime.
#[utoipa::path(patch, path = "/{runtimeId}", params(("runtimeId" = RuntimeId, Path)),
    request_body = RuntimeChange, responses(
    (status = 200, body = RuntimeBody),
    (status = 400, body = ErrorBody),
    (status = 401, body = ErrorBody),
    (status = 403, body = ErrorBody),
    (status = 404, body = ErrorBody),
))]
async fn update(
    app: App,
    access: RuntimeInPath,
    sent: Result<Body<RuntimeChange>, Error>,
) -> Result<Json<RuntimeBody>, Error> {
    access.require_control("you can only edit your own runtimes")?;
    let Body(sent) = sent.map_err(invalid_json)?;
    let Some(visibility) = sent.visibility else { return Ok(Json(access.runtime.into())) };
    if visibility != "private" && visibility != "public" {
        return Err(Error::bad_request("visibility must be 'private' or 'public'"));
    }
    let (id, now) = (access.runtime.id, app.clock.now());
    let changed = app
        .db
        .write(move |c| Box::pin(async move { runtimes::set_visibility(c, id, &visibility, now).await }));
    let changed = changed.await.map_err(|error| Error::internal("failed to update runtime", error))?;
    let Some(runtime) = changed else { return Ok(Json(access.runtime.into())) };
    app.events.by(access.actor, runtime.workspace_id, "daemon:register", || json!({"action": "update"}));
    Ok(Json(runtime.into()))
}

/// This route has words of its own for a body that cannot be read.
fn invalid_json(mut error: Error) -> Error {
    if error.message == "invalid request body" {
        "invalid JSON body".clone_into(&mut error.message);
    }
    error
}

#[derive(Serialize, ToSchema)]
struct Deleted {
    /// `ok`
    status: &'static str,
}

/// Deletes a runtime that no agent at work is bound to.
#[utoipa::path(delete, path = "/{runtimeId}", tag = "runtimes", params(("runtimeId" = RuntimeId, Path)), responses(
    (status = 200, body = Deleted),
    (status = 400, body = ErrorBody),
    (status = 401, body = ErrorBody),
    (status = 403, body = ErrorBody),
    (status = 404, body = ErrorBody),
    (status = 409, body = ErrorBody, description = "with `code`, and `active_agents` where agents are in the way"),
))]
async fn delete(app: App, access: RuntimeInPath) -> Result<Json<Deleted>, Error> {
    access.require_control(NOT_YOURS)?;
    runtime_removal::remove(&app, access.actor, &access.runtime).await.map_err(refused)?;
    Ok(Json(Deleted { status: "ok" }))
}

#[derive(Deserialize, ToSchema)]
struct Plan {
    /// The agents at work that the caller saw.
    expected_active_agent_ids: Option<Value>,
}

#[derive(Serialize, ToSchema)]
struct DeletedWithAgents {
    agents_archived: usize,
    /// `ok`
    status: &'static str,
    tasks_cancelled: usize,
}

/// Archives a runtime's agents, stops their tasks and deletes the runtime.
#[utoipa::path(post, path = "/{runtimeId}/archive-agents-and-delete", tag = "runtimes",
    params(("runtimeId" = RuntimeId, Path)), request_body = Plan, responses(
    (status = 200, body = DeletedWithAgents),
    (status = 400, body = ErrorBody),
    (status = 401, body = ErrorBody),
    (status = 403, body = ErrorBody),
    (status = 404, body = ErrorBody),
    (status = 409, body = ErrorBody, description = "with `code`, and `active_agents` when they are others by now"),
))]
async fn delete_with_agents(
    app: App,
    access: RuntimeInPath,
    sent: Result<Body<Plan>, Error>,
) -> Result<Json<DeletedWithAgents>, Error> {
    let Body(sent) = sent?;
    let expected = expected(sent.expected_active_agent_ids)?;
    access.require_control(NOT_YOURS)?;
    let RuntimeInPath { runtime, user_id, actor, .. } = access;
    let removed = runtime_removal::remove_with_agents(&app, actor, user_id, &runtime, expected).await;
    let Removal { agents_archived, tasks_cancelled } = removed.map_err(refused)?;
    Ok(Json(DeletedWithAgents { agents_archived, status: "ok", tasks_cancelled }))
}

fn expected(sent: Option<Value>) -> Result<BTreeSet<AgentId>, Error> {
    let invalid = || Error::bad_request("invalid request body");
    let ids = match sent {
        None => Vec::new(),
        Some(Value::Array(ids)) => ids,
        Some(_) => return Err(invalid()),
    };
    let read = |id: Value| match id {
        Value::String(id) => AgentId::parse(&id)
            .ok_or_else(|| Error::bad_request("expected_active_agent_ids must be a list of valid UUIDs")),
        _ => Err(invalid()),
    };
    ids.into_iter().map(read).collect()
}

fn refused(stopped: Stopped) -> Error {
    let refusal = match stopped {
        Stopped::Store(error) => return Error::internal("failed to delete runtime", error),
        Stopped::Refused(refusal) => refusal,
    };
    match refusal {
        Refusal::Gone => Error::not_found("runtime not found"),
        Refusal::OfProfile => Error::conflict(
            "cannot delete a custom runtime instance directly; delete its runtime profile instead.",
        )
        .with("code", "runtime_profile_instance_delete_unsupported"),
        Refusal::ActiveAgents(agents) => Error::conflict(
            "cannot delete runtime: it has active agents bound to it. Archive or reassign the agents first.",
        )
        .with("code", "runtime_has_active_agents")
        .with("active_agents", agents),
        Refusal::PlanChanged(agents) => {
            Error::conflict("the active agent set changed; please review and confirm again.")
                .with("code", "runtime_delete_plan_changed")
                .with("active_agents", agents)
        }
        Refusal::LeadsActiveSquad => Error::conflict(
            "cannot delete runtime: it has active squads led by archived agents. Archive those squads or assign \
             them a new leader first.",
        ),
    }
}
