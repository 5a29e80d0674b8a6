//! The tenant, its people, and its list of repositories.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::ids::{UserId, WorkspaceId};
use super::time::Time;

/// A row of `workspace`.
#[derive(Clone, Debug)]
pub struct Workspace {
    pub id: WorkspaceId,
    pub name: String,
    pub slug: String,
    pub description: Option<String>,
    pub context: Option<String>,
    pub avatar_url: Option<String>,
    pub settings: Value,
    pub repos: Value,
    pub issue_prefix: String,
    pub created_at: Time,
    pub updated_at: Time,
}

/// A row of `"user"`.
#[derive(Clone, Debug)]
pub struct User {
    pub id: UserId,
    pub name: String,
    pub email: String,
    pub avatar_url: Option<String>,
    pub profile_description: String,
    pub timezone: Option<String>,
    pub language: Option<String>,
    pub onboarded_at: Option<Time>,
    pub onboarding_questionnaire: Value,
    pub starter_content_state: Option<String>,
    pub created_at: Time,
    pub updated_at: Time,
}

/// What a member may do in a workspace.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Owner,
    Admin,
    Member,
}

impl Role {
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "owner" => Some(Self::Owner),
            "admin" => Some(Self::Admin),
            "member" => Some(Self::Member),
            _ => None,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Member => "member",
        }
    }

    /// Owner or admin.
    pub fn is_admin(self) -> bool {
        matches!(self, Self::Owner | Self::Admin)
    }
}

/// A repository as it goes over the wire.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Repo {
    pub url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

/// The stored list as a claim delivers it: parsed, in order, nothing dropped but what is
/// not a repository. An unreadable list is empty.
pub fn stored_repos(stored: &Value) -> Vec<Repo> {
    let entries = stored.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut repos: Vec<Repo> = entries.iter().filter_map(|entry| Repo::deserialize(entry).ok()).collect();
    for repo in &mut repos {
        repo.description = repo.description.take().filter(|text| !text.is_empty());
        repo.reference = repo.reference.take().filter(|text| !text.is_empty());
    }
    repos
}

/// The list as daemons synchronise it: trimmed, without blanks and repeats, without `ref`.
pub fn normalised_repos(stored: &Value) -> Vec<Repo> {
    let mut seen = HashSet::new();
    stored_repos(stored)
        .into_iter()
        .map(|repo| Repo { url: repo.url.trim().to_owned(), reference: None, ..repo })
        .filter(|repo| !repo.url.is_empty() && seen.insert(repo.url.clone()))
        .collect()
}

/// A digest of the URLs alone, whatever their order: 64 hex digits.
pub fn repos_version(normalised: &[Repo]) -> String {
    let mut urls: Vec<&str> = normalised.iter().map(|repo| repo.url.as_str()).collect();
    urls.sort_unstable();
    hex::encode(Sha256::digest(urls.join("\n")))
}

/// What issue numbers of a new workspace begin with: the first three ASCII letters of its
/// name, or `WS` when it has none.
pub fn default_issue_prefix(name: &str) -> String {
    let letters: String = name.chars().filter(char::is_ascii_alphabetic).take(3).collect();
    if letters.is_empty() { "WS".to_owned() } else { letters.to_ascii_uppercase() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_does_not_depend_on_order() {
        let version = |urls: &[&str]| {
            let list: Vec<Value> =
                urls.iter().map(|url| serde_json::json!({"url": url, "ref": "x"})).collect();
            repos_version(&normalised_repos(&Value::Array(list)))
        };
        assert_eq!(version(&[]), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        let both = "35a738fae452f390d76c84d5d3da0e31a5f1c8bfce9a9afeb0ec32d39be1a5a4";
        assert_eq!(version(&["https://github.com/acme/b", " https://github.com/acme/a "]), both);
        assert_eq!(version(&["https://github.com/acme/a", "https://github.com/acme/b", ""]), both);
        assert_eq!(
            version(&["git@h:x.git"]),
            "2f38c43052f7e83338a5ec6b2ea7f71446aee2e214eb61f64e4e91829c0e128a"
        );
    }
}
