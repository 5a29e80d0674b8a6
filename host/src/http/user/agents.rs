//! `/api/agents`: listing, reading and creating. What belongs to an agent but is a subject
//! of its own has a file of its own and is put under the same prefix here.

use std::collections::BTreeMap;

use axum::Json;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::agent_answer::{Details, Reader, for_writer};
use super::{agent_activity, agent_archive, agent_env, agent_skills, agent_update, mount_scoped};
use crate::app::App;
use crate::dispatch::refresh;
use crate::http::agent_path::VisibleAgent;
use crate::http::body::StrictBody;
use crate::http::error::{Error, ErrorBody};
use crate::http::extract::Scope;
use crate::http::query::Query;
use crate::model::agent::{Agent, Toolkits};
use crate::model::agent_access::{Access, AccessError, TargetBody};
use crate::model::agent_body::{AgentBody, unmasked};
use crate::model::ids::{AgentId, RuntimeId, UserId};
use crate::model::provider::accepts_thinking_level;
use crate::model::runtime::Runtime;
use crate::model::time::Time;
use crate::store::{Conn, StoreError, agent_targets, agents, runtimes};

/// How many tasks an agent runs at once unless somebody says otherwise.
const DEFAULT_CONCURRENT_TASKS: i32 = 6;
/// The most characters of a description.
const DESCRIPTION_CHARS: usize = 255;
/// The most characters of a name, which every database can index.
const NAME_CHARS: usize = 255;

pub fn routes() -> OpenApiRouter<App> {
    let routes = OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, agent_update::update))
        .merge(agent_activity::on_agents())
        .merge(agent_archive::on_agents())
        .merge(agent_env::on_agents())
        .merge(agent_skills::on_agents());
    mount_scoped("/api/agents", routes)
}

#[derive(Deserialize)]
struct Filter {
    include_archived: Option<String>,
}

/// The agents that the caller may see, oldest first.
#[utoipa::path(get, path = "/", tag = "agents",
    params(("include_archived" = Option<String>, Query, description = "`true` to list archived ones too")),
    responses((status = 200, body = Vec<AgentBody>)))]
async fn list(app: App, scope: Scope, Query(filter): Query<Filter>) -> Result<Json<Vec<AgentBody>>, Error> {
    let failed = |error| Error::internal("failed to list agents", error);
    let mut conn = app.db.reader().await.map_err(failed)?;
    let archived_too = filter.include_archived.as_deref() == Some("true");
    let found = Details::list(&mut conn, &scope, archived_too).await.map_err(failed)?;
    let reader = Reader::of(&app, &mut conn, scope).await.map_err(failed)?;
    let visible = found.into_iter().filter(|details| details.is_visible(&scope));
    let bodies = visible.map(|details| {
        let shown = reader.shown(&details.agent);
        details.body(shown)
    });
    Ok(Json(bodies.collect()))
}

/// One agent.
#[utoipa::path(get, path = "/{id}", tag = "agents",
    params(("id" = String, Path, description = "The agent's id")),
    responses((status = 200, body = AgentBody), (status = 403, body = ErrorBody, description = "Not shared with the caller"),
        (status = 404, body = ErrorBody, description = "No such agent in the workspace")))]
async fn get(app: App, scope: Scope, VisibleAgent(agent): VisibleAgent) -> Result<Json<AgentBody>, Error> {
    let failed = |error| Error::internal("failed to load agent", error);
    let mut conn = app.db.reader().await.map_err(failed)?;
    let shown = Reader::of(&app, &mut conn, scope).await.map_err(failed)?.shown(&agent);
    let details = Details::find(&mut conn, agent).await.map_err(failed)?;
    Ok(Json(details.body(shown)))
}

/// What a new agent is made of.
#[derive(Deserialize, ToSchema)]
struct CreateAgent {
    /// Unique in the workspace, archived agents included.
    name: Option<String>,
    description: Option<String>,
    instructions: Option<String>,
    avatar_url: Option<String>,
    /// Where it runs.
    runtime_id: Option<String>,
    runtime_config: Option<Value>,
    /// Secret. Shown and changed only through `/api/agents/{id}/env` from then on.
    custom_env: Option<BTreeMap<String, String>>,
    custom_args: Option<Vec<String>>,
    /// Secret: `{"mcpServers": {…}}`.
    mcp_config: Option<Value>,
    /// The older way to say with whom the agent is shared: `workspace` or `private`.
    visibility: Option<String>,
    /// `private` or `public_to`; beats `visibility`.
    permission_mode: Option<String>,
    invocation_targets: Option<Vec<TargetBody>>,
    /// 6 when absent or 0.
    max_concurrent_tasks: Option<i64>,
    model: Option<String>,
    thinking_level: Option<String>,
    composio_toolkit_allowlist: Option<Vec<String>>,
}

/// Creates an agent that belongs to the caller.
#[utoipa::path(post, path = "/", tag = "agents", request_body = CreateAgent,
    responses((status = 201, body = AgentBody), (status = 400, body = ErrorBody, description = "A value is missing or wrong"),
        (status = 403, body = ErrorBody, description = "The runtime is private"), (status = 409, body = ErrorBody, description = "The name is taken")))]
async fn create(
    app: App,
    scope: Scope,
    StrictBody(sent): StrictBody<CreateAgent>,
) -> Result<(StatusCode, Json<AgentBody>), Error> {
    let name = sent.name.clone().unwrap_or_default();
    if name.is_empty() {
        return Err(Error::bad_request("name is required"));
    }
    let (runtime_id, access) = sent.check(&scope)?;
    let failed = |error: StoreError| Error::internal(format!("failed to create agent: {error}"), error);
    let runtime =
        runtimes::find(&mut app.db.reader().await.map_err(failed)?, runtime_id).await.map_err(failed)?;
    let runtime =
        runtime.filter(|runtime| runtime.workspace_id == scope.workspace_id).ok_or_else(no_runtime)?;
    may_bind(&runtime, &scope, "create agents on it")?;
    let level = sent.thinking_level.clone().unwrap_or_default();
    check_thinking_level(&runtime.provider, &level)?;

    let now = app.clock.now();
    let agent = sent.into_agent(&app, &scope, &runtime, &access, now);
    let id = agent.id;
    let inserted = app.db.write(move |c| Box::pin(insert(c, agent, access, scope.user_id, now))).await;
    inserted.map_err(|error: StoreError| match error {
        StoreError::Conflict { .. } => name_is_taken(&name),
        StoreError::Reference { .. } => no_runtime(),
        error => failed(error),
    })?;
    if runtime.status == "online" {
        refresh::agent_status(&app, id).await;
    }
    let mut conn = app.db.reader().await.map_err(failed)?;
    let agent = agents::find(&mut conn, id).await.map_err(failed)?;
    let agent = agent.ok_or_else(|| Error::not_found("agent not found"))?;
    let shown = for_writer(&app, &scope, &agent);
    let details = Details::find(&mut conn, agent).await.map_err(failed)?;
    drop(conn);
    details.publish(&app, &scope, "agent:created");
    Ok((StatusCode::CREATED, Json(details.body(shown))))
}

async fn insert(
    conn: &mut Conn,
    agent: Agent,
    access: Access,
    created_by: UserId,
    now: Time,
) -> Result<(), StoreError> {
    agents::insert(conn, &agent).await?;
    for target in access.targets {
        agent_targets::insert(conn, agent.id, target, created_by, now).await?;
    }
    Ok(())
}

impl CreateAgent {
    /// What can be said without looking anything up.
    fn check(&self, scope: &Scope) -> Result<(RuntimeId, Access), Error> {
        check_name(self.name.as_deref().unwrap_or_default())?;
        check_description(self.description.as_deref().unwrap_or_default())?;
        if let Some(number) = self.max_concurrent_tasks {
            check_concurrency(number)?;
        }
        let runtime = self.runtime_id.as_deref().unwrap_or_default();
        if runtime.is_empty() {
            return Err(Error::bad_request("runtime_id is required"));
        }
        let runtime = RuntimeId::parse(runtime).ok_or_else(no_runtime)?;
        let workspace = scope.workspace_id;
        let access = match self.permission_mode.as_deref() {
            Some(mode) => Access::of_mode(mode, self.invocation_targets.as_deref(), workspace),
            None => Access::of_visibility(self.visibility.as_deref().unwrap_or_default(), workspace),
        };
        Ok((runtime, access?))
    }

    fn into_agent(self, app: &App, scope: &Scope, runtime: &Runtime, access: &Access, now: Time) -> Agent {
        let asked = self.max_concurrent_tasks.and_then(|number| i32::try_from(number).ok());
        let toolkits = self.composio_toolkit_allowlist.filter(|_| app.flags.composio_mcp_apps);
        Agent {
            id: AgentId::new(),
            workspace_id: scope.workspace_id,
            name: self.name.unwrap_or_default(),
            description: self.description.unwrap_or_default(),
            instructions: self.instructions.unwrap_or_default(),
            avatar_url: self.avatar_url,
            runtime_mode: runtime.runtime_mode.clone(),
            runtime_config: unmasked(self.runtime_config.unwrap_or_else(|| json!({})), &Value::Null),
            runtime_id: runtime.id,
            visibility: access.visibility().to_owned(),
            permission_mode: access.mode.to_owned(),
            status: "offline".to_owned(),
            max_concurrent_tasks: asked.filter(|number| *number != 0).unwrap_or(DEFAULT_CONCURRENT_TASKS),
            owner_id: Some(scope.user_id),
            custom_env: json!(self.custom_env.unwrap_or_default()),
            custom_args: json!(self.custom_args.unwrap_or_default()),
            mcp_config: self.mcp_config,
            model: self.model.filter(|model| !model.is_empty()),
            thinking_level: self.thinking_level.filter(|level| !level.is_empty()),
            composio_toolkit_allowlist: toolkits.map(Toolkits::normalised),
            archived_at: None,
            archived_by: None,
            created_at: now,
            updated_at: now,
        }
    }
}

impl From<AccessError> for Error {
    fn from(error: AccessError) -> Self {
        Self::bad_request(error.to_string())
    }
}

pub(super) fn no_runtime() -> Error {
    Error::bad_request("invalid runtime_id")
}

pub(super) fn name_is_taken(name: &str) -> Error {
    Error::conflict(format!("an agent named {name:?} already exists in this workspace"))
}

pub(super) fn check_name(name: &str) -> Result<(), Error> {
    if name.chars().count() > NAME_CHARS {
        return Err(Error::bad_request(format!("name must be {NAME_CHARS} characters or fewer")));
    }
    Ok(())
}

pub(super) fn check_description(description: &str) -> Result<(), Error> {
    if description.chars().count() > DESCRIPTION_CHARS {
        return Err(Error::bad_request(format!(
            "description must be {DESCRIPTION_CHARS} characters or fewer"
        )));
    }
    Ok(())
}

/// The number as it is kept. Zero is a number like others: the agent rests.
pub(super) fn check_concurrency(number: i64) -> Result<i32, Error> {
    i32::try_from(number).ok().filter(|number| *number >= 0).ok_or_else(|| {
        Error::bad_request(format!("max_concurrent_tasks must be between 0 and {}, not {number}", i32::MAX))
    })
}

/// 403 unless the caller may put agents on the runtime; `what` says what was tried.
pub(super) fn may_bind(runtime: &Runtime, scope: &Scope, what: &str) -> Result<(), Error> {
    let allowed =
        runtime.visibility == "public" || scope.role.is_admin() || runtime.owner_id == Some(scope.user_id);
    if allowed {
        return Ok(());
    }
    Err(Error::forbidden(format!("this runtime is private; only its owner or a workspace admin can {what}")))
}

pub(super) fn check_thinking_level(provider: &str, level: &str) -> Result<(), Error> {
    if accepts_thinking_level(provider, level) {
        return Ok(());
    }
    Err(Error::bad_request(format!(
        "thinking_level {level:?} is not a recognised value for runtime {provider:?}"
    )))
}
