//! An issue goes away with everything on it; its children stay.

use serde_json::json;

use super::autopilot;
use super::cancel;
use super::lifecycle::to_the_end;
use crate::app::App;
use crate::model::actor::Actor;
use crate::model::issue::Issue;
use crate::store::task_cancels::CancelScope;
use crate::store::{StoreError, attachments, autopilots, issues};

const DELETED: &str = "issue deleted";

/// Says whether the issue was still there.
pub async fn delete(app: &App, actor: Actor, issue: &Issue) -> Result<bool, StoreError> {
    let (app, id, workspace_id) = (app.clone(), issue.id, issue.workspace_id);
    to_the_end(async move {
        let now = app.clock.now();
        let done: Result<_, StoreError> = app
            .db
            .write(move |c| {
                Box::pin(async move {
                    // Before the row goes, which would take the links with it.
                    let cancelled = cancel::in_transaction(c, CancelScope::Issue(id), now).await?;
                    let runs = autopilots::end_runs_of_issue(c, id, "failed", Some(DELETED), now).await?;
                    let urls = attachments::list_urls_of_issue(c, id).await?;
                    Ok((cancelled, runs, urls, issues::delete(c, id).await?))
                })
            })
            .await;
        let (cancelled, runs, urls, deleted) = done?;
        app.uploads.forget(urls).await;
        cancelled.announce(&app).await;
        autopilot::tell_ended(&app, workspace_id, &runs, "failed");
        if deleted {
            app.events.by(actor, workspace_id, "issue:deleted", || json!({"issue_id": id}));
        }
        Ok(deleted)
    })
    .await
}
