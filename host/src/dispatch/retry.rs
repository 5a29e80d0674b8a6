//! A failed task gets another attempt, when the failure says nothing about the work.

use super::overlay::{self, Overlay};
use crate::app::App;
use crate::model::failure::{is_retryable, needs_fresh_session};
use crate::model::status::TaskStatus;
use crate::model::task::{NewTask, Task};
use crate::model::time::Time;
use crate::store::{Conn, StoreError, tasks};

/// Queues the next attempt in the transaction that failed the task, so that none is lost
/// between the two. `None` when the rules give no retry, or when other work of the agent
/// already waits on the issue.
pub async fn queue(
    conn: &mut Conn,
    failed: &Task,
    overlay: Overlay,
    now: Time,
) -> Result<Option<Task>, StoreError> {
    let Some(next) = next_attempt(failed, now) else { return Ok(None) };
    let next = NewTask {
        id: overlay.task_id,
        runtime_mcp_overlay: overlay.servers,
        runtime_connected_apps: overlay.apps,
        ..next
    };
    let queued = tasks::insert(conn, next).await?;
    if let Some(task) = &queued {
        tracing::info!(
            task.id = %task.id, parent.id = %failed.id, attempt = task.attempt, "a failed task is tried again"
        );
    } else {
        tracing::info!(
            task.id = %failed.id, "a failed task is not tried again: its agent has work waiting on the issue"
        );
    }
    Ok(queued)
}

/// What the next attempt of a task that is about to fail for this reason is given of its
/// agent's apps: as the agent is now, never what the first attempt had. Before the
/// transaction; nothing when there will be no next.
pub async fn overlay(app: &App, task: &Task, reason: &str) -> Overlay {
    if !overlay::is_wanted(app) {
        return Overlay::default();
    }
    let failed = Task { status: TaskStatus::Failed, failure_reason: Some(reason.to_owned()), ..task.clone() };
    match next_attempt(&failed, app.clock.now()) {
        Some(next) => overlay::prepare(app, next.agent_id, task.kind()).await,
        None => Overlay::default(),
    }
}

/// The task that follows a failed one, if any may.
fn next_attempt(failed: &Task, now: Time) -> Option<NewTask> {
    let reason = failed.failure_reason.as_deref().unwrap_or_default();
    let allowed = failed.status == TaskStatus::Failed
        && is_retryable(reason)
        && failed.attempt < failed.max_attempts
        && failed.autopilot_run_id.is_none()
        && (failed.issue_id.is_some() || failed.chat_session_id.is_some());
    if !allowed {
        return None;
    }
    let fresh = needs_fresh_session(reason);
    let resumed = |value: &Option<String>| value.clone().filter(|_| !fresh);
    Some(NewTask {
        issue_id: failed.issue_id,
        chat_session_id: failed.chat_session_id,
        priority: failed.priority,
        context: failed.context.clone(),
        session_id: resumed(&failed.session_id),
        work_dir: resumed(&failed.work_dir),
        trigger_comment_id: failed.trigger_comment_id,
        trigger_summary: failed.trigger_summary.clone(),
        attempt: failed.attempt + 1,
        max_attempts: failed.max_attempts,
        parent_task_id: Some(failed.id),
        force_fresh_session: fresh,
        is_leader_task: failed.is_leader_task,
        squad_id: failed.squad_id,
        handoff_note: failed.handoff_note.clone(),
        initiator_user_id: failed.initiator_user_id,
        originator_user_id: failed.originator_user_id,
        // The parent's runtime, not the one its agent has now: the session is there.
        ..NewTask::queued(failed.agent_id, failed.runtime_id, now)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::{AutopilotRunId, IssueId, UserId};
    use crate::model::task::tests::sample;
    use crate::model::time::Clock;

    fn failed(reason: &str) -> Task {
        Task {
            status: TaskStatus::Failed,
            issue_id: Some(IssueId::new()),
            failure_reason: Some(reason.to_owned()),
            session_id: Some("s".to_owned()),
            work_dir: Some("/w".to_owned()),
            handoff_note: Some("note".to_owned()),
            initiator_user_id: Some(UserId::new()),
            ..sample()
        }
    }

    #[test]
    fn only_failures_of_the_surroundings_are_tried_again_and_only_once() {
        let now = Clock::system().now();
        let retried = |task: &Task| next_attempt(task, now).is_some();
        for reason in ["runtime_offline", "runtime_recovery", "timeout", "codex_semantic_inactivity"] {
            assert!(retried(&failed(reason)), "{reason}");
            assert!(!retried(&Task { attempt: 2, ..failed(reason) }), "{reason}");
        }
        for reason in ["", "queued_expired", "agent_error.unknown"] {
            assert!(!retried(&failed(reason)), "{reason}");
        }
        assert!(!retried(&Task { issue_id: None, ..failed("timeout") }));
        assert!(!retried(&Task { autopilot_run_id: Some(AutopilotRunId::new()), ..failed("timeout") }));
        assert!(!retried(&Task { status: TaskStatus::Cancelled, ..failed("timeout") }));
    }

    #[test]
    fn a_retry_keeps_who_asked_and_what_was_said() {
        let parent = failed("timeout");
        let child = next_attempt(&parent, Clock::system().now()).unwrap_or_else(|| panic!("a retry"));
        assert_eq!((child.attempt, child.parent_task_id), (2, Some(parent.id)));
        assert_eq!(
            (&child.handoff_note, child.initiator_user_id),
            (&parent.handoff_note, parent.initiator_user_id)
        );
        assert_eq!((&child.session_id, child.force_fresh_session), (&parent.session_id, false));
        let child = next_attempt(&failed("codex_semantic_inactivity"), Clock::system().now());
        assert!(child.is_some_and(|child| child.session_id.is_none()
            && child.work_dir.is_none()
            && child.force_fresh_session));
    }

    mod laws {
        use proptest::prelude::*;

        use super::*;
        use crate::model::failure::is_resume_unsafe;
        use crate::model::ids::ChatSessionId;

        fn reason() -> impl Strategy<Value = Option<String>> {
            let known = [
                "runtime_offline",
                "runtime_recovery",
                "timeout",
                "codex_semantic_inactivity",
                "queued_expired",
                "iteration_limit",
                "agent_fallback_message",
                "api_invalid_request",
                "agent_blocked",
                "agent_error.unknown",
                "",
            ];
            prop_oneof![
                prop::sample::select(known.to_vec()).prop_map(|reason| Some(reason.to_owned())),
                "[a-z_.]{0,12}".prop_map(Some),
                Just(None),
            ]
        }

        prop_compose! {
            fn ended()(
                reason in reason(),
                status in prop::sample::select(vec![TaskStatus::Failed, TaskStatus::Completed, TaskStatus::Cancelled]),
                (issue, chat, run) in any::<(bool, bool, bool)>(),
                (attempt, max_attempts) in (1..5_i32, 0..5_i32),
                session in prop::option::of("[a-z]{1,4}"),
                note in prop::option::of("[a-z]{1,4}"),
            ) -> Task {
                Task {
                    status,
                    failure_reason: reason,
                    issue_id: issue.then(IssueId::new),
                    chat_session_id: chat.then(ChatSessionId::new),
                    autopilot_run_id: run.then(AutopilotRunId::new),
                    attempt,
                    max_attempts,
                    session_id: session.clone(),
                    work_dir: session,
                    handoff_note: note,
                    originator_user_id: Some(UserId::new()),
                    ..sample()
                }
            }
        }

        proptest! {
            /// There is a next attempt just when the surroundings failed, attempts are left, and
            /// somebody waits on an issue or in a chat.
            #[test]
            fn the_next_attempt_follows_the_rules(task in ended()) {
                let surroundings = matches!(
                    task.failure_reason.as_deref(),
                    Some("runtime_offline" | "runtime_recovery" | "timeout" | "codex_semantic_inactivity")
                );
                let expected = task.status == TaskStatus::Failed
                    && surroundings
                    && task.attempt < task.max_attempts
                    && task.autopilot_run_id.is_none()
                    && (task.issue_id.is_some() || task.chat_session_id.is_some());
                prop_assert_eq!(next_attempt(&task, Clock::system().now()).is_some(), expected);
            }

            /// It is the same work, once more, where it was; and it never resumes what must not be
            /// resumed.
            #[test]
            fn the_next_attempt_is_the_same_work(task in ended()) {
                let Some(next) = next_attempt(&task, Clock::system().now()) else { return Ok(()) };
                prop_assert_eq!((next.status, next.attempt), (TaskStatus::Queued, task.attempt + 1));
                prop_assert_eq!((next.agent_id, next.runtime_id), (task.agent_id, task.runtime_id));
                prop_assert_eq!((next.issue_id, next.chat_session_id), (task.issue_id, task.chat_session_id));
                prop_assert_eq!((&next.handoff_note, next.originator_user_id), (&task.handoff_note, task.originator_user_id));
                prop_assert_eq!((&next.runtime_mcp_overlay, &next.runtime_connected_apps), (&None, &None));
                let unsafe_to_resume = is_resume_unsafe(task.failure_reason.as_deref().unwrap_or_default());
                prop_assert_eq!(next.force_fresh_session, unsafe_to_resume);
                let pointer = if unsafe_to_resume { &None } else { &task.session_id };
                prop_assert_eq!((&next.session_id, &next.work_dir), (pointer, pointer));
            }

            /// However often it is lost, it comes to an end.
            #[test]
            fn attempts_run_out(task in ended()) {
                let most = task.max_attempts - task.attempt;
                let mut attempts = 0;
                let mut last = task;
                while let Some(next) = next_attempt(&last, Clock::system().now()) {
                    attempts += 1;
                    prop_assert!(attempts <= most);
                    last = Task { attempt: next.attempt, ..last };
                }
            }
        }
    }
}
