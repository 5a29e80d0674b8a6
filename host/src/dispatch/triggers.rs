//! A comment starts agents: what the decision needs is loaded, and what it says is done.

use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::TimeDelta;
use uuid::Uuid;

use super::enqueue::{self, EnqueueError, IssueRun};
use super::escalation;
use super::overlay::{self, Prepared};
use super::permission::{self, Principal};
use super::route::{Author, Facts, Root, Routing, Run, Trigger, route};
use crate::app::App;
use crate::model::ids::{AgentId, CommentId, SquadId};
use crate::model::issue::{Assignee, Comment, Issue};
use crate::model::mention::{Mention, MentionKind, first_call, mentions};
use crate::model::status::TaskKind;
use crate::model::task::Task;
use crate::store::batch::Ids;
use crate::store::routing::{self, Started};
use crate::store::{Conn, StoreError, agents, comments};

/// A comment, written or about to be.
#[derive(Clone, Copy, Debug)]
pub struct Draft<'a> {
    pub content: &'a str,
    pub author: Author,
    /// The comment that this one answers.
    pub parent: Option<&'a Comment>,
    /// Its id, when it is stored: what it started itself is not in its own way.
    pub id: Option<CommentId>,
}

/// Whom a comment would start.
#[derive(Clone, Debug)]
pub struct Plan {
    pub routing: Routing,
    /// Agents that wait to work on the issue already.
    pub pending: HashSet<AgentId>,
}

impl Plan {
    /// Those to be queued, and who stands by for the one that is asked.
    fn without(self, suppressed: &BTreeSet<AgentId>) -> (Vec<Trigger>, Option<Run>) {
        let triggers = self.routing.triggers.into_iter();
        let wanted = triggers.filter(|trigger| {
            let agent = trigger.run.agent_id;
            !suppressed.contains(&agent) && !self.pending.contains(&agent)
        });
        let fallback = self.routing.fallback.filter(|run| !suppressed.contains(&run.agent_id));
        (wanted.collect(), fallback)
    }
}

/// What the agents that a comment would start are given of their connected apps: made before
/// the comment is stored, where whom it is for is decided once more.
pub(super) async fn equip(app: &App, issue: &Issue, comment: &Comment, gates: &[Principal]) -> Prepared {
    if !overlay::is_wanted(app) {
        return Prepared::default();
    }
    let plan = async { plan_for(&mut app.db.reader().await?, issue, comment, gates).await };
    // What cannot be read is found again where the comment is stored.
    let triggers = plan.await.map(|plan| plan.routing.triggers).unwrap_or_default();
    let agents = triggers.into_iter().map(|trigger| trigger.run.agent_id);
    Prepared::each(app, agents, TaskKind::Comment).await
}

/// Queues whom a stored comment is for, in the transaction that stores it: a comment that is
/// there has its tasks. What forbids a task does not forbid the comment. Tell of the tasks
/// with [`enqueue::announce`] after the commit.
///
/// `gates` are all those on whose behalf the agents are started; each must be allowed to.
pub(super) async fn queue(
    conn: &mut Conn,
    issue: &Issue,
    comment: &Comment,
    gates: &[Principal],
    Start { suppressed, mut overlays }: Start,
) -> Result<Vec<Task>, StoreError> {
    let plan = plan_for(conn, issue, comment, gates).await?;
    let (triggers, fallback) = plan.without(&suppressed);
    let mut wanted: Vec<(i64, Trigger)> = (0..).zip(triggers).collect();
    // In one order, so that two comments that start the same agents do not wait for each other.
    wanted.sort_by_key(|(_, trigger)| trigger.run.agent_id);
    let mut queued = Vec::new();
    for (place, trigger) in wanted {
        let agent = trigger.run.agent_id;
        let run = IssueRun {
            leads: trigger.run.leads,
            trigger: Some(comment.clone()),
            overlay: overlays.of(agent),
            ..IssueRun::of(agent)
        };
        // Whoever is named first is the first of them in every list.
        let now = comment.updated_at + TimeDelta::microseconds(place);
        let inserted = match fallback {
            Some(fallback) => escalation::insert_issue_run(conn, issue, run, fallback, now).await,
            None => enqueue::insert_issue_run(conn, issue, run, now).await,
        };
        match inserted {
            Ok(task) => queued.push((place, task)),
            // Already pending: somebody was faster, and that task reads this comment too.
            Err(EnqueueError::AlreadyPending) => {}
            Err(EnqueueError::Store(error)) => return Err(error),
            Err(error) => tracing::warn!(
                comment.id = %comment.id, agent.id = %agent, %error,
                "an agent that a comment is for was not started"
            ),
        }
    }
    queued.sort_by_key(|(place, _)| *place);
    Ok(queued.into_iter().map(|(_, task)| task).collect())
}

/// What the author of a comment says of those whom it is for.
#[derive(Debug, Default)]
pub(super) struct Start {
    /// Agents that the comment shall not start.
    pub suppressed: BTreeSet<AgentId>,
    pub overlays: Prepared,
}

async fn plan_for(
    conn: &mut Conn,
    issue: &Issue,
    comment: &Comment,
    gates: &[Principal],
) -> Result<Plan, StoreError> {
    let parent = match comment.parent_id {
        Some(id) => comments::find(conn, id).await?,
        None => None,
    };
    let draft = Draft {
        content: &comment.content,
        author: Author::of(comment),
        parent: parent.as_ref(),
        id: Some(comment.id),
    };
    plan(conn, issue, draft, gates).await
}

/// Decides for a comment that may not be stored yet.
pub async fn plan(
    conn: &mut Conn,
    issue: &Issue,
    draft: Draft<'_>,
    gates: &[Principal],
) -> Result<Plan, StoreError> {
    let facts = facts(conn, issue, draft, gates).await?;
    let routing = route(&facts);
    let pending = routing::list_pending_agents(conn, issue.id, draft.id).await?;
    Ok(Plan { routing, pending: pending.into_iter().collect() })
}

/// On whose behalf the author of a stored comment starts agents.
pub async fn principal_of(conn: &mut Conn, comment: &Comment) -> Result<Principal, StoreError> {
    match (Author::of(comment), comment.source_task_id) {
        (Author::Member(user), _) => Ok(Principal::Member(user)),
        (Author::Agent(_), Some(task)) => permission::of_agent(conn, task).await,
        _ => Ok(Principal::Machine { originator: None }),
    }
}

async fn facts(
    conn: &mut Conn,
    issue: &Issue,
    draft: Draft<'_>,
    gates: &[Principal],
) -> Result<Facts, StoreError> {
    let assignee = issue.assignee();
    let parent = draft.parent.map(Author::of);
    let root = match draft.parent {
        Some(parent) => root(conn, issue, parent).await?,
        None => None,
    };
    let author_led = match draft.author {
        Author::Agent(agent) => routing::led_last(conn, issue.id, agent).await?,
        Author::Member(_) | Author::System => false,
    };

    let root_call = root.as_ref().and_then(|root| first_call(&root.content));
    let (mut squads, mut candidates) = called(mentions(draft.content).into_iter().chain(root_call));
    match assignee {
        Some(Assignee::Agent(agent)) => candidates.insert(agent.0),
        Some(Assignee::Squad(squad)) => squads.insert(squad.0),
        Some(Assignee::Member(_)) | None => false,
    };
    if let Some(Author::Agent(agent)) = parent {
        candidates.insert(agent.0);
    }
    for run in root.iter().flat_map(|root| &root.started) {
        candidates.insert(run.agent_id.0);
    }
    let leaders = leaders(conn, issue, squads).await?;
    candidates.extend(leaders.values().map(|agent| agent.0));
    let startable = startable(conn, issue, candidates, gates).await?;

    let content = draft.content.to_owned();
    Ok(Facts { content, author: draft.author, author_led, assignee, parent, root, startable, leaders })
}

/// The squads and the agents that were called by name.
fn called(mentions: impl Iterator<Item = Mention>) -> (HashSet<Uuid>, HashSet<Uuid>) {
    let (mut squads, mut agents) = (HashSet::new(), HashSet::new());
    for mention in mentions {
        match (mention.kind, mention.id) {
            (MentionKind::Squad, Some(id)) => squads.insert(id),
            (MentionKind::Agent, Some(id)) => agents.insert(id),
            _ => false,
        };
    }
    (squads, agents)
}

async fn root(conn: &mut Conn, issue: &Issue, parent: &Comment) -> Result<Option<Root>, StoreError> {
    let Some(root) = comments::find_root(conn, parent.id).await? else { return Ok(None) };
    let started = routing::list_started(conn, issue.id, root.id).await?;
    Ok(Some(Root { author: Author::of(&root), content: root.content, started: runs(started) }))
}

/// Each agent once, leading the squad of its first task that has one.
fn runs(started: Vec<Started>) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for task in started {
        match runs.iter_mut().find(|run| run.agent_id == task.agent_id) {
            Some(run) => run.leads = run.leads.or(task.squad_id),
            None => runs.push(Run { agent_id: task.agent_id, leads: task.squad_id }),
        }
    }
    runs
}

async fn leaders(
    conn: &mut Conn,
    issue: &Issue,
    squads: HashSet<Uuid>,
) -> Result<HashMap<SquadId, AgentId>, StoreError> {
    if squads.is_empty() {
        return Ok(HashMap::new());
    }
    let found = routing::list_leaders(conn, issue.workspace_id, &Ids::of(squads)).await?;
    Ok(found.into_iter().map(|leader| (leader.squad_id, leader.agent_id)).collect())
}

/// Those of the candidates that are ready and that everybody at the gates may start.
async fn startable(
    conn: &mut Conn,
    issue: &Issue,
    candidates: HashSet<Uuid>,
    gates: &[Principal],
) -> Result<HashSet<AgentId>, StoreError> {
    let mut startable = HashSet::new();
    if candidates.is_empty() {
        return Ok(startable);
    }
    for id in routing::list_ready(conn, issue.workspace_id, &Ids::of(candidates)).await? {
        let Some(agent) = agents::find(conn, id).await? else { continue };
        let mut open = true;
        for gate in gates {
            open = open && permission::may_invoke(conn, &agent, *gate, issue.workspace_id).await?;
        }
        if open {
            startable.insert(id);
        }
    }
    Ok(startable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_counts_once_with_the_first_squad_it_led() {
        let (a, b) = (AgentId::new(), AgentId::new());
        let squad = SquadId::new();
        let task = |agent_id, squad_id| Started { agent_id, squad_id };
        let found =
            runs(vec![task(a, None), task(b, None), task(a, Some(squad)), task(a, Some(SquadId::new()))]);
        assert_eq!(found, [Run { agent_id: a, leads: Some(squad) }, Run { agent_id: b, leads: None }]);
    }
}
