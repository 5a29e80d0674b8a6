//! The name of an artifact in a registry: `REGISTRY/REPOSITORY[:TAG][@sha256:…]`.

use std::fmt;
use std::net::IpAddr;

const MAX_BYTES: usize = 512;
const MAX_TAG: usize = 128;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reference {
    /// A host, with a port or without.
    pub registry: String,
    pub repository: String,
    pub tag: String,
    /// Of the manifest: `sha256:` and 64 hex digits.
    pub digest: Option<String>,
}

impl Reference {
    /// Reads what follows `oci:`. Without a tag it is `latest`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let fault =
            |what: &str| format!("`oci:{text}` {what}; write `oci:REGISTRY/REPOSITORY[:TAG][@sha256:…]`");
        if text.len() > MAX_BYTES {
            return Err(format!("the reference is longer than {MAX_BYTES} bytes"));
        }
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (text, None),
        };
        let (registry, path) = name.split_once('/').ok_or_else(|| fault("names no registry"))?;
        if !is_registry(registry) {
            return Err(fault("names no registry: a host with a dot or a port, or `localhost`"));
        }
        let (repository, tag) = path.split_once(':').unwrap_or((path, "latest"));
        if !repository.split('/').all(is_component) {
            return Err(fault(
                "has no valid repository: lower-case letters, digits, `.`, `_`, `-`, between slashes",
            ));
        }
        if !is_tag(tag) {
            return Err(fault("has no valid tag"));
        }
        if digest.is_some_and(|digest| !is_digest(digest)) {
            return Err(fault("has no valid digest: `sha256:` and 64 lower-case hex digits"));
        }
        Ok(Self {
            registry: registry.to_ascii_lowercase(),
            repository: repository.to_owned(),
            tag: tag.to_owned(),
            digest: digest.map(str::to_owned),
        })
    }

    /// What names the manifest in the registry's API.
    pub fn version(&self) -> &str {
        self.digest.as_deref().unwrap_or(&self.tag)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}", self.registry, self.repository, self.tag)?;
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

/// Whether the host is this machine.
pub fn is_loopback(registry: &str) -> bool {
    let url = url::Url::parse(&format!("http://{registry}")).ok();
    match url.as_ref().and_then(url::Url::host) {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => IpAddr::from(address).is_loopback(),
        Some(url::Host::Ipv6(address)) => IpAddr::from(address).is_loopback(),
        None => false,
    }
}

pub fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| {
        hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    })
}

/// A host alone: no user, path or query.
fn is_registry(text: &str) -> bool {
    let looks_like_one = text == "localhost" || text.contains(['.', ':']);
    let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte));
    looks_like_one && is_plain && url::Url::parse(&format!("http://{text}")).is_ok()
}

fn is_component(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.bytes().next().is_some_and(is_word)
        && text.bytes().next_back().is_some_and(is_word)
        && text.bytes().all(|byte| is_word(byte) || b"._-".contains(&byte))
}

fn is_tag(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_TAG
        && !text.starts_with(['.', '-'])
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_names_registry_repository_tag_and_digest() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let whole = format!("ghcr.io/acme/policy:1.2@{digest}");
        let read = Reference::parse(&whole).unwrap();
        assert_eq!((read.registry.as_str(), read.repository.as_str()), ("ghcr.io", "acme/policy"));
        assert_eq!((read.tag.as_str(), read.version()), ("1.2", digest.as_str()));
        assert_eq!(read.to_string(), whole);
        assert_eq!(Reference::parse("localhost:5000/a").unwrap().to_string(), "localhost:5000/a:latest");
        for wrong in [
            "",
            "policy",
            "acme/policy",
            "ghcr.io/",
            "ghcr.io/A",
            "ghcr.io/a/../b",
            "ghcr.io/a:",
            "ghcr.io/a:x/y",
            "ghcr.io/a@sha256:12",
            "u:p@ghcr.io/a",
            "ghcr.io?/a",
            "ghcr.io//a",
            "ghcr.io/a:.x",
        ] {
            assert!(Reference::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_this_machine_is_loopback() {
        for (registry, holds) in [
            ("localhost:5000", true),
            ("127.0.0.1:5000", true),
            ("[::1]:5000", true),
            ("127.0.0.1.example.com", false),
            ("10.0.0.1:5000", false),
        ] {
            assert_eq!(is_loopback(registry), holds, "{registry}");
        }
    }
}
