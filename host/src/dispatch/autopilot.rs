//! An autopilot's run follows the issue that it made.

use serde_json::json;

use crate::app::App;
use crate::model::ids::{IssueId, WorkspaceId};
use crate::model::time::Time;
use crate::store::autopilots::{self, EndedRun};
use crate::store::{Conn, StoreError};

/// How a run ends when its issue gets this status; `None` when it goes on.
pub fn outcome(issue_status: &str) -> Option<(&'static str, Option<&'static str>)> {
    match issue_status {
        "done" | "in_review" => Some(("completed", None)),
        "cancelled" => Some(("failed", Some("issue cancelled"))),
        "blocked" => Some(("failed", Some("issue blocked"))),
        _ => None,
    }
}

/// Ends the runs that made an issue, if its new status ends them.
pub async fn follow(
    conn: &mut Conn,
    issue: IssueId,
    issue_status: &str,
    now: Time,
) -> Result<Vec<EndedRun>, StoreError> {
    match outcome(issue_status) {
        Some((status, reason)) => autopilots::end_runs_of_issue(conn, issue, status, reason, now).await,
        None => Ok(Vec::new()),
    }
}

/// Tells clients of runs that ended with this status.
pub fn tell_ended(app: &App, workspace: WorkspaceId, runs: &[EndedRun], status: &str) {
    for run in runs {
        app.events.system(
            workspace,
            "autopilot:run_done",
            || json!({"run_id": run.id, "autopilot_id": run.autopilot_id, "status": status}),
        );
    }
}
