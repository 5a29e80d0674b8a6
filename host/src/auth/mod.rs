//! From a token to an identity. Knows no routes.

pub mod token;

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use thiserror::Error;

use crate::model::ids::{AgentId, TaskId, UserId, WorkspaceId};
use crate::model::time::{Clock, Time};
use crate::model::workspace::Role;
use crate::store::{Db, StoreError, tokens, users};

/// How long a token that was found valid is believed without asking again.
const TOKEN_TTL: Duration = Duration::from_mins(10);
/// The same for a membership, on the daemon plane only; roles are never cached.
const MEMBER_TTL: Duration = Duration::from_mins(5);
/// Bounds on what is remembered.
const TOKENS: u64 = 100_000;
const MEMBERS: u64 = 100_000;

/// Who calls.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Identity {
    /// `mdt_`: a daemon, confined to one workspace, with no user behind it.
    Daemon { workspace_id: WorkspaceId, daemon_id: String },
    /// `mul_`: a person.
    User { user_id: UserId },
    /// `mat_`: an agent at work, confined to its task's workspace.
    Task { user_id: UserId, agent_id: AgentId, task_id: TaskId, workspace_id: WorkspaceId },
}

#[derive(Debug, Error)]
pub enum AuthError {
    #[error("invalid token")]
    Invalid,
    #[error("invalid daemon token")]
    InvalidDaemon,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Verifies tokens, with the caches that make it free of SQL for a busy daemon.
#[derive(Clone)]
pub struct Auth {
    db: Db,
    clock: Clock,
    tokens: Cache<Arc<str>, Remembered>,
    members: Cache<(UserId, WorkspaceId), ()>,
}

#[derive(Clone)]
struct Remembered {
    identity: Identity,
    /// A token may expire before its entry does.
    expires_at: Option<Time>,
}

impl Auth {
    pub fn new(db: Db, clock: Clock) -> Self {
        Self {
            db,
            clock,
            tokens: Cache::builder().max_capacity(TOKENS).time_to_live(TOKEN_TTL).build(),
            members: Cache::builder().max_capacity(MEMBERS).time_to_live(MEMBER_TTL).build(),
        }
    }

    /// What `/api/daemon` accepts: daemon tokens and people's.
    pub async fn daemon_plane(&self, token: &str) -> Result<Identity, AuthError> {
        if token.starts_with(token::DAEMON) {
            return self.daemon(token).await;
        }
        if token.starts_with(token::PERSONAL) {
            return self.personal(token).await;
        }
        Err(AuthError::Invalid)
    }

    /// What the user plane accepts: people's tokens and those of agents at work.
    pub async fn user_plane(&self, token: &str) -> Result<Identity, AuthError> {
        if token.starts_with(token::TASK) {
            return self.task(token).await;
        }
        if token.starts_with(token::PERSONAL) {
            return self.personal(token).await;
        }
        Err(AuthError::Invalid)
    }

    pub async fn is_admin(&self, token: &str) -> Result<bool, StoreError> {
        tokens::is_admin(&mut self.db.reader().await?, &token::hash(token)).await
    }

    /// Whether the user belongs to the workspace; a yes is believed for five minutes.
    pub async fn is_member(&self, user: UserId, workspace: WorkspaceId) -> Result<bool, StoreError> {
        if self.members.get(&(user, workspace)).await.is_some() {
            return Ok(true);
        }
        let found = self.role(user, workspace).await?.is_some();
        if found {
            self.members.insert((user, workspace), ()).await;
        }
        Ok(found)
    }

    /// The user's role, always as stored.
    pub async fn role(&self, user: UserId, workspace: WorkspaceId) -> Result<Option<Role>, StoreError> {
        users::find_role(&mut self.db.reader().await?, user, workspace).await
    }

    /// Forgets a token; called by whatever revokes one.
    pub async fn forget_token(&self, hash: &str) {
        self.tokens.invalidate(hash).await;
    }

    /// Forgets a membership; called by whatever changes or ends one.
    pub async fn forget_member(&self, user: UserId, workspace: WorkspaceId) {
        self.members.invalidate(&(user, workspace)).await;
    }

    async fn daemon(&self, token: &str) -> Result<Identity, AuthError> {
        let hash = token::hash(token);
        let now = self.clock.now();
        if let Some(identity) = self.remembered(&hash, now).await {
            return Ok(identity);
        }
        let found = tokens::find_daemon(&mut self.db.reader().await?, &hash, now).await?;
        let found = found.ok_or(AuthError::InvalidDaemon)?;
        let identity = Identity::Daemon { workspace_id: found.workspace_id, daemon_id: found.daemon_id };
        self.remember(hash, identity.clone(), Some(found.expires_at)).await;
        Ok(identity)
    }

    async fn personal(&self, token: &str) -> Result<Identity, AuthError> {
        let hash = token::hash(token);
        let now = self.clock.now();
        if let Some(identity) = self.remembered(&hash, now).await {
            return Ok(identity);
        }
        let found = tokens::find_personal(&mut self.db.reader().await?, &hash, now).await?;
        let found = found.ok_or(AuthError::Invalid)?;
        let identity = Identity::User { user_id: found.user_id };
        self.remember(hash.clone(), identity.clone(), found.expires_at).await;
        // Off the caller's path, and only when the cache did not know the token.
        let db = self.db.clone();
        tokio::spawn(async move {
            let touched: Result<(), StoreError> = db
                .write_soon(move |c| Box::pin(async move { tokens::touch_personal(c, &hash, now).await }))
                .await;
            if let Err(error) = touched {
                tracing::debug!(%error, "the last use of a token was not recorded");
            }
        });
        Ok(identity)
    }

    /// Not cached: it must end with its task.
    async fn task(&self, token: &str) -> Result<Identity, AuthError> {
        let found =
            tokens::find_task(&mut self.db.reader().await?, &token::hash(token), self.clock.now()).await?;
        let found = found.ok_or(AuthError::Invalid)?;
        Ok(Identity::Task {
            user_id: found.user_id,
            agent_id: found.agent_id,
            task_id: found.task_id,
            workspace_id: found.workspace_id,
        })
    }

    async fn remembered(&self, hash: &str, now: Time) -> Option<Identity> {
        let entry = self.tokens.get(hash).await?;
        entry.expires_at.is_none_or(|at| at > now).then_some(entry.identity)
    }

    async fn remember(&self, hash: String, identity: Identity, expires_at: Option<Time>) {
        self.tokens.insert(hash.into(), Remembered { identity, expires_at }).await;
    }
}
