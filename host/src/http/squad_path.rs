//! The squad that a path names.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::app::App;
use crate::http::error::Error;
use crate::http::extract::{Scope, path_segment};
use crate::model::ids::SquadId;
use crate::model::squad::Squad;
use crate::store::squads;

/// The squad `{id}` of the caller's workspace, archived or not.
#[derive(Clone, Debug)]
pub struct SquadInPath(pub Squad);

impl FromRequestParts<App> for SquadInPath {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
        let scope = Scope::from_request_parts(parts, app).await?;
        let id = SquadId::parse(&path_segment(parts, "id").await)
            .ok_or_else(|| Error::bad_request("invalid squad id"))?;
        let found = squads::find(&mut app.db.reader().await?, id).await?;
        let found = found.filter(|squad| squad.workspace_id == scope.workspace_id);
        found.map(Self).ok_or_else(|| Error::not_found("squad not found"))
    }
}
