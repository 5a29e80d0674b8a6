//! What a squad's leader makes of a turn on an issue.

use axum::Json;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::app::App;
use crate::dispatch::evaluation::{self, EvaluationError, OUTCOMES};
use crate::http::body::Body;
use crate::http::error::{Error, ErrorBody};
use crate::http::extract::Scope;
use crate::http::issue_path::IssueInPath;
use crate::model::time::seconds;

/// What goes under `/api/issues`.
pub fn on_issues() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(record))
}

impl From<EvaluationError> for Error {
    fn from(error: EvaluationError) -> Self {
        match error {
            EvaluationError::NotSquad | EvaluationError::OtherIssue => Self::bad_request(error.to_string()),
            EvaluationError::NoSquad => Self::not_found(error.to_string()),
            EvaluationError::NotLeader => Self::forbidden(error.to_string()),
            EvaluationError::Store(error) => Self::internal("failed to record evaluation", error),
        }
    }
}

#[derive(Deserialize, ToSchema)]
struct EvaluationSent {
    /// `action`, `no_action` or `failed`.
    outcome: Option<String>,
    reason: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct Recorded {
    id: Uuid,
    action: String,
    created_at: String,
}

/// Records the outcome. After `no_action` the run posts no comment, at its end neither.
#[utoipa::path(post, path = "/{id}/squad-evaluated", tag = "issues",
    params(("id" = String, Path, description = "The id, or an identifier such as `KEY-12`")),
    request_body = EvaluationSent,
    responses((status = 201, body = Recorded), (status = 400, body = ErrorBody),
        (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
async fn record(
    app: App,
    scope: Scope,
    IssueInPath(issue): IssueInPath,
    Body(sent): Body<EvaluationSent>,
) -> Result<(StatusCode, Json<Recorded>), Error> {
    let wanted = sent.outcome.unwrap_or_default();
    let outcome = OUTCOMES.into_iter().find(|outcome| *outcome == wanted);
    let outcome =
        outcome.ok_or_else(|| Error::bad_request("outcome must be 'action', 'no_action', or 'failed'"))?;
    let reason = sent.reason.unwrap_or_default();
    let activity = evaluation::record(&app, scope.actor, &issue, outcome, reason).await?;
    let created_at = seconds(activity.created_at);
    Ok((StatusCode::CREATED, Json(Recorded { id: activity.id, action: activity.action, created_at })))
}
