//! An agent stops taking work, or begins again.

use thiserror::Error;

use super::cancel::{self, Cancelled};
use super::lifecycle::to_the_end;
use crate::app::App;
use crate::model::agent::Agent;
use crate::model::ids::{AgentId, UserId};
use crate::store::task_cancels::CancelScope;
use crate::store::{StoreError, agents};

/// Why nothing changed.
#[derive(Debug, Error)]
pub enum ArchiveError {
    #[error("agent not found")]
    NoAgent,
    #[error("agent is already archived")]
    Archived,
    #[error("agent is not archived")]
    NotArchived,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The agent takes no more work, and what it had to do is cancelled.
pub async fn archive(app: &App, id: AgentId, by: UserId) -> Result<Agent, ArchiveError> {
    let app = app.clone();
    to_the_end(async move {
        let now = app.clock.now();
        let (agent, cancelled): (Agent, Cancelled) = app
            .db
            .write(move |c| {
                Box::pin(async move {
                    let agent = agents::find_locked(c, id).await?.ok_or(ArchiveError::NoAgent)?;
                    if agent.archived_at.is_some() {
                        return Err(ArchiveError::Archived);
                    }
                    let agent = agents::set_archived(c, id, Some(by), now).await?;
                    let agent = agent.ok_or(ArchiveError::NoAgent)?;
                    let cancelled = cancel::in_transaction(c, CancelScope::Agent(id), now).await?;
                    Ok((agent, cancelled))
                })
            })
            .await?;
        tracing::info!(agent.id = %id, "an agent was archived");
        cancelled.announce(&app).await;
        Ok(agent)
    })
    .await
}

/// The agent takes work again.
pub async fn restore(app: &App, id: AgentId) -> Result<Agent, ArchiveError> {
    let now = app.clock.now();
    app.db
        .write(move |c| {
            Box::pin(async move {
                let agent = agents::find_locked(c, id).await?.ok_or(ArchiveError::NoAgent)?;
                if agent.archived_at.is_none() {
                    return Err(ArchiveError::NotArchived);
                }
                let agent = agents::set_archived(c, id, None, now).await?;
                agent.ok_or(ArchiveError::NoAgent)
            })
        })
        .await
}
