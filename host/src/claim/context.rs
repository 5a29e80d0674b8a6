//! Loads what the answer to a claim needs: three groups of reads side by side, each scoped
//! to the task's workspace. A read that fails is a failure, never "there is none"; a row
//! that is not there is left out.

use uuid::Uuid;

use super::source::{self, ChatContext};
use crate::app::App;
use crate::dispatch::claim::Claimed;
use crate::enrich;
use crate::model::agent::Agent;
use crate::model::ids::{AgentId, IssueId, ProjectId, SkillId, SquadId, UserId};
use crate::model::project::ProjectResource;
use crate::model::skill::{Skill, SkillFile};
use crate::model::squad::Squad;
use crate::model::task::{QuickCreate, Task};
use crate::model::time::Time;
use crate::model::workspace::{User, Workspace};
use crate::store::claim::{IssueContext, Overlay, PriorSession, TriggerContext};
use crate::store::claim_autopilot::AutopilotContext;
use crate::store::squads::RosterRow;
use crate::store::{Conn, StoreError, agents, claim, issues, projects, skills, squads, users, workspaces};

/// Everything an answer is made of.
pub struct Context {
    pub agent: Option<Agent>,
    pub skills: Vec<Skill>,
    pub skill_files: Vec<SkillFile>,
    pub workspace: Option<Workspace>,
    /// The owner of the runtime.
    pub owner: Option<User>,
    /// Who sent the chat message that caused the task.
    pub initiator: Option<User>,
    pub overlay: Option<Overlay>,
    pub issue: Option<IssueContext>,
    pub trigger: Option<TriggerContext>,
    pub new_comments: Option<NewComments>,
    pub prior: Option<PriorSession>,
    pub quick_create: Option<QuickCreateContext>,
    pub chat: Option<ChatContext>,
    pub autopilot: Option<AutopilotContext>,
    pub resources: Vec<ProjectResource>,
    pub squad: Option<SquadContext>,
}

/// What was said on the issue since the agent last began to work on it.
pub struct NewComments {
    pub count: i64,
    pub since: Time,
}

pub struct QuickCreateContext {
    pub document: QuickCreate,
    pub project_title: Option<String>,
    pub project_description: Option<String>,
    pub project_id: Option<ProjectId>,
    /// `<prefix>-<number>` of the issue the new one goes below.
    pub parent_identifier: Option<String>,
}

/// The squad that the agent leads in this run.
pub struct SquadContext {
    pub squad: Squad,
    pub members: Vec<RosterRow>,
    /// Names of the agents' skills, by agent.
    pub skills: Vec<(AgentId, String)>,
}

/// What hangs on the task's source.
#[derive(Default)]
struct Source {
    issue: Option<IssueContext>,
    trigger: Option<TriggerContext>,
    new_comments: Option<NewComments>,
    prior: Option<PriorSession>,
    quick_create: Option<QuickCreateContext>,
    chat: Option<ChatContext>,
    autopilot: Option<AutopilotContext>,
    resources: Vec<ProjectResource>,
    squad: Option<SquadContext>,
}

pub async fn load(app: &App, claimed: &Claimed) -> Result<Context, StoreError> {
    let task = &claimed.task;
    let worker = async {
        let mut conn = app.db.reader().await?;
        let agent = agents::find(&mut conn, task.agent_id).await?;
        let skills = skills::list_of_agent(&mut conn, task.agent_id).await?;
        let ids: Vec<SkillId> = skills.iter().map(|skill| skill.id).collect();
        let files = if ids.is_empty() { Vec::new() } else { skills::list_files(&mut conn, &ids).await? };
        Ok::<_, StoreError>((agent, skills, files))
    };
    let surroundings = async {
        let mut conn = app.db.reader().await?;
        let workspace = workspaces::find(&mut conn, claimed.workspace_id).await?;
        let owner = users::find(&mut conn, claimed.owner_id).await?;
        let initiator = find_user(&mut conn, task.initiator_user_id).await?;
        // What a plugin attached has nothing to do with the switch of connected apps.
        let attaches = app.flags.composio_mcp_apps || enrich::prepare::is_served(&app.plugins.snapshot());
        let overlay = if attaches { claim::find_overlay(&mut conn, task.id).await? } else { None };
        Ok((workspace, owner, initiator, overlay))
    };
    let source = async {
        let mut conn = app.db.reader().await?;
        match (task.issue_id, task.quick_create()) {
            (Some(issue), _) => load_issue(&mut conn, claimed, issue).await,
            (None, Some(document)) => load_quick_create(&mut conn, claimed, document).await,
            (None, None) => Ok(Source {
                chat: match task.chat_session_id {
                    Some(session) => source::load_chat(&mut conn, claimed, session).await?,
                    None => None,
                },
                autopilot: match task.autopilot_run_id {
                    Some(run) => source::load_autopilot(&mut conn, claimed, run).await?,
                    None => None,
                },
                ..Source::default()
            }),
        }
    };
    let ((agent, skills, skill_files), (workspace, owner, initiator, overlay), source) =
        tokio::try_join!(worker, surroundings, source)?;
    Ok(Context {
        agent,
        skills,
        skill_files,
        workspace,
        owner,
        initiator,
        overlay,
        issue: source.issue,
        trigger: source.trigger,
        new_comments: source.new_comments,
        prior: source.prior,
        quick_create: source.quick_create,
        chat: source.chat,
        autopilot: source.autopilot,
        resources: source.resources,
        squad: source.squad,
    })
}

async fn load_issue(conn: &mut Conn, claimed: &Claimed, issue: IssueId) -> Result<Source, StoreError> {
    let task = &claimed.task;
    let found = claim::find_issue(conn, issue, claimed.workspace_id).await?;
    let project = found.as_ref().and_then(|issue| issue.project_id);
    let trigger = match task.trigger_comment_id {
        Some(comment) => claim::find_trigger(conn, comment, claimed.workspace_id).await?,
        None => None,
    };
    let new_comments = match &trigger {
        Some(trigger) => load_new_comments(conn, task, issue, trigger).await?,
        None => None,
    };
    let prior = if task.force_fresh_session {
        None
    } else {
        claim::find_prior_session(conn, task.agent_id, issue).await?
    };
    // The squad comes from the task, never from the agent: one agent may lead several.
    let squad = if task.is_leader_task { task.squad_id } else { None };
    Ok(Source {
        squad: load_squad(conn, claimed, squad).await?,
        resources: load_resources(conn, project).await?,
        issue: found,
        trigger,
        new_comments,
        prior,
        ..Source::default()
    })
}

/// Counted from a start, never from an end: what was said during a long run must not be
/// lost.
async fn load_new_comments(
    conn: &mut Conn,
    task: &Task,
    issue: IssueId,
    trigger: &TriggerContext,
) -> Result<Option<NewComments>, StoreError> {
    let Some(since) = claim::find_last_start(conn, task.agent_id, issue).await? else {
        return Ok(None);
    };
    let count = claim::count_new_comments(conn, issue, since, trigger.id, task.agent_id).await?;
    Ok((count > 0).then_some(NewComments { count, since }))
}

async fn load_quick_create(
    conn: &mut Conn,
    claimed: &Claimed,
    document: QuickCreate,
) -> Result<Source, StoreError> {
    let project = match document.project_id {
        Some(id) => projects::find(conn, ProjectId(id)).await?,
        None => None,
    };
    let project = project.filter(|project| project.workspace_id == claimed.workspace_id);
    let parent = match document.parent_issue_id.as_deref().and_then(IssueId::parse) {
        Some(id) => issues::find(conn, id).await?,
        None => None,
    };
    let parent = parent.filter(|issue| issue.workspace_id == claimed.workspace_id);
    let parent_identifier = match parent {
        Some(issue) => workspaces::find(conn, claimed.workspace_id)
            .await?
            .map(|workspace| format!("{}-{}", workspace.issue_prefix, issue.number)),
        None => None,
    };
    Ok(Source {
        squad: load_squad(conn, claimed, document.squad_id.map(SquadId)).await?,
        resources: load_resources(conn, document.project_id).await?,
        quick_create: Some(QuickCreateContext {
            project_id: document.project_id.map(ProjectId),
            project_title: project.as_ref().map(|project| project.title.clone()),
            project_description: project.and_then(|project| project.description),
            parent_identifier,
            document,
        }),
        ..Source::default()
    })
}

async fn load_resources(conn: &mut Conn, project: Option<Uuid>) -> Result<Vec<ProjectResource>, StoreError> {
    match project {
        Some(id) => projects::list_resources(conn, ProjectId(id)).await,
        None => Ok(Vec::new()),
    }
}

/// The squad, if it is of this workspace and the agent leads it now: a leader may have
/// been replaced since the task was queued.
async fn load_squad(
    conn: &mut Conn,
    claimed: &Claimed,
    id: Option<SquadId>,
) -> Result<Option<SquadContext>, StoreError> {
    let Some(id) = id else { return Ok(None) };
    let squad = squads::find(conn, id).await?.filter(|squad| {
        squad.workspace_id == claimed.workspace_id && squad.leader_id == claimed.task.agent_id
    });
    let Some(squad) = squad else { return Ok(None) };
    let members = squads::list_members_with_names(conn, squad.id).await?;
    let agents: Vec<AgentId> = members
        .iter()
        .filter(|member| member.member_type == "agent")
        .map(|member| AgentId(member.member_id))
        .collect();
    let skills = if agents.is_empty() { Vec::new() } else { skills::names_of_agents(conn, &agents).await? };
    Ok(Some(SquadContext { squad, members, skills }))
}

async fn find_user(conn: &mut Conn, id: Option<UserId>) -> Result<Option<User>, StoreError> {
    match id {
        Some(id) => users::find(conn, id).await,
        None => Ok(None),
    }
}
