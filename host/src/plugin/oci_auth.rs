//! How a registry asks who is there, and what is answered.

use std::collections::HashMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

/// The part of Docker's `config.json` that counts here.
#[derive(Deserialize)]
struct File {
    #[serde(default)]
    auths: HashMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
}

/// A user and a password, as `Basic` sends them.
#[derive(Debug)]
pub struct Credentials(SecretString);

#[derive(PartialEq, Eq, Debug)]
pub enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

const MAX_FILE: u64 = 1 << 20;

/// What the file holds for a registry. A file that is named and cannot be read is an error: a
/// registry that is asked anonymously tells nothing of the reason.
pub fn credentials(file: &Path, registry: &str) -> Result<Option<Credentials>, String> {
    let shown = file.display();
    let about = std::fs::metadata(file).map_err(|error| format!("oci_auth_file `{shown}`: {error}"))?;
    if about.len() > MAX_FILE {
        return Err(format!("oci_auth_file `{shown}` is larger than {MAX_FILE} bytes"));
    }
    let text = std::fs::read(file).map_err(|error| format!("oci_auth_file `{shown}`: {error}"))?;
    // The message of a parser may quote a secret.
    let read: File = serde_json::from_slice(&text)
        .map_err(|_| format!("oci_auth_file `{shown}` is not of the form of Docker's `config.json`"))?;
    let is_for = |key: &str| {
        let host = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
        host.split('/').next().is_some_and(|host| host.eq_ignore_ascii_case(registry))
    };
    let Some((_, entry)) = read.auths.into_iter().find(|(key, _)| is_for(key)) else { return Ok(None) };
    let encoded = match (entry.auth.filter(|auth| !auth.is_empty()), entry.username, entry.password) {
        (Some(auth), _, _) => auth,
        (None, Some(user), Some(password)) => STANDARD.encode(format!("{user}:{password}")),
        _ => return Ok(None),
    };
    let is_header = encoded.bytes().all(|byte| byte.is_ascii_graphic());
    Ok(is_header.then(|| Credentials(encoded.into())))
}

impl Credentials {
    pub fn basic(&self) -> String {
        format!("Basic {}", self.0.expose_secret())
    }
}

impl Challenge {
    /// Reads `WWW-Authenticate`.
    pub fn parse(header: &str) -> Option<Self> {
        let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let mut values = parameters(rest);
        let realm = values.remove("realm")?;
        Some(Self::Bearer { realm, service: values.remove("service"), scope: values.remove("scope") })
    }
}

/// `name="value"` between commas; a value may hold commas itself.
fn parameters(mut text: &str) -> HashMap<String, String> {
    let mut found = HashMap::new();
    while let Some((name, rest)) = text.split_once('=') {
        let name = name.trim_matches([' ', ',']).to_ascii_lowercase();
        let (value, rest) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => rest.split_once(',').unwrap_or((rest, "")),
        };
        found.insert(name, value.to_owned());
        text = rest;
    }
    found
}

/// The token in the answer of whoever gives them.
pub fn token(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Body {
        token: Option<String>,
        access_token: Option<String>,
    }
    let body: Body = serde_json::from_slice(body).ok()?;
    let token = body.token.or(body.access_token)?;
    (!token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic())).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        let header = r#"Bearer realm="https://auth.example/token",service="r.example",scope="repository:a/b:pull,push""#;
        let read = Challenge::Bearer {
            realm: "https://auth.example/token".to_owned(),
            service: Some("r.example".to_owned()),
            scope: Some("repository:a/b:pull,push".to_owned()),
        };
        assert_eq!(Challenge::parse(header), Some(read));
        assert_eq!(Challenge::parse("Basic realm=\"x\""), Some(Challenge::Basic));
        assert_eq!(Challenge::parse("Negotiate"), None);
        assert_eq!(Challenge::parse("Bearer scope=\"x\""), None);
    }
}
