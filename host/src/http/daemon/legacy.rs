//! A daemon that changed its id takes along what it had under the old one.

use crate::app::App;
use crate::model::ids::RuntimeId;
use crate::model::runtime::Runtime;
use crate::store::{StoreError, runtimes};

/// Takes over what the daemon had registered under names it used before. A row that cannot
/// be merged stays as it is.
pub(super) async fn merge_all(app: &App, new: &Runtime, legacy_ids: &[String], merged: &mut Vec<RuntimeId>) {
    for legacy in legacy_ids {
        let rows = match list(app, new, legacy).await {
            Ok(rows) => rows,
            Err(error) => {
                tracing::warn!(runtime.id = %new.id, %error, "legacy runtimes were not looked up");
                continue;
            }
        };
        for old in rows {
            if old == new.id || merged.contains(&old) {
                continue;
            }
            match merge(app, old, new.id, legacy.clone()).await {
                Ok(()) => {
                    merged.push(old);
                    app.liveness.forget(old);
                    app.wakeups.bump(new.id);
                    tracing::info!(runtime.id = %new.id, legacy.id = %old, "a legacy runtime was merged");
                }
                Err(error) => {
                    tracing::warn!(runtime.id = %new.id, legacy.id = %old, %error, "a legacy runtime was not merged");
                }
            }
        }
    }
}

async fn list(app: &App, new: &Runtime, legacy: &str) -> Result<Vec<RuntimeId>, StoreError> {
    let mut conn = app.db.reader().await?;
    let rows = runtimes::list_daemons(&mut conn, new.workspace_id, &new.provider).await?;
    let legacy = legacy.to_lowercase();
    Ok(rows.into_iter().filter(|(_, daemon)| daemon.to_lowercase() == legacy).map(|(id, _)| id).collect())
}

async fn merge(app: &App, old: RuntimeId, new: RuntimeId, legacy: String) -> Result<(), StoreError> {
    app.db
        .write(move |c| {
            Box::pin(async move {
                runtimes::repoint(c, old, new).await?;
                runtimes::record_legacy(c, new, &legacy).await?;
                runtimes::delete(c, old).await
            })
        })
        .await
}
