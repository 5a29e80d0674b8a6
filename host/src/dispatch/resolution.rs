//! A thread is settled by one of its comments, or open again.

use serde_json::json;

use crate::app::App;
use crate::model::actor::Actor;
use crate::model::comment_body::CommentBody;
use crate::model::ids::CommentId;
use crate::model::issue::Comment;
use crate::model::time::Time;
use crate::store::{Conn, StoreError, comments, resolutions};

/// Makes the comment what settles its thread, in place of any other. `None` when there is
/// no such comment.
pub async fn resolve(app: &App, by: Actor, id: CommentId) -> Result<Option<Comment>, StoreError> {
    let now = app.clock.now();
    let change: Option<Change> = app.db.write(move |c| Box::pin(set(c, by, id, now))).await?;
    let Some(Change { comment, reopened, changed }) = change else { return Ok(None) };
    for other in &reopened {
        tell(app, by, other, "comment:unresolved");
    }
    if changed {
        tell(app, by, &comment, "comment:resolved");
    }
    Ok(Some(comment))
}

/// The comment settles nothing any more. `None` when there is no such comment.
pub async fn unresolve(app: &App, by: Actor, id: CommentId) -> Result<Option<Comment>, StoreError> {
    let cleared: (Option<Comment>, bool) = app
        .db
        .write(move |c| {
            Box::pin(async move {
                match resolutions::clear(c, id).await? {
                    Some(comment) => Ok::<_, StoreError>((Some(comment), true)),
                    None => Ok((comments::find(c, id).await?, false)),
                }
            })
        })
        .await?;
    let (comment, changed) = cleared;
    if let Some(comment) = comment.as_ref().filter(|_| changed) {
        tell(app, by, comment, "comment:unresolved");
    }
    Ok(comment)
}

struct Change {
    comment: Comment,
    /// Those that settled the thread before.
    reopened: Vec<Comment>,
    changed: bool,
}

async fn set(conn: &mut Conn, by: Actor, id: CommentId, now: Time) -> Result<Option<Change>, StoreError> {
    let Some(root) = comments::find_root(conn, id).await? else { return Ok(None) };
    resolutions::lock_thread(conn, root.id).await?;
    let reopened = resolutions::clear_others(conn, root.id, id).await?;
    Ok(match resolutions::set(conn, id, (by.kind(), by.id()), now).await? {
        Some(comment) => Some(Change { comment, reopened, changed: true }),
        None => comments::find(conn, id).await?.map(|comment| Change { comment, reopened, changed: false }),
    })
}

fn tell(app: &App, by: Actor, comment: &Comment, kind: &'static str) {
    app.events.by(by, comment.workspace_id, kind, || json!({"comment": CommentBody::from(comment)}));
}
