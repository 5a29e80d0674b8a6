//! A workspace goes, and with it everything that was let into it.

use serde_json::json;

use super::lifecycle::to_the_end;
use crate::app::App;
use crate::model::actor::Actor;
use crate::model::ids::{RuntimeId, UserId, WorkspaceId};
use crate::store::{StoreError, members, retire};

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
                let gone = Gone {
                    members: members::list(c, id).await?.into_iter().map(|member| member.user_id).collect(),
                    runtimes: retire::list_runtime_ids(c, id).await?,
                    token_hashes: retire::delete_daemon_tokens(c, id).await?,
                };
                retire::delete_workspace(c, id).await?;
                Ok::<_, StoreError>(gone)
            })
        })
        .await?;
    app.uploads.forget_workspace(id).await;
    for hash in &gone.token_hashes {
        app.auth.forget_token(hash).await;
    }
    for user in gone.members {
        app.auth.forget_member(user, id).await;
    }
    for runtime in gone.runtimes {
        app.liveness.forget(runtime);
    }
    tracing::info!(workspace.id = %id, "a workspace was deleted");
    app.events.by(actor, id, "workspace:deleted", || json!({"workspace_id": id}));
    Ok(())
}

/// What caches may still know.
struct Gone {
    members: Vec<UserId>,
    runtimes: Vec<RuntimeId>,
    token_hashes: Vec<String>,
}
