//! Somebody stands by: when a reply is for one agent, the issue's assignee is woken later
//! if that agent does not react.

use chrono::TimeDelta;
use serde_json::Value;

use super::enqueue::{self, EnqueueError, Fallback, IssueRun};
use super::route::Run;
use crate::model::issue::Issue;
use crate::model::task::Task;
use crate::model::time::Time;
use crate::store::{Conn, workspaces};

/// How long the one who is asked has, unless the workspace says otherwise.
const PATIENCE: i64 = 300;
/// More is as good as never, and keeps dates within what they can be.
const MOST_PATIENCE: i64 = 10 * 365 * 24 * 60 * 60;

/// Stores a run and lets another agent stand by for it, in one transaction: a run that starts
/// at once must find whom to stand down. Tell with [`enqueue::announce`] after its commit.
pub async fn insert_issue_run(
    conn: &mut Conn,
    issue: &Issue,
    run: IssueRun,
    fallback: Run,
    now: Time,
) -> Result<Task, EnqueueError> {
    let trigger = run.trigger.clone();
    let primary = enqueue::insert_issue_run(conn, issue, run, now).await?;
    let workspace = workspaces::find(conn, issue.workspace_id).await?;
    let after = workspace.and_then(|workspace| patience(&workspace.settings));
    if let (Some(trigger), Some(after)) = (trigger, after) {
        let Run { agent_id, leads } = fallback;
        let fallback = Fallback { agent_id, leads, trigger, primary: primary.id, after };
        let stored = enqueue::insert_fallback(conn, issue, fallback, now).await;
        // An agent that was retired meanwhile cannot stand by.
        if let Err(EnqueueError::Store(error)) = stored {
            return Err(error.into());
        }
    }
    Ok(primary)
}

/// What a workspace's settings say; `None` when nobody stands by there.
fn patience(settings: &Value) -> Option<TimeDelta> {
    let wanted = settings.pointer("/comment_routing/escalation_seconds").and_then(Value::as_i64);
    let seconds = wanted.unwrap_or(PATIENCE).min(MOST_PATIENCE);
    TimeDelta::try_seconds(seconds).filter(|_| seconds > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn patience_is_what_the_settings_say() {
        let check = |seconds: Value, expected: Option<i64>| {
            let settings = json!({"comment_routing": {"escalation_seconds": seconds}});
            assert_eq!(patience(&settings).map(|patience| patience.num_seconds()), expected, "{seconds}");
        };
        check(json!(60), Some(60));
        check(json!(0), None);
        check(json!(-1), None);
        check(json!(i64::MAX), Some(MOST_PATIENCE));
        for unreadable in [json!(null), json!("60"), json!(1.5), json!([])] {
            check(unreadable, Some(PATIENCE));
        }
        assert_eq!(patience(&json!({})), patience(&json!(null)));
    }
}
