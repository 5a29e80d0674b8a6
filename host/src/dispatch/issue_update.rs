//! An issue is changed, and what ran on it stops or something new starts.

use chrono::NaiveDate;
use serde_json::{Value, json};
use thiserror::Error;
use uuid::Uuid;

use super::assign::{self, Change};
use super::cancel::{self, Cancelled};
use super::child_done::Told;
use super::lifecycle::to_the_end;
use super::overlay::{self, Prepared};
use super::{autopilot, child_done, enqueue, followers, issue_create};
use crate::app::App;
use crate::model::activity::Activity;
use crate::model::actor::Actor;
use crate::model::edit::Edit;
use crate::model::ids::{IssueId, ProjectId};
use crate::model::issue::{Assignee, Issue};
use crate::model::issue_body::IssueBody;
use crate::model::subscriber::Subscriber;
use crate::model::task::Task;
use crate::model::time::Time;
use crate::store::autopilots::EndedRun;
use crate::store::batch::Ids;
use crate::store::task_cancels::{self, CancelScope};
use crate::store::{Conn, StoreError, activities, attachments, issues, projects, workspaces};

/// What is to be different.
#[derive(Clone, Debug, Default)]
pub struct Patch {
    pub title: Option<String>,
    pub description: Option<String>,
    pub status: Option<String>,
    pub priority: Option<String>,
    pub position: Option<f64>,
    pub assignee: Edit<Assignee>,
    pub start_date: Edit<NaiveDate>,
    pub due_date: Edit<NaiveDate>,
    pub parent_issue_id: Edit<IssueId>,
    pub project_id: Edit<ProjectId>,
    pub stage: Edit<i32>,
    /// Uploads to put on it; those on another issue stay there.
    pub attachments: Vec<Uuid>,
}

/// What else the caller wants of an update.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Start nothing.
    pub suppress_run: bool,
    /// For whoever starts to work because of the update.
    pub handoff_note: Option<String>,
    /// One of many: clients get a shorter event.
    pub batch: bool,
}

#[derive(Debug, Error)]
pub enum UpdateError {
    #[error("issue not found")]
    NoIssue,
    #[error("an issue cannot be its own parent")]
    OwnParent,
    #[error("parent issue not found in this workspace")]
    NoParent,
    #[error("circular parent relationship detected")]
    Circular,
    #[error("project not found in this workspace")]
    NoProject,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An issue as it is now, and what its identifier begins with.
#[derive(Clone, Debug)]
pub struct Updated {
    pub issue: Issue,
    pub prefix: String,
}

/// Stores the change, tells clients, stops what ran for the assignee before, and queues
/// the run that follows.
pub async fn update(
    app: &App,
    actor: Actor,
    id: IssueId,
    patch: Patch,
    options: Options,
) -> Result<Updated, UpdateError> {
    let app = app.clone();
    to_the_end(async move {
        let overlays = Overlays {
            own: if options.suppress_run {
                Prepared::default()
            } else {
                overlay::of_update(&app, actor, id, &patch).await
            },
            parents: overlay::of_end(&app, id, &patch).await,
        };
        let now = app.clock.now();
        let described = patch.description.is_some();
        let batch = options.batch;
        let stored =
            app.db.write(move |c| Box::pin(store(c, actor, id, patch, (options, overlays), now))).await?;
        let changes = Changes { before: &stored.before, after: &stored.after, described };
        let workspace = stored.after.workspace_id;
        app.events.by(actor, workspace, "issue:updated", || changes.event(&stored.prefix, batch));
        followers::tell(&app, workspace, actor, &stored.followers);
        followers::tell_activities(&app, actor, &stored.activities);
        if let Some((status, _)) = autopilot::outcome(&stored.after.status) {
            autopilot::tell_ended(&app, workspace, &stored.ended_runs, status);
        }
        stored.cancelled.announce(&app).await;
        if let Some(task) = &stored.queued {
            enqueue::announce(&app, workspace, task);
            if changes.became("cancelled") {
                cancel::all(&app, CancelScope::Issue(id)).await?;
            }
        }
        if let Some(told) = stored.parent_told {
            child_done::tell(&app, told);
        }
        Ok(Updated { issue: stored.after, prefix: stored.prefix })
    })
    .await
}

struct Stored {
    before: Issue,
    after: Issue,
    prefix: String,
    followers: Vec<Subscriber>,
    activities: Vec<Activity>,
    cancelled: Cancelled,
    ended_runs: Vec<EndedRun>,
    queued: Option<Task>,
    parent_told: Option<Told>,
}

/// For the run that follows on the issue, and for one on its parent.
struct Overlays {
    own: Prepared,
    parents: Prepared,
}

async fn store(
    conn: &mut Conn,
    actor: Actor,
    id: IssueId,
    patch: Patch,
    (options, overlays): (Options, Overlays),
    now: Time,
) -> Result<Stored, UpdateError> {
    if patch.may_cancel() {
        // Tasks before their issue, as whoever ends a task goes.
        task_cancels::lock_of_issue(conn, id).await?;
    }
    let before = issues::find_for_update(conn, id).await?.ok_or(UpdateError::NoIssue)?;
    let uploads = Ids::of(patch.attachments.iter().copied());
    let binds = !patch.attachments.is_empty();
    let after = Issue { updated_at: now, ..patch.apply(before.clone()) };
    check_links(conn, &before, &after).await?;
    issues::update(conn, &after).await?;
    if binds {
        attachments::bind_to_issue(conn, after.workspace_id, id, &uploads).await?;
    }
    let changes = Changes { before: &before, after: &after, described: false };
    let activities = changes.activities(actor, now);
    for activity in &activities {
        activities::insert(conn, activity).await?;
    }
    let mut added = Vec::new();
    if let Some(who) = assign::subscribed(after.assignee()).filter(|_| changes.assignee()) {
        added.extend(followers::add(conn, id, who, "assignee", now).await?);
    }
    if let Some(text) = after.description.as_deref().filter(|_| before.description != after.description) {
        added.extend(followers::add_mentioned(conn, id, text, now).await?);
    }
    // Taking an issue from somebody without giving it to another stops nothing.
    let stops = (changes.assignee() && after.assignee_id.is_some()) || changes.became("cancelled");
    let cancelled = if stops {
        cancel::in_transaction(conn, CancelScope::Issue(id), now).await?
    } else {
        Cancelled::default()
    };
    let ended_runs =
        if changes.status() { autopilot::follow(conn, id, &after.status, now).await? } else { Vec::new() };
    let queued = if options.suppress_run {
        None
    } else {
        let assignee_changed = changes.assignee();
        let change = Change::Updated { assignee_changed, previous_status: &before.status };
        issue_create::queue(conn, &after, change, actor, (options.handoff_note, overlays.own), now).await?
    };
    let parent_told = child_done::write(conn, actor, (&before, &after), overlays.parents, now).await?;
    let prefix = workspaces::find_issue_prefix(conn, after.workspace_id).await?;
    let followers = added;
    Ok(Stored { before, after, prefix, followers, activities, cancelled, ended_runs, queued, parent_told })
}

/// A new parent or project must be there, in the same workspace, and no issue may hang
/// below itself.
async fn check_links(conn: &mut Conn, before: &Issue, after: &Issue) -> Result<(), UpdateError> {
    let workspace = after.workspace_id;
    if let Some(parent) = after.parent_issue_id.filter(|_| before.parent_issue_id != after.parent_issue_id) {
        if parent == after.id {
            return Err(UpdateError::OwnParent);
        }
        workspaces::lock(conn, workspace).await?;
        issues::find_in(conn, workspace, parent).await?.ok_or(UpdateError::NoParent)?;
        if issues::hangs_below(conn, parent, after.id).await? {
            return Err(UpdateError::Circular);
        }
    }
    if let Some(project) = after.project_id.filter(|_| before.project_id != after.project_id) {
        let found = projects::find(conn, project).await?;
        found.filter(|project| project.workspace_id == workspace).ok_or(UpdateError::NoProject)?;
    }
    Ok(())
}

impl Patch {
    /// Whether it can stop what runs on the issue.
    fn may_cancel(&self) -> bool {
        self.assignee != Edit::Keep || self.status.as_deref() == Some("cancelled")
    }

    fn apply(self, mut issue: Issue) -> Issue {
        issue.title = self.title.unwrap_or(issue.title);
        issue.description = self.description.or(issue.description);
        issue.status = self.status.unwrap_or(issue.status);
        issue.priority = self.priority.unwrap_or(issue.priority);
        issue.position = self.position.unwrap_or(issue.position);
        issue.assign(self.assignee.apply(issue.assignee()));
        issue.start_date = self.start_date.apply(issue.start_date);
        issue.due_date = self.due_date.apply(issue.due_date);
        issue.parent_issue_id = self.parent_issue_id.apply(issue.parent_issue_id);
        issue.project_id = self.project_id.apply(issue.project_id);
        issue.stage = self.stage.apply(issue.stage);
        issue
    }
}

/// An issue before and after a write.
struct Changes<'a> {
    before: &'a Issue,
    after: &'a Issue,
    /// A description was sent, whether or not it says something else.
    described: bool,
}

impl Changes<'_> {
    fn assignee(&self) -> bool {
        (&self.before.assignee_type, self.before.assignee_id)
            != (&self.after.assignee_type, self.after.assignee_id)
    }

    fn status(&self) -> bool {
        self.before.status != self.after.status
    }

    fn became(&self, status: &str) -> bool {
        self.status() && self.after.status == status
    }

    fn event(&self, prefix: &str, batch: bool) -> Value {
        let (before, after) = (self.before, self.after);
        let mut event = json!({
            "issue": IssueBody::value(after, prefix),
            "assignee_changed": self.assignee(),
            "status_changed": self.status(),
            "priority_changed": before.priority != after.priority,
            "project_changed": before.project_id != after.project_id,
        });
        if batch {
            return event;
        }
        let more = json!({
            "start_date_changed": before.start_date != after.start_date,
            "due_date_changed": before.due_date != after.due_date,
            "description_changed": self.described,
            "title_changed": before.title != after.title,
            "prev_title": before.title,
            "prev_assignee_type": before.assignee_type,
            "prev_assignee_id": before.assignee_id,
            "prev_status": before.status,
            "prev_priority": before.priority,
            "prev_start_date": before.start_date,
            "prev_due_date": before.due_date,
            "prev_description": before.description,
            "creator_type": after.creator_type,
            "creator_id": after.creator_id,
        });
        if let (Value::Object(event), Value::Object(more)) = (&mut event, more) {
            event.extend(more);
        }
        event
    }

    /// The lines that the write adds to the issue's timeline.
    fn activities(&self, actor: Actor, now: Time) -> Vec<Activity> {
        let (before, after) = (self.before, self.after);
        let mut lines = Vec::new();
        let mut line = |action: &str, details: Value| {
            lines.push(Activity::on_issue(after.workspace_id, after.id, actor, action, details, now));
        };
        if self.status() {
            line("status_changed", json!({"from": before.status, "to": after.status}));
        }
        if before.priority != after.priority {
            line("priority_changed", json!({"from": before.priority, "to": after.priority}));
        }
        if self.assignee() {
            let details = json!({
                "from_type": before.assignee_type,
                "from_id": before.assignee_id,
                "to_type": after.assignee_type,
                "to_id": after.assignee_id,
            });
            line("assignee_changed", details);
        }
        if before.start_date != after.start_date {
            line("start_date_changed", json!({"from": before.start_date, "to": after.start_date}));
        }
        if before.due_date != after.due_date {
            line("due_date_changed", json!({"from": before.due_date, "to": after.due_date}));
        }
        if before.title != after.title {
            line("title_changed", json!({"from": before.title, "to": after.title}));
        }
        if before.description != after.description {
            line("description_updated", json!({}));
        }
        lines
    }
}
