//! A comment gets another text, or is taken away. The tasks it started end, because what
//! they were to answer is not there any more.

use std::collections::BTreeSet;

use serde_json::json;
use uuid::Uuid;

use super::cancel::{self, Cancelled};
use super::lifecycle::to_the_end;
use super::overlay::{self, Prepared};
use super::permission::Principal;
use super::triggers::Start;
use super::{enqueue, permission, triggers};
use crate::app::App;
use crate::model::actor::Actor;
use crate::model::attachment::{Attachment, AttachmentBody};
use crate::model::comment_body::CommentBody;
use crate::model::ids::{AgentId, CommentId};
use crate::model::issue::Comment;
use crate::model::task::Task;
use crate::model::time::Time;
use crate::store::batch::Ids;
use crate::store::task_cancels::CancelScope;
use crate::store::{Conn, StoreError, attachments, comments, issues};

/// Gives the comment another text and, if they are given, other uploads of its issue. When
/// that says something else, the tasks it started are cancelled, and whom it is for now is
/// started. `None` when there is no such comment.
///
/// Agents are started only if both the editor and the author may start them; the task is
/// still the author's doing.
pub async fn edit(
    app: &App,
    by: Actor,
    id: CommentId,
    content: String,
    uploads: Option<Vec<Uuid>>,
    suppressed: BTreeSet<AgentId>,
) -> Result<Option<Comment>, StoreError> {
    let app = app.clone();
    to_the_end(async move {
        let overlays = equip(&app, by, id, &content).await;
        let start = Start { suppressed, overlays };
        let now = app.clock.now();
        let edited: Option<Edited> = app
            .db
            .write(move |c| Box::pin(async move { store(c, by, id, &content, uploads, start, now).await }))
            .await?;
        let Some(Edited { comment, attachments, restart }) = edited else { return Ok(None) };
        let attachments = AttachmentBody::list(&attachments, app.flags.public_url.as_deref());
        let payload = || json!({"comment": CommentBody { attachments, ..CommentBody::from(&comment) }});
        app.events.by(by, comment.workspace_id, "comment:updated", payload);
        if let Some(Restart { cancelled, queued }) = restart {
            cancelled.announce(&app).await;
            for task in &queued {
                enqueue::announce(&app, comment.workspace_id, task);
            }
        }
        Ok(Some(comment))
    })
    .await
}

struct Edited {
    comment: Comment,
    attachments: Vec<Attachment>,
    /// When the text is another one.
    restart: Option<Restart>,
}

struct Restart {
    cancelled: Cancelled,
    queued: Vec<Task>,
}

async fn store(
    conn: &mut Conn,
    by: Actor,
    id: CommentId,
    content: &str,
    uploads: Option<Vec<Uuid>>,
    start: Start,
    now: Time,
) -> Result<Option<Edited>, StoreError> {
    let Some(before) = comments::find(conn, id).await? else { return Ok(None) };
    let Some(comment) = comments::update_content(conn, id, content, now).await? else { return Ok(None) };
    if let Some(uploads) = uploads {
        attachments::unbind_from_comment(conn, id, comment.issue_id).await?;
        attachments::bind_to_comment(conn, id, comment.issue_id, &Ids::of(uploads)).await?;
    }
    let attachments = attachments::list_on_comments(conn, &Ids::of([id.0])).await?;
    if before.content == comment.content {
        return Ok(Some(Edited { comment, attachments, restart: None }));
    }
    let cancelled = cancel::in_transaction(conn, CancelScope::TriggerComment(id), now).await?;
    let queued = match issues::find(conn, comment.issue_id).await? {
        Some(issue) => {
            let gates = gates(conn, by, &comment).await?;
            triggers::queue(conn, &issue, &comment, &gates, start).await?
        }
        None => Vec::new(),
    };
    Ok(Some(Edited { comment, attachments, restart: Some(Restart { cancelled, queued }) }))
}

/// The editor, and the author.
async fn gates(conn: &mut Conn, by: Actor, comment: &Comment) -> Result<[Principal; 2], StoreError> {
    Ok([permission::of_actor(conn, by).await?, triggers::principal_of(conn, comment).await?])
}

/// For whom the comment would be with this text.
async fn equip(app: &App, by: Actor, id: CommentId, content: &str) -> Prepared {
    if !overlay::is_wanted(app) {
        return Prepared::default();
    }
    let found = async {
        let mut conn = app.db.reader().await?;
        let Some(comment) = comments::find(&mut conn, id).await? else { return Ok(None) };
        let Some(issue) = issues::find(&mut conn, comment.issue_id).await? else { return Ok(None) };
        let gates = gates(&mut conn, by, &comment).await?;
        Ok::<_, StoreError>(Some((Comment { content: content.to_owned(), ..comment }, issue, gates)))
    };
    match found.await {
        Ok(Some((comment, issue, gates))) => triggers::equip(app, &issue, &comment, &gates).await,
        // What cannot be read is found again where the edit is stored.
        Ok(None) | Err(_) => Prepared::default(),
    }
}

/// Cancels the tasks that the comment started and takes it away, with the answers to it.
/// Says whether it was there.
pub async fn delete(app: &App, by: Actor, comment: Comment) -> Result<bool, StoreError> {
    let app = app.clone();
    to_the_end(async move {
        let now = app.clock.now();
        let id = comment.id;
        let (cancelled, urls, deleted): (Cancelled, Vec<String>, bool) = app
            .db
            .write(move |c| {
                Box::pin(async move {
                    // First: the deletion would make them forget what started them.
                    let scope = CancelScope::TriggerComment(id);
                    let cancelled = cancel::in_transaction(c, scope, now).await?;
                    let urls = attachments::list_urls_of_comment(c, id).await?;
                    Ok::<_, StoreError>((cancelled, urls, comments::delete(c, id).await?))
                })
            })
            .await?;
        app.uploads.forget(urls).await;
        cancelled.announce(&app).await;
        if deleted {
            let payload = || json!({"comment_id": comment.id, "issue_id": comment.issue_id});
            app.events.by(by, comment.workspace_id, "comment:deleted", payload);
        }
        Ok(deleted)
    })
    .await
}
