//! An issue is created, and whoever it is given to starts to work.

use chrono::NaiveDate;
use serde_json::json;
use thiserror::Error;
use uuid::Uuid;

use super::assign::{self, Change};
use super::enqueue::{self, EnqueueError, IssueRun};
use super::lifecycle::to_the_end;
use super::overlay::{self, Prepared};
use super::{followers, permission};
use crate::app::App;
use crate::model::activity::Activity;
use crate::model::actor::Actor;
use crate::model::attachment::{Attachment, AttachmentBody};
use crate::model::ids::{IssueId, ProjectId, TaskId, WorkspaceId};
use crate::model::issue::{Assignee, Issue};
use crate::model::issue_body::IssueBody;
use crate::model::subscriber::Subscriber;
use crate::model::task::Task;
use crate::model::time::Time;
use crate::store::batch::Ids;
use crate::store::{Conn, StoreError, activities, attachments, issues, projects, workspaces};

/// An issue as it is wanted.
#[derive(Clone, Debug)]
pub struct NewIssue {
    pub workspace_id: WorkspaceId,
    pub title: String,
    pub description: Option<String>,
    pub status: String,
    pub priority: String,
    pub assignee: Option<Assignee>,
    /// The parent's project counts when this is absent.
    pub project_id: Option<ProjectId>,
    pub parent_issue_id: Option<IssueId>,
    pub stage: Option<i32>,
    pub start_date: Option<NaiveDate>,
    pub due_date: Option<NaiveDate>,
    /// The quick-create task that makes it.
    pub origin: Option<TaskId>,
    /// Uploads to put on it; those on another issue stay there.
    pub attachments: Vec<Uuid>,
    pub allow_duplicate: bool,
}

#[derive(Debug, Error)]
pub enum CreateError {
    #[error("parent issue not found in this workspace")]
    NoParent,
    #[error("project not found in this workspace")]
    NoProject,
    /// Another issue says the same; `prefix` is that of its identifier.
    #[error("an active issue has the same title")]
    Duplicate { of: Box<Issue>, prefix: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An issue as it was created, and what its identifier begins with.
#[derive(Clone, Debug)]
pub struct Created {
    pub issue: Issue,
    pub prefix: String,
    pub attachments: Vec<Attachment>,
}

impl Created {
    /// As its creator and events see it.
    pub fn body(&self, app: &App) -> IssueBody {
        let attachments = AttachmentBody::list(&self.attachments, app.flags.public_url.as_deref());
        IssueBody { attachments, ..IssueBody::new(&self.issue, &self.prefix) }
    }
}

/// Stores the issue, tells clients, and queues the run that follows. A run that cannot be
/// queued does not undo the issue.
pub async fn create(app: &App, actor: Actor, new: NewIssue) -> Result<Created, CreateError> {
    let app = app.clone();
    to_the_end(async move {
        let overlay = overlay::of_create(&app, actor, &new).await;
        let now = app.clock.now();
        let Stored { created, followers, activity, queued } =
            app.db.write(move |c| Box::pin(store(c, actor, new, overlay, now))).await?;
        let issue = &created.issue;
        app.events.by(actor, issue.workspace_id, "issue:created", || json!({"issue": created.body(&app)}));
        followers::tell(&app, issue.workspace_id, actor, &followers);
        followers::tell_activities(&app, actor, &[activity]);
        if let Some(task) = queued {
            enqueue::announce(&app, issue.workspace_id, &task);
        }
        Ok(created)
    })
    .await
}

struct Stored {
    created: Created,
    followers: Vec<Subscriber>,
    activity: Activity,
    queued: Option<Task>,
}

async fn store(
    conn: &mut Conn,
    actor: Actor,
    new: NewIssue,
    overlay: Prepared,
    now: Time,
) -> Result<Stored, CreateError> {
    let workspace = new.workspace_id;
    // First, because it makes others who create in this workspace wait.
    let number = workspaces::next_issue_number(conn, workspace).await?;
    let mut project_id = new.project_id;
    if let Some(parent) = new.parent_issue_id {
        let parent = issues::find_in(conn, workspace, parent).await?.ok_or(CreateError::NoParent)?;
        project_id = project_id.or(parent.project_id);
    }
    if let Some(project) = new.project_id {
        let found = projects::find(conn, project).await?;
        found.filter(|project| project.workspace_id == workspace).ok_or(CreateError::NoProject)?;
    }
    let prefix = workspaces::find_issue_prefix(conn, workspace).await?;
    if !new.allow_duplicate {
        let parent = new.parent_issue_id;
        let found = issues::find_duplicate(conn, workspace, project_id, parent, &new.title).await?;
        if let Some(of) = found {
            return Err(CreateError::Duplicate { of: Box::new(of), prefix });
        }
    }
    let issue = Issue {
        id: IssueId::new(),
        workspace_id: workspace,
        number,
        position: issues::next_position(conn, workspace, &new.status).await?,
        title: new.title,
        description: new.description,
        status: new.status,
        priority: new.priority,
        assignee_type: new.assignee.map(|assignee| assignee.kind().to_owned()),
        assignee_id: new.assignee.map(Assignee::id),
        creator_type: actor.kind().to_owned(),
        creator_id: actor.id(),
        parent_issue_id: new.parent_issue_id,
        project_id,
        origin_type: new.origin.map(|_| "quick_create".to_owned()),
        origin_id: new.origin.map(|task| task.0),
        stage: new.stage,
        start_date: new.start_date,
        due_date: new.due_date,
        metadata: json!({}),
        first_executed_at: None,
        created_at: now,
        updated_at: now,
    };
    issues::insert(conn, &issue).await?;
    let attachments = if new.attachments.is_empty() {
        Vec::new()
    } else {
        attachments::bind_to_issue(conn, workspace, issue.id, &Ids::of(new.attachments)).await?;
        attachments::list_on_issue(conn, issue.id).await?
    };
    let mut added = Vec::new();
    added.extend(followers::add(conn, issue.id, (actor.kind(), actor.id()), "creator", now).await?);
    if let Some(who) = assign::subscribed(issue.assignee()) {
        added.extend(followers::add(conn, issue.id, who, "assignee", now).await?);
    }
    if let Some(description) = &issue.description {
        added.extend(followers::add_mentioned(conn, issue.id, description, now).await?);
    }
    let activity = Activity::on_issue(workspace, issue.id, actor, "created", json!({}), now);
    activities::insert(conn, &activity).await?;
    let queued = queue(conn, &issue, Change::Created, actor, (None, overlay), now).await?;
    Ok(Stored { created: Created { issue, prefix, attachments }, followers: added, activity, queued })
}

/// Queues the run that follows from a write, if one does, in the transaction of the write:
/// an issue that is there has its task. What forbids a task does not forbid the write. Tell
/// of the task after the commit.
pub(super) async fn queue(
    conn: &mut Conn,
    issue: &Issue,
    change: Change<'_>,
    actor: Actor,
    (handoff_note, mut overlays): (Option<String>, Prepared),
    now: Time,
) -> Result<Option<Task>, StoreError> {
    let by = permission::of_actor(conn, actor).await?;
    let Some(run) = assign::will_enqueue(conn, issue, change, actor, by).await? else { return Ok(None) };
    let overlay = overlays.of(run.agent_id);
    let run = IssueRun { leads: run.leads, handoff_note, overlay, ..IssueRun::of(run.agent_id) };
    match enqueue::insert_issue_run(conn, issue, run, now).await {
        Ok(task) => Ok(Some(task)),
        Err(EnqueueError::Store(error)) => Err(error),
        Err(error) => {
            tracing::warn!(issue.id = %issue.id, %error, "no task was queued for an issue");
            Ok(None)
        }
    }
}
