//! Giving an issue to somebody: who may be named, and whether that starts a run.

use thiserror::Error;
use uuid::Uuid;

use super::permission::{self, Principal};
use crate::model::actor::Actor;
use crate::model::agent::Agent;
use crate::model::ids::{AgentId, SquadId, UserId, WorkspaceId};
use crate::model::issue::{Assignee, Issue, is_closed};
use crate::model::squad::Squad;
use crate::store::{Conn, StoreError, agents, squads, tasks, users};

/// Why somebody cannot be given an issue.
#[derive(Debug, Error)]
pub enum AssignError {
    #[error("assignee_type and assignee_id must be provided together")]
    Half,
    #[error("assignee_type must be 'member', 'agent', or 'squad'")]
    UnknownType,
    #[error("assignee_id does not refer to a member of this workspace")]
    NoMember,
    #[error("assignee_id does not refer to an agent of this workspace")]
    NoAgent,
    #[error("cannot assign to archived agent")]
    ArchivedAgent,
    #[error("cannot assign to private agent")]
    PrivateAgent,
    #[error("assignee_id does not refer to a squad in this workspace")]
    NoSquad,
    #[error("cannot assign to an archived squad")]
    ArchivedSquad,
    #[error("squad leader is archived; cannot assign to this squad")]
    ArchivedLeader,
    #[error("cannot assign to squad with private leader")]
    PrivateLeader,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Checks a type and id as they were sent; neither means nobody.
pub async fn validate(
    conn: &mut Conn,
    workspace: WorkspaceId,
    by: Principal,
    kind: Option<&str>,
    id: Option<Uuid>,
) -> Result<Option<Assignee>, AssignError> {
    let (kind, id) = match (kind, id) {
        (None, None) => return Ok(None),
        (Some(kind), Some(id)) => (kind, id),
        _ => return Err(AssignError::Half),
    };
    let assignee = Assignee::of(kind, id).ok_or(AssignError::UnknownType)?;
    match assignee {
        Assignee::Member(user) => {
            users::find_role(conn, user, workspace).await?.ok_or(AssignError::NoMember)?;
        }
        Assignee::Agent(id) => {
            agent(conn, workspace, by, id).await?;
        }
        Assignee::Squad(id) => {
            let squad = find_squad(conn, workspace, id).await?.ok_or(AssignError::NoSquad)?;
            if squad.archived_at.is_some() {
                return Err(AssignError::ArchivedSquad);
            }
            let leader = find_agent(conn, workspace, squad.leader_id).await?;
            let leader =
                leader.filter(|agent| agent.archived_at.is_none()).ok_or(AssignError::ArchivedLeader)?;
            if !permission::may_invoke(conn, &leader, by, workspace).await? {
                return Err(AssignError::PrivateLeader);
            }
        }
    }
    Ok(Some(assignee))
}

/// An agent that may be given work.
pub async fn agent(
    conn: &mut Conn,
    workspace: WorkspaceId,
    by: Principal,
    id: AgentId,
) -> Result<Agent, AssignError> {
    let agent = find_agent(conn, workspace, id).await?.ok_or(AssignError::NoAgent)?;
    if agent.archived_at.is_some() {
        return Err(AssignError::ArchivedAgent);
    }
    if !permission::may_invoke(conn, &agent, by, workspace).await? {
        return Err(AssignError::PrivateAgent);
    }
    Ok(agent)
}

/// An agent of the workspace, archived or not.
pub async fn find_agent(
    conn: &mut Conn,
    workspace: WorkspaceId,
    id: AgentId,
) -> Result<Option<Agent>, StoreError> {
    Ok(agents::find(conn, id).await?.filter(|agent| agent.workspace_id == workspace))
}

/// A squad of the workspace, archived or not.
pub async fn find_squad(
    conn: &mut Conn,
    workspace: WorkspaceId,
    id: SquadId,
) -> Result<Option<Squad>, StoreError> {
    Ok(squads::find(conn, id).await?.filter(|squad| squad.workspace_id == workspace))
}

/// What a write did to an issue, as far as a run may follow from it.
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    Created,
    Updated { assignee_changed: bool, previous_status: &'a str },
}

/// Why a run follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// It was given to somebody.
    Assign,
    /// It left the backlog.
    Status,
}

impl Source {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Assign => "assign",
            Self::Status => "status",
        }
    }
}

/// The run that follows from a write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    pub agent_id: AgentId,
    /// Set when the agent runs as the leader of this squad.
    pub leads: Option<SquadId>,
    pub source: Source,
}

/// The single predicate for every write of an issue, and for the preview of one. `issue` is
/// as after the write.
///
/// An agent's machine may be away, its task waits; a squad's leader must be reachable. The
/// invocation gate holds here too: an issue that somebody else gave to an agent starts
/// nothing for a person who may not start that agent.
pub async fn will_enqueue(
    conn: &mut Conn,
    issue: &Issue,
    change: Change<'_>,
    actor: Actor,
    by: Principal,
) -> Result<Option<Run>, StoreError> {
    let Some(assignee) = issue.assignee() else { return Ok(None) };
    let Some(source) = source_of(conn, issue, change, actor).await? else { return Ok(None) };
    let (agent_id, leads) = match assignee {
        Assignee::Member(_) => return Ok(None),
        Assignee::Agent(id) => (id, None),
        Assignee::Squad(id) => match find_squad(conn, issue.workspace_id, id).await? {
            Some(squad) => (squad.leader_id, Some(id)),
            None => return Ok(None),
        },
    };
    let Some(agent) = find_agent(conn, issue.workspace_id, agent_id).await? else { return Ok(None) };
    let Some(ready) = agents::find_readiness(conn, agent_id).await? else { return Ok(None) };
    let reachable = leads.is_none() || ready.runtime_status == "online";
    if ready.archived || !reachable || !permission::may_invoke(conn, &agent, by, issue.workspace_id).await? {
        return Ok(None);
    }
    // Whoever gives an issue to somebody has cancelled what ran on it before.
    if source == Source::Status && tasks::has_pending(conn, issue.id, agent_id).await? {
        return Ok(None);
    }
    Ok(Some(Run { agent_id, leads, source }))
}

async fn source_of(
    conn: &mut Conn,
    issue: &Issue,
    change: Change<'_>,
    actor: Actor,
) -> Result<Option<Source>, StoreError> {
    let Change::Updated { assignee_changed: false, previous_status } = change else {
        return Ok((issue.status != "backlog").then_some(Source::Assign));
    };
    let left_backlog = previous_status == "backlog" && issue.status != "backlog" && !is_closed(&issue.status);
    if !left_backlog || is_own_issue(conn, issue, actor).await? {
        return Ok(None);
    }
    Ok(Some(Source::Status))
}

/// Whether the actor is an agent at work on this very issue. It would start itself again.
async fn is_own_issue(conn: &mut Conn, issue: &Issue, actor: Actor) -> Result<bool, StoreError> {
    let Actor::Agent { id, task_id } = actor else { return Ok(false) };
    let task = tasks::find(conn, task_id).await?;
    Ok(task.is_some_and(|task| task.agent_id == id && task.issue_id == Some(issue.id)))
}

/// For whom an assignment to this person or agent counts.
pub fn subscribed(assignee: Option<Assignee>) -> Option<(&'static str, Uuid)> {
    match assignee? {
        Assignee::Member(UserId(id)) => Some(("member", id)),
        Assignee::Agent(AgentId(id)) => Some(("agent", id)),
        Assignee::Squad(_) => None,
    }
}
