//! The metadata of an issue, a key at a time. Writing it starts nobody.

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use thiserror::Error;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::http::body::{Body, Sent};
use crate::http::error::{Error, ErrorBody};
use crate::http::extract::{Scope, path_segment};
use crate::http::issue_path::{self, IssueInPath};
use crate::model::ids::IssueId;
use crate::model::metadata::{self, MetadataError};
use crate::store::{self, StoreError};

/// What goes under `/api/issues`.
pub fn on_issues() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(find)).routes(routes!(set, remove))
}

#[derive(Serialize, ToSchema)]
struct MetadataBody {
    /// Texts, numbers and truth values by name.
    metadata: Map<String, Value>,
}

#[derive(Deserialize, ToSchema)]
struct ValueSent {
    /// A text, a number or a truth value.
    #[serde(default)]
    #[schema(value_type = Option<Value>)]
    value: Sent<Value>,
}

/// The issue and the key as the path spells them. The key is looked at before anything
/// else, the issue after the body.
struct Entry {
    issue: String,
    key: String,
}

impl FromRequestParts<App> for Entry {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Error> {
        let key = path_segment(parts, "key").await;
        if !metadata::is_key(&key) {
            return Err(Error::bad_request("key must match ^[a-zA-Z_][a-zA-Z0-9_.-]{0,63}$"));
        }
        Ok(Self { issue: path_segment(parts, "id").await, key })
    }
}

/// Why a document was not changed.
#[derive(Debug, Error)]
enum ChangeError {
    #[error("issue not found")]
    NoIssue,
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<ChangeError> for Error {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::NoIssue => Self::not_found(error.to_string()),
            ChangeError::Metadata(error) => Self::bad_request(error.to_string()),
            ChangeError::Store(error) => Self::internal("failed to update issue metadata", error),
        }
    }
}

#[utoipa::path(get, path = "/{id}/metadata", tag = "issues",
    params(("id" = String, Path, description = "The id, or an identifier such as `KEY-12`")),
    responses((status = 200, body = MetadataBody), (status = 404, body = ErrorBody)))]
async fn find(IssueInPath(issue): IssueInPath) -> Json<MetadataBody> {
    Json(MetadataBody { metadata: metadata::document(issue.metadata) })
}

/// Keeps a value with the issue.
#[utoipa::path(put, path = "/{id}/metadata/{key}", tag = "issues",
    params(
        ("id" = String, Path, description = "The id, or an identifier such as `KEY-12`"),
        ("key" = String, Path, description = "The value's name")),
    request_body = ValueSent,
    responses((status = 200, body = MetadataBody), (status = 400, body = ErrorBody),
        (status = 404, body = ErrorBody)))]
async fn set(
    app: App,
    scope: Scope,
    entry: Entry,
    Body(sent): Body<ValueSent>,
) -> Result<Json<MetadataBody>, Error> {
    let value = match sent.value {
        Sent::Absent => return Err(Error::bad_request("value is required")),
        Sent::Null => {
            return Err(Error::bad_request("value cannot be null (use DELETE to remove a key)"));
        }
        Sent::Value(value) if metadata::is_value(&value) => value,
        Sent::Value(_) => {
            return Err(Error::bad_request("value must be a primitive: string, number, or bool"));
        }
    };
    let Entry { issue, key } = entry;
    let change = move |stored: Value| metadata::with(stored, &key, value);
    change_document(&app, scope, &issue, change).await.map(Json)
}

/// Forgets a value, which may not be there.
#[utoipa::path(delete, path = "/{id}/metadata/{key}", tag = "issues",
    params(
        ("id" = String, Path, description = "The id, or an identifier such as `KEY-12`"),
        ("key" = String, Path, description = "The value's name")),
    responses((status = 200, body = MetadataBody), (status = 400, body = ErrorBody),
        (status = 404, body = ErrorBody)))]
async fn remove(app: App, scope: Scope, entry: Entry) -> Result<Json<MetadataBody>, Error> {
    let Entry { issue, key } = entry;
    let change = move |stored: Value| {
        let mut document = metadata::document(stored);
        document.remove(&key);
        Ok(document)
    };
    change_document(&app, scope, &issue, change).await.map(Json)
}

/// Changes the document under a lock and tells clients when it is another one.
async fn change_document(
    app: &App,
    scope: Scope,
    named: &str,
    change: impl FnOnce(Value) -> Result<Map<String, Value>, MetadataError> + Send + 'static,
) -> Result<MetadataBody, Error> {
    let failed = |error| Error::internal("failed to update issue metadata", error);
    let mut conn = app.db.reader().await.map_err(failed)?;
    let issue = issue_path::find(&mut conn, scope.workspace_id, named).await.map_err(failed)?;
    let id: IssueId = issue.ok_or_else(|| Error::not_found("issue not found"))?.id;
    drop(conn);
    let now = app.clock.now();
    let written: Result<(Map<String, Value>, bool), ChangeError> = app
        .db
        .write(move |c| {
            Box::pin(async move {
                let stored = store::metadata::find_for_update(c, scope.workspace_id, id).await?;
                let stored = stored.ok_or(ChangeError::NoIssue)?;
                let document = change(stored.clone())?;
                let changed = metadata::document(stored) != document;
                if changed {
                    store::metadata::update(c, id, &Value::Object(document.clone()), now).await?;
                }
                Ok((document, changed))
            })
        })
        .await;
    let (metadata, changed) = written?;
    if changed {
        let payload = || json!({"issue_id": id, "metadata": metadata});
        app.events.by(scope.actor, scope.workspace_id, "issue_metadata:changed", payload);
    }
    Ok(MetadataBody { metadata })
}
