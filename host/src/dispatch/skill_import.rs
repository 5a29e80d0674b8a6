//! A skill from a daemon's disk becomes one of the workspace, or takes the place of one.
//! The skill and the end of the request are one transaction: neither is there without the
//! other.

use serde_json::{Value, json};
use thiserror::Error;

use crate::app::App;
use crate::model::actor::Actor;
use crate::model::ids::{RuntimeId, SkillId, UserId, WorkspaceId};
use crate::model::pending_request::{ImportInput, PendingRequest, RequestStatus};
use crate::model::skill::{FilePlace, Skill};
use crate::model::time::Time;
use crate::store::{Conn, StoreError, pending_requests, skill_files, skills};

/// The bounds that skills have wherever they come from.
const NAME_CHARS: usize = 255;
const PATH_BYTES: usize = 1024;
const FILES: usize = 1000;

/// A skill as a daemon reads it from its disk.
#[derive(Clone, Debug, Default)]
pub struct Bundle {
    pub name: String,
    pub description: String,
    pub content: String,
    pub source_path: String,
    pub provider: String,
    /// Paths with contents.
    pub files: Vec<(String, String)>,
}

#[derive(Debug, Error)]
pub enum ImportError {
    /// Nobody for whom the skill could be made.
    #[error("stored local skill import creator_id is invalid")]
    NoRequester,
    /// What was asked cannot be read any more.
    #[error("the stored request is unreadable")]
    Unreadable(#[from] serde_json::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Takes a bundle in. What stands against it is written down in the request, for whoever
/// asked to read; only failures of ours are errors.
///
/// It runs to its end even when the daemon hangs up, so that clients hear of a skill that
/// was made.
pub async fn receive(
    app: &App,
    request: PendingRequest,
    workspace_id: WorkspaceId,
    bundle: Bundle,
) -> Result<(), ImportError> {
    let app = app.clone();
    let running = tokio::spawn(async move { received(&app, &request, workspace_id, bundle).await });
    running.await.unwrap_or_else(|_| Err(StoreError::Unavailable(None).into()))
}

async fn received(
    app: &App,
    request: &PendingRequest,
    workspace_id: WorkspaceId,
    bundle: Bundle,
) -> Result<(), ImportError> {
    let wanted = Wanted {
        input: serde_json::from_value(request.input.clone())?,
        runtime_id: request.runtime_id,
        workspace_id,
        requester: request.requested_by.ok_or(ImportError::NoRequester)?,
        bundle,
    };
    let ended = match attempt(app, &request.id, &wanted).await {
        // Somebody took the name between the look and the write; now it is found.
        Err(error) if error.is_conflict() => attempt(app, &request.id, &wanted).await,
        ended => ended,
    };
    let (kind, skill) = match ended {
        Ok(Some(Outcome::Created(skill))) => ("skill:created", skill),
        Ok(Some(Outcome::Overwritten(skill))) => ("skill:updated", skill),
        Ok(_) => return Ok(()),
        Err(StoreError::Check { what }) => {
            super::requests::fail(app, request.id.clone(), format!("a value was rejected: {what}")).await?;
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    tracing::info!(skill.id = %skill.id, runtime.id = %request.runtime_id, "a skill was imported from a daemon");
    app.events.by(Actor::Member(wanted.requester), workspace_id, kind, || json!({"skill": skill}));
    Ok(())
}

#[derive(Clone)]
struct Wanted {
    input: ImportInput,
    runtime_id: RuntimeId,
    workspace_id: WorkspaceId,
    requester: UserId,
    bundle: Bundle,
}

/// What an import comes to.
enum Outcome {
    Created(Skill),
    Overwritten(Skill),
    Conflict { existing: SkillId, created_by: Option<UserId>, can_overwrite: bool },
    Failed(String),
}

/// One transaction. `None` when the request ended meanwhile, and then nothing is kept.
async fn attempt(app: &App, id: &str, wanted: &Wanted) -> Result<Option<Outcome>, StoreError> {
    let (id, wanted, now) = (id.to_owned(), wanted.clone(), app.clock.now());
    let ended: Result<Outcome, Ended> = app
        .db
        .write(move |c| {
            Box::pin(async move {
                let outcome = import(c, wanted, now).await?;
                let (status, output, error) = outcome.record();
                let first = pending_requests::finish(c, &id, status, &output, error, now).await?;
                if first { Ok(outcome) } else { Err(Ended::Meanwhile) }
            })
        })
        .await;
    match ended {
        Ok(outcome) => Ok(Some(outcome)),
        Err(Ended::Meanwhile) => Ok(None),
        Err(Ended::Store(error)) => Err(error),
    }
}

/// Why a transaction is taken back.
#[derive(Debug, Error)]
enum Ended {
    #[error("the request ended meanwhile")]
    Meanwhile,
    #[error(transparent)]
    Store(#[from] StoreError),
}

async fn import(conn: &mut Conn, wanted: Wanted, now: Time) -> Result<Outcome, StoreError> {
    let Wanted { input, runtime_id, workspace_id, requester, bundle } = wanted;
    let config = json!({"origin": {
        "type": "runtime_local",
        "runtime_id": runtime_id,
        "provider": bundle.provider,
        "source_path": bundle.source_path,
    }});
    let skill = Skill {
        id: input.target_skill_id.unwrap_or_default(),
        workspace_id,
        name: input.name.unwrap_or(bundle.name),
        description: input.description.unwrap_or(bundle.description),
        content: bundle.content,
        config,
        created_by: Some(requester),
        created_at: now,
        updated_at: now,
    };
    let files: Vec<_> =
        bundle.files.into_iter().filter(|(path, _)| FilePlace::of(path) == FilePlace::Inside).collect();
    if let Some(text) = fault(&skill, &files) {
        return Ok(Outcome::Failed(text));
    }
    match input.target_skill_id {
        Some(target) => overwrite(conn, target, skill, &files).await,
        None => create(conn, skill, &files, input.supports_conflict).await,
    }
}

/// What no database could hold, or no daemon could be handed.
fn fault(skill: &Skill, files: &[(String, String)]) -> Option<String> {
    if skill.name.is_empty() {
        Some("name is required".to_owned())
    } else if skill.name.chars().count() > NAME_CHARS {
        Some(format!("name must be {NAME_CHARS} characters or fewer"))
    } else if files.len() > FILES {
        Some(format!("a skill may have at most {FILES} files"))
    } else if files.iter().any(|(path, _)| path.len() > PATH_BYTES) {
        Some(format!("file path must be {PATH_BYTES} bytes or fewer"))
    } else {
        None
    }
}

/// The target is judged again: it may have changed hands or names since it was chosen. It
/// keeps its id, its creator and the agents that have it.
async fn overwrite(
    conn: &mut Conn,
    target: SkillId,
    new: Skill,
    files: &[(String, String)],
) -> Result<Outcome, StoreError> {
    let refused = |text: &str| Ok(Outcome::Failed(text.to_owned()));
    let target = skills::find_locked(conn, target).await?;
    let Some(target) = target.filter(|target| target.workspace_id == new.workspace_id) else {
        return refused("target skill no longer exists");
    };
    if target.created_by != new.created_by {
        return refused("you no longer have permission to overwrite this skill");
    }
    if target.name != new.name {
        return refused("target skill name no longer matches the imported skill");
    }
    let skill = Skill { created_at: target.created_at, ..new };
    skills::update(conn, &skill).await?;
    skill_files::delete_all(conn, skill.id).await?;
    insert_files(conn, &skill, files).await?;
    Ok(Outcome::Overwritten(skill))
}

async fn create(
    conn: &mut Conn,
    skill: Skill,
    files: &[(String, String)],
    supports_conflict: bool,
) -> Result<Outcome, StoreError> {
    if let Some(existing) = skills::find_by_name(conn, skill.workspace_id, &skill.name).await? {
        if !supports_conflict {
            return Ok(Outcome::Failed("a skill with this name already exists".to_owned()));
        }
        return Ok(Outcome::Conflict {
            existing: existing.id,
            created_by: existing.created_by,
            can_overwrite: existing.created_by == skill.created_by,
        });
    }
    skills::insert(conn, &skill).await?;
    insert_files(conn, &skill, files).await?;
    Ok(Outcome::Created(skill))
}

async fn insert_files(conn: &mut Conn, skill: &Skill, files: &[(String, String)]) -> Result<(), StoreError> {
    for (path, content) in files {
        skill_files::upsert(conn, skill.id, path, content, skill.updated_at).await?;
    }
    Ok(())
}

impl Outcome {
    /// How the request ends.
    fn record(&self) -> (RequestStatus, Value, Option<&str>) {
        match self {
            Self::Created(skill) | Self::Overwritten(skill) => {
                (RequestStatus::Completed, json!({"skill": skill}), None)
            }
            Self::Conflict { existing, created_by, can_overwrite } => {
                let mut conflict = json!({"existing_skill_id": existing, "can_overwrite": can_overwrite});
                if let Some(created_by) = created_by {
                    conflict["existing_created_by"] = created_by.to_string().into();
                }
                (RequestStatus::Conflict, json!({"conflict": conflict}), None)
            }
            Self::Failed(text) => (RequestStatus::Failed, json!({}), Some(text)),
        }
    }
}
