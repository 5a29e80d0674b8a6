//! `/api/agents/{id}/env`: an agent's environment in clear, for owners and admins in
//! person. Every look and every change is recorded, by names of variables alone.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::agent_answer::Details;
use crate::app::App;
use crate::http::agent_path::AgentInPath;
use crate::http::body::Body;
use crate::http::error::{Error, ErrorBody};
use crate::http::extract::Scope;
use crate::model::agent::Agent;
use crate::model::ids::AgentId;
use crate::store::{StoreError, agents, audit};

/// What stands for a value that stays as it is.
const KEPT: &str = "****";

/// Put under `/api/agents`.
pub(super) fn on_agents() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(reveal, replace))
}

/// The agent `{id}`, whose secrets the caller may see: an owner or admin, in person. The
/// agent's own owner is nobody here.
struct Allowed(Agent);

impl FromRequestParts<App> for Allowed {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
        let scope = Scope::from_request_parts(parts, app).await?;
        let AgentInPath(agent) = AgentInPath::from_request_parts(parts, app).await?;
        if scope.actor.is_agent() {
            return Err(Error::forbidden("agents may not access env management endpoints"));
        }
        scope.require_admin()?;
        Ok(Self(agent))
    }
}

/// Names of variables with their values.
type Variables = BTreeMap<String, String>;

#[derive(Serialize, ToSchema)]
struct Environment {
    agent_id: AgentId,
    custom_env: Variables,
}

/// Shows the environment in clear, which is recorded.
#[utoipa::path(get, path = "/{id}/env", tag = "agents",
    params(("id" = String, Path, description = "The agent's id")),
    responses((status = 200, body = Environment), (status = 403, body = ErrorBody, description = "Not an owner or admin in person"),
        (status = 404, body = ErrorBody, description = "No such agent in the workspace")))]
async fn reveal(app: App, scope: Scope, Allowed(agent): Allowed) -> Result<Json<Environment>, Error> {
    let id = agent.id;
    let now = app.clock.now();
    let shown = app.db.write(move |c| {
        Box::pin(async move {
            let Some(agent) = agents::find(c, agent.id).await? else { return Ok(None) };
            let variables = variables(&agent);
            let details = json!({
                "agent_id": agent.id,
                "agent_name": agent.name,
                "revealed_keys": variables.keys().collect::<Vec<_>>(),
                "key_count": variables.len(),
            });
            let (workspace, user) = (scope.workspace_id, scope.user_id);
            audit::insert(c, workspace, user, "agent_env_revealed", &details, now).await?;
            Ok(Some(variables))
        })
    });
    let failed = |error: StoreError| {
        Error::internal("audit log write failed; refusing to serve env without a recorded reveal", error)
    };
    let custom_env = shown.await.map_err(failed)?.ok_or_else(no_agent)?;
    Ok(Json(Environment { agent_id: id, custom_env }))
}

#[derive(Deserialize, ToSchema)]
struct NewEnvironment {
    /// Replaces what is there; a value of `****` keeps the one there is.
    custom_env: Option<Variables>,
}

/// Replaces the environment, which is recorded.
#[utoipa::path(put, path = "/{id}/env", tag = "agents", request_body = NewEnvironment,
    params(("id" = String, Path, description = "The agent's id")),
    responses((status = 200, body = Environment), (status = 403, body = ErrorBody, description = "Not an owner or admin in person"),
        (status = 404, body = ErrorBody, description = "No such agent in the workspace")))]
async fn replace(
    app: App,
    scope: Scope,
    Allowed(agent): Allowed,
    Body(sent): Body<NewEnvironment>,
) -> Result<Json<Environment>, Error> {
    let now = app.clock.now();
    let sent = sent.custom_env.unwrap_or_default();
    let written = app.db.write(move |c| {
        Box::pin(async move {
            let Some(mut agent) = agents::find_locked(c, agent.id).await? else { return Ok(None) };
            let change = Change::of(&variables(&agent), sent);
            agent.custom_env = json!(change.merged);
            agent.updated_at = now;
            agents::set_custom_env(c, agent.id, &agent.custom_env, now).await?;
            let details = change.details(&agent);
            let (workspace, user) = (scope.workspace_id, scope.user_id);
            audit::insert(c, workspace, user, "agent_env_updated", &details, now).await?;
            Ok(Some((Details::find(c, agent).await?, change.merged)))
        })
    });
    let failed = |error: StoreError| Error::internal("failed to update agent env", error);
    let (details, custom_env) = written.await.map_err(failed)?.ok_or_else(no_agent)?;
    details.publish(&app, &scope, "agent:status");
    Ok(Json(Environment { agent_id: details.agent.id, custom_env }))
}

/// What a new environment does to the old one.
#[derive(Default)]
struct Change {
    merged: Variables,
    added: Vec<String>,
    removed: Vec<String>,
    changed: Vec<String>,
    preserved: Vec<String>,
}

impl Change {
    fn of(stored: &Variables, sent: Variables) -> Self {
        let removed = stored.keys().filter(|key| !sent.contains_key(*key)).cloned().collect();
        let mut change = Self { removed, ..Self::default() };
        for (key, value) in sent {
            let value = match (stored.get(&key), value.as_str()) {
                (Some(old), KEPT) => {
                    change.preserved.push(key.clone());
                    old.clone()
                }
                // There is nothing to keep.
                (None, KEPT) => continue,
                (Some(old), _) => {
                    if *old != value {
                        change.changed.push(key.clone());
                    }
                    value
                }
                (None, _) => {
                    change.added.push(key.clone());
                    value
                }
            };
            change.merged.insert(key, value);
        }
        change
    }

    fn details(&self, agent: &Agent) -> Value {
        let keys = |keys: &[String]| if keys.is_empty() { Value::Null } else { json!(keys) };
        json!({
            "agent_id": agent.id,
            "agent_name": agent.name,
            "added_keys": keys(&self.added),
            "removed_keys": keys(&self.removed),
            "changed_keys": keys(&self.changed),
            "preserved_keys": keys(&self.preserved),
        })
    }
}

/// What is stored, without what is no text.
fn variables(agent: &Agent) -> Variables {
    let stored = agent.custom_env.as_object().into_iter().flatten();
    stored.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

fn no_agent() -> Error {
    Error::not_found("agent not found")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Variables {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_mask_keeps_what_is_stored_and_nothing_else() {
        let stored = of(&[("A", "1"), ("B", "2"), ("C", "3"), ("D", "4")]);
        let change =
            Change::of(&stored, of(&[("A", "****"), ("B", "5"), ("C", "3"), ("E", "6"), ("F", "****")]));
        assert_eq!(change.merged, of(&[("A", "1"), ("B", "5"), ("C", "3"), ("E", "6")]));
        assert_eq!(change.preserved, ["A"]);
        assert_eq!(change.changed, ["B"]);
        assert_eq!(change.added, ["E"]);
        assert_eq!(change.removed, ["D"]);
    }
}
