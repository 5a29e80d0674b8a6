//! Skills: what an agent can be taught, with files beside.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::ids::{SkillId, UserId, WorkspaceId};
use super::time::Time;

/// The file that a skill's own content becomes on a daemon's disk.
const RESERVED: &str = "SKILL.md";

/// A row of `skill`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Skill {
    pub id: SkillId,
    pub workspace_id: WorkspaceId,
    pub name: String,
    pub description: String,
    pub content: String,
    pub config: Value,
    pub created_by: Option<UserId>,
    #[serde(serialize_with = "super::time::as_seconds::serialize")]
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Time,
    #[serde(serialize_with = "super::time::as_seconds::serialize")]
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Time,
}

/// A [`Skill`] without what it says.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SkillSummary {
    pub id: SkillId,
    pub workspace_id: WorkspaceId,
    pub name: String,
    pub description: String,
    pub config: Value,
    pub created_by: Option<UserId>,
    #[serde(serialize_with = "super::time::as_seconds::serialize")]
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Time,
    #[serde(serialize_with = "super::time::as_seconds::serialize")]
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Time,
}

/// A row of `skill_file`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SkillFile {
    pub id: Uuid,
    pub skill_id: SkillId,
    pub path: String,
    pub content: String,
    #[serde(serialize_with = "super::time::as_seconds::serialize")]
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Time,
    #[serde(serialize_with = "super::time::as_seconds::serialize")]
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Time,
}

/// Where a file of a skill would land.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FilePlace {
    /// Below the skill's directory.
    Inside,
    /// On the skill's own content.
    Reserved,
    /// Outside, nowhere, or anywhere.
    Invalid,
}

impl FilePlace {
    /// Daemons run on systems with either kind of separator, so both count.
    pub fn of(path: &str) -> Self {
        let path = path.replace('\\', "/");
        let has_drive = path.as_bytes().get(1) == Some(&b':') && path.as_bytes()[0].is_ascii_alphabetic();
        if path.is_empty() || path.starts_with('/') || has_drive {
            return Self::Invalid;
        }
        let clean = cleaned(&path);
        if clean.starts_with("..") || clean == "." {
            Self::Invalid
        } else if clean.eq_ignore_ascii_case(RESERVED) {
            Self::Reserved
        } else {
            Self::Inside
        }
    }
}

/// The shortest relative path of the same meaning.
fn cleaned(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    if parts.is_empty() { ".".to_owned() } else { parts.join("/") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_stays_inside_and_off_the_skill_itself() {
        for (path, expected) in [
            ("a.md", FilePlace::Inside),
            ("docs/SKILL.md", FilePlace::Inside),
            ("a/../b/./c", FilePlace::Inside),
            (".hidden", FilePlace::Inside),
            ("SKILL.md", FilePlace::Reserved),
            ("./skill.MD", FilePlace::Reserved),
            ("a/../SKILL.md", FilePlace::Reserved),
            ("a\\..\\SKILL.md", FilePlace::Reserved),
            ("", FilePlace::Invalid),
            (".", FilePlace::Invalid),
            ("a/..", FilePlace::Invalid),
            ("/etc/passwd", FilePlace::Invalid),
            ("../x", FilePlace::Invalid),
            ("a/../../x", FilePlace::Invalid),
            ("..\\x", FilePlace::Invalid),
            ("C:\\x", FilePlace::Invalid),
            ("\\\\host\\x", FilePlace::Invalid),
        ] {
            assert_eq!(FilePlace::of(path), expected, "{path}");
        }
    }
}
