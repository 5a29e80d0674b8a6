//! A skill from elsewhere becomes one of the workspace, whatever is there under its name.

use crate::app::App;
use crate::model::ids::{SkillId, UserId, WorkspaceId};
use crate::model::skill::{Skill, SkillFile};
use crate::store::{Conn, StoreError, skill_files, skills};

use super::skill_package::Package;

/// The most characters of a name, which every database can index.
const NAME_CHARS: usize = 255;
/// More copies under one name are an accident.
const COPIES: u32 = 1000;

/// What happens when the name is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnConflict {
    Fail,
    Overwrite,
    Rename,
    Skip,
}

impl OnConflict {
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "fail" => Some(Self::Fail),
            "overwrite" => Some(Self::Overwrite),
            "rename" => Some(Self::Rename),
            "skip" => Some(Self::Skip),
            _ => None,
        }
    }
}

/// What an import comes to.
#[derive(Debug)]
pub enum Taken {
    Created { skill: Skill, files: Vec<SkillFile>, renamed: bool },
    Updated { skill: Skill, files: Vec<SkillFile> },
    Conflict(Skill),
    Skipped(Skill),
    NotTheirs(Skill),
}

/// Takes a package in, for a person in a workspace.
pub async fn take(
    app: &App,
    workspace: WorkspaceId,
    user: UserId,
    package: Package,
    on_conflict: OnConflict,
) -> Result<Taken, StoreError> {
    let attempt = || {
        let (package, now) = (package.clone(), app.clock.now());
        let skill = Skill {
            id: SkillId::new(),
            workspace_id: workspace,
            name: package.name.chars().take(NAME_CHARS).collect(),
            description: package.description,
            content: package.content,
            config: serde_json::json!({}),
            created_by: Some(user),
            created_at: now,
            updated_at: now,
        };
        app.db.write(move |c| Box::pin(async move { store(c, skill, &package.files, on_conflict).await }))
    };
    match attempt().await {
        // Somebody took the name between the look and the write; now it is found.
        Err(error) if error.is_conflict() => attempt().await,
        taken => taken,
    }
}

async fn store(
    conn: &mut Conn,
    mut skill: Skill,
    files: &[(String, String)],
    on_conflict: OnConflict,
) -> Result<Taken, StoreError> {
    let Some(existing) = skills::find_by_name(conn, skill.workspace_id, &skill.name).await? else {
        skills::insert(conn, &skill).await?;
        let files = insert(conn, &skill, files).await?;
        return Ok(Taken::Created { skill, files, renamed: false });
    };
    match on_conflict {
        OnConflict::Fail => Ok(Taken::Conflict(existing)),
        OnConflict::Skip => Ok(Taken::Skipped(existing)),
        OnConflict::Overwrite if existing.created_by != skill.created_by => Ok(Taken::NotTheirs(existing)),
        OnConflict::Overwrite => {
            let skill =
                Skill { id: existing.id, created_at: existing.created_at, config: existing.config, ..skill };
            skills::update(conn, &skill).await?;
            skill_files::delete_all(conn, skill.id).await?;
            let files = insert(conn, &skill, files).await?;
            Ok(Taken::Updated { skill, files })
        }
        OnConflict::Rename => {
            for copy in 2..COPIES {
                let suffix = format!("-{copy}");
                let stem: String = existing.name.chars().take(NAME_CHARS - suffix.len()).collect();
                skill.name = format!("{stem}{suffix}");
                if skills::find_by_name(conn, skill.workspace_id, &skill.name).await?.is_none() {
                    skills::insert(conn, &skill).await?;
                    let files = insert(conn, &skill, files).await?;
                    return Ok(Taken::Created { skill, files, renamed: true });
                }
            }
            Ok(Taken::Conflict(existing))
        }
    }
}

async fn insert(
    conn: &mut Conn,
    skill: &Skill,
    files: &[(String, String)],
) -> Result<Vec<SkillFile>, StoreError> {
    let mut made = Vec::with_capacity(files.len());
    for (path, content) in files {
        made.push(skill_files::upsert(conn, skill.id, path, content, skill.updated_at).await?);
    }
    Ok(made)
}
