//! A comment is written by the gateway on somebody's behalf. It starts no other agent.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::app::App;
use crate::live::events::Event;
use crate::model::ids::{AgentId, CommentId, IssueId, TaskId, WorkspaceId};
use crate::model::issue::Comment;
use crate::model::time::seconds;
use crate::store::{StoreError, comments, tasks};

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
}

/// Stores the comment, ends the fallbacks that stood by for its author, opens a resolved
/// thread again, and tells clients.
pub async fn post(app: &App, new: NewComment) -> Result<Comment, StoreError> {
    let now = app.clock.now();
    let comment = Comment {
        id: CommentId::new(),
        issue_id: new.issue_id,
        workspace_id: new.workspace_id,
        author_type: new.author_type.to_owned(),
        author_id: new.author_id,
        content: new.content,
        kind: new.kind.to_owned(),
        parent_id: new.parent_id,
        source_task_id: new.source_task_id,
        resolved_at: None,
        resolved_by_type: None,
        resolved_by_id: None,
        created_at: now,
        updated_at: now,
    };
    let (comment, reopened): (Comment, Option<Comment>) = app
        .db
        .write(move |c| {
            Box::pin(async move {
                comments::insert(c, &comment).await?;
                if comment.author_type == "agent" {
                    let agent = AgentId(comment.author_id);
                    tasks::cancel_escalations_on(c, comment.issue_id, agent, now).await?;
                }
                let reopened = match comment.parent_id {
                    Some(_) => comments::reopen_thread(c, comment.id, now).await?,
                    None => None,
                };
                Ok::<_, StoreError>((comment, reopened))
            })
        })
        .await?;
    publish(app, "comment:created", &comment, &comment);
    if let Some(root) = &reopened {
        publish(app, "comment:unresolved", root, &comment);
    }
    Ok(comment)
}

fn publish(app: &App, kind: &'static str, comment: &Comment, by: &Comment) {
    app.events.publish(|| Event {
        workspace_id: comment.workspace_id,
        kind,
        actor_type: if by.author_type == "agent" { "agent" } else { "system" },
        actor_id: by.author_id.to_string(),
        payload: json!({"comment": body(comment)}),
    });
}

fn body(comment: &Comment) -> Value {
    json!({
        "id": comment.id,
        "issue_id": comment.issue_id,
        "author_type": comment.author_type,
        "author_id": comment.author_id,
        "content": comment.content,
        "type": comment.kind,
        "parent_id": comment.parent_id,
        "created_at": seconds(comment.created_at),
        "updated_at": seconds(comment.updated_at),
        "resolved_at": comment.resolved_at.map(seconds),
    })
}
