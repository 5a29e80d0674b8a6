//! An autopilot's run follows the task that it started, or the last one on its issue.

use super::autopilot;
use super::cancel::{self, Cancelled};
use super::lifecycle::to_the_end;
use crate::app::App;
use crate::model::ids::{AutopilotId, WorkspaceId};
use crate::model::status::TaskStatus;
use crate::model::task::Task;
use crate::model::time::Time;
use crate::store::autopilots::{self, EndedRun};
use crate::store::task_cancels::CancelScope;
use crate::store::{Conn, StoreError, autopilot_runs, autopilot_settings};

/// A run that ended with a task, and how.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    run: EndedRun,
    status: &'static str,
}

/// Ends the run of a task that has ended, in the transaction that ended it and after its
/// retry was queued.
pub async fn task(conn: &mut Conn, task: &Task, now: Time) -> Result<Vec<Ended>, StoreError> {
    let done = task.status == TaskStatus::Completed;
    let status = if done { "completed" } else { "failed" };
    if let Some(run) = task.autopilot_run_id {
        let stopped = format!("task {}", task.status.as_str());
        let reason = if done { None } else { Some(task.error.as_deref().unwrap_or(&stopped)) };
        let result = task.result.as_ref().filter(|_| done);
        let ended = autopilot_runs::end(conn, run, status, result, reason, now).await?;
        return Ok(ended.map(|run| Ended { run, status }).into_iter().collect());
    }
    let Some(issue) = task.issue_id.filter(|_| task.status == TaskStatus::Failed) else {
        return Ok(Vec::new());
    };
    if autopilot_runs::has_live_task(conn, issue).await? {
        return Ok(Vec::new());
    }
    let error = task.error.as_deref().filter(|error| !error.is_empty());
    let reason = error.or(task.failure_reason.as_deref()).unwrap_or("task failed");
    let runs = autopilots::end_runs_of_issue(conn, issue, status, Some(reason), now).await?;
    Ok(runs.into_iter().map(|run| Ended { run, status }).collect())
}

/// Tells clients.
pub fn tell(app: &App, workspace: WorkspaceId, ended: &[Ended]) {
    for Ended { run, status } in ended {
        autopilot::tell_ended(app, workspace, std::slice::from_ref(run), status);
    }
}

/// Deletes an autopilot. What it has under way is stopped first, while the task can still
/// be told from others.
pub async fn delete(app: &App, id: AutopilotId) -> Result<(), StoreError> {
    let app = app.clone();
    to_the_end(async move {
        let now = app.clock.now();
        let cancelled: Cancelled = app
            .db
            .write(move |c| {
                Box::pin(async move {
                    let cancelled = cancel::in_transaction(c, CancelScope::Autopilot(id), now).await?;
                    autopilot_settings::delete(c, id).await?;
                    Ok::<_, StoreError>(cancelled)
                })
            })
            .await?;
        cancelled.announce(&app).await;
        Ok(())
    })
    .await
}
