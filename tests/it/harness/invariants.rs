//! What holds at every moment, whatever was called: looked at when a test ends.

use serde_json::{Value, json};

use super::Gateway;

/// Each query lists what must not be there.
const NEVER: [(&str, &str); 6] = [
    (
        "a task that ended still holds its secrets",
        "SELECT id, status FROM agent_task_queue WHERE status IN ('completed', 'failed', 'cancelled')
        AND (runtime_mcp_overlay IS NOT NULL OR runtime_connected_apps IS NOT NULL)",
    ),
    (
        "a task that ended still has a token",
        "SELECT t.id, t.status FROM agent_task_queue t JOIN task_token k ON k.task_id = t.id
        WHERE t.status IN ('completed', 'failed', 'cancelled')",
    ),
    (
        "a task that ended does not say when",
        "SELECT id, status FROM agent_task_queue WHERE status IN ('completed', 'failed', 'cancelled')
        AND completed_at IS NULL",
    ),
    (
        "a task that ended or runs is still being prepared",
        "SELECT id, status FROM agent_task_queue WHERE status IN ('queued', 'running', 'completed', 'failed', 'cancelled')
        AND prepare_lease_expires_at IS NOT NULL",
    ),
    (
        "a running task does not say since when",
        "SELECT id, status FROM agent_task_queue WHERE status = 'running' AND started_at IS NULL",
    ),
    (
        "an agent runs more than it may",
        "SELECT a.id, a.max_concurrent_tasks, count(*) AS held FROM agent a JOIN agent_task_queue t ON t.agent_id = a.id
        WHERE t.status IN ('dispatched', 'running', 'waiting_local_directory')
        GROUP BY a.id, a.max_concurrent_tasks HAVING count(*) > a.max_concurrent_tasks",
    ),
];

impl Gateway {
    pub(super) async fn check_invariants(&self) {
        for (what, sql) in NEVER {
            let found = self.rows(sql, Value::Null).await;
            assert!(found.is_empty(), "{what}: {found:?}");
        }
    }

    /// No task is stuck: every one has ended, or waits in the queue for a time to come.
    pub async fn assert_settled(&self) {
        const SQL: &str = "SELECT id, status, created_at FROM agent_task_queue
            WHERE status NOT IN ('completed', 'failed', 'cancelled', 'deferred')";
        let left = self.rows(SQL, json!([])).await;
        assert!(left.is_empty(), "tasks are left over: {left:?}");
    }
}
