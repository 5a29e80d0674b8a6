//! `PUT /api/issues/{id}`: what is sent changes, what is not stays.

use axum::Json;
use serde::Deserialize;
use utoipa::ToSchema;

use super::issue_fields as fields;
use crate::app::App;
use crate::dispatch::issue_update::{self, Options, Patch, UpdateError, Updated};
use crate::http::body::{Sent, StrictBody};
use crate::http::error::{Error, ErrorBody};
use crate::http::extract::Scope;
use crate::http::issue_path::IssueInPath;
use crate::model::edit::Edit;
use crate::model::ids::{IssueId, ProjectId};
use crate::model::issue::Issue;
use crate::model::issue_body::IssueBody;
use crate::store::Conn;

/// `null` takes a value away where there can be none, and changes nothing elsewhere.
#[derive(Clone, Default, Deserialize, ToSchema)]
pub(super) struct PatchSent {
    title: Option<String>,
    description: Option<String>,
    status: Option<String>,
    priority: Option<String>,
    position: Option<f64>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    assignee_type: Sent<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    assignee_id: Sent<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    start_date: Sent<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    due_date: Sent<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    parent_issue_id: Sent<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    project_id: Sent<String>,
    #[serde(default)]
    #[schema(value_type = Option<i32>)]
    stage: Sent<i32>,
    attachment_ids: Option<Vec<String>>,
    /// Start nothing.
    suppress_run: Option<bool>,
    /// For whoever starts to work because of this.
    handoff_note: Option<String>,
}

/// Changes an issue. Another assignee stops what ran for the one before and starts to work.
#[utoipa::path(
    put,
    path = "/{id}",
    tag = "issues",
    params(("id" = String, Path, description = "The id, or an identifier such as `KEY-12`")),
    request_body = PatchSent,
    responses(
        (status = 200, body = IssueBody),
        (status = 400, body = ErrorBody),
        (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody),
    ),
)]
pub(super) async fn update(
    app: App,
    scope: Scope,
    IssueInPath(issue): IssueInPath,
    StrictBody(sent): StrictBody<PatchSent>,
) -> Result<Json<IssueBody>, Error> {
    sent.check_enums()?;
    let attachments = fields::attachment_ids(sent.attachment_ids.as_deref())?;
    let patch = sent.patch(&mut app.db.reader().await?, &scope, &issue).await?;
    let patch = Patch { attachments, ..patch };
    let options = sent.options(false);
    let Updated { issue, prefix } = issue_update::update(&app, scope.actor, issue.id, patch, options).await?;
    Ok(Json(IssueBody::new(&issue, &prefix)))
}

impl PatchSent {
    /// Statuses and priorities alone, which are the same for every issue.
    pub(super) fn check_enums(&self) -> Result<(), Error> {
        self.status.as_deref().map_or(Ok(()), fields::check_status)?;
        self.priority.as_deref().map_or(Ok(()), fields::check_priority)
    }

    /// Whether there is nothing in it that an issue could take on.
    pub(super) fn is_empty(&self) -> bool {
        self.title.is_none()
            && self.description.is_none()
            && self.status.is_none()
            && self.priority.is_none()
            && self.position.is_none()
            && self.assignee_type.is_absent()
            && self.assignee_id.is_absent()
            && self.start_date.is_absent()
            && self.due_date.is_absent()
            && self.parent_issue_id.is_absent()
            && self.project_id.is_absent()
            && self.stage.is_absent()
    }

    pub(super) fn options(&self, batch: bool) -> Options {
        Options {
            suppress_run: self.suppress_run.unwrap_or(false),
            handoff_note: self.handoff_note.clone(),
            batch,
        }
    }

    /// What it means for one issue: a type without an id keeps the issue's id, and the
    /// other way round.
    pub(super) async fn patch(&self, conn: &mut Conn, scope: &Scope, issue: &Issue) -> Result<Patch, Error> {
        if let Sent::Value(stage) = self.stage {
            fields::check_stage(Some(stage))?;
        }
        let assignee = if self.assignee_type.is_absent() && self.assignee_id.is_absent() {
            Edit::Keep
        } else {
            let kind = match &self.assignee_type {
                Sent::Absent => issue.assignee_type.as_deref(),
                Sent::Null => None,
                Sent::Value(kind) => Some(kind.as_str()),
            };
            let id = match &self.assignee_id {
                Sent::Absent => issue.assignee_id,
                Sent::Null => None,
                Sent::Value(id) => Some(fields::id("assignee_id", id)?),
            };
            Edit::to(fields::assignee(conn, scope, kind, id).await?)
        };
        Ok(Patch {
            title: self.title.clone(),
            description: self.description.clone(),
            status: self.status.clone(),
            priority: self.priority.clone(),
            position: self.position,
            assignee,
            start_date: edit(&self.start_date, |text| fields::date("start_date", text))?,
            due_date: edit(&self.due_date, |text| fields::date("due_date", text))?,
            parent_issue_id: edit(&self.parent_issue_id, |text| {
                fields::id("parent_issue_id", text).map(|id| Some(IssueId(id)))
            })?,
            project_id: edit(&self.project_id, |text| {
                fields::id("project_id", text).map(|id| Some(ProjectId(id)))
            })?,
            stage: edit(&self.stage, |stage| Ok(Some(*stage)))?,
            attachments: Vec::new(),
        })
    }
}

/// A member that `null` takes away, and so does a value that reads as none.
fn edit<S, T>(sent: &Sent<S>, read: impl FnOnce(&S) -> Result<Option<T>, Error>) -> Result<Edit<T>, Error> {
    match sent {
        Sent::Absent => Ok(Edit::Keep),
        Sent::Null => Ok(Edit::Clear),
        Sent::Value(value) => read(value).map(Edit::to),
    }
}

impl From<UpdateError> for Error {
    fn from(error: UpdateError) -> Self {
        match error {
            UpdateError::NoIssue => Self::not_found(error.to_string()),
            UpdateError::OwnParent
            | UpdateError::NoParent
            | UpdateError::Circular
            | UpdateError::NoProject => Self::bad_request(error.to_string()),
            UpdateError::Store(cause) => cause.into(),
        }
    }
}
