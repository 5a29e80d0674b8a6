//! The skill that a path names.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::app::App;
use crate::http::error::Error;
use crate::http::extract::{Scope, path_segment};
use crate::model::ids::SkillId;
use crate::model::skill::Skill;
use crate::store::skills;

/// The skill `{id}` of the caller's workspace.
#[derive(Clone, Debug)]
pub struct SkillInPath(pub Skill);

/// The same, which the caller may change: its creator, and owners and admins.
#[derive(Clone, Debug)]
pub struct ManagedSkill(pub Skill);

impl FromRequestParts<App> for SkillInPath {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
        let scope = Scope::from_request_parts(parts, app).await?;
        let id = SkillId::parse(&path_segment(parts, "id").await)
            .ok_or_else(|| Error::bad_request("invalid skill id"))?;
        let found = skills::find(&mut app.db.reader().await?, id).await?;
        let found = found.filter(|skill| skill.workspace_id == scope.workspace_id);
        found.map(Self).ok_or_else(|| Error::not_found("skill not found"))
    }
}

impl FromRequestParts<App> for ManagedSkill {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
        let scope = Scope::from_request_parts(parts, app).await?;
        let SkillInPath(skill) = SkillInPath::from_request_parts(parts, app).await?;
        if scope.role.is_admin() || skill.created_by == Some(scope.user_id) {
            Ok(Self(skill))
        } else {
            Err(Error::forbidden("only the skill creator can manage this skill"))
        }
    }
}
