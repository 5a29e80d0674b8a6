//! What a task is given of its agent's connected apps, made before the task enters the
//! queue: a daemon must never find it there without. Best effort: whatever goes wrong, the
//! task is queued without.

use std::collections::HashMap;

use serde_json::Value;
use thiserror::Error;

use super::child_done;
use super::issue_create::NewIssue;
use super::issue_update::Patch;
use super::preview::{self, Considered, Trigger};
use crate::app::App;
use crate::claim;
use crate::composio::client::UpstreamError;
use crate::composio::{Composio, session};
use crate::enrich;
use crate::model::actor::Actor;
use crate::model::agent::Agent;
use crate::model::connection::Connection;
use crate::model::edit::Edit;
use crate::model::ids::{AgentId, IssueId, TaskId};
use crate::model::issue::{Assignee, is_closed};
use crate::model::status::TaskKind;
use crate::plugin::stage::{ConnectedAccount, PrepareInput, Subject};
use crate::store::{StoreError, agents, connections, issues};

/// Secret: never logged, never shown but in the claim.
#[derive(Clone)]
pub struct Overlay {
    /// Of the task that it is for.
    pub task_id: TaskId,
    pub servers: Option<Value>,
    pub apps: Option<Value>,
}

impl Default for Overlay {
    /// Nothing, for a task that is to be.
    fn default() -> Self {
        Self { task_id: TaskId::new(), servers: None, apps: None }
    }
}

impl std::fmt::Debug for Overlay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.servers.is_some() { "Overlay(..)" } else { "Overlay" })
    }
}

#[derive(Debug, Error)]
enum OverlayError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
}

/// Whether anything could be made for a task: apps can be connected, or a plugin asks.
pub fn is_wanted(app: &App) -> bool {
    app.composio.is_some() || enrich::prepare::is_served(&app.plugins.snapshot())
}

/// The overlay of a task of this agent, as the agent is now. Whoever may run the agent uses
/// its owner's apps.
pub async fn prepare(app: &App, agent: AgentId, kind: TaskKind) -> Overlay {
    if !is_wanted(app) {
        return Overlay::default();
    }
    build(app, agent, kind).await.unwrap_or_else(|error| {
        tracing::warn!(agent.id = %agent, %error, "a task is queued without its agent's connected apps");
        Overlay::default()
    })
}

/// Where a plugin serves the stage, it decides.
async fn build(app: &App, id: AgentId, kind: TaskKind) -> Result<Overlay, OverlayError> {
    let (agent, connected) = {
        let mut conn = app.db.reader().await?;
        let agent = agents::find(&mut conn, id).await?.filter(|agent| agent.archived_at.is_none());
        let Some(agent) = agent else { return Ok(Overlay::default()) };
        let connected = match agent.owner_id {
            Some(owner) => connections::list_active(&mut conn, owner).await?,
            None => Vec::new(),
        };
        (agent, connected)
    };
    let generation = app.plugins.snapshot();
    if enrich::prepare::is_served(&generation) {
        let overlay = Overlay::default();
        let subject = Subject {
            task_id: overlay.task_id.to_string(),
            workspace_id: agent.workspace_id.to_string(),
            agent_id: agent.id.to_string(),
            kind: claim::kind(kind),
        };
        let input = PrepareInput {
            kind: claim::kind(kind),
            agent_id: agent.id.to_string(),
            owner_id: agent.owner_id.map(|owner| owner.to_string()),
            allowlist: session::allowed(
                agent.composio_toolkit_allowlist.as_ref().map_or(&[], |list| &list.0),
            ),
            accounts: connected
                .iter()
                .map(|connection| ConnectedAccount {
                    toolkit: connection.toolkit_slug.clone(),
                    account_id: connection.connected_account_id.clone(),
                })
                .collect(),
        };
        let (attached, trace) = enrich::prepare::run(&generation, &subject, &input).await;
        app.traces.insert(trace);
        return Ok(Overlay { servers: attached.overlay, apps: attached.apps, ..overlay });
    }
    match &app.composio {
        Some(composio) => connect(composio, &agent, &connected).await,
        None => Ok(Overlay::default()),
    }
}

async fn connect(
    composio: &Composio,
    agent: &Agent,
    connected: &[Connection],
) -> Result<Overlay, OverlayError> {
    let allowed = agent.composio_toolkit_allowlist.as_ref().filter(|toolkits| !toolkits.0.is_empty());
    let (Some(owner), Some(allowed)) = (agent.owner_id, allowed) else { return Ok(Overlay::default()) };
    let connected = connected
        .iter()
        .map(|connection| (connection.toolkit_slug.as_str(), connection.connected_account_id.as_str()));
    let accounts = session::choose(&allowed.0, connected);
    if accounts.is_empty() {
        return Ok(Overlay::default());
    }
    let servers = composio.overlay(owner, &accounts).await?;
    let apps = servers.is_some().then(|| session::apps(&accounts));
    Ok(Overlay { servers, apps, ..Overlay::default() })
}

/// Overlays, by the agents that they are for: whom a write starts is decided once more where
/// it is stored.
#[derive(Debug, Default)]
pub struct Prepared(HashMap<AgentId, Overlay>);

impl Prepared {
    /// For the task of this agent; nothing when none was made for it.
    pub fn of(&mut self, agent: AgentId) -> Overlay {
        self.0.remove(&agent).unwrap_or_default()
    }

    /// For a task of each of these.
    pub async fn each(app: &App, agents: impl IntoIterator<Item = AgentId>, kind: TaskKind) -> Self {
        let mut prepared = Self::default();
        for agent in agents {
            prepared.0.insert(agent, prepare(app, agent, kind).await);
        }
        prepared
    }

    async fn first(app: &App, foretold: Result<Vec<Trigger>, StoreError>) -> Self {
        // What cannot be read is found again where the write is stored.
        let first = foretold.unwrap_or_default().into_iter().next();
        Self::each(app, first.map(|trigger| trigger.run.agent_id), TaskKind::Direct).await
    }
}

/// For the run that a new issue would start.
pub async fn of_create(app: &App, actor: Actor, new: &NewIssue) -> Prepared {
    let Some(assignee) = new.assignee.filter(|_| is_wanted(app)) else { return Prepared::default() };
    let wish = Considered {
        assignee_type: Some(assignee.kind().to_owned()),
        assignee_id: Some(assignee.id()),
        status: Some(new.status.clone()),
    };
    Prepared::first(app, preview::of_create(app, new.workspace_id, actor, &wish).await).await
}

/// For the run that a change of an issue would start.
pub async fn of_update(app: &App, actor: Actor, id: IssueId, patch: &Patch) -> Prepared {
    let assignee = match patch.assignee {
        Edit::Keep if patch.status.is_some() => None,
        Edit::Set(assignee) => Some(assignee),
        Edit::Keep | Edit::Clear => return Prepared::default(),
    };
    if !is_wanted(app) {
        return Prepared::default();
    }
    let wish = Considered {
        assignee_type: assignee.map(|assignee| assignee.kind().to_owned()),
        assignee_id: assignee.map(Assignee::id),
        status: patch.status.clone(),
    };
    let found = async { issues::find(&mut app.db.reader().await?, id).await };
    let Ok(Some(issue)) = found.await else { return Prepared::default() };
    Prepared::first(app, preview::of_update(app, issue.workspace_id, actor, vec![id], &wish).await).await
}

/// For the run that the end of an issue would start on its parent.
pub async fn of_end(app: &App, id: IssueId, patch: &Patch) -> Prepared {
    let ends = patch.status.as_deref().is_some_and(is_closed);
    if !ends || !is_wanted(app) {
        return Prepared::default();
    }
    let candidate = async {
        let mut conn = app.db.reader().await?;
        match issues::find(&mut conn, id).await? {
            Some(issue) => child_done::candidate(&mut conn, &issue).await,
            None => Ok(None),
        }
    };
    let candidate = candidate.await.unwrap_or_else(|error: StoreError| {
        tracing::warn!(issue.id = %id, %error, "a parent's task is queued without connected apps");
        None
    });
    Prepared::each(app, candidate, TaskKind::Comment).await
}
