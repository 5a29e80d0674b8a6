//! An issue from a prompt: an agent is asked to write it, and whoever asked is told what
//! came of it.

use serde_json::{Value, json};
use thiserror::Error;
use uuid::Uuid;

use super::enqueue::EnqueueError;
use super::followers;
use super::lifecycle::to_the_end;
use super::overlay;
use super::permission::Principal;
use super::wakeup;
use crate::app::App;
use crate::model::actor::Actor;
use crate::model::agent::Agent;
use crate::model::ids::{IssueId, ProjectId, SquadId, UserId, WorkspaceId};
use crate::model::inbox::InboxItem;
use crate::model::redact;
use crate::model::runtime::Runtime;
use crate::model::status::TaskKind;
use crate::model::subscriber::Subscriber;
use crate::model::task::{NewTask, QuickCreate, Task};
use crate::model::time::Time;
use crate::store::{Conn, StoreError, inbox, issue_tree, tasks, workspaces};

/// Where a prompt stands in the queue.
const PRIORITY: i32 = 3;
const NO_ISSUE: &str = "agent finished without creating an issue";
const NO_REASON: &str = "Quick create did not finish successfully";

/// An issue as somebody asks for it.
#[derive(Clone, Debug)]
pub struct Prompt {
    pub workspace_id: WorkspaceId,
    pub text: String,
    pub requester: UserId,
    /// In whose name the agent works.
    pub by: Principal,
    pub squad_id: Option<SquadId>,
    pub project_id: Option<ProjectId>,
    pub parent_issue_id: Option<IssueId>,
    pub attachment_ids: Vec<Uuid>,
}

/// Why a prompt cannot be given to an agent now.
#[derive(Debug, Error)]
pub enum Unavailable {
    #[error("agent has no runtime")]
    NoRuntime,
    #[error("agent's runtime is offline")]
    Offline,
}

/// Whether an agent can be asked at once.
pub fn check_reachable(runtime: Option<&Runtime>) -> Result<&Runtime, Unavailable> {
    let runtime = runtime.ok_or(Unavailable::NoRuntime)?;
    if runtime.status == "online" { Ok(runtime) } else { Err(Unavailable::Offline) }
}

/// Queues the agent. Clients are told nothing; its daemon is woken.
pub async fn enqueue(app: &App, agent: &Agent, prompt: Prompt) -> Result<Task, EnqueueError> {
    let overlay = overlay::prepare(app, agent.id, TaskKind::QuickCreate).await;
    let now = app.clock.now();
    let new = NewTask {
        id: overlay.task_id,
        runtime_mcp_overlay: overlay.servers,
        runtime_connected_apps: overlay.apps,
        priority: PRIORITY,
        originator_user_id: prompt.by.user(),
        context: Some(context(&prompt)),
        ..NewTask::queued(agent.id, agent.runtime_id, now)
    };
    let app = app.clone();
    to_the_end(async move {
        let task: Task = app
            .db
            .write(move |c| {
                Box::pin(async move { tasks::insert(c, new).await?.ok_or(EnqueueError::AlreadyPending) })
            })
            .await?;
        tracing::info!(task.id = %task.id, agent.id = %task.agent_id, "an agent was asked for an issue");
        wakeup::wake(&app, &task);
        Ok(task)
    })
    .await
}

fn context(prompt: &Prompt) -> Value {
    let mut context = json!({
        "type": "quick_create",
        "prompt": prompt.text,
        "requester_id": prompt.requester,
        "workspace_id": prompt.workspace_id,
    });
    let ids = [
        ("project_id", prompt.project_id.map(|id| id.0)),
        ("squad_id", prompt.squad_id.map(|id| id.0)),
        ("parent_issue_id", prompt.parent_issue_id.map(|id| id.0)),
    ];
    for (name, id) in ids {
        if let Some(id) = id {
            context[name] = id.to_string().into();
        }
    }
    if !prompt.attachment_ids.is_empty() {
        let ids: Vec<String> = prompt.attachment_ids.iter().map(Uuid::to_string).collect();
        context["attachment_ids"] = ids.into();
    }
    context
}

/// What whoever asked is told.
pub struct Told {
    item: InboxItem,
    follower: Option<Subscriber>,
}

/// The run is done: the issue that it made is bound to it, or its absence is reported, in the
/// transaction that ends the run. Nothing for a task of another kind. Tell of it with [`tell`].
pub async fn completed(conn: &mut Conn, task: &Task, now: Time) -> Result<Option<Told>, StoreError> {
    match task.quick_create() {
        // On the heap: most ends of a task never come here.
        Some(document) => Box::pin(settle(conn, task, &document, now)).await,
        None => Ok(None),
    }
}

/// As [`completed`], for a run that broke off and is not tried again. The error may hold
/// secrets.
pub async fn failed(
    conn: &mut Conn,
    task: &Task,
    error: &str,
    now: Time,
) -> Result<Option<Told>, StoreError> {
    match task.quick_create() {
        Some(document) => Box::pin(report_failure(conn, task, &document, &redact::text(error), now)).await,
        None => Ok(None),
    }
}

/// Tells whoever asked what came of it, after the commit.
pub fn tell(app: &App, task: &Task, told: Option<Told>) {
    let Some(Told { item, follower }) = told else { return };
    let actor = Actor::Agent { id: task.agent_id, task_id: task.id };
    followers::tell(app, item.workspace_id, actor, follower.as_slice());
    app.events.by(actor, item.workspace_id, "inbox:new", || item.added());
}

async fn settle(
    conn: &mut Conn,
    task: &Task,
    document: &QuickCreate,
    now: Time,
) -> Result<Option<Told>, StoreError> {
    let Some(workspace) = document.workspace_id.map(WorkspaceId) else { return Ok(None) };
    let Some(issue) = issue_tree::find_by_origin(conn, workspace, task.id).await? else {
        return report_failure(conn, task, document, NO_ISSUE, now).await;
    };
    tasks::bind_issue(conn, task.id, issue.id).await?;
    let Some(requester) = document.requester_id else { return Ok(None) };
    let follower = followers::add(conn, issue.id, ("member", requester.0), "creator", now).await?;
    let prefix = workspaces::find_issue_prefix(conn, workspace).await?;
    let item = InboxItem {
        id: Uuid::now_v7(),
        workspace_id: workspace,
        recipient_id: requester,
        kind: "quick_create_done",
        severity: "info",
        issue_id: Some(issue.id),
        title: issue.title.clone(),
        body: None,
        agent_id: task.agent_id.0,
        details: json!({
            "task_id": task.id,
            "agent_id": task.agent_id,
            "issue_id": issue.id,
            "identifier": issue.identifier(&prefix),
            "original_prompt": document.prompt,
        }),
        created_at: now,
    };
    inbox::insert(conn, &item).await?;
    Ok(Some(Told { item, follower }))
}

async fn report_failure(
    conn: &mut Conn,
    task: &Task,
    document: &QuickCreate,
    error: &str,
    now: Time,
) -> Result<Option<Told>, StoreError> {
    let Some(workspace) = document.workspace_id.map(WorkspaceId) else { return Ok(None) };
    let Some(requester) = document.requester_id else { return Ok(None) };
    let error = if error.is_empty() { NO_REASON } else { error };
    let item = InboxItem {
        id: Uuid::now_v7(),
        workspace_id: workspace,
        recipient_id: requester,
        kind: "quick_create_failed",
        severity: "action_required",
        issue_id: None,
        title: "Quick create failed".to_owned(),
        body: Some(error.to_owned()),
        agent_id: task.agent_id.0,
        details: json!({
            "task_id": task.id,
            "agent_id": task.agent_id,
            "original_prompt": document.prompt,
            "error": error,
        }),
        created_at: now,
    };
    inbox::insert(conn, &item).await?;
    Ok(Some(Told { item, follower: None }))
}
