//! Writing a comment: by people and agents, whose comments start others, and by the
//! gateway on somebody's behalf, which starts nobody.

use std::collections::BTreeSet;

use serde_json::json;
use uuid::Uuid;

use super::lifecycle::to_the_end;
use super::permission::Principal;
use super::route::Author;
use super::triggers::Start;
use super::{enqueue, followers, triggers};
use crate::app::App;
use crate::live::events::Event;
use crate::model::actor::Actor;
use crate::model::attachment::{Attachment, AttachmentBody};
use crate::model::comment_body::CommentBody;
use crate::model::ids::{AgentId, CommentId, IssueId, TaskId, WorkspaceId};
use crate::model::issue::{Comment, Issue};
use crate::model::subscriber::Subscriber;
use crate::model::task::Task;
use crate::model::time::Time;
use crate::store::agent_words::{self, Spoken};
use crate::store::batch::Ids;
use crate::store::{Conn, StoreError, attachments, comments, issues, resolutions};

/// A comment about to be written.
#[derive(Clone, Debug)]
pub struct NewComment {
    pub issue_id: IssueId,
    pub workspace_id: WorkspaceId,
    pub author_type: &'static str,
    pub author_id: Uuid,
    pub content: String,
    pub kind: &'static str,
    pub parent_id: Option<CommentId>,
    pub source_task_id: Option<TaskId>,
    /// Uploads on the issue to show with it.
    pub attachments: Vec<Uuid>,
}

/// Stores what a person or an agent wrote, and starts whom it is for, other than those
/// that the author left out.
pub async fn write(
    app: &App,
    issue: Issue,
    new: NewComment,
    by: Principal,
    suppressed: BTreeSet<AgentId>,
) -> Result<Comment, StoreError> {
    let app = app.clone();
    to_the_end(async move {
        let uploads = Ids::of(new.attachments.iter().copied());
        let comment = new.at(app.clock.now());
        let overlays = triggers::equip(&app, &issue, &comment, &[by]).await;
        let start = Start { suppressed, overlays };
        let workspace = issue.workspace_id;
        let (posted, queued): (Posted, Vec<Task>) = app
            .db
            .write(move |c| {
                Box::pin(async move {
                    let posted = insert(c, comment, uploads).await?;
                    let queued = triggers::queue(c, &issue, &posted.comment, &[by], start).await?;
                    Ok::<_, StoreError>((posted, queued))
                })
            })
            .await?;
        let comment = tell(&app, posted);
        for task in &queued {
            enqueue::announce(&app, workspace, task);
        }
        Ok(comment)
    })
    .await
}

impl NewComment {
    /// As it is when it is written at this moment.
    pub fn at(self, now: Time) -> Comment {
        Comment {
            id: CommentId::new(),
            issue_id: self.issue_id,
            workspace_id: self.workspace_id,
            author_type: self.author_type.to_owned(),
            author_id: self.author_id,
            content: self.content,
            kind: self.kind.to_owned(),
            parent_id: self.parent_id,
            source_task_id: self.source_task_id,
            resolved_at: None,
            resolved_by_type: None,
            resolved_by_id: None,
            created_at: now,
            updated_at: now,
        }
    }
}

/// Tells clients of a comment, after its commit.
pub fn tell(app: &App, posted: Posted) -> Comment {
    let Posted { comment, issue, attachments, reopened, followers } = posted;
    let attachments = AttachmentBody::list(&attachments, app.flags.public_url.as_deref());
    app.events.publish(|| event(&comment, "comment:created", created(&comment, attachments, issue.as_ref())));
    if let Some(root) = reopened {
        let payload = json!({"comment": CommentBody::from(&root)});
        app.events.publish(|| event(&comment, "comment:unresolved", payload));
    }
    if let Some(actor) = actor(&comment) {
        followers::tell(app, comment.workspace_id, actor, &followers);
    }
    comment
}

/// A comment that was stored, and what clients are told with it.
pub struct Posted {
    pub comment: Comment,
    /// For the event alone.
    issue: Option<Issue>,
    attachments: Vec<Attachment>,
    reopened: Option<Comment>,
    /// Who follows the issue from now on.
    followers: Vec<Subscriber>,
}

/// Stores the comment with its uploads, ends the fallbacks that stood by for its author, and
/// opens a resolved thread again. Tell of it with [`tell`].
pub async fn insert(conn: &mut Conn, comment: Comment, uploads: Ids) -> Result<Posted, StoreError> {
    let now = comment.created_at;
    let actor = actor(&comment);
    let Spoken { issue, follower } = if comment.author_type == "agent" {
        agent_words::insert(conn, &comment, actor.is_some()).await?
    } else {
        comments::insert(conn, &comment).await?;
        let follower = match &actor {
            Some(actor) => {
                let author = (actor.kind(), actor.id());
                followers::add(conn, comment.issue_id, author, "commenter", now).await?
            }
            None => None,
        };
        Spoken { issue: issues::find(conn, comment.issue_id).await?, follower }
    };
    let attachments = if uploads.is_empty() {
        Vec::new()
    } else {
        attachments::bind_to_comment(conn, comment.id, comment.issue_id, &uploads).await?;
        attachments::list_on_comments(conn, &Ids::of([comment.id.0])).await?
    };
    let reopened = match comment.parent_id {
        Some(_) => reopen(conn, comment.id).await?,
        None => None,
    };
    let followers = follower.into_iter().collect();
    Ok(Posted { comment, issue, attachments, reopened, followers })
}

/// A reply opens a resolved thread again: the root that holds the resolution loses it.
async fn reopen(conn: &mut Conn, reply: CommentId) -> Result<Option<Comment>, StoreError> {
    match comments::find_root(conn, reply).await? {
        Some(root) if root.resolved_at.is_some() => resolutions::clear(conn, root.id).await,
        _ => Ok(None),
    }
}

/// The author as an actor; nobody for the system.
fn actor(comment: &Comment) -> Option<Actor> {
    match (Author::of(comment), comment.source_task_id) {
        (Author::Member(user), _) => Some(Actor::Member(user)),
        (Author::Agent(id), Some(task_id)) => Some(Actor::Agent { id, task_id }),
        (Author::Agent(_), None) | (Author::System, _) => None,
    }
}

fn created(comment: &Comment, attachments: Vec<AttachmentBody>, issue: Option<&Issue>) -> serde_json::Value {
    json!({
        "comment": CommentBody { attachments, ..CommentBody::from(comment) },
        "issue_title": issue.map(|issue| &issue.title),
        "issue_assignee_type": issue.and_then(|issue| issue.assignee_type.as_ref()),
        "issue_assignee_id": issue.and_then(|issue| issue.assignee_id),
        "issue_status": issue.map(|issue| &issue.status),
    })
}

/// An event in the name of the comment's author.
fn event(by: &Comment, kind: &'static str, payload: serde_json::Value) -> Event {
    let (actor_type, actor_id) = match by.author_type.as_str() {
        "member" => ("member", by.author_id.to_string()),
        "agent" => ("agent", by.author_id.to_string()),
        _ => ("system", String::new()),
    };
    Event {
        workspace_id: by.workspace_id,
        kind: kind.into(),
        actor_type: actor_type.into(),
        actor_id,
        payload,
    }
}
