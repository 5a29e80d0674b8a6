//! What a daemon synchronises of a workspace: its repositories and its custom runtimes.

use axum::Json;
use axum::extract::Path;
use serde_json::{Value, json};

use crate::app::App;
use crate::http::error::Error;
use crate::http::extract::{Caller, may_use};
use crate::model::ids::WorkspaceId;
use crate::model::workspace::{normalised_repos, repos_version};
use crate::store::{profiles, workspaces};

/// `GET /api/daemon/workspaces/{workspaceId}/repos`
pub(super) async fn repos(
    app: App,
    caller: Caller,
    Path(segment): Path<String>,
) -> Result<Json<Value>, Error> {
    let segment = segment.trim();
    let id = enter(&app, &caller, segment).await?;
    let failed = |error| Error::internal("failed to load workspace", error);
    let workspace = workspaces::find(&mut app.db.reader().await.map_err(failed)?, id).await;
    let workspace = workspace.map_err(failed)?.ok_or_else(|| Error::not_found("workspace not found"))?;
    let repos = normalised_repos(&workspace.repos);
    let mut body = json!({
        "workspace_id": segment,
        "repos_version": repos_version(&repos),
        "repos": repos,
    });
    if !workspace.settings.is_null() {
        body["settings"] = workspace.settings;
    }
    Ok(Json(body))
}

/// `GET /api/daemon/workspaces/{workspaceId}/runtime-profiles`
pub(super) async fn profiles(
    app: App,
    caller: Caller,
    Path(segment): Path<String>,
) -> Result<Json<Value>, Error> {
    let segment = segment.trim();
    let id = enter(&app, &caller, segment).await?;
    let failed = |error| Error::internal("failed to list runtime profiles", error);
    let profiles = profiles::list_enabled(&mut app.db.reader().await.map_err(failed)?, id).await;
    let profiles = profiles.map_err(failed)?;
    Ok(Json(json!({"workspace_id": segment, "runtime_profiles": profiles})))
}

/// A workspace that the caller may not use and one that does not exist look alike.
async fn enter(app: &App, caller: &Caller, segment: &str) -> Result<WorkspaceId, Error> {
    let id = WorkspaceId::parse(segment).ok_or_else(|| Error::not_found("not found"))?;
    let allowed = may_use(app, caller, id).await;
    if allowed.map_err(|error| Error::internal("failed to load workspace", error))? {
        Ok(id)
    } else {
        Err(Error::not_found("not found"))
    }
}
