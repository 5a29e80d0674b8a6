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
use crate::composio::client::UpstreamError;
use crate::composio::{Composio, session};
use crate::model::actor::Actor;
use crate::model::edit::Edit;
use crate::model::ids::{AgentId, IssueId};
use crate::model::issue::{Assignee, is_closed};
use crate::store::{StoreError, agents, connections, issues};

/// Secret: never logged, never shown but in the claim.
#[derive(Clone, Default)]
pub struct Overlay {
    pub servers: Option<Value>,
    pub apps: Option<Value>,
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

/// The overlay of a task of this agent, as the agent is now. Whoever may run the agent uses
/// its owner's apps.
pub async fn prepare(app: &App, agent: AgentId) -> Overlay {
    let Some(composio) = &app.composio else { return Overlay::default() };
    build(app, composio, agent).await.unwrap_or_else(|error| {
        tracing::warn!(agent.id = %agent, %error, "a task is queued without its agent's connected apps");
        Overlay::default()
    })
}

async fn build(app: &App, composio: &Composio, id: AgentId) -> Result<Overlay, OverlayError> {
    let (owner, accounts) = {
        let mut conn = app.db.reader().await?;
        let agent = agents::find(&mut conn, id).await?.filter(|agent| agent.archived_at.is_none());
        let Some((owner, allowed)) = agent.and_then(|agent| {
            let allowed = agent.composio_toolkit_allowlist.filter(|toolkits| !toolkits.0.is_empty());
            agent.owner_id.zip(allowed)
        }) else {
            return Ok(Overlay::default());
        };
        let connected = connections::list_active(&mut conn, owner).await?;
        let connected = connected
            .iter()
            .map(|connection| (connection.toolkit_slug.as_str(), connection.connected_account_id.as_str()));
        (owner, session::choose(&allowed.0, connected))
    };
    if accounts.is_empty() {
        return Ok(Overlay::default());
    }
    let servers = composio.overlay(owner, &accounts).await?;
    let apps = servers.is_some().then(|| session::apps(&accounts));
    Ok(Overlay { servers, apps })
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
    pub async fn each(app: &App, agents: impl IntoIterator<Item = AgentId>) -> Self {
        let mut prepared = Self::default();
        for agent in agents {
            prepared.0.insert(agent, prepare(app, agent).await);
        }
        prepared
    }

    async fn first(app: &App, foretold: Result<Vec<Trigger>, StoreError>) -> Self {
        // What cannot be read is found again where the write is stored.
        let first = foretold.unwrap_or_default().into_iter().next();
        Self::each(app, first.map(|trigger| trigger.run.agent_id)).await
    }
}

/// For the run that a new issue would start.
pub async fn of_create(app: &App, actor: Actor, new: &NewIssue) -> Prepared {
    let (Some(_), Some(assignee)) = (&app.composio, new.assignee) else { return Prepared::default() };
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
    if app.composio.is_none() {
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
    if !ends || app.composio.is_none() {
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
    Prepared::each(app, candidate).await
}
