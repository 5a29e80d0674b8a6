//! What may stand where a repository's address is asked for.

use url::Url;

/// An `http`, `https`, `ssh` or `git` URL with a host, or `user@host:path`.
pub fn is_git_url(text: &str) -> bool {
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return false;
    }
    match text.split_once("://") {
        Some((scheme, rest)) => {
            let known =
                ["http", "https", "ssh", "git"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
            // The parser takes `http:///x` for a host of `x`.
            known
                && !rest.starts_with(['/', '\\'])
                && Url::parse(text).is_ok_and(|url| url.host_str().is_some_and(|host| !host.is_empty()))
        }
        None => is_scp_like(text),
    }
}

fn is_scp_like(text: &str) -> bool {
    let Some((user, rest)) = text.split_once('@') else { return false };
    let Some((host, path)) = rest.split_once(':') else { return false };
    !user.is_empty()
        && !host.is_empty()
        && !path.is_empty()
        && !user.contains(['/', ':'])
        && !host.contains(['/', '@'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_repositories_pass() {
        for good in [
            "https://github.com/acme/a",
            "http://h/x.git",
            "ssh://git@h:22/x",
            "git://h/x",
            "HTTPS://h/x",
            "git@github.com:acme/a.git",
            "me@h:x",
        ] {
            assert!(is_git_url(good), "{good}");
        }
        for bad in [
            "",
            "ftp://x/y",
            "https://",
            "https:///x",
            "file:///x",
            "/srv/x",
            "github.com/acme/a",
            "git@host",
            "git@:x",
            "@h:x",
            "git@h:",
            "https://h/a b",
            "git@a/b:c",
        ] {
            assert!(!is_git_url(bad), "{bad}");
        }
    }
}
