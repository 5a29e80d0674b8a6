//! The repositories that a caller writes into a workspace.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

use super::git_url::is_git_url;
use super::workspace::Repo;

/// How many repositories a workspace may have.
const MOST_REPOS: usize = 1000;

/// What may be wrong with a list of repositories.
#[derive(Debug, Error)]
pub enum RepoError {
    #[error("repos must be an array of repository objects: {0}")]
    Shape(String),
    #[error("repos[{0}]: url is required")]
    NoUrl(usize),
    #[error("repos[{0}]: url must be a valid http(s) or ssh git URL")]
    BadUrl(usize),
    #[error("repos may have at most {MOST_REPOS} entries")]
    TooMany,
}

#[derive(Deserialize, Default)]
struct Sent {
    url: Option<String>,
    description: Option<String>,
}

/// Checks a list as it was sent: trimmed, of each URL the first, other members dropped.
pub fn checked(sent: &Value) -> Result<Vec<Repo>, RepoError> {
    let sent: Vec<Option<Sent>> =
        Vec::deserialize(sent).map_err(|error| RepoError::Shape(error.to_string()))?;
    if sent.len() > MOST_REPOS {
        return Err(RepoError::TooMany);
    }
    let mut seen = HashSet::new();
    let mut repos = Vec::with_capacity(sent.len());
    for (index, repo) in sent.into_iter().enumerate() {
        let repo = repo.unwrap_or_default();
        let url = repo.url.unwrap_or_default().trim().to_owned();
        if url.is_empty() {
            return Err(RepoError::NoUrl(index));
        }
        if !is_accepted(&url) {
            return Err(RepoError::BadUrl(index));
        }
        let description = repo.description.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        if seen.insert(url.clone()) {
            repos.push(Repo { url, description, reference: None });
        }
    }
    Ok(repos)
}

/// As everywhere, and as scp knows it without a user too: `host:path`.
fn is_accepted(url: &str) -> bool {
    is_git_url(url) || (!url.contains('@') && is_git_url(&format!("git@{url}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_user_may_be_missing() {
        for good in ["https://github.com/acme/a", "git@host:a/b.git", "host:a/b", "https://me@h/x"] {
            assert!(is_accepted(good), "{good}");
        }
        for bad in ["a", "/a/b", "ftp://x/y", "@host:a", "host:", ":a", "a/b:c", "host: a", "https:///a"] {
            assert!(!is_accepted(bad), "{bad}");
        }
    }

    #[test]
    fn a_list_is_trimmed_and_has_each_url_once() {
        let sent = json!([
            {"url": " https://a/b ", "description": " x ", "ref": "main"},
            {"url": "https://a/b", "description": "y"},
            {"url": "git@h:c", "description": " "},
        ]);
        let found = checked(&sent).map(|repos| json!(repos)).unwrap_or_default();
        assert_eq!(found, json!([{"url": "https://a/b", "description": "x"}, {"url": "git@h:c"}]));
        let check = |sent: Value, message: &str| {
            let error = checked(&sent).map(|_| ()).map_err(|error| error.to_string());
            assert!(error.as_ref().is_err_and(|text| text.starts_with(message)), "{sent}: {error:?}");
        };
        check(json!([{"url": "https://a/b"}, {}]), "repos[1]: url is required");
        check(json!([null]), "repos[0]: url is required");
        check(json!([{"url": "ftp://x/y"}]), "repos[0]: url must be a valid http(s) or ssh git URL");
        for shape in [json!({}), json!("x"), json!([1]), json!([{"url": 1}])] {
            check(shape, "repos must be an array of repository objects: ");
        }
    }
}
