//! `POST /api/upload-file`: a form with a file, which goes to disk as it arrives.

use axum::extract::multipart::{Field, Multipart, MultipartRejection};
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderMap, Uri};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::alone;
use crate::app::App;
use crate::dispatch::chat;
use crate::http::error::{Error, ErrorBody};
use crate::http::extract::{Caller, Scope};
use crate::http::guard;
use crate::model::attachment::{Attachment, AttachmentBody};
use crate::model::clean;
use crate::model::content_type;
use crate::model::ids::{AttachmentId, ChatSessionId, CommentId, IssueId};
use crate::store::{StoreError, attachments, comments, issues};
use crate::uploads::{Incoming, Key};

/// A longer name, in bytes, fits no disk.
const NAME: usize = 255;
/// More text in a field is no id.
const TEXT: usize = 1024;
/// More parts make no sense in this form.
const PARTS: usize = 32;

pub fn routes() -> OpenApiRouter<App> {
    let (schemas, paths, methods) = alone(routes!(upload));
    OpenApiRouter::new().routes((schemas, paths, methods.layer(from_fn(limited))))
}

/// A file may be larger than other bodies; how large, the operator says.
async fn limited(Extension(app): Extension<App>, mut request: Request, next: Next) -> Response {
    DefaultBodyLimit::max(app.uploads.limit()).apply(&mut request);
    next.run(request).await
}

/// An upload that belongs to no workspace.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PlainUpload {
    filename: String,
    id: Uuid,
    url: String,
}

#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum UploadBody {
    Attachment(Box<AttachmentBody>),
    Plain(PlainUpload),
}

/// The form: `file`, and what it shall hang on.
#[derive(ToSchema)]
#[expect(dead_code, reason = "names the parts of the form in the OpenAPI document")]
struct UploadForm {
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
    issue_id: Option<String>,
    comment_id: Option<String>,
    chat_session_id: Option<String>,
}

/// Keeps a file; with a workspace it becomes an attachment.
#[utoipa::path(post, path = "/api/upload-file", tag = "attachments",
    request_body(content = UploadForm, content_type = "multipart/form-data"),
    responses((status = 200, body = UploadBody), (status = 400, body = ErrorBody),
        (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
async fn upload(
    app: App,
    caller: Caller,
    headers: HeaderMap,
    uri: Uri,
    form: Result<Multipart, MultipartRejection>,
) -> Result<Json<UploadBody>, Error> {
    let user_id = caller.require_user()?;
    let form = Form::read(&app, form.map_err(|_| invalid())?).await?;
    let (filename, file) =
        form.file.ok_or_else(|| Error::bad_request("missing file field: no file was sent"))?;
    let scope = guard::optional_workspace(&app, &caller.0, &headers, &uri).await?;
    let id = AttachmentId::new();
    let Some(scope) = scope else {
        let key = Key::of_user(user_id, id.0, &filename);
        app.uploads.keep(file, &key).await.map_err(failed)?;
        let url = app.uploads.url(&key);
        return Ok(Json(UploadBody::Plain(PlainUpload { filename, id: id.0, url })));
    };
    let place = Place::find(&app, scope, form.issue_id, form.comment_id, form.chat_session_id).await?;
    let key = Key::of_workspace(scope.workspace_id, id.0, &filename);
    let attachment = Attachment {
        id,
        workspace_id: scope.workspace_id,
        issue_id: place.issue_id,
        comment_id: place.comment_id,
        chat_session_id: place.chat_session_id,
        chat_message_id: None,
        uploader_type: scope.actor.kind().to_owned(),
        uploader_id: scope.actor.id(),
        url: app.uploads.url(&key),
        content_type: content_type::of(&filename, file.head()).to_owned(),
        size_bytes: i64::try_from(file.size()).map_err(failed)?,
        created_at: app.clock.now(),
        filename,
    };
    app.uploads.keep(file, &key).await.map_err(failed)?;
    let body = AttachmentBody::new(&attachment, app.flags.public_url.as_deref());
    let url = attachment.url.clone();
    let stored =
        app.db.write(move |c| Box::pin(async move { attachments::insert(c, &attachment).await })).await;
    if let Err(error) = stored {
        app.uploads.forget(vec![url]).await;
        return Err(match error {
            // What it was to hang on went away meanwhile.
            StoreError::Reference { .. } => Error::conflict("what the file was uploaded for is gone"),
            error => failed(error),
        });
    }
    Ok(Json(UploadBody::Attachment(Box::new(body))))
}

fn invalid() -> Error {
    Error::bad_request("file too large or invalid multipart form")
}

fn failed(error: impl Into<anyhow::Error>) -> Error {
    Error::internal("upload failed", error)
}

/// The parts that count.
#[derive(Default)]
struct Form {
    file: Option<(String, Incoming)>,
    issue_id: Option<String>,
    comment_id: Option<String>,
    chat_session_id: Option<String>,
}

impl Form {
    async fn read(app: &App, mut parts: Multipart) -> Result<Self, Error> {
        let mut form = Self::default();
        for _ in 0..PARTS {
            let Some(mut part) = parts.next_field().await.map_err(|_| invalid())? else { return Ok(form) };
            let name = part.name().unwrap_or_default().to_owned();
            match (name.as_str(), part.file_name().map(base)) {
                ("file", Some(filename)) if form.file.is_none() && !filename.is_empty() => {
                    if filename.len() > NAME {
                        return Err(Error::bad_request("file name is too long"));
                    }
                    form.file = Some((filename, receive(app, &mut part).await?));
                }
                ("issue_id", None) => form.issue_id = text(&mut part).await?,
                ("comment_id", None) => form.comment_id = text(&mut part).await?,
                ("chat_session_id", None) => form.chat_session_id = text(&mut part).await?,
                // Read on by the next turn.
                _ => {}
            }
        }
        Err(invalid())
    }
}

/// The name without the folders that a client may have put before it.
fn base(filename: &str) -> String {
    let mut name = filename.rsplit('/').next().unwrap_or_default().to_owned();
    clean::string(&mut name);
    name
}

async fn receive(app: &App, part: &mut Field<'_>) -> Result<Incoming, Error> {
    let mut file = app.uploads.begin().await.map_err(failed)?;
    while let Some(chunk) = part.chunk().await.map_err(|_| invalid())? {
        file.write(&chunk).await.map_err(failed)?;
    }
    Ok(file)
}

/// A field's text; `None` when it is empty.
async fn text(part: &mut Field<'_>) -> Result<Option<String>, Error> {
    let mut bytes = Vec::new();
    while let Some(chunk) = part.chunk().await.map_err(|_| invalid())? {
        if bytes.len() + chunk.len() > TEXT {
            return Err(invalid());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()).filter(|text| !text.is_empty()))
}

/// What a file hangs on from the start.
#[expect(clippy::struct_field_names, reason = "named as the form names them")]
struct Place {
    issue_id: Option<IssueId>,
    comment_id: Option<CommentId>,
    chat_session_id: Option<ChatSessionId>,
}

impl Place {
    /// Everything must be of the caller's workspace, and a chat their own.
    async fn find(
        app: &App,
        scope: Scope,
        issue: Option<String>,
        comment: Option<String>,
        chat: Option<String>,
    ) -> Result<Self, Error> {
        let mut conn = app.db.reader().await?;
        let issue_id = match issue {
            None => None,
            Some(text) => {
                let id = IssueId::parse(&text).ok_or_else(|| Error::bad_request("invalid issue_id"))?;
                let found = issues::find_in(&mut conn, scope.workspace_id, id).await?;
                Some(found.ok_or_else(|| Error::forbidden("invalid issue_id"))?.id)
            }
        };
        let comment_id = match comment {
            None => None,
            Some(text) => {
                let id = CommentId::parse(&text).ok_or_else(|| Error::bad_request("invalid comment_id"))?;
                let found = comments::find(&mut conn, id).await?;
                let found = found.filter(|comment| comment.workspace_id == scope.workspace_id);
                Some(found.ok_or_else(|| Error::forbidden("invalid comment_id"))?.id)
            }
        };
        let chat_session_id = match chat {
            None => None,
            Some(text) => {
                let id = ChatSessionId::parse(&text);
                let id = id.ok_or_else(|| Error::bad_request("invalid chat session id"))?;
                Some(chat::find_visible(&mut conn, scope.into(), id).await?.0.id)
            }
        };
        Ok(Self { issue_id, comment_id, chat_session_id })
    }
}
