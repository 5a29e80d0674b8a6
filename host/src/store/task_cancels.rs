//! Cancelling everything that is active in some respect, as one statement each.

use super::batch::Ids;
use super::tasks::task_columns;
use super::{Conn, StoreError};
use crate::model::ids::{AgentId, AutopilotId, ChatSessionId, CommentId, IssueId};
use crate::model::task::Task;
use crate::model::time::Time;

/// Which active tasks are meant.
#[derive(Clone, Debug)]
pub enum CancelScope {
    Issue(IssueId),
    IssueAndAgent(IssueId, AgentId),
    Agent(AgentId),
    TriggerComment(CommentId),
    ChatSession(ChatSessionId),
    /// Started by one of its runs.
    Autopilot(AutopilotId),
    /// Living on one of the runtimes or belonging to one of the agents.
    RuntimesOrAgents {
        runtimes: Ids,
        agents: Ids,
    },
}

/// On PostgreSQL rows are locked in one order, so that two bulk cancels cannot wait for
/// each other.
macro_rules! cancel_where {
    ($which:literal) => {
        cancel_where!($which, $which)
    };
    ($sqlite:literal, $postgres:literal) => {
        (
            concat!(
                "UPDATE agent_task_queue SET status = 'cancelled', completed_at = $1, prepare_lease_expires_at = NULL
                WHERE ",
                $sqlite,
                " AND status IN ('deferred', 'queued', 'dispatched', 'waiting_local_directory', 'running')
                RETURNING ",
                task_columns!()
            ),
            concat!(
                "UPDATE agent_task_queue SET status = 'cancelled', completed_at = $1, prepare_lease_expires_at = NULL
                WHERE id IN (SELECT id FROM agent_task_queue WHERE ",
                $postgres,
                " AND status IN ('deferred', 'queued', 'dispatched', 'waiting_local_directory', 'running')
                    ORDER BY id FOR NO KEY UPDATE)
                RETURNING ",
                task_columns!()
            ),
        )
    };
}

/// Nobody else moves the active tasks of an issue until the transaction ends.
pub async fn lock_of_issue(conn: &mut Conn, issue: IssueId) -> Result<(), StoreError> {
    const SQL: &str = "SELECT id FROM agent_task_queue WHERE issue_id = $1
            AND status IN ('deferred', 'queued', 'dispatched', 'waiting_local_directory', 'running')
        ORDER BY id FOR NO KEY UPDATE";
    match conn {
        // One writer, which is the caller.
        Conn::Sqlite(_) => Ok(()),
        Conn::Postgres(c) => Ok(sqlx::query(SQL).bind(issue).execute(&mut **c).await.map(drop)?),
    }
}

/// Cancels every active task of the scope and gives the rows as they are now.
pub async fn cancel_all(conn: &mut Conn, scope: CancelScope, now: Time) -> Result<Vec<Task>, StoreError> {
    let (sqlite, postgres) = match &scope {
        CancelScope::Issue(_) => cancel_where!("issue_id = $2"),
        CancelScope::IssueAndAgent(..) => cancel_where!("issue_id = $2 AND agent_id = $3"),
        CancelScope::Agent(_) => cancel_where!("agent_id = $2"),
        CancelScope::TriggerComment(_) => cancel_where!("trigger_comment_id = $2"),
        CancelScope::ChatSession(_) => cancel_where!("chat_session_id = $2"),
        CancelScope::Autopilot(_) => {
            cancel_where!("autopilot_run_id IN (SELECT id FROM autopilot_run WHERE autopilot_id = $2)")
        }
        CancelScope::RuntimesOrAgents { .. } => cancel_where!(
            "(runtime_id IN (SELECT unhex(value) FROM json_each($2))
                OR agent_id IN (SELECT unhex(value) FROM json_each($3)))",
            "(runtime_id = ANY($2) OR agent_id = ANY($3))"
        ),
    };
    let sql = by_engine!(conn, sqlite: sqlite, postgres: postgres);
    Ok(on_conn!(conn, |c| {
        let query = sqlx::query_as(sql).bind(now);
        match scope {
            CancelScope::Issue(id) => query.bind(id).fetch_all(c).await,
            CancelScope::IssueAndAgent(issue, agent) => query.bind(issue).bind(agent).fetch_all(c).await,
            CancelScope::Agent(id) => query.bind(id).fetch_all(c).await,
            CancelScope::TriggerComment(id) => query.bind(id).fetch_all(c).await,
            CancelScope::ChatSession(id) => query.bind(id).fetch_all(c).await,
            CancelScope::Autopilot(id) => query.bind(id).fetch_all(c).await,
            CancelScope::RuntimesOrAgents { runtimes, agents } => {
                query.bind(runtimes).bind(agents).fetch_all(c).await
            }
        }
    })?)
}
