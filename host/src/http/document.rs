//! The document of the API: what many routes have in common is said here, once. The rest
//! stands at each handler.

use axum::body::Bytes;
use axum::http::{HeaderName, StatusCode, header};
use utoipa::openapi::path::{Operation, PathItem, Paths};
use utoipa::openapi::schema::AnyOfBuilder;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{
    Content, ContentBuilder, Info, Object, OpenApi, Ref, RefOr, Response, ResponseBuilder, Schema, Type,
};

use crate::auth::cookie;

const TOKEN: &str = "token";
const LOGIN: &str = "login";
const WORKSPACE: &str = "workspace";

const JSON: &str = "application/json";
const TEXT: &str = "text/plain";

/// What stands before a route.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Guard {
    /// A daemon's token, or a person's.
    Daemon,
    /// A person's token or login, or the token of an agent at work.
    User,
    /// As `User`, and the request names a workspace.
    Workspace,
}

/// Says of routes what stands before them. The guard that is said first holds.
pub fn guarded(paths: &mut Paths, guard: Guard) {
    for item in paths.paths.values_mut() {
        for (method, operation) in operations(item) {
            if operation.security.is_some() {
                continue;
            }
            operation.security = Some(requirements(guard));
            // The layer that authenticates people calls its JSON text.
            let media: &[&str] = if guard == Guard::Daemon { &[JSON] } else { &[JSON, TEXT] };
            operation.responses.responses.remove("401");
            refuse(operation, "401", "No token, or one that is not valid", media);
            refuse(operation, "503", "The database does not answer; try again", media);
            // Nor does it let a login change anything that another site's page asks for.
            if guard != Guard::Daemon && method != "get" {
                let stated = match operation.responses.responses.remove("403") {
                    Some(RefOr::T(stated)) => stated,
                    _ => Response::default(),
                };
                let description = match stated.description.as_str() {
                    "" => "Not allowed, or a login without its `X-CSRF-Token`",
                    said => said,
                };
                refuse(operation, "403", description, media);
                also(operation, "403", &stated);
            }
            if guard != Guard::Daemon {
                refuse(operation, "403", "Not allowed", &[JSON]);
            }
            if guard == Guard::Workspace {
                refuse(operation, "400", "The request is malformed, or names no workspace", &[JSON]);
                refuse(operation, "404", "No such workspace or thing in it", &[JSON]);
            }
        }
    }
}

/// The document as it goes out: as text it takes a tenth of the memory.
pub fn served(document: OpenApi) -> ([(HeaderName, &'static str); 1], Bytes) {
    let text = finished(document).to_json().map(Bytes::from).unwrap_or_default();
    ([(header::CONTENT_TYPE, JSON)], text)
}

/// The document as it is served.
fn finished(mut document: OpenApi) -> OpenApi {
    let mut info = Info::new("Switchyard", env!("CARGO_PKG_VERSION"));
    info.description = Some(
        "The gateway between those who give work to coding agents and the daemons that run them. \
         Bodies are read whatever their content type; members that are not known are passed over."
            .to_owned(),
    );
    document.info = info;
    // The router's mark of a parameter that holds slashes is not one of the document's.
    let paths = std::mem::take(&mut document.paths.paths);
    document.paths.paths = paths.into_iter().map(|(path, item)| (path.replace("{*", "{"), item)).collect();
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            operation.operation_id = Some(operation_id(method, path));
            if operation.tags.as_ref().is_none_or(Vec::is_empty) {
                operation.tags = Some(vec![tag(path).to_owned()]);
            }
            if operation.request_body.is_some() {
                refuse(operation, "400", "The request is malformed", &[JSON]);
                refuse(operation, "413", "The body is too large", &[JSON]);
            }
            if path.contains('{') {
                refuse(operation, "400", "The request is malformed", &[JSON]);
                refuse(operation, "404", "No such thing, or not the caller's", &[JSON]);
            }
            if path.starts_with("/api/") || path.starts_with("/auth/") {
                refuse(operation, "500", "The gateway failed", &[JSON]);
                refuse(operation, "503", "The database does not answer; try again", &[JSON]);
            }
            complete_all(operation);
        }
    }
    let components = document.components.get_or_insert_default();
    for (name, scheme) in schemes() {
        components.add_security_scheme(name, scheme);
    }
    document
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let PathItem { get, post, put, patch, delete, .. } = item;
    let all = [("get", get), ("post", post), ("put", put), ("patch", patch), ("delete", delete)];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// Adds a refusal that the handler did not describe itself.
fn refuse(operation: &mut Operation, status: &str, description: &str, media: &[&str]) {
    if operation.responses.responses.contains_key(status) {
        return;
    }
    let mut response = ResponseBuilder::new().description(description);
    for kind in media {
        response = response.content(*kind, content(kind));
    }
    operation.responses.responses.insert(status.to_owned(), response.build().into());
}

/// Adds the body of a handler's own refusal to that of the guard's, when they differ.
fn also(operation: &mut Operation, status: &str, stated: &Response) {
    let Some(RefOr::T(own)) = stated.content.get(JSON) else { return };
    let error: RefOr<Schema> = Ref::from_schema_name("ErrorBody").into();
    let Some(own) = own.schema.clone().filter(|own| *own != error) else { return };
    let Some(RefOr::T(response)) = operation.responses.responses.get_mut(status) else { return };
    let either = Schema::AnyOf(AnyOfBuilder::new().item(own).item(error).build());
    let content = ContentBuilder::new().schema(Some(either)).build();
    response.content.insert(JSON.to_owned(), RefOr::T(content));
}

fn content(kind: &str) -> Content {
    let schema: RefOr<Schema> = if kind == JSON {
        Ref::from_schema_name("ErrorBody").into()
    } else {
        Object::with_type(Type::String).into()
    };
    ContentBuilder::new().schema(Some(schema)).build()
}

/// Every response has a description, if only the name of its status, and every refusal the
/// body that refusals have.
fn complete_all(operation: &mut Operation) {
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        if response.content.is_empty() && status.starts_with(['4', '5']) {
            response.content.insert(JSON.to_owned(), RefOr::T(content(JSON)));
        }
        if response.description.is_empty() {
            let status = StatusCode::from_bytes(status.as_bytes()).ok();
            let name = status.and_then(|status| status.canonical_reason()).unwrap_or("Answer");
            name.clone_into(&mut response.description);
        }
    }
}

/// Unique, and stable as long as the path is: `get_issues_by_id_comments`.
fn operation_id(method: &str, path: &str) -> String {
    let mut name = method.to_owned();
    for segment in path.split('/').filter(|segment| !segment.is_empty() && *segment != "api") {
        let parameter = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        name.push('_');
        match parameter {
            Some(parameter) => {
                name.push_str("by_");
                name.push_str(parameter);
            }
            None => name.push_str(&segment.replace(['-', '.'], "_")),
        }
    }
    name
}

/// The noun that a path begins with.
fn tag(path: &str) -> &str {
    path.split('/').find(|segment| !segment.is_empty() && *segment != "api").unwrap_or("gateway")
}

fn requirements(guard: Guard) -> Vec<SecurityRequirement> {
    let one = |name: &str| SecurityRequirement::new(name, Vec::<String>::new());
    match guard {
        Guard::Daemon => vec![one(TOKEN)],
        Guard::User => vec![one(TOKEN), one(LOGIN)],
        Guard::Workspace => {
            let both = |name: &str| one(name).add(WORKSPACE, Vec::<String>::new());
            vec![both(TOKEN), both(LOGIN)]
        }
    }
}

fn schemes() -> [(&'static str, SecurityScheme); 3] {
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(
        "A person's `mul_` token or signed login; for an agent at work its `mat_` token; for daemons, on \
         `/api/daemon`, also an `mdt_` token.",
    ));
    let login = ApiKeyValue::with_description(
        cookie::LOGIN,
        "A browser's login; whatever changes something also needs `X-CSRF-Token`.",
    );
    let workspace = ApiKeyValue::with_description(
        "X-Workspace-ID",
        "The workspace's id. `X-Workspace-Slug` and the query's `workspace_id` and `workspace_slug` do as \
         well; an agent's token names its workspace itself.",
    );
    [
        (TOKEN, SecurityScheme::Http(bearer.build())),
        (LOGIN, SecurityScheme::ApiKey(ApiKey::Cookie(login))),
        (WORKSPACE, SecurityScheme::ApiKey(ApiKey::Header(workspace))),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_is_named_after_its_path() {
        assert_eq!(operation_id("get", "/api/issues"), "get_issues");
        assert_eq!(operation_id("post", "/api/issues/{id}/quick-create"), "post_issues_by_id_quick_create");
        assert_eq!(operation_id("get", "/readyz"), "get_readyz");
        assert_eq!(tag("/api/me"), "me");
        assert_eq!(tag("/"), "gateway");
    }
}
