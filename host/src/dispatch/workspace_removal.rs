//! A workspace goes, and with it everything that was let into it.

use serde_json::json;

use super::lifecycle::to_the_end;
use crate::app::App;
use crate::model::actor::Actor;
use crate::model::ids::{RuntimeId, WorkspaceId};
use crate::model::revoked::Revoked;
use crate::store::{StoreError, members, retire, revocations};

/// Deletes the workspace and everything in it.
pub async fn remove(app: &App, actor: Actor, id: WorkspaceId) -> Result<(), StoreError> {
    let app = app.clone();
    to_the_end(async move { remove_now(&app, actor, id).await }).await
}

async fn remove_now(app: &App, actor: Actor, id: WorkspaceId) -> Result<(), StoreError> {
    let gone = app
        .db
        .write(move |c| {
            Box::pin(async move {
                let members = members::list(c, id).await?.into_iter();
                let members = members.map(|member| Revoked::Member { user: member.user_id, workspace: id });
                let mut gone =
                    Gone { revoked: members.collect(), runtimes: retire::list_runtime_ids(c, id).await? };
                let hashes = retire::delete_daemon_tokens(c, id).await?;
                gone.revoked.extend(hashes.iter().filter_map(|hash| Revoked::token(hash)));
                retire::delete_workspace(c, id).await?;
                revocations::tell(c, &gone.revoked).await?;
                Ok::<_, StoreError>(gone)
            })
        })
        .await?;
    for revoked in &gone.revoked {
        app.auth.forget(revoked).await;
    }
    app.uploads.forget_workspace(id).await;
    for runtime in gone.runtimes {
        app.liveness.forget(runtime);
    }
    tracing::info!(workspace.id = %id, "a workspace was deleted");
    app.events.by(actor, id, "workspace:deleted", || json!({"workspace_id": id}));
    // Last, so that whoever watches hears why it ends.
    for revoked in &gone.revoked {
        app.auth.shut_out(revoked).await;
    }
    Ok(())
}

/// What caches may still know.
struct Gone {
    /// Memberships, and tokens of daemons.
    revoked: Vec<Revoked>,
    runtimes: Vec<RuntimeId>,
}
