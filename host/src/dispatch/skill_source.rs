//! Skills that lie elsewhere: where an address leads, and fetching what is there.

use std::time::Duration;

use reqwest::{Response, StatusCode};
use serde_json::Value;
use thiserror::Error;
use url::Url;

use super::skill_package::{self, PACKED, Package, PackageError};
use crate::outbound;

/// How long one call may take, its answer included.
const TIMEOUT: Duration = Duration::from_secs(20);
/// The longest name that the registry is asked for, in bytes.
const SLUG: usize = 128;
/// The most that a list of skills may be.
const LIST: usize = 1 << 20;
const REGISTRY: &str = "https://clawhub.ai/api/v1";

/// What an address asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Source {
    archive: Url,
    /// The folder of the skill in the archive.
    folder: Option<String>,
    called: String,
}

#[derive(Debug, Error)]
pub enum SourceError {
    #[error("empty URL")]
    Empty,
    #[error("invalid URL")]
    Invalid,
    #[error("unsupported source: {0} (supported: clawhub.ai, skills.sh, github.com)")]
    Unsupported(String),
    #[error("the source could not be reached")]
    Unreachable(#[from] reqwest::Error),
    #[error("the source answered with status {0}")]
    Answered(StatusCode),
    #[error("what the source sent is too large")]
    TooLarge,
    #[error("what the source sent is not readable")]
    Unreadable,
    #[error("the source has no such skill: {0}")]
    Package(#[from] PackageError),
}

impl SourceError {
    /// Whether the address is wrong, rather than what is behind it.
    pub fn is_callers(&self) -> bool {
        matches!(self, Self::Empty | Self::Invalid | Self::Unsupported(_))
    }
}

impl Source {
    /// Where the skill of an address is. A bare word is a skill of the registry.
    pub fn parse(text: &str) -> Result<Self, SourceError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(SourceError::Empty);
        }
        if !text.contains('/') && !text.contains('.') {
            return registered(text);
        }
        let has_scheme = text.starts_with("http://") || text.starts_with("https://");
        let whole = if has_scheme { text.to_owned() } else { format!("https://{text}") };
        let url = Url::parse(&whole).map_err(|_| SourceError::Invalid)?;
        let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
        let parts: Vec<&str> = url.path().split('/').filter(|part| !part.is_empty()).collect();
        match (host.trim_start_matches("www."), &*parts) {
            ("github.com", [owner, repo]) => repository(owner, repo, "HEAD", None),
            ("github.com", [owner, repo, "tree" | "blob", branch, path @ ..]) => {
                let path = match path {
                    [folder @ .., last] if last.eq_ignore_ascii_case("SKILL.md") => folder,
                    whole => whole,
                };
                repository(owner, repo, branch, Some(path.join("/")).filter(|path| !path.is_empty()))
            }
            ("skills.sh", [owner, repo, skill]) => repository(owner, repo, "HEAD", Some((*skill).to_owned())),
            ("clawhub.ai", [slug] | [_, slug]) => registered(slug),
            ("github.com" | "skills.sh" | "clawhub.ai", _) => Err(SourceError::Invalid),
            _ => Err(SourceError::Unsupported(host)),
        }
    }

    /// Fetches the skill.
    pub async fn fetch(&self) -> Result<Package, SourceError> {
        let archive = get(self.archive.clone(), PACKED).await?;
        Ok(skill_package::open(&archive, &self.called, self.folder.as_deref())?)
    }
}

fn repository(owner: &str, repo: &str, branch: &str, folder: Option<String>) -> Result<Source, SourceError> {
    let repo = repo.trim_end_matches(".git");
    let archive = address("https://codeload.github.com", &[owner, repo, "zip", branch])?;
    let called = folder.as_deref().and_then(|path| path.rsplit('/').next()).unwrap_or(repo).to_owned();
    Ok(Source { archive, folder, called })
}

fn registered(slug: &str) -> Result<Source, SourceError> {
    let is_slug = |c: char| c.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&c);
    if slug.len() > SLUG || !slug.chars().all(is_slug) {
        return Err(SourceError::Invalid);
    }
    let mut archive = address(REGISTRY, &["download"])?;
    archive.query_pairs_mut().append_pair("slug", slug);
    Ok(Source { archive, folder: None, called: slug.to_owned() })
}

/// The parts go in as parts, whatever is in them.
fn address(base: &str, parts: &[&str]) -> Result<Url, SourceError> {
    let mut url = Url::parse(base).map_err(|_| SourceError::Invalid)?;
    if parts.iter().any(|part| [".", ".."].contains(part)) {
        return Err(SourceError::Invalid);
    }
    url.path_segments_mut().map_err(|()| SourceError::Invalid)?.pop_if_empty().extend(parts);
    Ok(url)
}

/// What the registry finds, as it says it.
pub async fn search(query: &str) -> Result<Vec<Value>, SourceError> {
    let mut url = address(REGISTRY, &["search"])?;
    url.query_pairs_mut().append_pair("q", query);
    let mut answer: Value =
        serde_json::from_slice(&get(url, LIST).await?).map_err(|_| SourceError::Unreadable)?;
    match answer["results"].take() {
        Value::Array(results) => Ok(results),
        _ => Err(SourceError::Unreadable),
    }
}

async fn get(url: Url, limit: usize) -> Result<Vec<u8>, SourceError> {
    let mut answer: Response = outbound::client().get(url).timeout(TIMEOUT).send().await?;
    if !answer.status().is_success() {
        return Err(SourceError::Answered(answer.status()));
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if bytes.len() + chunk.len() > limit {
            return Err(SourceError::TooLarge);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_leads_to_an_archive_of_a_known_host() {
        for (text, archive, folder) in [
            ("https://github.com/o/r", "https://codeload.github.com/o/r/zip/HEAD", None),
            ("github.com/o/r.git", "https://codeload.github.com/o/r/zip/HEAD", None),
            ("https://GitHub.com/o/r/tree/main/a/b", "https://codeload.github.com/o/r/zip/main", Some("a/b")),
            (
                "https://github.com/o/r/blob/v1/a/SKILL.md",
                "https://codeload.github.com/o/r/zip/v1",
                Some("a"),
            ),
            ("https://skills.sh/o/r/s", "https://codeload.github.com/o/r/zip/HEAD", Some("s")),
            ("https://clawhub.ai/o/s", "https://clawhub.ai/api/v1/download?slug=s", None),
            ("slug-x", "https://clawhub.ai/api/v1/download?slug=slug-x", None),
        ] {
            let source = Source::parse(text).unwrap();
            assert_eq!((source.archive.as_str(), source.folder.as_deref()), (archive, folder), "{text}");
        }
    }

    #[test]
    fn other_addresses_are_refused() {
        for (text, error) in [
            (" ", "empty URL"),
            (
                "https://evil.example/o/r",
                "unsupported source: evil.example (supported: clawhub.ai, skills.sh, github.com)",
            ),
            (
                "http://127.0.0.1/x",
                "unsupported source: 127.0.0.1 (supported: clawhub.ai, skills.sh, github.com)",
            ),
            ("https://github.com/o", "invalid URL"),
            ("https://", "invalid URL"),
            ("slug&x", "invalid URL"),
        ] {
            assert_eq!(Source::parse(text).unwrap_err().to_string(), error);
        }
    }
}
