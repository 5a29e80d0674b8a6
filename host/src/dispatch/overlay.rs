//! What a task is given of its agent's connected apps, made before the task enters the
//! queue: a daemon must never find it there without. Best effort: whatever goes wrong, the
//! task is queued without.

use std::collections::HashMap;

use futures_util::StreamExt;
use serde_json::Value;

use super::child_done;
use super::issue_create::NewIssue;
use super::issue_update::Patch;
use super::preview::{self, Considered, Trigger};
use crate::app::App;
use crate::claim;
use crate::enrich;
use crate::model::actor::Actor;
use crate::model::edit::Edit;
use crate::model::ids::{AgentId, IssueId, TaskId};
use crate::model::issue::{Assignee, is_closed};
use crate::model::status::TaskKind;
use crate::plugin::stage::{ConnectedAccount, PrepareInput, Subject};
use crate::store::{StoreError, agents, connections, issues};

/// As many as the agents that one comment is for, and few enough to leave connections to others.
const SIDE_BY_SIDE: usize = 8;

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

/// Whether anything could be made for a task: somebody makes it.
pub fn is_wanted(app: &App) -> bool {
    enrich::prepare::is_served(&app.plugins.snapshot())
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

async fn build(app: &App, id: AgentId, kind: TaskKind) -> Result<Overlay, StoreError> {
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
    let overlay = Overlay::default();
    let subject = Subject {
        task_id: overlay.task_id.to_string(),
        workspace_id: agent.workspace_id.to_string(),
        agent_id: agent.id.to_string(),
        kind: claim::kind(kind),
    };
    let toolkits = agent.composio_toolkit_allowlist.iter().flat_map(|list| &list.0);
    let input = PrepareInput {
        kind: claim::kind(kind),
        agent_id: agent.id.to_string(),
        owner_id: agent.owner_id.map(|owner| owner.to_string()),
        allowlist: toolkits.map(|slug| normalised(slug)).filter(|slug| !slug.is_empty()).collect(),
        accounts: connected
            .into_iter()
            .map(|connection| ConnectedAccount {
                toolkit: normalised(&connection.toolkit_slug),
                account_id: connection.connected_account_id,
            })
            .collect(),
    };
    let (attached, trace) = enrich::prepare::run(&app.plugins.snapshot(), &subject, &input).await;
    app.traces.insert(trace);
    Ok(Overlay { servers: attached.overlay, apps: attached.apps, ..overlay })
}

/// The form in which names of apps are compared.
fn normalised(slug: &str) -> String {
    slug.trim_matches([' ', '\t', '\n', '\r']).to_ascii_lowercase()
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
        let each = agents.into_iter().map(|agent| async move { (agent, prepare(app, agent, kind).await) });
        // Side by side: whoever waits for an answer waits for the slowest, not for the sum.
        Self(futures_util::stream::iter(each).buffer_unordered(SIDE_BY_SIDE).collect().await)
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
