//! `POST /api/issues`.

use axum::Json;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::issue_fields as fields;
use crate::app::App;
use crate::dispatch::issue_create::{self, CreateError, NewIssue};
use crate::http::body::Body;
use crate::http::error::{Error, ErrorBody};
use crate::http::extract::Scope;
use crate::model::ids::{IssueId, ProjectId, TaskId};
use crate::model::issue_body::IssueBody;
use crate::store::{Conn, tasks};

#[derive(Deserialize, ToSchema)]
pub(super) struct IssueSent {
    title: Option<String>,
    description: Option<String>,
    /// `todo` when it is absent or empty.
    status: Option<String>,
    /// `none` when it is absent or empty.
    priority: Option<String>,
    /// `member`, `agent` or `squad`; together with `assignee_id`.
    assignee_type: Option<String>,
    assignee_id: Option<String>,
    parent_issue_id: Option<String>,
    /// The parent's project when it is absent.
    project_id: Option<String>,
    stage: Option<i32>,
    start_date: Option<String>,
    due_date: Option<String>,
    attachment_ids: Option<Vec<String>>,
    /// `quick_create`, from an agent that runs such a task; together with `origin_id`.
    origin_type: Option<String>,
    origin_id: Option<String>,
    allow_duplicate: Option<bool>,
}

/// Creates an issue and starts whoever it is given to.
#[utoipa::path(
    post,
    path = "/",
    tag = "issues",
    request_body = IssueSent,
    responses(
        (status = 201, body = IssueBody),
        (status = 400, body = ErrorBody),
        (status = 403, body = ErrorBody),
        (status = 409, body = ErrorBody, description = "An issue that is not over has the same title"),
    ),
)]
pub(super) async fn create(
    app: App,
    scope: Scope,
    Body(sent): Body<IssueSent>,
) -> Result<(StatusCode, Json<IssueBody>), Error> {
    let new = read(&mut app.db.reader().await?, &scope, sent).await?;
    let created = issue_create::create(&app, scope.actor, new).await?;
    Ok((StatusCode::CREATED, Json(created.body(&app))))
}

async fn read(conn: &mut Conn, scope: &Scope, sent: IssueSent) -> Result<NewIssue, Error> {
    let title = sent.title.filter(|title| !title.is_empty());
    let title = title.ok_or_else(|| Error::bad_request("title is required"))?;
    let or = |text: Option<String>, default: &str| {
        text.filter(|text| !text.is_empty()).unwrap_or_else(|| default.to_owned())
    };
    let (status, priority) = (or(sent.status, "todo"), or(sent.priority, "none"));
    fields::check_status(&status)?;
    fields::check_priority(&priority)?;
    fields::check_stage(sent.stage)?;
    let assignee_id = fields::optional_id("assignee_id", sent.assignee_id.as_deref())?;
    let assignee = fields::assignee(conn, scope, sent.assignee_type.as_deref(), assignee_id).await?;
    let project_id = fields::optional_id("project_id", sent.project_id.as_deref())?.map(ProjectId);
    let parent_issue_id =
        fields::optional_id("parent_issue_id", sent.parent_issue_id.as_deref())?.map(IssueId);
    let attachments = fields::attachment_ids(sent.attachment_ids.as_deref())?;
    let start_date = fields::date("start_date", sent.start_date.as_deref().unwrap_or_default())?;
    let due_date = fields::date("due_date", sent.due_date.as_deref().unwrap_or_default())?;
    let origin = origin(conn, scope, sent.origin_type.as_deref(), sent.origin_id.as_deref()).await?;
    Ok(NewIssue {
        workspace_id: scope.workspace_id,
        title,
        description: sent.description,
        status,
        priority,
        assignee,
        project_id,
        parent_issue_id,
        stage: sent.stage,
        start_date,
        due_date,
        origin,
        attachments,
        allow_duplicate: sent.allow_duplicate.unwrap_or(false),
    })
}

/// The quick-create task that an issue comes from. Only the agent that runs it may say so:
/// what follows runs in the name of whoever asked for that task.
async fn origin(
    conn: &mut Conn,
    scope: &Scope,
    kind: Option<&str>,
    id: Option<&str>,
) -> Result<Option<TaskId>, Error> {
    let (kind, id) = match (kind, id) {
        (None, None) => return Ok(None),
        (Some(kind), Some(id)) => (kind, id),
        _ => return Err(Error::bad_request("origin_type and origin_id must be provided together")),
    };
    if kind != "quick_create" {
        return Err(Error::bad_request("unsupported origin_type"));
    }
    let id = TaskId(fields::id("origin_id", id)?);
    let foreign = || Error::bad_request("origin_id does not refer to the quick-create task of the caller");
    if scope.actor.task_id() != Some(id) {
        return Err(foreign());
    }
    let task = tasks::find(conn, id).await?.ok_or_else(foreign)?;
    let document = task.quick_create().ok_or_else(foreign)?;
    if document.workspace_id != Some(scope.workspace_id.0) {
        return Err(foreign());
    }
    Ok(Some(id))
}

impl From<CreateError> for Error {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::NoParent | CreateError::NoProject => Self::bad_request(error.to_string()),
            CreateError::Duplicate { of, prefix } => Self::conflict(format!(
                "Active duplicate issue exists: {} {} (status: {}). Set allow_duplicate=true or use --allow-duplicate to create another.",
                of.identifier(&prefix),
                of.title,
                of.status,
            ))
            .with("code", "active_duplicate_issue")
            .with("issue", IssueBody::value(&of, &prefix)),
            CreateError::Store(cause) => cause.into(),
        }
    }
}
