//! What people read when a run ends: a comment on the issue, or a reply in the chat.

use serde_json::{Value, json};
use uuid::Uuid;

use super::comment::{self, NewComment, Posted};
use crate::app::App;
use crate::model::ids::WorkspaceId;
use crate::model::redact;
use crate::model::task::Task;
use crate::model::text::{decode_escapes, is_trivial_acknowledgement};
use crate::model::time::{Time, nanos};
use crate::store::batch::Ids;
use crate::store::sessions::Reply;
use crate::store::{Conn, StoreError, comments};

/// What a run printed at its end, as people may read it: without secrets.
#[derive(Debug)]
pub struct Output {
    text: String,
    is_trivial: bool,
}

impl Output {
    /// Takes a while, where it is long.
    pub fn of(output: &str) -> Self {
        let text = decode_escapes(output);
        Self { is_trivial: is_trivial_acknowledgement(&text), text: redact::text(&text) }
    }
}

/// What its issue shows of a run that wrote nothing itself. Nothing for a mere "done" in answer to a
/// comment.
pub fn output(task: &Task, output: &Output) -> Option<Word> {
    if task.trigger_comment_id.is_some() && output.is_trivial {
        return None;
    }
    word(task, output.text.clone(), "comment")
}

/// Why a run failed, as its issue shows it.
pub fn error(task: &Task, error: &str) -> Option<Word> {
    word(task, redact::text(error), "system")
}

fn word(task: &Task, content: String, kind: &'static str) -> Option<Word> {
    task.issue_id.filter(|_| !content.is_empty())?;
    Some(Word { content, kind })
}

/// What an issue is told of a run's end.
#[derive(Clone, Debug)]
pub struct Word {
    content: String,
    kind: &'static str,
}

/// Writes it as the agent, under the comment that started the run, in the transaction that
/// ends the run: an end that is known has its word. Tell of it with [`comment::tell`].
pub async fn insert(
    conn: &mut Conn,
    workspace_id: WorkspaceId,
    task: &Task,
    word: Word,
    now: Time,
) -> Result<Option<Posted>, StoreError> {
    let Some(issue_id) = task.issue_id else { return Ok(None) };
    // Whoever deleted it since must not keep the run from ending.
    let parent_id = match task.trigger_comment_id {
        Some(id) => comments::find(conn, id).await?.map(|parent| parent.id),
        None => None,
    };
    let new = NewComment {
        issue_id,
        workspace_id,
        author_type: "agent",
        author_id: task.agent_id.0,
        content: word.content,
        kind: word.kind,
        parent_id,
        source_task_id: Some(task.id),
        attachments: Vec::new(),
    };
    comment::insert(conn, new.at(now), Ids::of([])).await.map(Some)
}

/// The agent's answer in a chat; nothing when it printed nothing.
pub fn answer(task: &Task, output: &Output, now: Time) -> Option<Reply> {
    if task.chat_session_id.is_none() || output.text.is_empty() {
        return None;
    }
    reply(task, output.text.clone(), None, now)
}

/// What a chat says when a run failed for good. There is always one: it closes the turn,
/// so that the next does not begin with the same messages.
pub fn apology(task: &Task, error: &str, reason: &str, now: Time) -> Option<Reply> {
    reply(task, redact::text(error), Some(reason.to_owned()), now)
}

fn reply(task: &Task, content: String, failure_reason: Option<String>, now: Time) -> Option<Reply> {
    Some(Reply {
        id: Uuid::now_v7(),
        session_id: task.chat_session_id?,
        task_id: task.id,
        content,
        failure_reason,
        elapsed_ms: (now - task.created_at).num_milliseconds().max(0),
        created_at: now,
    })
}

/// Tells clients that a chat's turn is over, with the reply if there was one.
pub fn chat_done(app: &App, workspace_id: WorkspaceId, task: &Task, reply: Option<&Reply>) {
    let Some(session_id) = task.chat_session_id else { return };
    app.events.system(workspace_id, "chat:done", || {
        let mut payload = json!({"chat_session_id": session_id, "task_id": task.id});
        if let (Some(reply), Some(map)) = (reply, payload.as_object_mut()) {
            map.insert("message_id".to_owned(), reply.id.to_string().into());
            map.insert("content".to_owned(), reply.content.clone().into());
            if reply.elapsed_ms > 0 {
                map.insert("elapsed_ms".to_owned(), reply.elapsed_ms.into());
            }
            map.insert("created_at".to_owned(), Value::from(nanos(reply.created_at)));
        }
        payload
    });
}
