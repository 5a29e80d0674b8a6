//! What can be attached to a project, and how it is written down.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use super::git_url::is_git_url;

pub const GITHUB_REPO: &str = "github_repo";
pub const LOCAL_DIRECTORY: &str = "local_directory";

/// The longest reference, written down, which every database can index.
const MOST_BYTES: usize = 2048;

/// What may be wrong with a reference.
#[derive(Debug, Error)]
pub enum ResourceError {
    #[error("resource_ref is required")]
    Missing,
    #[error("unknown resource_type {0:?}")]
    UnknownType(String),
    #[error("invalid {0} payload: {1}")]
    Payload(&'static str, serde_json::Error),
    #[error("github_repo: url is required")]
    NoUrl,
    #[error("github_repo: url must be a valid http(s) or ssh git URL")]
    BadUrl,
    #[error("local_directory: local_path is required")]
    NoPath,
    #[error("local_directory: local_path must be an absolute path")]
    RelativePath,
    #[error("local_directory: daemon_id is required")]
    NoDaemon,
    #[error("{0}: resource_ref must be {MOST_BYTES} bytes or fewer")]
    TooLong(String),
}

#[derive(Serialize, Deserialize)]
struct GithubRepo {
    url: Option<String>,
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    default_branch_hint: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct LocalDirectory {
    local_path: Option<String>,
    daemon_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
}

/// The reference as it is kept: trimmed, known members only, empty ones left out. Equal
/// things are written alike, because that is how they are told to be the same.
pub fn normalised(kind: &str, sent: Option<Value>) -> Result<Value, ResourceError> {
    let sent = sent.filter(|value| !value.is_null()).ok_or(ResourceError::Missing)?;
    let kept = match kind {
        GITHUB_REPO => github_repo(payload(GITHUB_REPO, sent)?)?,
        LOCAL_DIRECTORY => local_directory(payload(LOCAL_DIRECTORY, sent)?)?,
        _ => return Err(ResourceError::UnknownType(kind.to_owned())),
    };
    if kept.to_string().len() > MOST_BYTES {
        return Err(ResourceError::TooLong(kind.to_owned()));
    }
    Ok(kept)
}

/// The daemon on whose machine a directory is; a project has one directory for each.
pub fn daemon_of<'a>(kind: &str, reference: &'a Value) -> Option<&'a str> {
    if kind == LOCAL_DIRECTORY { reference.get("daemon_id").and_then(Value::as_str) } else { None }
}

fn github_repo(sent: GithubRepo) -> Result<Value, ResourceError> {
    let url = trimmed(sent.url).ok_or(ResourceError::NoUrl)?;
    if !is_git_url(&url) {
        return Err(ResourceError::BadUrl);
    }
    written(
        GITHUB_REPO,
        &GithubRepo {
            url: Some(url),
            reference: trimmed(sent.reference),
            default_branch_hint: trimmed(sent.default_branch_hint),
        },
    )
}

fn local_directory(sent: LocalDirectory) -> Result<Value, ResourceError> {
    let path = trimmed(sent.local_path).ok_or(ResourceError::NoPath)?;
    if !is_absolute(&path) {
        return Err(ResourceError::RelativePath);
    }
    let daemon = trimmed(sent.daemon_id).ok_or(ResourceError::NoDaemon)?;
    written(
        LOCAL_DIRECTORY,
        &LocalDirectory { local_path: Some(path), daemon_id: Some(daemon), label: trimmed(sent.label) },
    )
}

fn payload<T: DeserializeOwned>(kind: &'static str, sent: Value) -> Result<T, ResourceError> {
    // A list would be read as the members in order.
    if sent.is_array() {
        return Err(ResourceError::Payload(kind, serde::de::Error::custom("expected an object")));
    }
    serde_json::from_value(sent).map_err(|error| ResourceError::Payload(kind, error))
}

fn written<T: Serialize>(kind: &'static str, value: &T) -> Result<Value, ResourceError> {
    serde_json::to_value(value).map_err(|error| ResourceError::Payload(kind, error))
}

fn trimmed(text: Option<String>) -> Option<String> {
    text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// On any system that a daemon may run on.
fn is_absolute(path: &str) -> bool {
    let bytes = path.as_bytes();
    path.starts_with('/')
        || path.starts_with("\\\\")
        || (bytes.len() > 2
            && bytes[0].is_ascii_alphabetic()
            && bytes[1] == b':'
            && matches!(bytes[2], b'/' | b'\\'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_reference_is_trimmed_and_stripped_or_refused() {
        let check = |kind: &str, sent: Value, expected: Result<Value, &str>| {
            let found = normalised(kind, Some(sent.clone())).map_err(|error| error.to_string());
            match (found, expected) {
                (Err(found), Err(expected)) => assert!(found.starts_with(expected), "{found}"),
                (found, expected) => assert_eq!(found, expected.map_err(str::to_owned), "{sent}"),
            }
        };
        check(
            "github_repo",
            json!({"url": " https://h/x ", "ref": " main ", "default_branch_hint": " ", "x": 1}),
            Ok(json!({"url": "https://h/x", "ref": "main"})),
        );
        check("github_repo", json!({}), Err("github_repo: url is required"));
        check(
            "github_repo",
            json!({"url": "x"}),
            Err("github_repo: url must be a valid http(s) or ssh git URL"),
        );
        check("github_repo", json!({"url": 1}), Err("invalid github_repo payload: "));
        check("github_repo", json!("x"), Err("invalid github_repo payload: "));
        check("github_repo", json!(["https://h/x"]), Err("invalid github_repo payload: "));
        check("github_repo", Value::Null, Err("resource_ref is required"));
        for path in ["/srv/x", "C:\\x", "d:/x", "\\\\host\\x"] {
            let sent = json!({"local_path": path, "daemon_id": "d"});
            check("local_directory", sent.clone(), Ok(sent));
        }
        for path in ["x", "C:x", "\\x", "1:/x"] {
            check(
                "local_directory",
                json!({"local_path": path, "daemon_id": "d"}),
                Err("local_directory: local_path must be an absolute path"),
            );
        }
        check("local_directory", json!({"daemon_id": "d"}), Err("local_directory: local_path is required"));
        check("local_directory", json!({"local_path": "/x"}), Err("local_directory: daemon_id is required"));
        check("folder", json!({}), Err("unknown resource_type \"folder\""));
        check(
            "github_repo",
            json!({"url": format!("https://h/{}", "x".repeat(3000))}),
            Err("github_repo: resource_ref must be 2048 bytes or fewer"),
        );
    }
}
