//! Somebody joins a workspace, gets another role, or goes, with what they brought.

use serde_json::{Value, json};
use thiserror::Error;
use uuid::Uuid;

use super::cancel::{self, Cancelled};
use super::lifecycle::to_the_end;
use super::runtime_removal::{bodies, to_everybody};
use crate::app::App;
use crate::model::actor::Actor;
use crate::model::agent_body::Shown;
use crate::model::ids::{RuntimeId, UserId, WorkspaceId};
use crate::model::invitation::Invitation;
use crate::model::member::Member;
use crate::model::revoked::Revoked;
use crate::model::time::Time;
use crate::model::workspace::{Role, User};
use crate::store::batch::Ids;
use crate::store::task_cancels::CancelScope;
use crate::store::{
    Conn, StoreError, invitations, members, retire, revocations, runtimes, users, workspaces,
};

#[derive(Debug, Error)]
pub enum MemberError {
    #[error("member not found")]
    NotFound,
    /// An owner is concerned, and the caller is none.
    #[error("insufficient permissions")]
    NotAllowed,
    #[error("workspace must have at least one owner")]
    LastOwner,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Whoever changes a membership.
#[derive(Clone, Copy, Debug)]
pub struct Changer {
    pub actor: Actor,
    pub user_id: UserId,
    pub role: Role,
}

/// Gives a member another role.
pub async fn set_role(
    app: &App,
    by: Changer,
    workspace: WorkspaceId,
    id: Uuid,
    role: Role,
) -> Result<Member, MemberError> {
    let app = app.clone();
    to_the_end(async move {
        let changed = app.db.write(move |c| {
            Box::pin(async move {
                // Two owners must not step down at once.
                workspaces::lock(c, workspace).await?;
                let member = members::find(c, workspace, id).await?.ok_or(MemberError::NotFound)?;
                let was_owner = member.role == Role::Owner.as_str();
                if (was_owner || role == Role::Owner) && by.role != Role::Owner {
                    return Err(MemberError::NotAllowed);
                }
                if was_owner && role != Role::Owner && members::count_owners(c, workspace).await? < 2 {
                    return Err(MemberError::LastOwner);
                }
                members::set_role(c, id, role.as_str()).await?;
                Ok(Member { role: role.as_str().to_owned(), ..member })
            })
        });
        let member: Member = changed.await?;
        app.auth.forget_member(member.user_id, workspace).await;
        app.events.by(by.actor, workspace, "member:updated", || json!({"member": member}));
        Ok::<_, MemberError>(member)
    })
    .await
}

/// Which member goes.
#[derive(Clone, Copy, Debug)]
pub enum Leaving {
    Membership(Uuid),
    Myself,
}

/// A member goes. Their runtimes fall silent, the agents on those are archived, and what
/// was to run there is stopped.
pub async fn remove(app: &App, by: Changer, workspace: WorkspaceId, who: Leaving) -> Result<(), MemberError> {
    let app = app.clone();
    to_the_end(async move {
        let (now, shown) = (app.clock.now(), to_everybody(&app));
        let gone = app.db.write(move |c| Box::pin(removed(c, by, workspace, who, shown, now))).await?;
        gone.announce(&app, by.actor, workspace).await;
        Ok::<_, MemberError>(())
    })
    .await
}

struct Gone {
    member: Member,
    runtimes: Vec<RuntimeId>,
    agents: Vec<Value>,
    cancelled: Cancelled,
    /// The membership, and tokens of daemons.
    revoked: Vec<Revoked>,
}

async fn removed(
    conn: &mut Conn,
    by: Changer,
    workspace: WorkspaceId,
    who: Leaving,
    shown: Shown,
    now: Time,
) -> Result<Gone, MemberError> {
    workspaces::lock(conn, workspace).await?;
    let member = match who {
        Leaving::Membership(id) => members::find(conn, workspace, id).await?,
        Leaving::Myself => members::find_of_user(conn, workspace, by.user_id).await?,
    };
    let member = member.ok_or(MemberError::NotFound)?;
    if member.role == Role::Owner.as_str() {
        if by.role != Role::Owner {
            return Err(MemberError::NotAllowed);
        }
        if members::count_owners(conn, workspace).await? < 2 {
            return Err(MemberError::LastOwner);
        }
    }
    let mut gone = Gone {
        runtimes: Vec::new(),
        agents: Vec::new(),
        cancelled: Cancelled::default(),
        revoked: vec![Revoked::Member { user: member.user_id, workspace }],
        member,
    };
    let owned = retire::list_runtimes_of(conn, workspace, gone.member.user_id).await?;
    if !owned.is_empty() {
        let ids = Ids::of(owned.iter().map(|(id, _)| id.0));
        let archived = retire::archive_agents(conn, &ids, by.user_id, now).await?;
        let agents = Ids::of(archived.iter().map(|agent| agent.id.0));
        let scope = CancelScope::RuntimesOrAgents { runtimes: ids.clone(), agents };
        gone.cancelled = cancel::in_transaction(conn, scope, now).await?;
        gone.agents = bodies(conn, archived, shown).await?;
        runtimes::set_offline(conn, ids, now).await?;
        for (_, daemon) in &owned {
            if let Some(daemon) = daemon {
                let hashes = retire::delete_tokens_of_daemon(conn, workspace, daemon).await?;
                gone.revoked.extend(hashes.iter().filter_map(|hash| Revoked::token(hash)));
            }
        }
        gone.runtimes = owned.into_iter().map(|(id, _)| id).collect();
    }
    retire::delete_targets_of_member(conn, workspace, gone.member.user_id).await?;
    members::delete(conn, gone.member.id).await?;
    revocations::tell(conn, &gone.revoked).await?;
    Ok(gone)
}

impl Gone {
    async fn announce(self, app: &App, actor: Actor, workspace: WorkspaceId) {
        let Self { member, runtimes, agents, cancelled, revoked } = self;
        for revoked in &revoked {
            app.auth.forget(revoked).await;
        }
        for runtime in &runtimes {
            app.liveness.forget(*runtime);
        }
        cancelled.announce(app).await;
        for agent in agents {
            app.events.by(actor, workspace, "agent:archived", || json!({"agent": agent}));
        }
        if !runtimes.is_empty() {
            app.events.by(actor, workspace, "daemon:register", || json!({"action": "revoke"}));
        }
        tracing::info!(workspace.id = %workspace, user.id = %member.user_id, "a member went");
        app.events.by(
            actor,
            workspace,
            "member:removed",
            || json!({"member_id": member.id, "workspace_id": workspace, "user_id": member.user_id}),
        );
        // Last, so that whoever watches hears why it ends.
        for revoked in &revoked {
            app.auth.shut_out(revoked).await;
        }
    }
}

#[derive(Debug, Error)]
pub enum AnswerError {
    #[error("invitation not found")]
    NotFound,
    #[error("invitation does not belong to you")]
    NotYours,
    #[error("invitation is not pending")]
    NotPending,
    #[error("invitation has expired")]
    Expired,
    #[error("you are already a member of this workspace")]
    AlreadyMember,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The invited person says yes. Gives the new membership.
pub async fn accept(app: &App, user: User, id: Uuid) -> Result<Member, AnswerError> {
    let app = app.clone();
    to_the_end(async move {
        let (now, user_id) = (app.clock.now(), user.id);
        let joined = app.db.write(move |c| {
            Box::pin(async move {
                let invitation = pending(c, &user, id).await?;
                let workspace = invitation.workspace_id;
                if invitation.expires_at <= now {
                    invitations::expire(c, workspace, &invitation.invitee_email, now).await?;
                    // Kept, so that the list says what became of it.
                    return Ok(None);
                }
                if members::find_of_user(c, workspace, user.id).await?.is_some() {
                    return Err(AnswerError::AlreadyMember);
                }
                if !invitations::answer(c, id, "accepted", user.id, now).await? {
                    return Err(AnswerError::NotPending);
                }
                users::insert_member(c, workspace, user.id, &invitation.role, now).await?;
                users::mark_onboarded(c, user.id, now).await?;
                let member = members::find_of_user(c, workspace, user.id).await?;
                Ok(Some((member.ok_or(AnswerError::NotFound)?, invitation.workspace_name)))
            })
        });
        let (member, workspace_name) = joined.await?.ok_or(AnswerError::Expired)?;
        let (actor, workspace) = (Actor::Member(user_id), member.workspace_id);
        app.auth.forget_member(user_id, workspace).await;
        app.events.by(
            actor,
            workspace,
            "member:added",
            || json!({"member": member, "workspace_name": workspace_name}),
        );
        app.events.by(
            actor,
            workspace,
            "invitation:accepted",
            || json!({"invitation_id": id, "member": member}),
        );
        Ok::<_, AnswerError>(member)
    })
    .await
}

/// The invited person says no.
pub async fn decline(app: &App, user: User, id: Uuid) -> Result<(), AnswerError> {
    let (now, user_id) = (app.clock.now(), user.id);
    let declined = app.db.write(move |c| {
        Box::pin(async move {
            let invitation = pending(c, &user, id).await?;
            if !invitations::answer(c, id, "declined", user.id, now).await? {
                return Err(AnswerError::NotPending);
            }
            Ok(invitation)
        })
    });
    let invitation: Invitation = declined.await?;
    app.events.by(
        Actor::Member(user_id),
        invitation.workspace_id,
        "invitation:declined",
        || json!({"invitation_id": id, "invitee_email": invitation.invitee_email}),
    );
    Ok(())
}

async fn pending(conn: &mut Conn, user: &User, id: Uuid) -> Result<Invitation, AnswerError> {
    let invitation = invitations::find(conn, id).await?.ok_or(AnswerError::NotFound)?;
    if !invitation.is_for(user) {
        return Err(AnswerError::NotYours);
    }
    if invitation.status != "pending" {
        return Err(AnswerError::NotPending);
    }
    Ok(invitation)
}
