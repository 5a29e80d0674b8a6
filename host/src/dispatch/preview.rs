//! Which runs a write of issues would start, without writing anything.

use super::assign::{self, AssignError, Change, Run};
use super::permission::{self, Principal};
use crate::app::App;
use crate::model::actor::Actor;
use crate::model::cli_version::{self, HANDOFF};
use crate::model::ids::{AgentId, IssueId, WorkspaceId};
use crate::model::issue::Issue;
use crate::store::{Conn, StoreError, agents, issues, runtimes};
use serde_json::json;
use uuid::Uuid;

/// A write as it is considered: what is absent stays as it is.
#[derive(Clone, Debug, Default)]
pub struct Considered {
    pub assignee_type: Option<String>,
    pub assignee_id: Option<Uuid>,
    pub status: Option<String>,
}

/// A run that the write would start.
#[derive(Clone, Copy, Debug)]
pub struct Trigger {
    /// Absent for an issue that is not there yet.
    pub issue_id: Option<IssueId>,
    pub run: Run,
    /// Whether a note would reach the agent.
    pub handoff_supported: bool,
}

/// For a change of these issues; those of other workspaces are left out.
pub async fn of_update(
    app: &App,
    workspace: WorkspaceId,
    actor: Actor,
    ids: Vec<IssueId>,
    write: &Considered,
) -> Result<Vec<Trigger>, StoreError> {
    let mut conn = app.db.reader().await?;
    let by = permission::of_actor(&mut conn, actor).await?;
    let mut triggers = Vec::new();
    for id in ids {
        let Some(before) = issues::find_in(&mut conn, workspace, id).await? else { continue };
        let Some(after) = apply(&mut conn, by, before.clone(), write).await? else { continue };
        let change = Change::Updated {
            assignee_changed: before.assignee() != after.assignee(),
            previous_status: &before.status,
        };
        if let Some(run) = assign::will_enqueue(&mut conn, &after, change, actor, by).await? {
            triggers.push(trigger(&mut conn, Some(id), run).await?);
        }
    }
    Ok(triggers)
}

/// For a new issue.
pub async fn of_create(
    app: &App,
    workspace: WorkspaceId,
    actor: Actor,
    write: &Considered,
) -> Result<Vec<Trigger>, StoreError> {
    let mut conn = app.db.reader().await?;
    let by = permission::of_actor(&mut conn, actor).await?;
    let now = app.clock.now();
    let blank = Issue {
        id: IssueId::new(),
        workspace_id: workspace,
        number: 0,
        title: String::new(),
        description: None,
        status: "todo".to_owned(),
        priority: "none".to_owned(),
        assignee_type: None,
        assignee_id: None,
        creator_type: actor.kind().to_owned(),
        creator_id: actor.id(),
        parent_issue_id: None,
        project_id: None,
        origin_type: None,
        origin_id: None,
        position: 0.0,
        stage: None,
        start_date: None,
        due_date: None,
        metadata: json!({}),
        first_executed_at: None,
        created_at: now,
        updated_at: now,
    };
    let Some(issue) = apply(&mut conn, by, blank, write).await? else { return Ok(Vec::new()) };
    match assign::will_enqueue(&mut conn, &issue, Change::Created, actor, by).await? {
        Some(run) => Ok(vec![trigger(&mut conn, None, run).await?]),
        None => Ok(Vec::new()),
    }
}

/// The issue as after the write; `None` when the write would be refused.
async fn apply(
    conn: &mut Conn,
    by: Principal,
    mut issue: Issue,
    write: &Considered,
) -> Result<Option<Issue>, StoreError> {
    if let Some(status) = &write.status {
        issue.status.clone_from(status);
    }
    if write.assignee_type.is_some() || write.assignee_id.is_some() {
        let kind = write.assignee_type.as_deref().or(issue.assignee_type.as_deref());
        let id = write.assignee_id.or(issue.assignee_id);
        match assign::validate(conn, issue.workspace_id, by, kind, id).await {
            Ok(assignee) => issue.assign(assignee),
            Err(AssignError::Store(error)) => return Err(error),
            Err(_) => return Ok(None),
        }
    }
    Ok(Some(issue))
}

async fn trigger(conn: &mut Conn, issue_id: Option<IssueId>, run: Run) -> Result<Trigger, StoreError> {
    let handoff_supported = supports_handoff(conn, run.agent_id).await?;
    Ok(Trigger { issue_id, run, handoff_supported })
}

async fn supports_handoff(conn: &mut Conn, agent: AgentId) -> Result<bool, StoreError> {
    let Some(ready) = agents::find_readiness(conn, agent).await? else { return Ok(false) };
    let runtime = runtimes::find(conn, ready.runtime_id).await?;
    Ok(runtime
        .is_some_and(|runtime| cli_version::supports(cli_version::of_metadata(&runtime.metadata), HANDOFF)))
}
