//! The one place where a failure gets a status, and the `{"error": "…"}` every client
//! knows.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::observe::Told;
use crate::auth::AuthError;
use crate::store::StoreError;

/// What the client reads, and what only the log gets.
#[derive(Debug)]
pub struct Error {
    pub status: StatusCode,
    pub message: String,
    /// Members beside `error`, on the few routes that have some.
    pub extra: Map<String, Value>,
    cause: Option<anyhow::Error>,
}

/// What a client reads of a failure; some routes add members to it.
#[derive(Serialize, ToSchema)]
pub struct ErrorBody {
    pub error: String,
}

impl Error {
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), extra: Map::new(), cause: None }
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, message)
    }

    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, message)
    }

    /// A failure of ours: the client reads `message`, the log gets the cause. A database
    /// that does not answer is a 503, so that clients know to try again.
    pub fn internal(message: impl Into<String>, cause: impl Into<anyhow::Error>) -> Self {
        let cause = cause.into();
        let unavailable = matches!(cause.downcast_ref::<StoreError>(), Some(StoreError::Unavailable(_)));
        let status =
            if unavailable { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::INTERNAL_SERVER_ERROR };
        Self { cause: Some(cause), ..Self::new(status, message) }
    }

    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.extra.insert(key.to_owned(), value.into());
        self
    }
}

impl Error {
    /// As the layer that authenticates people answers: the same JSON, called text.
    pub fn into_text(self) -> Response {
        let mut response = self.into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::internal("internal error", error)
    }
}

impl From<AuthError> for Error {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Invalid | AuthError::InvalidDaemon | AuthError::InvalidClaims => {
                Self::unauthorized(error.to_string())
            }
            AuthError::CloudUnavailable => Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
            AuthError::Store(cause) => Self {
                cause: Some(cause.into()),
                ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "authentication is unavailable; try again")
            },
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        if let Some(cause) = &self.cause {
            tracing::error!(status = self.status.as_u16(), error = format!("{cause:#}"), "{}", self.message);
        }
        let mut body = self.extra;
        body.insert("error".to_owned(), self.message.clone().into());
        let text = format!("{}\n", Value::Object(body));
        let json = HeaderValue::from_static("application/json");
        let mut response = (self.status, [(header::CONTENT_TYPE, json)], text).into_response();
        response.extensions_mut().insert(Told(self.message));
        response
    }
}
