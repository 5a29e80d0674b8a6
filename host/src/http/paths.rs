//! The root of a mounted prefix answers with and without a trailing slash; a leaf does
//! not, and nothing is ever redirected (a redirect would turn a POST into a GET).

use axum::extract::Request;
use axum::http::Uri;
use axum::http::uri::PathAndQuery;

/// Prefixes under `/api` whose root takes a slash.
const ROOTS: [&str; 12] = [
    "workspaces",
    "issues",
    "agents",
    "skills",
    "squads",
    "projects",
    "labels",
    "autopilots",
    "runtimes",
    "tokens",
    "comments",
    "chat",
];

/// Takes the slash off where it means nothing, before routes are matched.
pub fn normalise<B>(mut request: Request<B>) -> Request<B> {
    if let Some(uri) = without_slash(request.uri()) {
        *request.uri_mut() = uri;
    }
    request
}

fn without_slash(uri: &Uri) -> Option<Uri> {
    let path = uri.path().strip_suffix('/')?;
    let mut parts = path.strip_prefix("/api/")?.split('/');
    let root = parts.next()?;
    // `/api/issues/` and `/api/issues/{id}/`, not what is below.
    let is_root =
        ROOTS.contains(&root) && parts.next().is_none_or(|id| !id.is_empty()) && parts.next().is_none();
    if !is_root {
        return None;
    }
    let text = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(text).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_roots_lose_their_slash() {
        let check = |given: &'static str, expected: Option<&str>| {
            assert_eq!(
                without_slash(&Uri::from_static(given)).map(|uri| uri.to_string()).as_deref(),
                expected
            );
        };
        check("/api/issues/", Some("/api/issues"));
        check("/api/issues/?a=b", Some("/api/issues?a=b"));
        check("/api/issues/1/", Some("/api/issues/1"));
        check("/api/issues/1/comments/", None);
        check("/api/me/", None);
        check("/api/issues//", None);
        check("/api/daemon/register/", None);
    }
}
