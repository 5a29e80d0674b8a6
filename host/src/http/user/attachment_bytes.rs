//! The bytes of attachments, on their way out. Whatever a file says it is, nothing in it
//! runs in a browser.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};
use utoipa_axum::routes;

use super::attachments::{AttachmentInPath, named};
use super::{alone, alone_scoped};
use crate::app::App;
use crate::http::error::{Error, ErrorBody};
use crate::http::extract::{Caller, may_use};
use crate::http::guard;
use crate::model::attachment::Attachment;
use crate::model::content_type::{self, HEAD};
use crate::uploads::Key;

/// The most that is shown as text.
const PREVIEW: u64 = 2 << 20;
/// How much is read from disk at once.
const CHUNK: usize = 64 << 10;

/// What failures say of these two routes: as everywhere, but our own pages may frame them.
const FRAMED: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' https: data:; \
     connect-src 'self' wss:; frame-ancestors 'self'; object-src 'none'; base-uri 'self'; form-action 'self'",
);

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(framed(alone(routes!(download))))
        .routes(framed(alone_scoped(routes!(content))))
        .routes(routes!(upload))
}

fn framed((schemas, paths, methods): UtoipaMethodRouter<App>) -> UtoipaMethodRouter<App> {
    let layer = SetResponseHeaderLayer::if_not_present(header::CONTENT_SECURITY_POLICY, FRAMED);
    (schemas, paths, methods.layer(layer))
}

/// The attachment `{id}` of whichever workspace the caller may use.
struct Reachable(Attachment);

impl FromRequestParts<App> for Reachable {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
        let caller = Caller::from_request_parts(parts, app).await?;
        let absent = || Error::not_found("attachment not found");
        let found = named(parts, app).await?.ok_or_else(absent)?;
        if may_use(app, &caller, found.workspace_id).await? { Ok(Self(found)) } else { Err(absent()) }
    }
}

/// The file, for whoever may use the workspace it belongs to.
#[utoipa::path(get, path = "/api/attachments/{id}/download", tag = "attachments", params(("id" = String, Path)),
    responses((status = 200, description = "The bytes", body = String, content_type = "*/*"), (status = 400, body = ErrorBody),
        (status = 404, body = ErrorBody)))]
async fn download(app: App, Reachable(found): Reachable) -> Result<Response, Error> {
    let (file, size) = open(&app, &found).await?;
    Ok(bytes(&app, file, size, &found.content_type, &found.filename))
}

/// The file as plain text, if it can be read as such.
#[utoipa::path(get, path = "/api/attachments/{id}/content", tag = "attachments", params(("id" = String, Path)),
    responses((status = 200, description = "The text", body = String, content_type = "text/plain"),
        (status = 400, body = ErrorBody), (status = 404, body = ErrorBody), (status = 413, body = ErrorBody),
        (status = 415, body = ErrorBody)))]
async fn content(app: App, AttachmentInPath(found): AttachmentInPath) -> Result<Response, Error> {
    if !content_type::is_text(&found.content_type, &found.filename) {
        let message = "preview not supported for this file type";
        return Err(Error::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    let (file, size) = open(&app, &found).await?;
    if size > PREVIEW {
        return Err(Error::new(StatusCode::PAYLOAD_TOO_LARGE, "file too large for inline preview"));
    }
    let mut response = bytes(&app, file, size, "text/plain; charset=utf-8", &found.filename);
    if let Ok(kind) = HeaderValue::from_str(&found.content_type) {
        response.headers_mut().insert("x-original-content-type", kind);
    }
    Ok(response)
}

/// A file by the address that whoever uploaded it was given.
#[utoipa::path(get, path = "/uploads/{*key}", tag = "attachments", security(()), params(("key" = String, Path)),
    responses((status = 200, description = "The bytes", body = String, content_type = "*/*"), 
        (status = 404, description = "There is none", body = String, content_type = "text/plain")))]
async fn upload(app: App, Path(key): Path<String>) -> Result<Response, Error> {
    let Some(parsed) = Key::parse(&key) else { return Ok(guard::page_not_found().await) };
    let failed = |error| Error::internal("failed to read the file", error);
    let Some((mut file, size)) = app.uploads.open(&parsed).await.map_err(failed)? else {
        return Ok(guard::page_not_found().await);
    };
    let mut head = Vec::with_capacity(HEAD);
    (&mut file).take(HEAD as u64).read_to_end(&mut head).await.map_err(failed)?;
    let kind = content_type::of(&key, &head);
    let name = key.rsplit('/').next().unwrap_or_default();
    let rest = Body::from_stream(pieces(head, file));
    Ok(headed(&app, rest, size, kind, name))
}

async fn open(app: &App, found: &Attachment) -> Result<(File, u64), Error> {
    let absent = || Error::not_found("attachment object not found");
    let key = Key::of_url(&found.url).ok_or_else(absent)?;
    let opened = app.uploads.open(&key).await;
    opened.map_err(|error| Error::internal("failed to read the attachment", error))?.ok_or_else(absent)
}

fn bytes(app: &App, file: File, size: u64, kind: &str, name: &str) -> Response {
    headed(app, Body::from_stream(pieces(Vec::new(), file)), size, kind, name)
}

/// What was read already, then the rest of the file.
fn pieces(head: Vec<u8>, file: File) -> impl futures_util::Stream<Item = std::io::Result<Bytes>> {
    futures_util::stream::try_unfold((head, file), |(head, mut file)| async move {
        if !head.is_empty() {
            return Ok(Some((Bytes::from(head), (Vec::new(), file))));
        }
        let mut chunk = Vec::with_capacity(CHUNK);
        file.read_buf(&mut chunk).await?;
        Ok((!chunk.is_empty()).then(|| (Bytes::from(chunk), (Vec::new(), file))))
    })
}

fn headed(app: &App, body: Body, size: u64, kind: &str, name: &str) -> Response {
    let disposition = if content_type::is_shown_inline(kind) { "inline" } else { "attachment" };
    let plain = |c: char| if c.is_control() || ['"', ';', '\\'].contains(&c) { '_' } else { c };
    let name: String = name.chars().map(plain).collect();
    let policy = format!(
        "default-src 'none'; img-src 'self' data:; media-src 'self'; frame-ancestors 'self' {}; \
         object-src 'none'; base-uri 'none'; form-action 'none'",
        app.flags.allowed_origins.join(" "),
    );
    let strict = || HeaderValue::from_static("default-src 'none'; frame-ancestors 'self'");
    let unknown = || HeaderValue::from_static("application/octet-stream");
    let disposition = format!("{disposition}; filename=\"{name}\"");
    let attached = |_| HeaderValue::from_static("attachment");
    let mut response = body.into_response();
    let headers = response.headers_mut();
    let kind = HeaderValue::from_str(kind).unwrap_or_else(|_| unknown());
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(size));
    let disposition = HeaderValue::from_bytes(disposition.as_bytes()).unwrap_or_else(attached);
    headers.insert(header::CONTENT_DISPOSITION, disposition);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let policy = HeaderValue::from_str(&policy).unwrap_or_else(|_| strict());
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}
