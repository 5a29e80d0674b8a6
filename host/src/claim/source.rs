//! What a claimed task of a chat or an autopilot carries about where it comes from.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::dispatch::claim::Claimed;
use crate::model::attachment::Attachment;
use crate::model::ids::{AutopilotRunId, ChatSessionId};
use crate::store::batch::Ids;
use crate::store::claim_autopilot::{self, AutopilotContext};
use crate::store::{Conn, StoreError, attachments, claim_chat};

/// A chat's turn.
pub struct ChatContext {
    title: String,
    prior_session_id: Option<String>,
    prior_work_dir: Option<String>,
    /// What the user said since the agent's last word.
    message: String,
    /// What hangs on what the user said, in that order.
    attachments: Vec<Attachment>,
    /// Set when it is held in Slack: whether the last word there was in a thread.
    slack: Option<InThread>,
}

struct InThread(bool);

pub async fn load_chat(
    conn: &mut Conn,
    claimed: &Claimed,
    session: ChatSessionId,
) -> Result<Option<ChatContext>, StoreError> {
    let task = &claimed.task;
    let Some(pointer) = claim_chat::find_pointer(conn, session, claimed.workspace_id).await? else {
        return Ok(None);
    };
    let said = claim_chat::list_unanswered(conn, session, task.id, task.parent_task_id).await?;
    let ids: Vec<Uuid> = said.iter().map(|(id, _)| *id).collect();
    let mut attachments = attachments::list_on_messages(conn, &Ids::of(ids.iter().copied())).await?;
    attachments.sort_by_key(|attachment| ids.iter().position(|id| Some(*id) == attachment.chat_message_id));
    let said: Vec<&str> =
        said.iter().map(|(_, text)| text.as_str()).filter(|text| !text.trim().is_empty()).collect();
    let slack = pointer.channel_type.as_deref() == Some("slack");
    let thread = pointer.last_thread_id.as_deref().unwrap_or_default();
    let in_thread = !thread.is_empty() && Some(thread) != pointer.last_message_id.as_deref();
    let mut chat = ChatContext {
        slack: slack.then_some(InThread(in_thread)),
        title: pointer.title,
        prior_session_id: None,
        prior_work_dir: None,
        message: said.join("\n\n"),
        attachments,
    };
    if !task.force_fresh_session {
        // The session's own pointer first; what it lacks comes from the last good run. A
        // session lives on the machine it ran on.
        let here = |runtime| runtime == task.runtime_id;
        chat.prior_session_id = pointer.session_id.filter(|_| pointer.runtime_id.is_some_and(here));
        chat.prior_work_dir = pointer.work_dir;
        if chat.prior_session_id.is_none() || chat.prior_work_dir.is_none() {
            let run = claim_chat::find_prior_session(conn, session).await?;
            let (session_id, work_dir) = match run {
                Some(run) => (Some(run.session_id).filter(|_| here(run.runtime_id)), run.work_dir),
                None => (None, None),
            };
            chat.prior_session_id = chat.prior_session_id.or(session_id);
            chat.prior_work_dir = chat.prior_work_dir.or(work_dir);
        }
    }
    Ok(Some(chat))
}

impl ChatContext {
    pub fn members(&self, body: &mut Map<String, Value>) {
        let name = if self.title.trim().is_empty() { &self.message } else { &self.title };
        text(body, "thread_name", Some(name));
        text(body, "prior_session_id", self.prior_session_id.as_deref());
        text(body, "prior_work_dir", self.prior_work_dir.as_deref());
        text(body, "chat_message", Some(&self.message));
        if !self.attachments.is_empty() {
            let attachments = self.attachments.iter().map(|attachment| {
                let mut entry = json!({"id": attachment.id, "filename": attachment.filename});
                if !attachment.content_type.is_empty() {
                    entry["content_type"] = attachment.content_type.as_str().into();
                }
                entry
            });
            body.insert("chat_message_attachments".to_owned(), attachments.collect());
        }
        if let Some(InThread(in_thread)) = self.slack {
            body.insert("chat_channel_type".to_owned(), "slack".into());
            if in_thread {
                body.insert("chat_in_thread".to_owned(), true.into());
            }
        }
    }
}

pub async fn load_autopilot(
    conn: &mut Conn,
    claimed: &Claimed,
    run: AutopilotRunId,
) -> Result<Option<AutopilotContext>, StoreError> {
    claim_autopilot::find(conn, run, claimed.workspace_id).await
}

pub fn autopilot_members(autopilot: &AutopilotContext, body: &mut Map<String, Value>) {
    text(body, "autopilot_id", Some(&autopilot.autopilot_id.to_string()));
    text(body, "autopilot_title", Some(&autopilot.title));
    text(body, "autopilot_description", autopilot.description.as_deref());
    text(body, "autopilot_source", Some(&autopilot.source));
    text(body, "thread_name", Some(&autopilot.title));
    if let Some(payload) = autopilot.trigger_payload.as_ref().filter(|payload| !payload.is_null()) {
        body.insert("autopilot_trigger_payload".to_owned(), payload.clone());
    }
}

fn text(body: &mut Map<String, Value>, name: &str, text: Option<&str>) {
    if let Some(text) = text.filter(|text| !text.is_empty()) {
        body.insert(name.to_owned(), text.into());
    }
}
