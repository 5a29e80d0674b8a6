//! From a token to an identity. Knows no routes.

pub mod cloud;
pub mod cookie;
pub mod jwt;
pub mod revocation;
pub mod secret;
pub mod token;

use std::future::ready;
use std::time::Duration;

use futures_util::future::BoxFuture;
use moka::future::Cache;
use moka::ops::compute::{CompResult, Op};
use thiserror::Error;
use uuid::Uuid;

use crate::live::hub::Hub;
use crate::live::pulse::{AsOf, Pulse};
use crate::live::watchers::Watchers;
use crate::model::ids::{AgentId, TaskId, UserId, WorkspaceId};
use crate::model::revoked::Revoked;
use crate::model::time::{Clock, Time};
use crate::model::workspace::Role;
use crate::store::{Conn, Db, StoreError, revocations, tokens, users};
use cloud::{CloudError, Verifier};
use jwt::{JwtError, Keys};

/// How long a token that was found valid is believed without asking again, as long as this node
/// would hear that it was revoked.
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
    /// `mul_`, `mcn_` or a login: a person.
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
    /// Signed by us, and yet it names no user.
    #[error("invalid claims")]
    InvalidClaims,
    #[error("cloud pat verifier unavailable")]
    CloudUnavailable,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<JwtError> for AuthError {
    fn from(error: JwtError) -> Self {
        match error {
            JwtError::Invalid => Self::Invalid,
            JwtError::Claims => Self::InvalidClaims,
        }
    }
}

/// Verifies tokens, with the caches that make it free of SQL for a busy daemon.
///
/// A cache is filled and emptied under the entry's own lock: whoever revokes something
/// waits for a look-up that is under way and takes its result out again, so that nothing
/// revoked is remembered. What is revoked on another node is heard here, see [`revocation`];
/// while nothing is heard, nothing is believed for longer than a revocation may take.
#[derive(Clone)]
pub struct Auth {
    db: Db,
    clock: Clock,
    keys: Keys,
    cloud: Verifier,
    /// By the token's hash.
    tokens: Cache<String, Remembered>,
    members: Cache<(UserId, WorkspaceId), AsOf>,
    pulse: Pulse,
    /// The sockets, which end with what opened them.
    hub: Hub,
    watchers: Watchers,
}

/// What is shut when something is revoked, and how that is known.
pub struct Doors {
    pub pulse: Pulse,
    pub hub: Hub,
    pub watchers: Watchers,
}

#[derive(Clone)]
struct Remembered {
    identity: Identity,
    /// A token may expire before its entry does.
    expires_at: Option<Time>,
    as_of: AsOf,
}

impl Auth {
    pub fn new(db: Db, clock: Clock, keys: Keys, cloud: Verifier, doors: Doors) -> Self {
        let Doors { pulse, hub, watchers } = doors;
        Self {
            db,
            clock,
            keys,
            cloud,
            tokens: Cache::builder().max_capacity(TOKENS).time_to_live(TOKEN_TTL).build(),
            members: Cache::builder().max_capacity(MEMBERS).time_to_live(MEMBER_TTL).build(),
            pulse,
            hub,
            watchers,
        }
    }

    /// What `/api/daemon` accepts: daemon tokens and people's.
    pub async fn daemon_plane(&self, token: &str) -> Result<Identity, AuthError> {
        if token.starts_with(token::DAEMON) {
            return self.daemon(token).await;
        }
        self.person(token).await
    }

    /// What the user plane accepts: people's tokens and those of agents at work.
    pub async fn user_plane(&self, token: &str) -> Result<Identity, AuthError> {
        if token.starts_with(token::TASK) {
            return self.task(token).await;
        }
        self.person(token).await
    }

    /// Signs logins.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    pub async fn is_admin(&self, token: &str) -> Result<bool, StoreError> {
        tokens::is_admin(&mut self.db.reader().await?, &token::hash(token)).await
    }

    /// Whether the user belongs to the workspace; a yes is believed for five minutes.
    pub async fn is_member(&self, user: UserId, workspace: WorkspaceId) -> Result<bool, StoreError> {
        let holds = |as_of: &AsOf| self.pulse.vouches_for(*as_of);
        if self.members.get(&(user, workspace)).await.as_ref().is_some_and(holds) {
            return Ok(true);
        }
        Box::pin(self.find_member(user, workspace, holds)).await
    }

    async fn find_member(
        &self,
        user: UserId,
        workspace: WorkspaceId,
        holds: impl Fn(&AsOf) -> bool,
    ) -> Result<bool, StoreError> {
        let found = self.members.entry((user, workspace)).and_try_compute_with(|entry| async move {
            if entry.is_some_and(|entry| holds(entry.value())) {
                return Ok(Op::Nop);
            }
            let as_of = self.pulse.now();
            let role = self.role(user, workspace).await?;
            Ok::<_, StoreError>(role.map_or(Op::Remove, |_| Op::Put(as_of)))
        });
        Ok(kept(found.await?).is_some())
    }

    /// The user's role, always as stored.
    pub async fn role(&self, user: UserId, workspace: WorkspaceId) -> Result<Option<Role>, StoreError> {
        self.db.look(|c| Box::pin(users::find_role(c, user, workspace))).await
    }

    /// Takes a personal token of the user's back. Runs to its end even when the caller
    /// does not wait for it: a token that is revoked must not be believed any longer.
    pub async fn revoke(&self, user: UserId, id: Uuid) -> Result<(), StoreError> {
        let auth = self.clone();
        let work = async move {
            let revoked: Result<Option<Revoked>, StoreError> = auth
                .db
                .write(move |c| {
                    Box::pin(async move {
                        let hash = tokens::revoke_personal(c, user, id).await?;
                        let revoked = hash.and_then(|hash| Revoked::token(&hash));
                        revocations::tell(c, revoked.as_slice()).await?;
                        Ok(revoked)
                    })
                })
                .await;
            if let Some(revoked) = revoked? {
                auth.shut_out(&revoked).await;
            }
            Ok(())
        };
        tokio::spawn(work).await.unwrap_or_else(|_| Err(StoreError::Unavailable(None)))
    }

    /// Forgets what was revoked and ends the sockets that it opened; called by whatever revokes
    /// something, once that is committed.
    pub async fn shut_out(&self, revoked: &Revoked) {
        self.forget(revoked).await;
        // Afterwards: a socket that opens meanwhile looks once more when it is open.
        self.hub.shut_out(revoked);
        self.watchers.shut_out(revoked);
    }

    /// Forgets what was revoked.
    pub async fn forget(&self, revoked: &Revoked) {
        match *revoked {
            Revoked::Token(token) => {
                let hash = token.to_string();
                self.tokens.entry_by_ref(&hash).and_compute_with(|_| ready(Op::Remove)).await;
            }
            Revoked::Member { user, workspace } => self.forget_member(user, workspace).await,
        }
    }

    /// Forgets a membership; called by whatever begins or changes one.
    pub async fn forget_member(&self, user: UserId, workspace: WorkspaceId) {
        self.members.entry((user, workspace)).and_compute_with(|_| ready(Op::Remove)).await;
    }

    /// A person's token, of whichever kind its prefix says.
    async fn person(&self, token: &str) -> Result<Identity, AuthError> {
        if token.starts_with(token::CLOUD) {
            return self.vouched_for(token).await;
        }
        if token.starts_with(token::PERSONAL) {
            return self.personal(token).await;
        }
        let user_id = self.keys.verify(token, self.clock.now())?;
        Ok(Identity::User { user_id })
    }

    async fn vouched_for(&self, token: &str) -> Result<Identity, AuthError> {
        // On the heap, because nearly nobody comes here: every request would carry it along.
        match Box::pin(self.cloud.verify(token)).await {
            Ok(user_id) => Ok(Identity::User { user_id }),
            Err(error) => Err(match *error {
                CloudError::Invalid => AuthError::Invalid,
                CloudError::Unavailable => AuthError::CloudUnavailable,
            }),
        }
    }

    async fn daemon(&self, token: &str) -> Result<Identity, AuthError> {
        let hash = token::hash(token);
        let found = self.remembered(&hash, || Box::pin(self.find_daemon(&hash)));
        found.await?.ok_or(AuthError::InvalidDaemon)
    }

    async fn find_daemon(&self, hash: &str) -> Result<Option<Remembered>, StoreError> {
        let (now, as_of) = (self.clock.now(), self.pulse.now());
        let found = self
            .asked(hash, move |c, hash| Box::pin(async move { tokens::find_daemon(c, &hash, now).await }))
            .await?;
        Ok(found.map(|found| Remembered {
            identity: Identity::Daemon { workspace_id: found.workspace_id, daemon_id: found.daemon_id },
            expires_at: Some(found.expires_at),
            as_of,
        }))
    }

    async fn personal(&self, token: &str) -> Result<Identity, AuthError> {
        let hash = token::hash(token);
        let found = self.remembered(&hash, || Box::pin(self.find_personal(&hash)));
        found.await?.ok_or(AuthError::Invalid)
    }

    async fn find_personal(&self, hash: &str) -> Result<Option<Remembered>, StoreError> {
        let (now, as_of) = (self.clock.now(), self.pulse.now());
        let found = self
            .asked(hash, move |c, hash| Box::pin(async move { tokens::find_personal(c, &hash, now).await }))
            .await?;
        let Some(found) = found else { return Ok(None) };
        self.touch(hash.to_owned(), now);
        let identity = Identity::User { user_id: found.user_id };
        Ok(Some(Remembered { identity, expires_at: found.expires_at, as_of }))
    }

    /// Notes that a token is in use: off the caller's path, and only when the cache did
    /// not know it.
    fn touch(&self, hash: String, now: Time) {
        let db = self.db.clone();
        tokio::spawn(async move {
            let touched: Result<(), StoreError> = db
                .write_soon(move |c| Box::pin(async move { tokens::touch_personal(c, &hash, now).await }))
                .await;
            if let Err(error) = touched {
                tracing::debug!(%error, "the last use of a token was not recorded");
            }
        });
    }

    /// Not cached: it must end with its task.
    async fn task(&self, token: &str) -> Result<Identity, AuthError> {
        let (hash, now) = (token::hash(token), self.clock.now());
        let found = self
            .asked(&hash, move |c, hash| Box::pin(async move { tokens::find_task(c, &hash, now).await }))
            .await?;
        let found = found.ok_or(AuthError::Invalid)?;
        Ok(Identity::Task {
            user_id: found.user_id,
            agent_id: found.agent_id,
            task_id: found.task_id,
            workspace_id: found.workspace_id,
        })
    }

    /// What the database says of a token.
    async fn asked<T>(
        &self,
        hash: &str,
        find: impl for<'c> Fn(&'c mut Conn, String) -> BoxFuture<'c, Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.db.look(|c| find(c, hash.to_owned())).await
    }

    /// What the cache says of a token, or else the database. Only a yes is remembered.
    async fn remembered<'f>(
        &self,
        hash: &str,
        find: impl FnOnce() -> BoxFuture<'f, Result<Option<Remembered>, StoreError>> + Send,
    ) -> Result<Option<Identity>, StoreError> {
        let holds = |known: &Remembered| {
            known.expires_at.is_none_or(|at| at > self.clock.now()) && self.pulse.vouches_for(known.as_of)
        };
        if let Some(known) = self.tokens.get(hash).await.filter(holds) {
            return Ok(Some(known.identity));
        }
        // On the heap, for the few callers that come here: it is large.
        let found = Box::pin(self.tokens.entry(hash.to_owned()).and_try_compute_with(|entry| async move {
            // Somebody else may have asked meanwhile.
            if entry.is_some_and(|entry| holds(entry.value())) {
                return Ok(Op::Nop);
            }
            Ok::<_, StoreError>(find().await?.map_or(Op::Remove, Op::Put))
        }));
        let found = found.await?;
        Ok(kept(found).map(|known| known.identity))
    }
}

/// The value that an entry has after it was computed.
fn kept<K, V: Clone + Send + Sync + 'static>(result: CompResult<K, V>) -> Option<V> {
    match result {
        CompResult::Inserted(entry) | CompResult::ReplacedWith(entry) | CompResult::Unchanged(entry) => {
            Some(entry.into_value())
        }
        CompResult::StillNone(_) | CompResult::Removed(_) => None,
    }
}
