//! Tasks that stand by for another, ended when they are not needed.

/// What stands by on an issue for a task of an agent, and does not run yet. The one it stands by
/// for is on the same issue. SQLite is told by which index.
macro_rules! standing_by {
    ($issue:literal, $agent:literal) => {
        concat!(
            "issue_id = ",
            $issue,
            " AND escalation_for_task_id IS NOT NULL
            AND status IN ('deferred', 'queued', 'dispatched', 'waiting_local_directory')
            AND (SELECT p.agent_id FROM agent_task_queue p
                WHERE p.id = agent_task_queue.escalation_for_task_id) = ",
            $agent
        )
    };
}
pub(super) use standing_by;

macro_rules! end_standing_by {
    ($by:literal, $issue:literal, $agent:literal, $now:literal) => {
        concat!(
            "UPDATE agent_task_queue ",
            $by,
            " SET status = 'cancelled', prepare_lease_expires_at = NULL, completed_at = ",
            $now,
            " WHERE ",
            standing_by!($issue, $agent)
        )
    };
}
pub(super) use end_standing_by;
