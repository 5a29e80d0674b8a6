//! JSON with the members of every object in the order of their names, as a claim has them:
//! a daemon sees one order, whether an answer was built as a type or member by member.

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::error::Error;

/// Answers with the value as JSON.
pub struct Sorted<T>(pub T);

impl<T: Serialize> IntoResponse for Sorted<T> {
    fn into_response(self) -> Response {
        match serde_json::to_value(self.0) {
            Ok(value) => Json(value).into_response(),
            Err(error) => Error::internal("failed to encode the answer", error).into_response(),
        }
    }
}
