//! Skills as daemons get them: whole, or as references whose content is asked for later
//! and checked against a hash.

use serde::Serialize;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use crate::model::skill::{Skill, SkillFile};

/// Where a skill comes from; the only source there is.
const WORKSPACE: &str = "workspace";

/// A skill with its files in bytewise order of their paths.
pub struct Bundle<'a> {
    skill: &'a Skill,
    id: String,
    files: Vec<&'a SkillFile>,
}

/// For a daemon that does not know bundles.
#[derive(Serialize, ToSchema)]
pub struct FullSkill<'a> {
    id: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    content: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    files: Vec<FullFile<'a>>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = FullSkillFile)]
struct FullFile<'a> {
    path: &'a str,
    content: &'a str,
}

/// What stands in a claim in place of a skill.
#[derive(Serialize, ToSchema)]
pub struct SkillRef<'a> {
    id: &'a str,
    source: &'static str,
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    hash: String,
    size_bytes: usize,
    file_count: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    files: Vec<FileRef<'a>>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = SkillFileRef)]
struct FileRef<'a> {
    path: &'a str,
    sha256: String,
    size_bytes: usize,
}

/// What a reference resolves to.
#[derive(Serialize, ToSchema)]
#[schema(as = SkillBundle)]
pub struct Resolved<'a> {
    id: &'a str,
    source: &'static str,
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    hash: String,
    #[serde(skip_serializing_if = "is_zero")]
    size_bytes: usize,
    content: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    files: Vec<ResolvedFile<'a>>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = SkillBundleFile)]
struct ResolvedFile<'a> {
    path: &'a str,
    content: &'a str,
    sha256: String,
    #[serde(skip_serializing_if = "is_zero")]
    size_bytes: usize,
}

impl<'a> Bundle<'a> {
    /// Picks the skill's files out of `files`. A path that a daemon would refuse is left
    /// out, because one such file fails the whole task.
    pub fn of(skill: &'a Skill, files: &'a [SkillFile]) -> Self {
        let mut files: Vec<&SkillFile> =
            files.iter().filter(|file| file.skill_id == skill.id && is_safe(&file.path)).collect();
        files.sort_by(|a, b| a.path.as_bytes().cmp(b.path.as_bytes()));
        Self { skill, id: skill.id.to_string(), files }
    }

    /// Whether a daemon means this one.
    pub fn is(&self, source: &str, id: &str) -> bool {
        source == WORKSPACE && id == self.id
    }

    pub fn full(&self) -> FullSkill<'_> {
        FullSkill {
            id: &self.id,
            name: &self.skill.name,
            description: &self.skill.description,
            content: &self.skill.content,
            files: self
                .files
                .iter()
                .map(|file| FullFile { path: &file.path, content: &file.content })
                .collect(),
        }
    }

    pub fn reference(&self) -> SkillRef<'_> {
        SkillRef {
            id: &self.id,
            source: WORKSPACE,
            name: &self.skill.name,
            description: &self.skill.description,
            hash: self.hash(),
            size_bytes: self.size(),
            file_count: self.files.len(),
            files: self
                .files
                .iter()
                .map(|file| FileRef {
                    path: &file.path,
                    sha256: digest(&file.content),
                    size_bytes: file.content.len(),
                })
                .collect(),
        }
    }

    pub fn resolved(&self) -> Resolved<'_> {
        Resolved {
            id: &self.id,
            source: WORKSPACE,
            name: &self.skill.name,
            description: &self.skill.description,
            hash: self.hash(),
            size_bytes: self.size(),
            content: &self.skill.content,
            files: self
                .files
                .iter()
                .map(|file| ResolvedFile {
                    path: &file.path,
                    content: &file.content,
                    sha256: digest(&file.content),
                    size_bytes: file.content.len(),
                })
                .collect(),
        }
    }

    fn size(&self) -> usize {
        self.skill.content.len() + self.files.iter().map(|file| file.content.len()).sum::<usize>()
    }

    /// What the daemon computes again to check what it got: every part with its length, so
    /// that no two bundles read alike.
    fn hash(&self) -> String {
        let mut sha = Sha256::new();
        let mut part = |text: &str| {
            sha.update(format!("{}:", text.len()));
            sha.update(text);
            sha.update("\n");
        };
        for text in
            ["v1", WORKSPACE, &self.id, &self.skill.name, &self.skill.description, &self.skill.content]
        {
            part(text);
        }
        for file in &self.files {
            part(&file.path);
            part(&digest(&file.content));
            part(&file.content);
        }
        format!("sha256:{}", hex::encode(sha.finalize()))
    }
}

fn digest(content: &str) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(content)))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(size: &usize) -> bool {
    *size == 0
}

/// Relative, in its cleaned form, and inside its folder.
fn is_safe(path: &str) -> bool {
    !path.is_empty()
        && !path.contains(['\0', '\\'])
        && path.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::model::ids::{SkillId, WorkspaceId};

    fn check(
        id: &str,
        name: &str,
        description: &str,
        content: &str,
        files: &[(&str, &str)],
        hash: &str,
        size: usize,
    ) {
        let id = SkillId::parse(id).unwrap_or_default();
        let skill = Skill {
            id,
            name: name.to_owned(),
            description: description.to_owned(),
            content: content.to_owned(),
            workspace_id: WorkspaceId::new(),
            config: serde_json::Value::Null,
            created_by: None,
            created_at: DateTime::default(),
            updated_at: DateTime::default(),
        };
        let files: Vec<SkillFile> = files
            .iter()
            .map(|(path, content)| SkillFile {
                id: uuid::Uuid::nil(),
                skill_id: id,
                path: (*path).to_owned(),
                content: (*content).to_owned(),
                created_at: DateTime::default(),
                updated_at: DateTime::default(),
            })
            .collect();
        let bundle = Bundle::of(&skill, &files);
        assert_eq!(bundle.hash(), hash);
        assert_eq!(bundle.size(), size);
    }

    #[test]
    fn the_published_hashes_hold() {
        check(
            "11111111-1111-1111-1111-111111111111",
            "deploy",
            "",
            "main",
            &[("b.md", "b"), ("a.md", "a")],
            "sha256:ceeaf49ee3ed374596062dab034de19e2f3162d86df86aac59652a4d8b0bebfb",
            6,
        );
        check(
            "22222222-2222-2222-2222-222222222222",
            "n",
            "d",
            "",
            &[("rules/x.md", "")],
            "sha256:99d3d7f22b53605a0c31669389c2a3288aab855083e15c4177f91d77d75228a5",
            0,
        );
    }

    #[test]
    fn paths_that_leave_their_folder_are_unsafe() {
        for path in ["", "/a", "a/../b", "./a", "a//b", "a\\b", "..", "a/"] {
            assert!(!is_safe(path), "{path}");
        }
        assert!(is_safe("docs/SKILL.md"));
    }
}
