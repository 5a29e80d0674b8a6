//! Cancelling everything that is active in some respect, as one statement each.

use super::batch::Ids;
use super::tasks::task_columns;
use super::{Conn, StoreError};
use crate::model::ids::{AgentId, ChatSessionId, CommentId, IssueId};
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
    /// Living on one of the runtimes or belonging to one of the agents.
    RuntimesOrAgents {
        runtimes: Ids,
        agents: Ids,
    },
}

macro_rules! cancel_where {
    ($which:literal) => {
        concat!(
            "UPDATE agent_task_queue SET status = 'cancelled', completed_at = $1, prepare_lease_expires_at = NULL
            WHERE ",
            $which,
            " AND status IN ('deferred', 'queued', 'dispatched', 'waiting_local_directory', 'running') RETURNING ",
            task_columns!()
        )
    };
}

/// Cancels every active task of the scope and gives the rows as they are now.
pub async fn cancel_all(conn: &mut Conn, scope: CancelScope, now: Time) -> Result<Vec<Task>, StoreError> {
    const ISSUE: &str = cancel_where!("issue_id = $2");
    const PAIR: &str = cancel_where!("issue_id = $2 AND agent_id = $3");
    const AGENT: &str = cancel_where!("agent_id = $2");
    const COMMENT: &str = cancel_where!("trigger_comment_id = $2");
    const CHAT: &str = cancel_where!("chat_session_id = $2");
    let either = by_engine!(conn,
        sqlite: cancel_where!("(runtime_id IN (SELECT unhex(value) FROM json_each($2))
            OR agent_id IN (SELECT unhex(value) FROM json_each($3)))"),
        postgres: cancel_where!("(runtime_id = ANY($2) OR agent_id = ANY($3))"),
    );
    Ok(on_conn!(conn, |c| match scope {
        CancelScope::Issue(issue) => sqlx::query_as(ISSUE).bind(now).bind(issue).fetch_all(c).await,
        CancelScope::IssueAndAgent(issue, agent) => {
            sqlx::query_as(PAIR).bind(now).bind(issue).bind(agent).fetch_all(c).await
        }
        CancelScope::Agent(agent) => sqlx::query_as(AGENT).bind(now).bind(agent).fetch_all(c).await,
        CancelScope::TriggerComment(id) => sqlx::query_as(COMMENT).bind(now).bind(id).fetch_all(c).await,
        CancelScope::ChatSession(id) => sqlx::query_as(CHAT).bind(now).bind(id).fetch_all(c).await,
        CancelScope::RuntimesOrAgents { runtimes, agents } => {
            sqlx::query_as(either).bind(now).bind(runtimes).bind(agents).fetch_all(c).await
        }
    })?)
}
