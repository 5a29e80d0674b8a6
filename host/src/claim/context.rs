//! Loads what the answer to a claim needs: one row for most tasks, and what that row says
//! there is more of, side by side; all of it scoped to the task's workspace. A read that fails is a failure, never "there is none"; a row
//! that is not there is left out.

use uuid::Uuid;

use super::source::{self, ChatContext};
use crate::app::App;
use crate::dispatch::claim::Claimed;
use crate::enrich;
use crate::model::ids::{AgentId, IssueId, ProjectId, SkillId, SquadId};
use crate::model::project::ProjectResource;
use crate::model::skill::{Skill, SkillFile};
use crate::model::squad::Squad;
use crate::model::task::{QuickCreate, Task};
use crate::model::time::Time;
use crate::store::claim::{PriorSession, TriggerContext};
use crate::store::claim_autopilot::AutopilotContext;
use crate::store::claim_surroundings::{self, Surroundings};
use crate::store::squads::RosterRow;
use crate::store::{Conn, StoreError, claim, issues, projects, skills, squads, workspaces};

/// Everything an answer is made of.
pub struct Context {
    /// `None` when the task, or what it belongs to, was removed meanwhile.
    pub around: Option<Box<Surroundings>>,
    pub skills: Vec<Skill>,
    pub skill_files: Vec<SkillFile>,
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
    trigger: Option<TriggerContext>,
    new_comments: Option<NewComments>,
    prior: Option<PriorSession>,
    quick_create: Option<QuickCreateContext>,
    chat: Option<ChatContext>,
    autopilot: Option<AutopilotContext>,
    resources: Vec<ProjectResource>,
    squad: Option<SquadContext>,
}

pub async fn load(app: &App, claimed: &mut Claimed) -> Result<Context, StoreError> {
    let mut around = match claimed.surroundings.take() {
        Some(around) => Some(around),
        None => {
            let mut conn = app.db.reader().await?;
            claim_surroundings::find(&mut conn, claimed.task.id).await?.map(Box::new)
        }
    };
    if let Some(around) = &mut around {
        // What a plugin attached has nothing to do with the switch of connected apps.
        if !app.flags.composio_mcp_apps && !enrich::prepare::is_served(&app.plugins.snapshot()) {
            (around.runtime_mcp_overlay, around.runtime_connected_apps) = (None, None);
        }
    }
    let (task, claimed) = (&claimed.task, &*claimed);
    let worker = async {
        if !around.as_ref().is_some_and(|around| around.has_skills) {
            return Ok::<_, StoreError>((Vec::new(), Vec::new()));
        }
        let mut conn = app.db.reader().await?;
        let skills = skills::list_of_agent(&mut conn, task.agent_id).await?;
        let ids: Vec<SkillId> = skills.iter().map(|skill| skill.id).collect();
        let files = if ids.is_empty() { Vec::new() } else { skills::list_files(&mut conn, &ids).await? };
        Ok((skills, files))
    };
    let source = async {
        match (task.issue_id, task.quick_create()) {
            (Some(issue), _) => load_issue(app, claimed, issue, around.as_deref()).await,
            (None, Some(document)) => load_quick_create(&mut app.db.reader().await?, claimed, document).await,
            (None, None) => {
                let mut conn = app.db.reader().await?;
                Ok(Source {
                    chat: match task.chat_session_id {
                        Some(session) => source::load_chat(&mut conn, claimed, session).await?,
                        None => None,
                    },
                    autopilot: match task.autopilot_run_id {
                        Some(run) => source::load_autopilot(&mut conn, claimed, run).await?,
                        None => None,
                    },
                    ..Source::default()
                })
            }
        }
    };
    let ((skills, skill_files), source) = tokio::try_join!(worker, source)?;
    Ok(Context {
        around,
        skills,
        skill_files,
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

/// Reads nothing of what is known not to be there: most tasks need nothing more.
async fn load_issue(
    app: &App,
    claimed: &Claimed,
    issue: IssueId,
    around: Option<&Surroundings>,
) -> Result<Source, StoreError> {
    let task = &claimed.task;
    // The squad comes from the task, never from the agent: one agent may lead several.
    let squad = if task.is_leader_task { task.squad_id } else { None };
    let has_runs = !task.force_fresh_session && around.is_some_and(|around| around.has_ended_runs);
    let project = around.filter(|around| around.has_resources).and_then(|around| around.issue.as_ref());
    let project = project.and_then(|issue| issue.project_id);
    if task.trigger_comment_id.is_none() && squad.is_none() && !has_runs && project.is_none() {
        return Ok(Source::default());
    }
    let conn = &mut app.db.reader().await?;
    let trigger = match task.trigger_comment_id {
        Some(comment) => claim::find_trigger(conn, comment, claimed.workspace_id).await?,
        None => None,
    };
    let new_comments = match &trigger {
        Some(trigger) => load_new_comments(conn, task, issue, trigger).await?,
        None => None,
    };
    let prior = if has_runs { claim::find_prior_session(conn, task.agent_id, issue).await? } else { None };
    Ok(Source {
        squad: load_squad(conn, claimed, squad).await?,
        resources: load_resources(conn, project).await?,
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
