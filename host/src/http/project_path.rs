//! The project that a path names.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::app::App;
use crate::http::error::Error;
use crate::http::extract::{Scope, path_segment};
use crate::model::ids::ProjectId;
use crate::model::project::Project;
use crate::store::projects;

/// The project `{id}` of the caller's workspace.
#[derive(Clone, Debug)]
pub struct ProjectInPath(pub Project);

impl FromRequestParts<App> for ProjectInPath {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
        let scope = Scope::from_request_parts(parts, app).await?;
        let id = ProjectId::parse(&path_segment(parts, "id").await)
            .ok_or_else(|| Error::bad_request("invalid project id"))?;
        let found = projects::find(&mut app.db.reader().await?, id).await?;
        let found = found.filter(|project| project.workspace_id == scope.workspace_id);
        found.map(Self).ok_or_else(|| Error::not_found("project not found"))
    }
}
