//! Talking with an agent: a session, and a task for every message that a person sends.

use serde_json::json;
use thiserror::Error;
use uuid::Uuid;

use super::lifecycle::to_the_end;
use super::overlay::{self, Overlay};
use super::{cancel, enqueue, permission};
use crate::app::App;
use crate::model::actor::Actor;
use crate::model::agent::Agent;
use crate::model::chat::{ChatMessage, ChatSession};
use crate::model::ids::{AgentId, AttachmentId, ChatSessionId, UserId, WorkspaceId};
use crate::model::status::TaskKind;
use crate::model::task::{NewTask, Task};
use crate::model::time::{Time, seconds};
use crate::model::workspace::Role;
use crate::store::attachments::Message;
use crate::store::batch::Ids;
use crate::store::task_cancels::CancelScope;
use crate::store::{Conn, StoreError, agent_targets, agents, attachments, chats, tasks};

/// What a chat's task is worth in the queue: that of an issue of medium priority.
const PRIORITY: i32 = 2;

/// A person at a chat, alone or through the agent that works for them.
#[derive(Clone, Copy, Debug)]
pub struct Talker {
    pub workspace_id: WorkspaceId,
    pub user_id: UserId,
    pub role: Role,
    pub actor: Actor,
}

#[derive(Debug, Error)]
pub enum ChatError {
    #[error("chat session not found")]
    NoSession,
    #[error("not your chat session")]
    NotYours,
    #[error("agent not found")]
    NoAgent,
    #[error("agent is archived")]
    AgentArchived,
    #[error("you do not have access to this agent")]
    NoAccess,
    #[error("chat session is archived")]
    SessionArchived,
    /// The message is stored, and nobody will answer it.
    #[error("failed to enqueue chat task: chat task: agent archived")]
    NotQueued,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Begins a chat with an agent that the talker may start.
pub async fn open(
    app: &App,
    talker: Talker,
    agent_id: AgentId,
    title: String,
) -> Result<ChatSession, ChatError> {
    let now = app.clock.now();
    app.db
        .write(move |c| {
            Box::pin(async move {
                let agent = agents::find(c, agent_id).await?;
                let agent = agent.filter(|agent| agent.workspace_id == talker.workspace_id);
                let agent = agent.ok_or(ChatError::NoAgent)?;
                if agent.archived_at.is_some() {
                    return Err(ChatError::AgentArchived);
                }
                if !may_start(c, &agent, talker).await? {
                    return Err(ChatError::NoAccess);
                }
                let session = ChatSession {
                    id: ChatSessionId::new(),
                    workspace_id: talker.workspace_id,
                    agent_id,
                    creator_id: talker.user_id,
                    title,
                    status: "active".to_owned(),
                    unread_since: None,
                    created_at: now,
                    updated_at: now,
                };
                chats::insert(c, &session, agent.runtime_id).await?;
                Ok(session)
            })
        })
        .await
}

/// The talker's own session. Another person's is not shown, whatever the role.
pub async fn find_own(conn: &mut Conn, talker: Talker, id: ChatSessionId) -> Result<ChatSession, ChatError> {
    let session = chats::find(conn, id).await?;
    let session = session.filter(|session| session.workspace_id == talker.workspace_id);
    let session = session.ok_or(ChatError::NoSession)?;
    if session.creator_id != talker.user_id {
        return Err(ChatError::NotYours);
    }
    Ok(session)
}

/// As [`find_own`], if its agent may still be seen.
pub async fn find_visible(
    conn: &mut Conn,
    talker: Talker,
    id: ChatSessionId,
) -> Result<(ChatSession, Agent), ChatError> {
    let session = find_own(conn, talker, id).await?;
    let agent = agents::find(conn, session.agent_id).await?.ok_or(ChatError::NoAgent)?;
    if may_see(conn, &agent, talker).await? { Ok((session, agent)) } else { Err(ChatError::NoAccess) }
}

/// The talker's sessions with agents that may still be seen.
pub async fn list(
    conn: &mut Conn,
    talker: Talker,
    archived_too: bool,
) -> Result<Vec<ChatSession>, ChatError> {
    let sessions = chats::list_of_user(conn, talker.workspace_id, talker.user_id, archived_too).await?;
    let visible = Visible::among(conn, talker, sessions.iter().map(|session| session.agent_id)).await?;
    Ok(sessions.into_iter().filter(|session| visible.has(session.agent_id)).collect())
}

/// The agents of a list that may be seen.
struct Visible(Vec<AgentId>);

impl Visible {
    async fn among(
        conn: &mut Conn,
        talker: Talker,
        agents: impl Iterator<Item = AgentId>,
    ) -> Result<Self, StoreError> {
        let distinct: std::collections::BTreeSet<AgentId> = agents.collect();
        let mut seen = Vec::with_capacity(distinct.len());
        for id in distinct {
            if let Some(agent) = agents::find(conn, id).await?
                && may_see(conn, &agent, talker).await?
            {
                seen.push(id);
            }
        }
        Ok(Self(seen))
    }

    fn has(&self, agent: AgentId) -> bool {
        self.0.contains(&agent)
    }
}

async fn may_see(conn: &mut Conn, agent: &Agent, talker: Talker) -> Result<bool, StoreError> {
    let targets = agent_targets::list(conn, agent.id).await?;
    Ok(permission::may_view(agent, &targets, talker.user_id, talker.role, talker.actor.is_agent()))
}

async fn may_start(conn: &mut Conn, agent: &Agent, talker: Talker) -> Result<bool, StoreError> {
    let principal = permission::of_actor(conn, talker.actor).await?;
    permission::may_invoke(conn, agent, principal, talker.workspace_id).await
}

/// A message on its way to the agent.
#[derive(Debug)]
pub struct Said {
    pub message_id: Uuid,
    /// The uploads that it has now.
    pub attachments: Vec<AttachmentId>,
    pub task: Box<Task>,
}

/// What became of a message in its transaction.
enum Sent {
    Queued(Said),
    /// Stored alone.
    NobodyAnswers,
}

/// Stores what the talker says and queues the turn that answers it. Nothing is waited for:
/// turns of a session run one after another.
pub async fn say(
    app: &App,
    talker: Talker,
    id: ChatSessionId,
    content: String,
    uploads: Vec<Uuid>,
) -> Result<Said, ChatError> {
    let app = app.clone();
    to_the_end(async move {
        let overlay = overlay_of(&app, talker, id).await;
        let now = app.clock.now();
        let told = content.clone();
        let sent: Result<Sent, ChatError> = app
            .db
            .write(move |c| Box::pin(store(c, talker, id, content, Ids::of(uploads), overlay, now)))
            .await;
        let said = match sent {
            Ok(Sent::Queued(said)) => said,
            Ok(Sent::NobodyAnswers) => return Err(ChatError::NotQueued),
            // The session was deleted while its message waited to be stored.
            Err(ChatError::Store(StoreError::Reference { .. })) => return Err(ChatError::NoSession),
            Err(error) => return Err(error),
        };
        enqueue::announce(&app, talker.workspace_id, &said.task);
        app.events.by(talker.actor, talker.workspace_id, "chat:message", || {
            json!({
                "chat_session_id": id,
                "message_id": said.message_id,
                "role": "user",
                "content": told,
                "task_id": said.task.id,
                "created_at": seconds(now),
            })
        });
        Ok(said)
    })
    .await
}

/// What a turn is given of its agent's apps; nothing for somebody who may not talk here.
async fn overlay_of(app: &App, talker: Talker, id: ChatSessionId) -> Overlay {
    if !overlay::is_wanted(app) {
        return Overlay::default();
    }
    let agent = async {
        let mut conn = app.db.reader().await?;
        let (_, agent) = find_visible(&mut conn, talker, id).await?;
        Ok::<_, ChatError>(may_start(&mut conn, &agent, talker).await?.then_some(agent.id))
    };
    match agent.await {
        Ok(Some(agent)) => overlay::prepare(app, agent, TaskKind::Chat).await,
        // Whatever is wrong is found again where the message is stored.
        Ok(None) | Err(_) => Overlay::default(),
    }
}

async fn store(
    conn: &mut Conn,
    talker: Talker,
    id: ChatSessionId,
    content: String,
    uploads: Ids,
    overlay: Overlay,
    now: Time,
) -> Result<Sent, ChatError> {
    let (session, agent) = find_visible(conn, talker, id).await?;
    // Who may only see the agent may read what was said before.
    if !may_start(conn, &agent, talker).await? {
        return Err(ChatError::NoAccess);
    }
    if session.status != "active" {
        return Err(ChatError::SessionArchived);
    }
    let task_id = agent.archived_at.is_none().then_some(overlay.task_id);
    let message = ChatMessage {
        id: Uuid::now_v7(),
        chat_session_id: id,
        role: "user".to_owned(),
        content,
        task_id,
        failure_reason: None,
        elapsed_ms: None,
        created_at: now,
    };
    chats::insert_message(conn, &message).await?;
    let attachments = if uploads.is_empty() {
        Vec::new()
    } else {
        let message = Message {
            id: message.id,
            session: id,
            workspace: talker.workspace_id,
            uploader_type: talker.actor.kind(),
            uploader_id: talker.actor.id(),
        };
        attachments::bind_to_message(conn, message, &uploads).await?
    };
    chats::touch(conn, id, now).await?;
    let Some(task_id) = task_id else { return Ok(Sent::NobodyAnswers) };
    let new = NewTask {
        id: task_id,
        chat_session_id: Some(id),
        priority: PRIORITY,
        initiator_user_id: Some(talker.user_id),
        originator_user_id: Some(talker.user_id),
        runtime_mcp_overlay: overlay.servers,
        runtime_connected_apps: overlay.apps,
        ..NewTask::queued(agent.id, agent.runtime_id, now)
    };
    match tasks::insert(conn, new).await? {
        Some(task) => Ok(Sent::Queued(Said { message_id: message.id, attachments, task: Box::new(task) })),
        None => Ok(Sent::NobodyAnswers),
    }
}

pub async fn rename(
    app: &App,
    talker: Talker,
    id: ChatSessionId,
    title: String,
) -> Result<ChatSession, ChatError> {
    let app = app.clone();
    to_the_end(async move {
        let now = app.clock.now();
        let renamed: ChatSession = app
            .db
            .write(move |c| {
                Box::pin(async move {
                    find_visible(c, talker, id).await?;
                    chats::rename(c, id, &title, now).await?.ok_or(ChatError::NoSession)
                })
            })
            .await?;
        app.events.by(talker.actor, talker.workspace_id, "chat:session_updated", || {
            json!({
                "chat_session_id": id,
                "title": renamed.title,
                "updated_at": seconds(renamed.updated_at),
            })
        });
        Ok(renamed)
    })
    .await
}

/// The talker has seen everything.
pub async fn read(app: &App, talker: Talker, id: ChatSessionId) -> Result<(), ChatError> {
    app.db
        .write_soon(move |c| {
            Box::pin(async move {
                find_visible(c, talker, id).await?;
                Ok::<_, ChatError>(chats::mark_read(c, id).await?)
            })
        })
        .await?;
    app.events.by(talker.actor, talker.workspace_id, "chat:session_read", || json!({"chat_session_id": id}));
    Ok(())
}

/// Stops what is under way and deletes everything that was said.
pub async fn delete(app: &App, talker: Talker, id: ChatSessionId) -> Result<(), ChatError> {
    let app = app.clone();
    to_the_end(async move {
        let now = app.clock.now();
        let (cancelled, urls): (cancel::Cancelled, Vec<String>) = app
            .db
            .write(move |c| {
                Box::pin(async move {
                    find_own(c, talker, id).await?;
                    // Nobody can say anything between the two.
                    if !chats::lock(c, id).await? {
                        return Err(ChatError::NoSession);
                    }
                    let cancelled = cancel::in_transaction(c, CancelScope::ChatSession(id), now).await?;
                    let urls = attachments::list_urls_of_chat(c, id).await?;
                    chats::delete_binding(c, id).await?;
                    chats::delete(c, id).await?;
                    Ok((cancelled, urls))
                })
            })
            .await?;
        app.uploads.forget(urls).await;
        cancelled.announce(&app).await;
        let payload = || json!({"chat_session_id": id});
        app.events.by(talker.actor, talker.workspace_id, "chat:session_deleted", payload);
        Ok(())
    })
    .await
}
