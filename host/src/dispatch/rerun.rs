//! A run on an issue is wanted again, from a fresh start.

use thiserror::Error;

use super::assign;
use super::cancel::{self, Cancelled};
use super::enqueue::{self, EnqueueError, IssueRun};
use super::lifecycle::to_the_end;
use super::permission::{self, Principal};
use crate::app::App;
use crate::model::actor::Actor;
use crate::model::ids::TaskId;
use crate::model::issue::{Assignee, Issue};
use crate::model::task::Task;
use crate::model::time::Time;
use crate::store::task_cancels::CancelScope;
use crate::store::{Conn, StoreError, comments, tasks};

#[derive(Debug, Error)]
pub enum RerunError {
    #[error("issue is not assigned to an agent or squad")]
    Unassigned,
    #[error("issue is assigned to a squad but squad not found")]
    NoSquad,
    #[error("load source task: no rows in result set")]
    NoSource,
    #[error("source task does not belong to this issue")]
    ForeignSource,
    #[error("you do not have access to this agent")]
    NotAllowed,
    #[error(transparent)]
    Enqueue(#[from] EnqueueError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Stops what the agent does on the issue and queues it anew: the agent, role and trigger
/// of `source` when one is given, else whoever the issue is assigned to. What was stopped
/// stays stopped when nothing can be queued.
pub async fn rerun(
    app: &App,
    actor: Actor,
    issue: &Issue,
    source: Option<TaskId>,
) -> Result<Task, RerunError> {
    let mut conn = app.db.reader().await?;
    let run = match source {
        Some(source) => of_source(&mut conn, issue, source).await?,
        None => of_assignee(&mut conn, issue).await?,
    };
    let by = permission::of_actor(&mut conn, actor).await?;
    if !may_run(&mut conn, issue, &run, by).await? {
        return Err(RerunError::NotAllowed);
    }
    drop(conn);
    let (app, issue) = (app.clone(), issue.clone());
    to_the_end(async move {
        let run = run.equipped(&app).await;
        let (now, workspace) = (app.clock.now(), issue.workspace_id);
        let (stopped, queued) =
            app.db.write(move |c| Box::pin(async move { replace(c, &issue, run, now).await })).await?;
        stopped.announce(&app).await;
        let task = queued?;
        enqueue::announce(&app, workspace, &task);
        Ok(task)
    })
    .await
}

/// One transaction: whoever saw the old run stopped finds the new one queued.
async fn replace(
    conn: &mut Conn,
    issue: &Issue,
    run: IssueRun,
    now: Time,
) -> Result<(Cancelled, Result<Task, EnqueueError>), StoreError> {
    let scope = CancelScope::IssueAndAgent(issue.id, run.agent_id);
    let stopped = cancel::in_transaction(conn, scope, now).await?;
    match enqueue::insert_issue_run(conn, issue, run, now).await {
        Err(EnqueueError::Store(error)) => Err(error),
        queued => Ok((stopped, queued)),
    }
}

async fn of_source(conn: &mut Conn, issue: &Issue, source: TaskId) -> Result<IssueRun, RerunError> {
    let task = tasks::find(conn, source).await?.ok_or(RerunError::NoSource)?;
    if task.issue_id != Some(issue.id) {
        return Err(RerunError::ForeignSource);
    }
    let trigger = match task.trigger_comment_id {
        Some(id) => comments::find(conn, id).await?,
        None => None,
    };
    let leads = task.squad_id.filter(|_| task.is_leader_task);
    Ok(IssueRun { leads, trigger, force_fresh_session: true, ..IssueRun::of(task.agent_id) })
}

async fn of_assignee(conn: &mut Conn, issue: &Issue) -> Result<IssueRun, RerunError> {
    let (agent_id, leads) = match issue.assignee() {
        Some(Assignee::Agent(id)) => (id, None),
        Some(Assignee::Squad(id)) => {
            let squad = assign::find_squad(conn, issue.workspace_id, id).await?;
            (squad.ok_or(RerunError::NoSquad)?.leader_id, Some(id))
        }
        Some(Assignee::Member(_)) | None => return Err(RerunError::Unassigned),
    };
    Ok(IssueRun { leads, force_fresh_session: true, ..IssueRun::of(agent_id) })
}

/// An agent that is gone is for the queue to refuse, with its own words.
async fn may_run(conn: &mut Conn, issue: &Issue, run: &IssueRun, by: Principal) -> Result<bool, StoreError> {
    match assign::find_agent(conn, issue.workspace_id, run.agent_id).await? {
        Some(agent) => permission::may_invoke(conn, &agent, by, issue.workspace_id).await,
        None => Ok(true),
    }
}
