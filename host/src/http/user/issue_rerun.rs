//! `POST /api/issues/{id}/rerun`.

use axum::Json;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::issue_fields as fields;
use crate::app::App;
use crate::dispatch::enqueue::EnqueueError;
use crate::dispatch::rerun::{self, RerunError};
use crate::http::body::OptionalBody;
use crate::http::error::{Error, ErrorBody};
use crate::http::extract::Scope;
use crate::http::issue_path::IssueInPath;
use crate::model::ids::TaskId;
use crate::model::task_body::TaskBody;

#[derive(Deserialize, ToSchema)]
pub(super) struct RerunSent {
    /// The task whose agent, role and trigger are wanted again.
    task_id: Option<String>,
}

/// Stops what the agent does on the issue and queues it anew, with a fresh session.
#[utoipa::path(
    post,
    path = "/{id}/rerun",
    tag = "issues",
    params(("id" = String, Path, description = "The id, or an identifier such as `KEY-12`")),
    request_body = Option<RerunSent>,
    responses(
        (status = 202, body = TaskBody),
        (status = 400, body = ErrorBody),
        (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody),
    ),
)]
pub(super) async fn rerun(
    app: App,
    scope: Scope,
    IssueInPath(issue): IssueInPath,
    OptionalBody(sent): OptionalBody<RerunSent>,
) -> Result<(StatusCode, Json<TaskBody>), Error> {
    let source = fields::optional_id("task_id", sent.task_id.as_deref())?.map(TaskId);
    let task = rerun::rerun(&app, scope.actor, &issue, source).await?;
    Ok((StatusCode::ACCEPTED, Json(TaskBody::new(&task, issue.workspace_id))))
}

impl From<RerunError> for Error {
    fn from(error: RerunError) -> Self {
        match error {
            RerunError::Unassigned
            | RerunError::NoSquad
            | RerunError::NoSource
            | RerunError::ForeignSource
            | RerunError::Enqueue(
                EnqueueError::NoAgent | EnqueueError::Archived | EnqueueError::AlreadyPending,
            ) => Self::bad_request(error.to_string()),
            RerunError::NotAllowed => Self::forbidden(error.to_string()),
            RerunError::Enqueue(EnqueueError::Store(cause)) | RerunError::Store(cause) => cause.into(),
        }
    }
}
