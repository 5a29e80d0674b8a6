//! Skills from elsewhere: an archive that is sent, an address that leads to one, and what
//! the registry has.

use axum::Json;
use axum::extract::multipart::Multipart;
use axum::extract::{DefaultBodyLimit, FromRequest, Request};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::skills::SkillWithFiles;
use crate::app::App;
use crate::dispatch::skill_intake::{self, OnConflict, Taken};
use crate::dispatch::skill_package::{self, PACKED, Package, PackageError};
use crate::dispatch::skill_source::{self, Source, SourceError};
use crate::http::body::Body;
use crate::http::error::{Error, ErrorBody};
use crate::http::extract::Scope;
use crate::http::query::Query;
use crate::model::ids::{SkillId, UserId};
use crate::model::skill::Skill;

/// The form around an archive.
const FORM: usize = 64 << 10;
/// More parts make no sense in this form.
const PARTS: usize = 32;
/// The longest thing that is looked for.
const QUERY_CHARS: usize = 200;

const EXISTS: &str = "a skill with this name already exists";
const CONFLICT: &str = "a skill with this name already exists; use --on-conflict overwrite to replace it or \
    --on-conflict rename to import a copy";

/// What goes under `/api/skills`.
pub(super) fn on_skills() -> OpenApiRouter<App> {
    let (schemas, paths, methods) = routes!(import);
    OpenApiRouter::new()
        .routes((schemas, paths, methods.layer(DefaultBodyLimit::max(PACKED + FORM))))
        .routes(routes!(search))
}

#[derive(Deserialize, ToSchema)]
struct ImportSent {
    /// Of `github.com`, `skills.sh` or `clawhub.ai`.
    url: Option<String>,
    /// `fail`, `overwrite`, `rename` or `skip`.
    on_conflict: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct ImportedSkill {
    /// `created`, `updated`, `conflict`, `skipped` or `failed`.
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    skill: Option<SkillWithFiles>,
    #[serde(skip_serializing_if = "Option::is_none")]
    existing_skill: Option<Existing>,
}

/// The skill that has the name.
#[derive(Serialize, ToSchema)]
struct Existing {
    id: SkillId,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_by: Option<UserId>,
    /// There when the caller may.
    #[serde(skip_serializing_if = "Option::is_none")]
    can_overwrite: Option<bool>,
}

/// Takes a skill in: from an address, or from an archive in the field `file` of a form.
#[utoipa::path(post, path = "/import", tag = "skills", request_body = ImportSent,
    responses((status = 200, body = ImportedSkill), (status = 201, body = ImportedSkill),
        (status = 400, body = ErrorBody), (status = 403, body = ImportedSkill), (status = 409, body = ImportedSkill),
        (status = 502, body = ErrorBody)))]
async fn import(app: App, scope: Scope, request: Request) -> Result<Response, Error> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let is_form = kind.is_some_and(|kind| kind.to_ascii_lowercase().starts_with("multipart/form-data"));
    let (package, on_conflict) = if is_form {
        let (package, on_conflict) = sent(request, &app).await?;
        (package, Some(on_conflict))
    } else {
        let Body(sent) = Body::<ImportSent>::from_request(request, &app).await?;
        let on_conflict = sent.on_conflict.filter(|text| !text.is_empty());
        let on_conflict = on_conflict.as_deref().map(conflict_rule).transpose()?;
        (fetched(sent.url.as_deref().unwrap_or_default()).await?, on_conflict)
    };
    let rule = on_conflict.unwrap_or(OnConflict::Fail);
    let taken = skill_intake::take(&app, scope.workspace_id, scope.user_id, package, rule).await;
    let taken = taken.map_err(|error| Error::internal("failed to import skill", error))?;
    tell(&app, scope, &taken);
    Ok(answer(taken, scope.user_id, on_conflict.is_some()))
}

fn tell(app: &App, scope: Scope, taken: &Taken) {
    let (kind, skill, files) = match taken {
        Taken::Created { skill, files, .. } => ("skill:created", skill, files),
        Taken::Updated { skill, files } => ("skill:updated", skill, files),
        Taken::Conflict(_) | Taken::Skipped(_) | Taken::NotTheirs(_) => return,
    };
    let whole = SkillWithFiles { skill: skill.clone(), files: files.clone() };
    app.events.by(scope.actor, scope.workspace_id, kind, || json!({"skill": whole}));
}

/// Older clients, which say nothing of conflicts, get the skill alone, or an error.
fn answer(taken: Taken, user: UserId, structured: bool) -> Response {
    let existing = |skill: Skill| Existing {
        id: skill.id,
        name: skill.name,
        can_overwrite: (skill.created_by == Some(user)).then_some(true),
        created_by: skill.created_by,
    };
    let body =
        |status, reason, skill, existing_skill| ImportedSkill { status, reason, skill, existing_skill };
    let (status, body) = match taken {
        Taken::Created { skill, files, .. } if !structured => {
            return (StatusCode::CREATED, Json(SkillWithFiles { skill, files })).into_response();
        }
        Taken::Conflict(skill) if !structured => {
            let body = json!({"error": EXISTS, "existing_skill": existing(skill)});
            return (StatusCode::CONFLICT, Json(body)).into_response();
        }
        Taken::Created { skill, files, renamed } => {
            let reason = renamed.then_some("renamed to avoid an existing skill");
            (StatusCode::CREATED, body("created", reason, Some(SkillWithFiles { skill, files }), None))
        }
        Taken::Updated { skill, files } => {
            (StatusCode::OK, body("updated", None, Some(SkillWithFiles { skill, files }), None))
        }
        Taken::Conflict(skill) => {
            (StatusCode::CONFLICT, body("conflict", Some(CONFLICT), None, Some(existing(skill))))
        }
        Taken::Skipped(skill) => (StatusCode::OK, body("skipped", Some(EXISTS), None, Some(existing(skill)))),
        Taken::NotTheirs(skill) => {
            let reason = "only the skill creator can overwrite this skill";
            (StatusCode::FORBIDDEN, body("failed", Some(reason), None, Some(existing(skill))))
        }
    };
    (status, Json(body)).into_response()
}

fn conflict_rule(text: &str) -> Result<OnConflict, Error> {
    OnConflict::parse(text)
        .ok_or_else(|| Error::bad_request("on_conflict must be one of: fail, overwrite, rename, skip"))
}

async fn fetched(url: &str) -> Result<Package, Error> {
    Ok(Source::parse(url)?.fetch().await?)
}

async fn sent(request: Request, app: &App) -> Result<(Package, OnConflict), Error> {
    let invalid = || Error::from(PackageError::TooLarge);
    let mut form = Multipart::from_request(request, app).await.map_err(|_| invalid())?;
    let (mut archive, mut on_conflict) = (None, String::new());
    for _ in 0..PARTS {
        let Some(part) = form.next_field().await.map_err(|_| invalid())? else { break };
        let name = part.name().unwrap_or_default().to_owned();
        match (name.as_str(), part.file_name().map(str::to_owned)) {
            ("file", Some(called)) if archive.is_none() => {
                archive = Some((called, part.bytes().await.map_err(|_| invalid())?));
            }
            ("on_conflict", None) => on_conflict = part.text().await.map_err(|_| invalid())?,
            _ => {}
        }
    }
    let rule = if on_conflict.is_empty() { OnConflict::Fail } else { conflict_rule(&on_conflict)? };
    let missing = || Error::bad_request("a skill archive file is required (form field \"file\")");
    let (called, bytes) = archive.ok_or_else(missing)?;
    if bytes.len() > PACKED {
        return Err(invalid());
    }
    let stem = called.rsplit('/').next().unwrap_or_default().replace('\0', "");
    let stem = stem.rsplit_once('.').map_or(stem.as_str(), |(stem, _)| stem).to_owned();
    let stem = if stem.is_empty() { "skill".to_owned() } else { stem };
    let opened = tokio::task::spawn_blocking(move || skill_package::open(&bytes, &stem, None)).await;
    let package = opened.map_err(|error| Error::internal("failed to import skill", error))??;
    Ok((package, rule))
}

#[derive(Deserialize)]
struct SearchSent {
    q: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct Candidate {
    name: String,
    url: String,
    source: &'static str,
    repo: Option<String>,
    install_count: Option<i64>,
    github_stars: Option<i64>,
    description: String,
}

/// Skills that the registry has.
#[utoipa::path(get, path = "/search", tag = "skills",
    params(("q" = String, Query, description = "What the skill is about")),
    responses((status = 200, body = [Candidate]), (status = 400, body = ErrorBody),
        (status = 502, body = ErrorBody)))]
async fn search(Query(sent): Query<SearchSent>) -> Result<Json<Vec<Candidate>>, Error> {
    let query: String = sent.q.unwrap_or_default().trim().chars().take(QUERY_CHARS).collect();
    if query.is_empty() {
        return Err(Error::bad_request("query is required"));
    }
    let found = skill_source::search(&query)
        .await
        .map_err(|error| Error::from(error).with("code", "upstream_unavailable"))?;
    Ok(Json(found.iter().filter_map(candidate).collect()))
}

fn candidate(result: &Value) -> Option<Candidate> {
    let text = |member: &str| result[member].as_str().filter(|text| !text.is_empty());
    let slug = text("slug")?;
    let path = text("ownerHandle").map_or_else(|| slug.to_owned(), |owner| format!("{owner}/{slug}"));
    Some(Candidate {
        name: text("displayName").unwrap_or(slug).to_owned(),
        url: format!("https://clawhub.ai/{path}"),
        source: "clawhub.ai",
        repo: None,
        install_count: None,
        github_stars: None,
        description: text("summary").unwrap_or_default().to_owned(),
    })
}

impl From<PackageError> for Error {
    fn from(error: PackageError) -> Self {
        match error {
            PackageError::NoArchive | PackageError::NoSkill | PackageError::TooLarge => {
                Self::bad_request(error.to_string())
            }
        }
    }
}

impl From<SourceError> for Error {
    fn from(error: SourceError) -> Self {
        if error.is_callers() {
            Self::bad_request(error.to_string())
        } else {
            Self::new(StatusCode::BAD_GATEWAY, error.to_string())
        }
    }
}
