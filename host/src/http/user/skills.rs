//! `/api/skills`: what agents of the workspace can be taught.

use axum::Json;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::skill_files::{self, FileBody, checked};
use super::{mount_scoped, skill_import};
use crate::app::App;
use crate::http::body::Body;
use crate::http::error::{Error, ErrorBody};
use crate::http::extract::Scope;
use crate::http::skill_path::{ManagedSkill, SkillInPath};
use crate::model::ids::SkillId;
use crate::model::skill::{Skill, SkillFile, SkillSummary};
use crate::store::{Conn, StoreError, skill_files as files, skills};

/// The most characters of a name, which every database can index.
const NAME_CHARS: usize = 255;

pub fn routes() -> OpenApiRouter<App> {
    let routes = OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, update, delete))
        .merge(skill_files::on_skills())
        .merge(skill_import::on_skills());
    mount_scoped("/api/skills", routes)
}

/// A skill, whole.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct SkillWithFiles {
    #[serde(flatten)]
    pub skill: Skill,
    pub files: Vec<SkillFile>,
}

/// The skills of the workspace, by name.
#[utoipa::path(get, path = "/", tag = "skills", responses((status = 200, body = Vec<SkillSummary>)))]
async fn list(app: App, scope: Scope) -> Result<Json<Vec<SkillSummary>>, Error> {
    let failed = |error| Error::internal("failed to list skills", error);
    let mut conn = app.db.reader().await.map_err(failed)?;
    Ok(Json(skills::list(&mut conn, scope.workspace_id).await.map_err(failed)?))
}

/// One skill with its files, by path.
#[utoipa::path(get, path = "/{id}", tag = "skills",
    params(("id" = String, Path, description = "The skill's id")),
    responses((status = 200, body = SkillWithFiles), (status = 404, body = ErrorBody, description = "No such skill in the workspace")))]
async fn get(app: App, SkillInPath(skill): SkillInPath) -> Result<Json<SkillWithFiles>, Error> {
    let failed = |error| Error::internal("failed to load skill", error);
    let mut conn = app.db.reader().await.map_err(failed)?;
    let files = files::list(&mut conn, skill.id).await.map_err(failed)?;
    Ok(Json(SkillWithFiles { skill, files }))
}

/// What a skill is made of. On an edit, what is absent or null stays as it is.
#[derive(Deserialize, ToSchema)]
struct SkillBody {
    /// Unique in the workspace.
    name: Option<String>,
    description: Option<String>,
    content: Option<String>,
    config: Option<Value>,
    /// On an edit these replace all there are.
    files: Option<Vec<FileBody>>,
}

/// Creates a skill with its files. A file that would land on `SKILL.md` is skipped.
#[utoipa::path(post, path = "/", tag = "skills", request_body = SkillBody,
    responses((status = 201, body = SkillWithFiles), (status = 400, body = ErrorBody, description = "A value is missing or wrong"),
        (status = 409, body = ErrorBody, description = "The name is taken")))]
async fn create(
    app: App,
    scope: Scope,
    Body(sent): Body<SkillBody>,
) -> Result<(StatusCode, Json<SkillWithFiles>), Error> {
    let name = sent.name.unwrap_or_default();
    check_name(&name)?;
    let wanted = checked(sent.files.unwrap_or_default())?;
    let now = app.clock.now();
    let skill = Skill {
        id: SkillId::new(),
        workspace_id: scope.workspace_id,
        name,
        description: sent.description.unwrap_or_default(),
        content: sent.content.unwrap_or_default(),
        config: sent.config.unwrap_or_else(|| json!({})),
        created_by: Some(scope.user_id),
        created_at: now,
        updated_at: now,
    };
    let made: Result<SkillWithFiles, StoreError> = app
        .db
        .write(move |c| {
            Box::pin(async move {
                skills::insert(c, &skill).await?;
                let files = insert_files(c, &skill, &wanted).await?;
                Ok(SkillWithFiles { skill, files })
            })
        })
        .await;
    let made = made.map_err(|error| not_written("create", error))?;
    app.events.by(scope.actor, scope.workspace_id, "skill:created", || json!({"skill": made}));
    Ok((StatusCode::CREATED, Json(made)))
}

/// Changes a skill.
#[utoipa::path(put, path = "/{id}", tag = "skills", request_body = SkillBody,
    params(("id" = String, Path, description = "The skill's id")),
    responses((status = 200, body = SkillWithFiles), (status = 400, body = ErrorBody, description = "A value is wrong"),
        (status = 403, body = ErrorBody, description = "Not the caller's to change"),
        (status = 404, body = ErrorBody, description = "No such skill in the workspace"),
        (status = 409, body = ErrorBody, description = "The name is taken")))]
async fn update(
    app: App,
    scope: Scope,
    ManagedSkill(skill): ManagedSkill,
    Body(sent): Body<SkillBody>,
) -> Result<Json<SkillWithFiles>, Error> {
    if let Some(name) = &sent.name {
        check_name(name)?;
    }
    let wanted = sent.files.map(checked).transpose()?;
    let now = app.clock.now();
    let written: Result<Option<SkillWithFiles>, StoreError> = app
        .db
        .write(move |c| {
            Box::pin(async move {
                let Some(mut skill) = skills::find_locked(c, skill.id).await? else { return Ok(None) };
                skill.name = sent.name.unwrap_or(skill.name);
                skill.description = sent.description.unwrap_or(skill.description);
                skill.content = sent.content.unwrap_or(skill.content);
                skill.config = sent.config.unwrap_or(skill.config);
                skill.updated_at = now;
                skills::update(c, &skill).await?;
                if let Some(wanted) = wanted {
                    files::delete_all(c, skill.id).await?;
                    insert_files(c, &skill, &wanted).await?;
                }
                let files = files::list(c, skill.id).await?;
                Ok(Some(SkillWithFiles { skill, files }))
            })
        })
        .await;
    let written = written.map_err(|error| not_written("update", error))?;
    let written = written.ok_or_else(|| Error::not_found("skill not found"))?;
    app.events.by(scope.actor, scope.workspace_id, "skill:updated", || json!({"skill": written}));
    Ok(Json(written))
}

/// Deletes a skill. Agents that had it do not have it any more.
#[utoipa::path(delete, path = "/{id}", tag = "skills",
    params(("id" = String, Path, description = "The skill's id")),
    responses((status = 204), (status = 403, body = ErrorBody, description = "Not the caller's to change"),
        (status = 404, body = ErrorBody, description = "No such skill in the workspace")))]
async fn delete(app: App, scope: Scope, ManagedSkill(skill): ManagedSkill) -> Result<StatusCode, Error> {
    let id = skill.id;
    let deleted: Result<(), StoreError> = app.db.write(move |c| Box::pin(skills::delete(c, id))).await;
    deleted.map_err(|error| Error::internal("failed to delete skill", error))?;
    app.events.by(scope.actor, scope.workspace_id, "skill:deleted", || json!({"skill_id": id}));
    Ok(StatusCode::NO_CONTENT)
}

async fn insert_files(
    conn: &mut Conn,
    skill: &Skill,
    wanted: &[(String, String)],
) -> Result<Vec<SkillFile>, StoreError> {
    let mut made = Vec::with_capacity(wanted.len());
    for (path, content) in wanted {
        made.push(files::upsert(conn, skill.id, path, content, skill.updated_at).await?);
    }
    Ok(made)
}

fn check_name(name: &str) -> Result<(), Error> {
    if name.is_empty() {
        return Err(Error::bad_request("name is required"));
    }
    if name.chars().count() > NAME_CHARS {
        return Err(Error::bad_request(format!("name must be {NAME_CHARS} characters or fewer")));
    }
    Ok(())
}

fn not_written(verb: &str, error: StoreError) -> Error {
    if error.is_conflict() {
        return Error::conflict("a skill with this name already exists");
    }
    Error::internal(format!("failed to {verb} skill: {error}"), error)
}
