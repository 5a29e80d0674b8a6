//! The root of a mounted prefix answers with and without a trailing slash; a leaf does
//! not, and nothing is ever redirected (a redirect would turn a POST into a GET). Bytes that
//! are no text stand for nothing that exists, and each route says so in its own words.

use std::borrow::Cow;

use axum::extract::Request;
use axum::http::Uri;
use axum::http::uri::PathAndQuery;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Prefixes under `/api` whose root takes a slash.
const ROOTS: [&str; 13] = [
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
    "inbox",
];

/// Takes the slash off where it means nothing, before routes are matched.
pub fn normalise<B>(mut request: Request<B>) -> Request<B> {
    if let Some(uri) = without_slash(request.uri()) {
        *request.uri_mut() = uri;
    }
    if let Some(uri) = as_text(request.uri()) {
        *request.uri_mut() = uri;
    }
    request
}

/// With U+FFFD for what is not UTF-8 in the segments of the path.
fn as_text(uri: &Uri) -> Option<Uri> {
    let is_text = |segment: &str| percent_decode_str(segment).decode_utf8().is_ok();
    if is_text(uri.path()) {
        return None;
    }
    let segments: Vec<Cow<'_, str>> = uri
        .path()
        .split('/')
        .map(|segment| {
            if is_text(segment) {
                return segment.into();
            }
            let text = percent_decode_str(segment).decode_utf8_lossy();
            utf8_percent_encode(&text, NON_ALPHANUMERIC).to_string().into()
        })
        .collect();
    with_path(uri, &segments.join("/"))
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
    with_path(uri, path)
}

fn with_path(uri: &Uri, path: &str) -> Option<Uri> {
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

    #[test]
    fn what_is_no_text_is_replaced_and_nothing_else() {
        let check = |given: &'static str, expected: Option<&str>| {
            assert_eq!(as_text(&Uri::from_static(given)).map(|uri| uri.to_string()).as_deref(), expected);
        };
        check("/api/issues/%C3%9C/x", None);
        check("/api/issues/%ff/x%20y?a=%ff", Some("/api/issues/%EF%BF%BD/x%20y?a=%ff"));
        check("/api/issues/a%2F%c3", Some("/api/issues/a%2F%EF%BF%BD"));
    }
}
