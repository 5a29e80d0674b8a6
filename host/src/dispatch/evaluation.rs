//! A squad's leader says what it made of a turn. "No action" silences the rest of the run.

use serde_json::json;
use thiserror::Error;

use super::followers;
use crate::app::App;
use crate::model::activity::Activity;
use crate::model::actor::Actor;
use crate::model::ids::SquadId;
use crate::model::issue::{Assignee, Issue};
use crate::model::task::Task;
use crate::store::{Conn, StoreError, activities, squads, tasks};

/// What can be said of a turn.
pub const OUTCOMES: [&str; 3] = ["action", "no_action", "failed"];

/// Why nothing was recorded.
#[derive(Debug, Error)]
pub enum EvaluationError {
    #[error("issue is not assigned to a squad")]
    NotSquad,
    #[error("squad not found")]
    NoSquad,
    #[error("only the squad leader agent can record evaluations")]
    NotLeader,
    #[error("task does not belong to issue")]
    OtherIssue,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Records what a leader says. The squad is the one that the leader's task is for, which
/// may have been called to an issue that is somebody else's, or else the issue's assignee.
pub async fn record(
    app: &App,
    by: Actor,
    issue: &Issue,
    outcome: &'static str,
    reason: String,
) -> Result<Activity, EvaluationError> {
    let now = app.clock.now();
    let issue = issue.clone();
    let activity: Activity = app
        .db
        .write(move |c| {
            Box::pin(async move {
                let (squad_id, task) = authorise(c, by, &issue).await?;
                let details =
                    json!({"squad_id": squad_id, "task_id": task.id, "outcome": outcome, "reason": reason});
                let workspace = issue.workspace_id;
                let action = "squad_leader_evaluated";
                let activity = Activity::on_issue(workspace, issue.id, by, action, details, now);
                activities::insert(c, &activity).await?;
                Ok::<_, EvaluationError>(activity)
            })
        })
        .await?;
    followers::tell_activities(app, by, std::slice::from_ref(&activity));
    Ok(activity)
}

async fn authorise(conn: &mut Conn, by: Actor, issue: &Issue) -> Result<(SquadId, Task), EvaluationError> {
    let task = match by.task_id() {
        Some(id) => tasks::find(conn, id).await?,
        None => None,
    };
    let on_issue = task.as_ref().is_some_and(|task| task.issue_id == Some(issue.id));
    let led = task.as_ref().filter(|task| on_issue && task.is_leader_task).and_then(|task| task.squad_id);
    let assigned = match issue.assignee() {
        Some(Assignee::Squad(squad)) => Some(squad),
        Some(Assignee::Member(_) | Assignee::Agent(_)) | None => None,
    };
    let squad_id = led.or(assigned).ok_or(EvaluationError::NotSquad)?;
    let squad = squads::find(conn, squad_id).await?;
    let squad = squad.filter(|squad| squad.workspace_id == issue.workspace_id);
    let squad = squad.ok_or(EvaluationError::NoSquad)?;
    match (by, task) {
        (Actor::Agent { id, .. }, Some(task)) if id == squad.leader_id => {
            if on_issue {
                Ok((squad_id, task))
            } else {
                Err(EvaluationError::OtherIssue)
            }
        }
        _ => Err(EvaluationError::NotLeader),
    }
}
