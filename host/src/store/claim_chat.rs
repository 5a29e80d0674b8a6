//! What an answer to a claim of a chat's turn reads.

use uuid::Uuid;

use super::claim::PriorSession;
use super::{Conn, StoreError};
use crate::model::ids::{ChatSessionId, RuntimeId, TaskId, WorkspaceId};

/// Where a chat resumes, as its own row knows it.
#[derive(Clone, Debug)]
pub struct ChatPointer {
    pub title: String,
    pub session_id: Option<String>,
    pub work_dir: Option<String>,
    pub runtime_id: Option<RuntimeId>,
    /// Where it is held, if elsewhere: the kind of channel, and its last message and thread.
    pub channel_type: Option<String>,
    pub last_message_id: Option<String>,
    pub last_thread_id: Option<String>,
}

from_row!(ChatPointer {
    title,
    session_id,
    work_dir,
    runtime_id,
    channel_type,
    last_message_id,
    last_thread_id,
});

pub async fn find_pointer(
    conn: &mut Conn,
    id: ChatSessionId,
    workspace: WorkspaceId,
) -> Result<Option<ChatPointer>, StoreError> {
    const SQL: &str = "SELECT c.title, c.session_id, c.work_dir, c.runtime_id,
            b.channel_type, b.last_message_id, b.last_thread_id
        FROM chat_session c LEFT JOIN channel_chat_session_binding b ON b.chat_session_id = c.id
        WHERE c.id = $1 AND c.workspace_id = $2";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(id).bind(workspace).fetch_optional(c).await)?)
}

/// The latest run of the chat whose session may be resumed.
pub async fn find_prior_session(
    conn: &mut Conn,
    id: ChatSessionId,
) -> Result<Option<PriorSession>, StoreError> {
    const SQL: &str =
        "SELECT session_id, work_dir, runtime_id, status, failure_reason, error FROM agent_task_queue
        WHERE chat_session_id = $1 AND session_id IS NOT NULL AND status IN ('completed', 'failed')
        ORDER BY completed_at DESC, id DESC LIMIT 50";
    let runs = on_conn!(conn, |c| sqlx::query_as(SQL).bind(id).fetch_all(c).await)?;
    Ok(super::claim::first_to_resume(runs))
}

/// What the user said and nobody has answered: all after the agent's last word, and what
/// was said while an earlier turn was running already, from the message on that this turn
/// (or the one it repeats) was queued for. Oldest first.
pub async fn list_unanswered(
    conn: &mut Conn,
    id: ChatSessionId,
    task: TaskId,
    parent: Option<TaskId>,
) -> Result<Vec<(Uuid, String)>, StoreError> {
    const SQL: &str =
        "SELECT m.id, m.content FROM chat_message m WHERE m.chat_session_id = $1 AND m.role = 'user'
            AND (NOT EXISTS (SELECT 1 FROM chat_message l WHERE l.chat_session_id = m.chat_session_id
                    AND l.role <> 'user' AND (l.created_at, l.id) > (m.created_at, m.id))
                OR (EXISTS (SELECT 1 FROM chat_message k WHERE k.chat_session_id = m.chat_session_id
                        AND k.role = 'user' AND k.task_id IN ($2, $3)
                        AND (k.created_at, k.id) <= (m.created_at, m.id))
                    AND NOT EXISTS (SELECT 1 FROM agent_task_queue t
                        WHERE t.chat_session_id = m.chat_session_id AND t.id NOT IN ($2, $3)
                            AND t.status IN ('completed', 'failed') AND t.dispatched_at >= m.created_at)))
        ORDER BY m.created_at, m.id LIMIT 1000";
    let parent = parent.unwrap_or(task);
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(id).bind(task).bind(parent).fetch_all(c).await)?)
}
