//! What runs and ran on an issue, and what that used.

use axum::Json;
use axum::extract::Path;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::issue_rerun;
use crate::app::App;
use crate::dispatch::cancel;
use crate::http::error::{Error, ErrorBody};
use crate::http::issue_path::IssueInPath;
use crate::model::ids::TaskId;
use crate::model::task_body::TaskBody;
use crate::store::{task_lists, tasks};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_live))
        .routes(routes!(list_all))
        .routes(routes!(cancel))
        .routes(routes!(usage))
        .routes(routes!(issue_rerun::rerun))
}

#[derive(Serialize, ToSchema)]
struct LiveTasks {
    tasks: Vec<TaskBody>,
}

/// What waits for a daemon or is with one, newest first.
#[utoipa::path(
    get,
    path = "/{id}/active-task",
    tag = "tasks",
    params(("id" = String, Path, description = "The id, or an identifier such as `KEY-12`")),
    responses((status = 200, body = LiveTasks), (status = 404, body = ErrorBody)),
)]
async fn list_live(app: App, IssueInPath(issue): IssueInPath) -> Result<Json<LiveTasks>, Error> {
    let found = task_lists::list_live_of_issue(&mut app.db.reader().await?, issue.id).await?;
    Ok(Json(LiveTasks { tasks: found.iter().map(|task| TaskBody::new(task, issue.workspace_id)).collect() }))
}

/// Every run on the issue, newest first.
#[utoipa::path(
    get,
    path = "/{id}/task-runs",
    tag = "tasks",
    params(("id" = String, Path, description = "The id, or an identifier such as `KEY-12`")),
    responses((status = 200, body = Vec<TaskBody>), (status = 404, body = ErrorBody)),
)]
async fn list_all(app: App, IssueInPath(issue): IssueInPath) -> Result<Json<Vec<TaskBody>>, Error> {
    let found = task_lists::list_of_issue(&mut app.db.reader().await?, issue.id).await?;
    Ok(Json(found.iter().map(|task| TaskBody::new(task, issue.workspace_id)).collect()))
}

#[derive(Deserialize)]
struct IssueTask {
    #[serde(rename = "taskId")]
    task_id: String,
}

/// Stops a task of the issue; one that is over stays as it is.
#[utoipa::path(
    post,
    path = "/{id}/tasks/{taskId}/cancel",
    tag = "tasks",
    params(
        ("id" = String, Path, description = "The id, or an identifier such as `KEY-12`"),
        ("taskId" = String, Path),
    ),
    responses((status = 200, body = TaskBody), (status = 404, body = ErrorBody)),
)]
async fn cancel(
    app: App,
    IssueInPath(issue): IssueInPath,
    Path(named): Path<IssueTask>,
) -> Result<Json<TaskBody>, Error> {
    let absent = || Error::not_found("task not found");
    let id = TaskId::parse(&named.task_id).ok_or_else(absent)?;
    let task = tasks::find(&mut app.db.reader().await?, id).await?;
    task.filter(|task| task.issue_id == Some(issue.id)).ok_or_else(absent)?;
    let stopped = cancel::one(&app, id).await?.ok_or_else(absent)?;
    Ok(Json(TaskBody::new(&stopped.task, issue.workspace_id)))
}

#[derive(Serialize, ToSchema)]
struct UsageBody {
    /// How many tasks reported what they used.
    task_count: i64,
    total_cache_read_tokens: i64,
    total_cache_write_tokens: i64,
    total_input_tokens: i64,
    total_output_tokens: i64,
}

/// What the runs on the issue used, all together.
#[utoipa::path(
    get,
    path = "/{id}/usage",
    tag = "tasks",
    params(("id" = String, Path, description = "The id, or an identifier such as `KEY-12`")),
    responses((status = 200, body = UsageBody), (status = 404, body = ErrorBody)),
)]
async fn usage(app: App, IssueInPath(issue): IssueInPath) -> Result<Json<UsageBody>, Error> {
    let sum = task_lists::sum_usage_of_issue(&mut app.db.reader().await?, issue.id).await?;
    Ok(Json(UsageBody {
        task_count: sum.task_count,
        total_cache_read_tokens: whole(sum.cache_read_tokens),
        total_cache_write_tokens: whole(sum.cache_write_tokens),
        total_input_tokens: whole(sum.input_tokens),
        total_output_tokens: whole(sum.output_tokens),
    }))
}

/// A sum of whole numbers; one that is out of range is the nearest that is not.
#[expect(clippy::cast_possible_truncation, reason = "the cast saturates, which is what is wanted")]
fn whole(sum: f64) -> i64 {
    sum as i64
}
