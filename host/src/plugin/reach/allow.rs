//! The list of places that a plugin may send requests to.

use ipnet::IpNet;
use serde::Serialize;
use url::{Host, Url};

pub const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
/// Those that ask and change nothing.
pub const READS: [&str; 2] = ["GET", "HEAD"];

/// One `[[plugin.grants.http]]`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct HttpGrant {
    /// `http` or `https`.
    pub scheme: String,
    /// In lower case; `*.example.com` is every name below `example.com`.
    pub host: String,
    pub port: u16,
    /// What the path begins with, whole steps of it.
    pub path: String,
    pub methods: Vec<String>,
    /// Networks that are open beside the public internet.
    pub networks: Vec<IpNet>,
}

impl HttpGrant {
    /// Reads a place such as `https://tracker.example.com/api/`.
    pub fn place(text: &str) -> Result<(String, String, u16, String), String> {
        let wildcard = text.contains("://*.");
        let url =
            Url::parse(&text.replacen("://*.", "://", 1)).map_err(|error| format!("is no URL: {error}"))?;
        let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
            return Err("names no host".to_owned());
        };
        if !matches!(url.scheme(), "http" | "https") {
            return Err("is neither http nor https".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("names a user; keep a password as a secret".to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("has a query or a fragment; only scheme, host, port and path count".to_owned());
        }
        let host = match host {
            Host::Domain(name) if wildcard => format!("*.{}", trimmed(name)),
            Host::Domain(name) => trimmed(name).to_owned(),
            _ if wildcard => return Err("has a star before an address".to_owned()),
            other => other.to_string(),
        };
        Ok((url.scheme().to_owned(), host, port, url.path().to_owned()))
    }

    pub fn allows(&self, method: &str, url: &Url) -> bool {
        self.scheme == url.scheme()
            && Some(self.port) == url.port_or_known_default()
            && self.names(&host_of(url))
            && self.methods.iter().any(|allowed| allowed == method)
            && self.holds(url.path())
    }

    /// Whether a host is the one, or one of those, that it is about.
    pub fn names(&self, host: &str) -> bool {
        is_named(&self.host, host)
    }

    /// Whether a path begins with the one that was granted, step by step. What another reader
    /// could take for a step up does not.
    fn holds(&self, path: &str) -> bool {
        let granted = self.path.trim_end_matches('/');
        if granted.is_empty() {
            return true;
        }
        let lower = path.to_ascii_lowercase();
        if lower.contains("%2f") || lower.contains("%5c") || lower.contains("..") {
            return false;
        }
        path.strip_prefix(granted).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// The host of a URL in the form in which hosts are granted.
pub fn host_of(url: &Url) -> String {
    url.host().map(|host| trimmed(&host.to_string()).to_owned()).unwrap_or_default()
}

/// Whether `host` is what `granted` names.
pub fn is_named(granted: &str, host: &str) -> bool {
    match granted.strip_prefix("*.") {
        None => granted == host,
        Some(above) => host.strip_suffix(above).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
    }
}

/// A dot at the end of a name says the same as none.
fn trimmed(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(place: &str) -> HttpGrant {
        let (scheme, host, port, path) = HttpGrant::place(place).unwrap_or_default();
        HttpGrant { scheme, host, port, path, methods: vec!["GET".to_owned()], networks: Vec::new() }
    }

    fn allows(place: &str, url: &str) -> bool {
        Url::parse(url).is_ok_and(|url| grant(place).allows("GET", &url))
    }

    #[test]
    fn scheme_host_port_path_and_method_count() {
        let place = "https://tracker.example.com/api";
        for url in [
            "https://tracker.example.com/api",
            "https://tracker.example.com:443/api/1?x=/../",
            "https://TRACKER.example.com./api/a/../b",
        ] {
            assert!(allows(place, url), "{url}");
        }
        for url in [
            "http://tracker.example.com/api",
            "https://tracker.example.com:8443/api",
            "https://tracker.example.com.evil.example/api",
            "https://evil.example/api",
            "https://tracker.example.com/apis",
            "https://tracker.example.com/api/../admin",
            "https://tracker.example.com/api/%2e%2e/admin",
            "https://tracker.example.com/api/..%2fadmin",
            "https://tracker.example.com/api/..%5cadmin",
            "https://tracker.example.com\\@evil.example/api",
            "https://sub.tracker.example.com/api",
        ] {
            assert!(!allows(place, url), "{url}");
        }
        let url = Url::parse("https://tracker.example.com/api").ok();
        assert!(url.is_some_and(|url| !grant(place).allows("POST", &url)));
    }

    #[test]
    fn a_star_is_for_names_below() {
        assert!(allows("https://*.example.com", "https://a.example.com/x"));
        assert!(allows("https://*.example.com", "https://b.a.example.com/"));
        assert!(!allows("https://*.example.com", "https://example.com/"));
        assert!(!allows("https://*.example.com", "https://evilexample.com/"));
    }

    #[test]
    fn a_place_that_cannot_be_meant_is_told() {
        for place in ["tracker", "ftp://a/", "https://u:p@a/", "https://a/?q=1", "https://*.127.0.0.1/"] {
            assert!(HttpGrant::place(place).is_err(), "{place}");
        }
    }
}
