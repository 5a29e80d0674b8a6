//! `/api/skills/{id}/files`: the files beside a skill's content.

use std::collections::HashMap;

use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::http::body::Body;
use crate::http::error::{Error, ErrorBody};
use crate::http::skill_path::{ManagedSkill, SkillInPath};
use crate::model::ids::parse_uuid;
use crate::model::skill::{FilePlace, SkillFile};
use crate::store::{StoreError, skill_files as files, skills};

/// How many files one skill may have.
const MOST_FILES: usize = 1000;
/// The longest path, which every database can index.
const PATH_BYTES: usize = 1024;

/// Put under `/api/skills`.
pub(super) fn on_skills() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, put)).routes(routes!(remove))
}

/// A file as it is sent.
#[derive(Deserialize, ToSchema)]
pub(super) struct FileBody {
    /// Relative to the skill; may not lead out of it.
    path: Option<String>,
    content: Option<String>,
}

/// Paths with contents, fit to be kept. What would land on the skill's own content is left
/// out; of a path that comes twice the last counts.
pub(super) fn checked(sent: Vec<FileBody>) -> Result<Vec<(String, String)>, Error> {
    if sent.len() > MOST_FILES {
        return Err(too_many());
    }
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut kept: Vec<(String, String)> = Vec::new();
    for file in sent {
        let path = file.path.unwrap_or_default();
        let content = file.content.unwrap_or_default();
        check_length(&path)?;
        match FilePlace::of(&path) {
            FilePlace::Invalid => return Err(Error::bad_request(format!("invalid file path: {path}"))),
            FilePlace::Reserved => {}
            FilePlace::Inside => match places.get(&path) {
                Some(&at) => kept[at].1 = content,
                None => {
                    places.insert(path.clone(), kept.len());
                    kept.push((path, content));
                }
            },
        }
    }
    Ok(kept)
}

/// The files of a skill, by path.
#[utoipa::path(get, path = "/{id}/files", tag = "skills",
    params(("id" = String, Path, description = "The skill's id")),
    responses((status = 200, body = Vec<SkillFile>), (status = 404, body = ErrorBody, description = "No such skill in the workspace")))]
async fn list(app: App, SkillInPath(skill): SkillInPath) -> Result<Json<Vec<SkillFile>>, Error> {
    let failed = |error| Error::internal("failed to list skill files", error);
    let mut conn = app.db.reader().await.map_err(failed)?;
    Ok(Json(files::list(&mut conn, skill.id).await.map_err(failed)?))
}

/// Adds a file, or replaces the one of the same path.
#[utoipa::path(put, path = "/{id}/files", tag = "skills", request_body = FileBody,
    params(("id" = String, Path, description = "The skill's id")),
    responses((status = 200, body = SkillFile), (status = 400, body = ErrorBody, description = "Not a path for a file"),
        (status = 403, body = ErrorBody, description = "Not the caller's to change"),
        (status = 404, body = ErrorBody, description = "No such skill in the workspace")))]
async fn put(
    app: App,
    ManagedSkill(skill): ManagedSkill,
    Body(sent): Body<FileBody>,
) -> Result<Json<SkillFile>, Error> {
    let path = sent.path.unwrap_or_default();
    let content = sent.content.unwrap_or_default();
    check_length(&path)?;
    match FilePlace::of(&path) {
        FilePlace::Inside => {}
        FilePlace::Invalid => return Err(Error::bad_request("invalid file path")),
        FilePlace::Reserved => {
            return Err(Error::bad_request("SKILL.md is reserved for the primary skill content"));
        }
    }
    let now = app.clock.now();
    let written = app.db.write(move |c| {
        Box::pin(async move {
            // Locked, so that what is counted below stays true.
            let found = skills::find_locked(c, skill.id).await?;
            let skill = found.ok_or_else(|| Error::not_found("skill not found"))?;
            let file = files::upsert(c, skill.id, &path, &content, now).await?;
            if usize::try_from(files::count(c, skill.id).await?).is_ok_and(|count| count > MOST_FILES) {
                return Err(too_many());
            }
            Ok(file)
        })
    });
    Ok(Json(written.await?))
}

/// Deletes a file.
#[utoipa::path(delete, path = "/{id}/files/{fileId}", tag = "skills",
    params(("id" = String, Path, description = "The skill's id"),
        ("fileId" = String, Path, description = "The file's id")),
    responses((status = 204), (status = 403, body = ErrorBody, description = "Not the caller's to change"),
        (status = 404, body = ErrorBody, description = "No such skill, or no such file of it")))]
async fn remove(
    app: App,
    ManagedSkill(skill): ManagedSkill,
    names: Path<(String, String)>,
) -> Result<StatusCode, Error> {
    let id = parse_uuid(&names.1).ok_or_else(|| Error::bad_request("invalid file id"))?;
    let deleted = app.db.write(move |c| Box::pin(files::delete(c, skill.id, id))).await;
    let failed = |error: StoreError| Error::internal("failed to delete skill file", error);
    if deleted.map_err(failed)? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Error::not_found("skill file not found"))
    }
}

fn check_length(path: &str) -> Result<(), Error> {
    if path.len() > PATH_BYTES {
        return Err(Error::bad_request(format!("file path must be {PATH_BYTES} bytes or fewer")));
    }
    Ok(())
}

fn too_many() -> Error {
    Error::bad_request(format!("a skill may have at most {MOST_FILES} files"))
}
