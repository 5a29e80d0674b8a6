//! What a daemon synchronises of a workspace: its repositories and its custom runtimes.

use axum::extract::Path;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::app::App;
use crate::http::error::Error;
use crate::http::extract::{Caller, may_use};
use crate::http::sorted::Sorted;
use crate::model::ids::WorkspaceId;
use crate::model::profile::Profile;
use crate::model::workspace::{Repo, normalised_repos, repos_version};
use crate::store::{profiles, workspaces};

/// What agents of a workspace may check out.
#[derive(Serialize, ToSchema)]
pub(super) struct WorkspaceRepos {
    /// As in the path.
    workspace_id: String,
    /// Trimmed, without blanks and repeats.
    repos: Vec<Repo>,
    /// 64 hex digits; the same as long as the URLs are.
    repos_version: String,
    /// The workspace's settings; absent when it has none.
    #[serde(skip_serializing_if = "Value::is_null")]
    settings: Value,
}

/// A workspace's repositories and settings.
#[utoipa::path(get, path = "/api/daemon/workspaces/{workspaceId}/repos", tag = "daemon",
    params(("workspaceId" = WorkspaceId, Path, description = "The workspace's id")),
    responses((status = 200, body = WorkspaceRepos)))]
pub(super) async fn repos(
    app: App,
    caller: Caller,
    Path(segment): Path<String>,
) -> Result<Sorted<WorkspaceRepos>, Error> {
    let segment = segment.trim();
    let id = enter(&app, &caller, segment).await?;
    let failed = |error| Error::internal("failed to load workspace", error);
    let workspace = workspaces::find(&mut app.db.reader().await.map_err(failed)?, id).await;
    let workspace = workspace.map_err(failed)?.ok_or_else(|| Error::not_found("workspace not found"))?;
    let repos = normalised_repos(&workspace.repos);
    Ok(Sorted(WorkspaceRepos {
        workspace_id: segment.to_owned(),
        repos_version: repos_version(&repos),
        repos,
        settings: workspace.settings,
    }))
}

/// The custom runtimes that a workspace's daemons should offer.
#[derive(Serialize, ToSchema)]
pub(super) struct EnabledProfiles {
    /// As in the path.
    workspace_id: String,
    /// The enabled ones, oldest first.
    runtime_profiles: Vec<Profile>,
}

/// A workspace's custom runtimes.
#[utoipa::path(get, path = "/api/daemon/workspaces/{workspaceId}/runtime-profiles", tag = "daemon",
    params(("workspaceId" = WorkspaceId, Path, description = "The workspace's id")),
    responses((status = 200, body = EnabledProfiles)))]
pub(super) async fn profiles(
    app: App,
    caller: Caller,
    Path(segment): Path<String>,
) -> Result<Sorted<EnabledProfiles>, Error> {
    let segment = segment.trim();
    let id = enter(&app, &caller, segment).await?;
    let failed = |error| Error::internal("failed to list runtime profiles", error);
    let profiles = profiles::list_enabled(&mut app.db.reader().await.map_err(failed)?, id).await;
    let runtime_profiles = profiles.map_err(failed)?;
    Ok(Sorted(EnabledProfiles { workspace_id: segment.to_owned(), runtime_profiles }))
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
