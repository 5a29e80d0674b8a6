//! Who may start an agent, who may see it, who may manage it. Three different questions:
//! an administrator sees and manages a private agent, and cannot start it.

use uuid::Uuid;

use crate::model::actor::Actor;
use crate::model::agent::{Agent, InvocationTarget};
use crate::model::ids::{TaskId, UserId, WorkspaceId};
use crate::model::workspace::Role;
use crate::store::{Conn, StoreError, agent_targets, users};

use super::originator;

/// On whose behalf an agent is about to be started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Principal {
    Member(UserId),
    /// An agent or the system, with the person at the top of its chain when that is known.
    /// The agent itself is never what is trusted.
    Machine {
        originator: Option<UserId>,
    },
}

impl Principal {
    /// The person whose rights count.
    pub fn user(self) -> Option<UserId> {
        match self {
            Self::Member(user) => Some(user),
            Self::Machine { originator } => originator,
        }
    }
}

/// An agent at work acts for the person its task stems from.
pub async fn of_agent(conn: &mut Conn, task: TaskId) -> Result<Principal, StoreError> {
    Ok(Principal::Machine { originator: originator::of_task(conn, Some(task)).await? })
}

/// For whom an actor acts.
pub async fn of_actor(conn: &mut Conn, actor: Actor) -> Result<Principal, StoreError> {
    match actor {
        Actor::Member(user) => Ok(Principal::Member(user)),
        Actor::Agent { task_id, .. } => of_agent(conn, task_id).await,
    }
}

/// The invocation gate. The owner may; everybody else only what `public_to` names. There
/// is no bypass for administrators or between agents.
pub async fn may_invoke(
    conn: &mut Conn,
    agent: &Agent,
    principal: Principal,
    workspace: WorkspaceId,
) -> Result<bool, StoreError> {
    let user = principal.user();
    if user.is_some() && user == agent.owner_id {
        return Ok(true);
    }
    if agent.permission_mode != "public_to" {
        return Ok(false);
    }
    for target in agent_targets::list(conn, agent.id).await? {
        let allowed = match target.target_type.as_str() {
            // Whoever works inside the workspace already may use what it shares.
            "workspace" => match (principal, user) {
                (Principal::Machine { .. }, _) => true,
                (Principal::Member(_), Some(user)) => {
                    users::find_role(conn, user, workspace).await?.is_some()
                }
                (Principal::Member(_), None) => false,
            },
            "member" => user.is_some_and(|user| user.0 == target.target_id),
            _ => false,
        };
        if allowed {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The view gate, for lists, details and transcripts.
pub fn may_view(
    agent: &Agent,
    targets: &[InvocationTarget],
    user: UserId,
    role: Role,
    is_agent: bool,
) -> bool {
    is_agent
        || role.is_admin()
        || agent.owner_id == Some(user)
        || (agent.permission_mode == "public_to" && targets.iter().any(|target| names(target, user.0)))
}

/// Owners and admins of the workspace, and the agent's own owner.
pub fn may_manage(agent: &Agent, user: UserId, role: Role) -> bool {
    role.is_admin() || agent.owner_id == Some(user)
}

fn names(target: &InvocationTarget, user: Uuid) -> bool {
    match target.target_type.as_str() {
        "workspace" => true,
        "member" => target.target_id == user,
        _ => false,
    }
}
