//! An autopilot goes off: whether it may, and what it then starts. All of it is stored in
//! one transaction, so that no run is ever half there, and a planned time runs once
//! however many nodes try.

use chrono_tz::Tz;
use serde_json::{Value, json};
use thiserror::Error;

use super::enqueue::{self, EnqueueError, IssueRun};
use super::lifecycle::to_the_end;
use super::overlay::{self, Overlay};
use super::permission::{self, Principal};
use super::{followers, wakeup};
use crate::app::App;
use crate::model::activity::Activity;
use crate::model::actor::Actor;
use crate::model::agent::Agent;
use crate::model::autopilot::{Autopilot, Run, render_title};
use crate::model::ids::{AgentId, AutopilotRunId, IssueId, SquadId, TaskId, TriggerId, UserId};
use crate::model::issue::{Assignee, Issue};
use crate::model::issue_body::IssueBody;
use crate::model::squad::Squad;
use crate::model::status::TaskKind;
use crate::model::subscriber::Subscriber;
use crate::model::task::{NewTask, Task};
use crate::model::text::trigger_summary;
use crate::model::time::Time;
use crate::store::{
    Conn, StoreError, activities, agents, autopilot_runs, autopilot_settings, issues, squads, tasks,
    workspaces,
};

/// What set an autopilot off.
#[derive(Clone, Debug)]
pub struct Cause {
    /// `manual`, `schedule` or `webhook`.
    pub source: &'static str,
    pub trigger: Option<TriggerId>,
    /// The time that a schedule meant; it runs once for it.
    pub planned_at: Option<Time>,
    /// A webhook's envelope.
    pub payload: Option<Value>,
    pub zone: Tz,
}

impl Cause {
    pub fn manual() -> Self {
        Self { source: "manual", trigger: None, planned_at: None, payload: None, zone: Tz::UTC }
    }
}

#[derive(Debug, Error)]
pub enum RunError {
    /// It ran for the planned time already.
    #[error("the trigger has run for this time")]
    RanBefore,
    /// The failure is stored with a run.
    #[error("{reason}")]
    Failed { run: Box<Run>, reason: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why the transaction stopped.
#[derive(Debug, Error)]
enum Stop {
    #[error("the trigger has run for this time")]
    RanBefore,
    #[error(transparent)]
    Enqueue(#[from] EnqueueError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A run, and what else was made with it.
struct Stored {
    run: Run,
    made: Made,
}

enum Made {
    Nothing,
    Task(Box<Task>),
    Issue(Box<MadeIssue>),
}

struct MadeIssue {
    issue: Issue,
    prefix: String,
    actor: Actor,
    followers: Vec<Subscriber>,
    activity: Activity,
    task: Task,
}

/// Sets the autopilot off. A run that may not start is stored as skipped, one that could
/// not be stored as failed.
pub async fn start(app: &App, autopilot: Autopilot, cause: Cause) -> Result<Run, RunError> {
    let app = app.clone();
    to_the_end(async move {
        let overlay = overlay_of(&app, &autopilot).await;
        let now = app.clock.now();
        let (mine, why) = (autopilot.clone(), cause.clone());
        let stored: Result<Stored, Stop> =
            app.db.write(move |c| Box::pin(store(c, mine, why, overlay, now))).await;
        match stored {
            Ok(stored) => {
                announce(&app, &autopilot, &stored);
                Ok(stored.run)
            }
            Err(Stop::RanBefore) => Err(RunError::RanBefore),
            Err(stop) => {
                let reason = stop.to_string();
                tracing::warn!(autopilot.id = %autopilot.id, error = reason, "an autopilot could not start");
                let run = store_failure(&app, &autopilot, &cause, &reason, now).await?;
                Err(RunError::Failed { run: Box::new(run), reason })
            }
        }
    })
    .await
}

/// What the task of an issue that is about to be made is given of its agent's apps. A run
/// without an issue gets nothing.
async fn overlay_of(app: &App, autopilot: &Autopilot) -> Overlay {
    if !overlay::is_wanted(app) || autopilot.execution_mode == "run_only" {
        return Overlay::default();
    }
    let ready = async { admit(&mut app.db.reader().await?, autopilot).await };
    match ready.await {
        Ok(Ok(ready)) => overlay::prepare(app, ready.leader.id, TaskKind::Direct).await,
        // Whatever is wrong is found again where the run is stored.
        Ok(Err(_)) | Err(_) => Overlay::default(),
    }
}

async fn store(
    conn: &mut Conn,
    autopilot: Autopilot,
    cause: Cause,
    overlay: Overlay,
    now: Time,
) -> Result<Stored, Stop> {
    let ready = match admit(conn, &autopilot).await? {
        Ok(ready) => ready,
        Err(reason) => {
            let run = Run {
                status: "skipped".to_owned(),
                failure_reason: Some(reason),
                completed_at: Some(now),
                ..run_of(&autopilot, &cause, now)
            };
            insert(conn, &autopilot, &run, None, &cause, now).await?;
            return Ok(Stored { run, made: Made::Nothing });
        }
    };
    let squad = ready.squad.as_ref().map(|squad| squad.id);
    if autopilot.execution_mode == "run_only" {
        let task_id = TaskId::new();
        let run =
            Run { status: "running".to_owned(), task_id: Some(task_id), ..run_of(&autopilot, &cause, now) };
        insert(conn, &autopilot, &run, squad, &cause, now).await?;
        let new = NewTask {
            id: task_id,
            autopilot_run_id: Some(run.id),
            trigger_summary: trigger_summary(&autopilot.title),
            ..NewTask::queued(ready.leader.id, ready.leader.runtime_id, now)
        };
        let task = tasks::insert(conn, new).await?.ok_or(EnqueueError::AlreadyPending)?;
        return Ok(Stored { run, made: Made::Task(Box::new(task)) });
    }
    let made = make_issue(conn, &autopilot, &cause, &ready, overlay, now).await?;
    let run = Run {
        status: "issue_created".to_owned(),
        issue_id: Some(made.issue.id),
        ..run_of(&autopilot, &cause, now)
    };
    insert(conn, &autopilot, &run, squad, &cause, now).await?;
    Ok(Stored { run, made: Made::Issue(Box::new(made)) })
}

fn run_of(autopilot: &Autopilot, cause: &Cause, now: Time) -> Run {
    Run {
        id: AutopilotRunId::new(),
        autopilot_id: autopilot.id,
        trigger_id: cause.trigger,
        source: cause.source.to_owned(),
        status: String::new(),
        issue_id: None,
        task_id: None,
        triggered_at: now,
        completed_at: None,
        failure_reason: None,
        trigger_payload: cause.payload.clone(),
        result: None,
        created_at: now,
    }
}

async fn insert(
    conn: &mut Conn,
    autopilot: &Autopilot,
    run: &Run,
    squad: Option<SquadId>,
    cause: &Cause,
    now: Time,
) -> Result<(), Stop> {
    autopilot_runs::insert(conn, run, squad, cause.planned_at).await?.ok_or(Stop::RanBefore)?;
    Ok(autopilot_settings::touch_run(conn, autopilot.id, now).await?)
}

async fn store_failure(
    app: &App,
    autopilot: &Autopilot,
    cause: &Cause,
    reason: &str,
    now: Time,
) -> Result<Run, RunError> {
    let run = Run {
        status: "failed".to_owned(),
        failure_reason: Some(reason.to_owned()),
        completed_at: Some(now),
        ..run_of(autopilot, cause, now)
    };
    let (autopilot, cause, stored) = (autopilot.clone(), cause.clone(), run.clone());
    let failed: Result<(), Stop> = app
        .db
        .write(move |c| Box::pin(async move { insert(c, &autopilot, &stored, None, &cause, now).await }))
        .await;
    match failed {
        Ok(()) => Ok(run),
        Err(Stop::RanBefore) => Err(RunError::RanBefore),
        Err(Stop::Store(error)) => Err(error.into()),
        Err(Stop::Enqueue(error)) => Err(RunError::Failed { run: Box::new(run), reason: error.to_string() }),
    }
}

/// Who would work.
struct Ready {
    leader: Agent,
    squad: Option<Squad>,
}

/// Whether the autopilot may start now; else why not, in the words of the run.
async fn admit(conn: &mut Conn, autopilot: &Autopilot) -> Result<Result<Ready, String>, StoreError> {
    let skip = |reason: &str| Ok(Err(reason.to_owned()));
    let Some(assignee) = autopilot.assignee_id else { return skip("assignee agent no longer exists") };
    let (agent, squad, role) = if autopilot.assignee_type == "squad" {
        let squad = squads::find(conn, SquadId(assignee)).await?;
        let Some(squad) = squad.filter(|squad| squad.workspace_id == autopilot.workspace_id) else {
            return skip("assignee squad cannot be resolved");
        };
        if squad.archived_at.is_some() {
            return skip("assignee squad is archived");
        }
        (squad.leader_id, Some(squad), "squad leader agent")
    } else {
        (AgentId(assignee), None, "assignee agent")
    };
    let leader = agents::find(conn, agent).await?;
    let Some(leader) = leader.filter(|agent| agent.workspace_id == autopilot.workspace_id) else {
        let gone = if squad.is_some() {
            "assignee squad cannot be resolved"
        } else {
            "assignee agent no longer exists"
        };
        return skip(gone);
    };
    if leader.archived_at.is_some() {
        return skip(&format!("{role} is archived"));
    }
    if autopilot.execution_mode == "run_only" {
        // An issue can wait for its agent; a run without one cannot.
        let readiness = agents::find_readiness(conn, leader.id).await?;
        match readiness {
            None => return skip(&format!("{role} has no runtime bound")),
            Some(ready) if ready.runtime_status != "online" => {
                return skip(&format!("agent runtime is {} at dispatch time", ready.runtime_status));
            }
            Some(_) => {}
        }
    }
    let creator = match autopilot.created_by_type.as_str() {
        "member" => Principal::Member(UserId(autopilot.created_by_id)),
        _ => Principal::Machine { originator: None },
    };
    if !permission::may_invoke(conn, &leader, creator, autopilot.workspace_id).await? {
        return skip("autopilot creator lacks access to private assignee agent");
    }
    Ok(Ok(Ready { leader, squad }))
}

async fn make_issue(
    conn: &mut Conn,
    autopilot: &Autopilot,
    cause: &Cause,
    ready: &Ready,
    overlay: Overlay,
    now: Time,
) -> Result<MadeIssue, Stop> {
    let workspace = autopilot.workspace_id;
    // First, because it makes others who create in this workspace wait.
    let number = workspaces::next_issue_number(conn, workspace).await?;
    let prefix = workspaces::find_issue_prefix(conn, workspace).await?;
    let local = now.with_timezone(&cause.zone);
    let template = autopilot.issue_title_template.as_deref().filter(|template| !template.trim().is_empty());
    let title = render_title(template.unwrap_or(&autopilot.title), &local.format("%Y-%m-%d").to_string());
    let leads = ready.squad.as_ref().map(|squad| squad.id);
    let assignee = leads.map_or(Assignee::Agent(ready.leader.id), Assignee::Squad);
    let issue = Issue {
        id: IssueId::new(),
        workspace_id: workspace,
        number,
        position: issues::next_position(conn, workspace, "todo").await?,
        title,
        description: Some(description(autopilot, cause, now)),
        status: "todo".to_owned(),
        priority: "none".to_owned(),
        assignee_type: Some(assignee.kind().to_owned()),
        assignee_id: Some(assignee.id()),
        creator_type: "agent".to_owned(),
        creator_id: ready.leader.id.0,
        parent_issue_id: None,
        project_id: autopilot.project_id,
        origin_type: Some("autopilot".to_owned()),
        origin_id: Some(autopilot.id.0),
        stage: None,
        start_date: None,
        due_date: None,
        metadata: json!({}),
        first_executed_at: None,
        created_at: now,
        updated_at: now,
    };
    issues::insert(conn, &issue).await?;
    let mut added = Vec::new();
    for (user, _) in autopilot_settings::list_subscribers(conn, autopilot.id).await? {
        added.extend(followers::add(conn, issue.id, ("member", user), "autopilot", now).await?);
    }
    let run = IssueRun { leads, overlay, ..IssueRun::of(ready.leader.id) };
    let task = enqueue::insert_issue_run(conn, &issue, run, now).await?;
    let actor = Actor::Agent { id: ready.leader.id, task_id: task.id };
    let activity = Activity::on_issue(workspace, issue.id, actor, "created", json!({}), now);
    activities::insert(conn, &activity).await?;
    Ok(MadeIssue { issue, prefix, actor, followers: added, activity, task })
}

/// The autopilot's own words, where they come from, and what a webhook said.
fn description(autopilot: &Autopilot, cause: &Cause, now: Time) -> String {
    let local = now.with_timezone(&cause.zone).format("%Y-%m-%d %H:%M");
    let words = autopilot.description.as_deref().unwrap_or_default();
    let footer = format!(
        "*Autopilot run triggered at {local} {}. After starting work, rename this issue to accurately reflect what \
         you are doing.*",
        cause.zone.name()
    );
    let said = cause.payload.as_ref().map_or_else(String::new, |payload| {
        let event = payload.get("event").and_then(Value::as_str).unwrap_or_default();
        let said = payload.get("eventPayload").unwrap_or(&Value::Null);
        let said = serde_json::to_string_pretty(said).unwrap_or_default();
        format!("\n\nWebhook event: {event}\n\nWebhook payload:\n```json\n{said}\n```")
    });
    format!("{words}\n\n---\n{footer}{said}")
}

fn announce(app: &App, autopilot: &Autopilot, stored: &Stored) {
    let (workspace, run) = (autopilot.workspace_id, &stored.run);
    match &stored.made {
        Made::Nothing => {}
        // A run without an issue is told of by its own event.
        Made::Task(task) => wakeup::wake(app, task),
        Made::Issue(made) => {
            app.events.by(
                made.actor,
                workspace,
                "issue:created",
                || json!({"issue": IssueBody::value(&made.issue, &made.prefix)}),
            );
            followers::tell(app, workspace, made.actor, &made.followers);
            followers::tell_activities(app, made.actor, std::slice::from_ref(&made.activity));
            enqueue::announce(app, workspace, &made.task);
        }
    }
    tracing::info!(autopilot.id = %autopilot.id, run.id = %run.id, status = run.status, "an autopilot went off");
    let kind = if run.status == "skipped" { "autopilot:run_done" } else { "autopilot:run_start" };
    app.events.system(workspace, kind, || {
        let mut payload = json!({"run_id": run.id, "autopilot_id": run.autopilot_id, "status": run.status});
        if kind == "autopilot:run_start" {
            payload["source"] = run.source.clone().into();
        }
        payload
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::{AutopilotId, WorkspaceId};

    #[test]
    fn an_issue_says_where_it_comes_from() {
        let now: Time = "2026-01-02T23:30:00Z".parse().unwrap_or_default();
        let autopilot = Autopilot {
            id: AutopilotId::new(),
            workspace_id: WorkspaceId::new(),
            title: "t".to_owned(),
            description: Some("Look.".to_owned()),
            project_id: None,
            assignee_type: "agent".to_owned(),
            assignee_id: None,
            status: "active".to_owned(),
            execution_mode: "create_issue".to_owned(),
            issue_title_template: None,
            created_by_type: "member".to_owned(),
            created_by_id: uuid::Uuid::nil(),
            last_run_at: None,
            created_at: now,
            updated_at: now,
        };
        let footer = "*Autopilot run triggered at 2026-01-03 00:30 Europe/Berlin. After starting work, rename this \
                      issue to accurately reflect what you are doing.*";
        let cause = Cause { zone: Tz::Europe__Berlin, ..Cause::manual() };
        assert_eq!(description(&autopilot, &cause, now), format!("Look.\n\n---\n{footer}"));
        let payload = Some(json!({"event": "e", "eventPayload": {"a": 1}}));
        let said = description(&autopilot, &Cause { payload, ..cause }, now);
        assert!(
            said.ends_with("\n\nWebhook event: e\n\nWebhook payload:\n```json\n{\n  \"a\": 1\n}\n```"),
            "{said}"
        );
    }
}
