//! `PUT /api/agents/{id}`: what an edit may change, and by whom.

use axum::Json;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::agent_answer::{Details, for_writer};
use super::agents::{
    check_concurrency, check_description, check_name, check_thinking_level, may_bind, name_is_taken,
    no_runtime,
};
use crate::app::App;
use crate::dispatch::lifecycle;
use crate::http::agent_path::ManagedAgent;
use crate::http::body::{Sent, StrictBody};
use crate::http::error::{Error, ErrorBody};
use crate::http::extract::Scope;
use crate::model::agent::{Agent, InvocationTarget, Toolkits};
use crate::model::agent_access::{Access, TargetBody, visibility_of};
use crate::model::agent_body::{AgentBody, unmasked};
use crate::model::ids::{AgentId, RuntimeId};
use crate::model::provider::{accepts_thinking_level, rejects_model};
use crate::model::runtime::Runtime;
use crate::model::time::Time;
use crate::store::{Conn, StoreError, agent_targets, agents, runtimes, task_transitions};

const STATUSES: [&str; 5] = ["idle", "working", "blocked", "error", "offline"];

/// What an edit may hold. What is absent or null stays as it is, unless said otherwise.
#[derive(Deserialize, ToSchema)]
pub(super) struct UpdateAgent {
    /// Refused, whatever it holds: it has a route of its own.
    #[serde(default)]
    #[schema(value_type = Option<Value>)]
    custom_env: Sent<Value>,
    name: Option<String>,
    description: Option<String>,
    instructions: Option<String>,
    avatar_url: Option<String>,
    /// Replaces what is there; a gateway token of `***` keeps the one there is.
    runtime_config: Option<Value>,
    custom_args: Option<Vec<String>>,
    /// Null takes it away.
    #[serde(default)]
    #[schema(value_type = Option<Value>)]
    mcp_config: Sent<Value>,
    runtime_id: Option<String>,
    visibility: Option<String>,
    /// Null is `private`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    permission_mode: Sent<String>,
    invocation_targets: Option<Vec<TargetBody>>,
    /// `idle`, `working`, `blocked`, `error` or `offline`.
    status: Option<String>,
    max_concurrent_tasks: Option<i64>,
    model: Option<String>,
    /// Empty for none.
    thinking_level: Option<String>,
    /// Only the owner's word counts. Null takes it away.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>)]
    composio_toolkit_allowlist: Sent<Vec<String>>,
}

/// Changes an agent. A task that runs is not affected; the next claim has the new values.
#[utoipa::path(put, path = "/{id}", tag = "agents", request_body = UpdateAgent,
    params(("id" = String, Path, description = "The agent's id")),
    responses((status = 200, body = AgentBody), (status = 400, body = ErrorBody, description = "A value is wrong"),
        (status = 403, body = ErrorBody, description = "Not the caller's to change"),
        (status = 404, body = ErrorBody, description = "No such agent in the workspace"),
        (status = 409, body = ErrorBody, description = "The name is taken")))]
pub(super) async fn update(
    app: App,
    scope: Scope,
    ManagedAgent(agent): ManagedAgent,
    StrictBody(sent): StrictBody<UpdateAgent>,
) -> Result<Json<AgentBody>, Error> {
    sent.check()?;
    let name = sent.name.clone().unwrap_or_default();
    let (now, toolkits_enabled) = (app.clock.now(), app.flags.composio_mcp_apps);
    let edit = Edit { scope, toolkits_enabled, now };
    let written = app.db.write(move |c| Box::pin(edit.write(c, agent.id, sent))).await;
    let (details, wake) = written.map_err(|failure| match failure {
        Failure::Refused(error) => error,
        Failure::Store(StoreError::Conflict { .. }) => name_is_taken(&name),
        Failure::Store(StoreError::Reference { .. }) => no_runtime(),
        Failure::Store(error) => Error::internal(format!("failed to update agent: {error}"), error),
    })?;
    lifecycle::wake(&app, &wake);
    details.publish(&app, &scope, "agent:status");
    let shown = for_writer(&app, &scope, &details.agent);
    Ok(Json(details.body(shown)))
}

/// Why nothing was written.
enum Failure {
    Refused(Error),
    Store(StoreError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl UpdateAgent {
    /// What can be said without looking anything up.
    fn check(&self) -> Result<(), Error> {
        if !self.custom_env.is_absent() {
            return Err(Error::bad_request(
                "custom_env is no longer accepted on this endpoint; use PUT /api/agents/{id}/env \
                 (or `multica agent env set`)",
            ));
        }
        check_name(self.name.as_deref().unwrap_or_default())?;
        check_description(self.description.as_deref().unwrap_or_default())?;
        if let Some(number) = self.max_concurrent_tasks {
            check_concurrency(number)?;
        }
        match self.status.as_deref() {
            Some(status) if !STATUSES.contains(&status) => Err(Error::bad_request(format!(
                "invalid status {status:?}; valid values: {}",
                STATUSES.join(", ")
            ))),
            _ => Ok(()),
        }
    }
}

/// An edit by somebody, at some time.
struct Edit {
    scope: Scope,
    toolkits_enabled: bool,
    now: Time,
}

impl Edit {
    /// Gives the agent as it is now, and the runtimes with work that it may now take.
    async fn write(
        self,
        conn: &mut Conn,
        id: AgentId,
        sent: UpdateAgent,
    ) -> Result<(Details, Vec<RuntimeId>), Failure> {
        let agent =
            agents::find_locked(conn, id).await?.ok_or_else(|| Error::not_found("agent not found"))?;
        let targets = agent_targets::list(conn, id).await?;
        let moved_to = self.new_runtime(conn, sent.runtime_id.as_deref()).await?;
        let access = self.access(&sent, &agent, &targets)?;
        let provider = match &moved_to {
            Some(runtime) => runtime.provider.clone(),
            None => {
                runtimes::find(conn, agent.runtime_id).await?.map(|found| found.provider).unwrap_or_default()
            }
        };
        let before = agent.max_concurrent_tasks;
        let agent = self.apply(agent, sent, moved_to.as_ref(), &provider, access.as_ref())?;
        agents::update(conn, &agent).await?;
        if let Some(access) = access {
            agent_targets::delete_all(conn, id).await?;
            for target in access.targets {
                agent_targets::insert(conn, id, target, self.scope.user_id, self.now).await?;
            }
        }
        let wake = if agent.max_concurrent_tasks > before {
            task_transitions::list_waiting_runtimes(conn, id, agent.runtime_id).await?
        } else {
            Vec::new()
        };
        Ok((Details::find(conn, agent).await?, wake))
    }

    async fn new_runtime(&self, conn: &mut Conn, sent: Option<&str>) -> Result<Option<Runtime>, Failure> {
        let Some(sent) = sent else { return Ok(None) };
        let id = RuntimeId::parse(sent).ok_or_else(no_runtime)?;
        let found = runtimes::find(conn, id).await?;
        let runtime =
            found.filter(|runtime| runtime.workspace_id == self.scope.workspace_id).ok_or_else(no_runtime)?;
        may_bind(&runtime, &self.scope, "move agents onto it")?;
        Ok(Some(runtime))
    }

    /// The sharing to write, if any. Only the owner may change it; somebody else who may
    /// manage the agent can send back what is there.
    fn access(
        &self,
        sent: &UpdateAgent,
        agent: &Agent,
        targets: &[InvocationTarget],
    ) -> Result<Option<Access>, Error> {
        let workspace = self.scope.workspace_id;
        let beside = sent.invocation_targets.as_deref();
        let wanted = match (&sent.permission_mode, sent.visibility.as_deref()) {
            (Sent::Value(mode), _) => Access::of_mode(mode, beside, workspace),
            (Sent::Null, _) => Ok(Access::private()),
            (Sent::Absent, Some(visibility)) => Access::of_visibility(visibility, workspace),
            // Targets alone go with the mode there is.
            (Sent::Absent, None) if beside.is_some() => {
                Access::of_mode(&agent.permission_mode, beside, workspace)
            }
            (Sent::Absent, None) => return Ok(None),
        };
        if agent.owner_id == Some(self.scope.user_id) {
            return Ok(Some(wanted?));
        }
        let unchanged = match (sent.permission_mode.is_absent(), sent.visibility.as_deref()) {
            // An older client knows two kinds of agents, and sends back the one it was shown.
            (true, Some(visibility)) => {
                let kinds = targets.iter().map(|target| target.target_type.as_str());
                (visibility == "workspace") == (visibility_of(&agent.permission_mode, kinds) == "workspace")
            }
            // What makes no sense changes nothing.
            _ => wanted.map_or(true, |wanted| wanted.is_of(agent, targets)),
        };
        if unchanged {
            return Ok(None);
        }
        Err(Error::forbidden("only the agent owner can change access (permission_mode / invocation_targets)"))
    }

    fn apply(
        &self,
        mut agent: Agent,
        sent: UpdateAgent,
        moved_to: Option<&Runtime>,
        provider: &str,
        access: Option<&Access>,
    ) -> Result<Agent, Error> {
        agent.name = sent.name.unwrap_or(agent.name);
        agent.description = sent.description.unwrap_or(agent.description);
        agent.instructions = sent.instructions.unwrap_or(agent.instructions);
        agent.avatar_url = sent.avatar_url.or(agent.avatar_url);
        agent.status = sent.status.unwrap_or(agent.status);
        if let Some(config) = sent.runtime_config {
            agent.runtime_config = unmasked(config, &agent.runtime_config);
        }
        if let Some(args) = sent.custom_args {
            agent.custom_args = json!(args);
        }
        if !sent.mcp_config.is_absent() {
            agent.mcp_config = sent.mcp_config.value();
        }
        if let Some(number) = sent.max_concurrent_tasks {
            agent.max_concurrent_tasks = check_concurrency(number)?;
        }
        if let Some(access) = access {
            access.mode.clone_into(&mut agent.permission_mode);
            access.visibility().clone_into(&mut agent.visibility);
        }
        if let Some(runtime) = moved_to {
            agent.runtime_id = runtime.id;
            agent.runtime_mode.clone_from(&runtime.runtime_mode);
        }
        agent.model = match sent.model {
            Some(model) => Some(model),
            None => agent.model.filter(|model| moved_to.is_none() || !rejects_model(provider, model)),
        };
        agent.thinking_level = match sent.thinking_level {
            Some(level) => {
                check_thinking_level(provider, &level)?;
                Some(level)
            }
            None => {
                let kept = agent.thinking_level.as_deref().unwrap_or_default();
                if moved_to.is_some() && !accepts_thinking_level(provider, kept) {
                    return Err(Error::bad_request(format!(
                        "existing thinking_level {kept:?} is not valid for runtime {provider:?}; pass \
                         thinking_level=\"\" to clear or set a value valid for the new runtime"
                    )));
                }
                agent.thinking_level
            }
        };
        let owns = agent.owner_id == Some(self.scope.user_id);
        if owns && self.toolkits_enabled && !sent.composio_toolkit_allowlist.is_absent() {
            agent.composio_toolkit_allowlist =
                sent.composio_toolkit_allowlist.value().map(Toolkits::normalised);
        }
        agent.updated_at = self.now;
        Ok(agent)
    }
}
