//! What a task is given of its agent's connected apps, made before the task enters the
//! queue: a daemon must never find it there without. Best effort: whatever goes wrong, the
//! task is queued without.

use serde_json::Value;
use thiserror::Error;

use crate::app::App;
use crate::composio::client::UpstreamError;
use crate::composio::{Composio, session};
use crate::model::ids::AgentId;
use crate::store::{StoreError, agents, connections};

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
