//! `GET /api/issues`: the board, filtered, sorted and in pages.

use std::collections::HashMap;

use axum::Json;
use chrono::DateTime;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::app::App;
use crate::http::error::{Error, ErrorBody};
use crate::http::extract::Scope;
use crate::http::query::{self, Query};
use crate::model::ids::{IssueId, UserId};
use crate::model::issue_body::IssueBody;
use crate::model::label::Label;
use crate::model::time::Time;
use crate::model::{clean, metadata};
use crate::store::batch::Ids;
use crate::store::issue_list::{self, DateField, Filter, Page, Sort};
use crate::store::labels::{self, Labelled};
use crate::store::workspaces;

/// The default and the most of a page.
const PAGE: i64 = 100;
/// The most ids that one filter may name.
const IDS: usize = 200;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListSent {
    status: Option<String>,
    priority: Option<String>,
    assignee_id: Option<String>,
    creator_id: Option<String>,
    project_id: Option<String>,
    /// Issues of the user's agents, or of squads that they or their agents are in.
    involves_user_id: Option<String>,
    /// Comma-separated ids.
    assignee_ids: Option<String>,
    /// Comma-separated: `member`, `agent`, `squad`.
    assignee_types: Option<String>,
    /// A JSON object of texts, numbers and truth values, all of which must match.
    metadata: Option<String>,
    /// `created_at` or `updated_at`, with `date_start` and `date_end` (which is not included).
    date_field: Option<String>,
    date_start: Option<String>,
    date_end: Option<String>,
    /// `true`: only issues with a start or due date.
    scheduled: Option<String>,
    /// `true`: every issue that is not over, in one list.
    open_only: Option<String>,
    /// `position`, `title`, `created_at`, `start_date`, `due_date` or `priority`.
    sort: Option<String>,
    /// `asc` or `desc`.
    direction: Option<String>,
    limit: Option<String>,
    offset: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct IssueList {
    issues: Vec<IssueBody>,
    /// How many match, on this page or not.
    total: i64,
}

/// The issues of the workspace.
#[utoipa::path(
    get,
    path = "/",
    tag = "issues",
    params(ListSent),
    responses((status = 200, body = IssueList), (status = 400, body = ErrorBody)),
)]
pub(super) async fn list(
    app: App,
    scope: Scope,
    Query(sent): Query<ListSent>,
) -> Result<Json<IssueList>, Error> {
    let (filter, page) = sent.read(&scope)?;
    let mut conn = app.db.reader().await?;
    let prefix = workspaces::find_issue_prefix(&mut conn, scope.workspace_id).await?;
    let issues = issue_list::list(&mut conn, &filter, page).await?;
    let total = if filter.open {
        issues.len().try_into().unwrap_or(i64::MAX)
    } else {
        issue_list::count(&mut conn, &filter).await?
    };
    let ids = Ids::of(issues.iter().map(|issue| issue.id.0));
    let mut labels: HashMap<IssueId, Vec<Label>> = HashMap::new();
    for Labelled { issue_id, label } in labels::list_on_issues(&mut conn, &ids).await? {
        labels.entry(issue_id).or_default().push(label);
    }
    let issues = issues
        .iter()
        .map(|issue| IssueBody::labelled(issue, &prefix, labels.remove(&issue.id).unwrap_or_default()))
        .collect();
    Ok(Json(IssueList { issues, total }))
}

impl ListSent {
    fn read(self, scope: &Scope) -> Result<(Filter, Page), Error> {
        let assignee_ids = query::ids("assignee_ids", self.assignee_ids.as_deref())?;
        if assignee_ids.as_ref().is_some_and(|ids| ids.len() > IDS) {
            return Err(Error::bad_request(format!("assignee_ids: send at most {IDS}")));
        }
        let mut filter = Filter {
            priority: self.priority,
            assignee_id: query::id("assignee_id", self.assignee_id.as_deref())?,
            creator_id: query::id("creator_id", self.creator_id.as_deref())?,
            project_id: query::id("project_id", self.project_id.as_deref())?,
            involves: query::id("involves_user_id", self.involves_user_id.as_deref())?.map(UserId),
            assignee_ids: assignee_ids.map(Ids::of),
            metadata: wanted_metadata(self.metadata.as_deref())?,
            open: self.open_only.as_deref() == Some("true"),
            ..Filter::of(scope.workspace_id)
        };
        if filter.open {
            return Ok((filter, Page { sort: Sort::Position, limit: i64::MAX, offset: 0 }));
        }
        filter.status = self.status;
        filter.assignee_types = assignee_types(self.assignee_types.as_deref())?;
        filter.dates =
            dates(self.date_field.as_deref(), self.date_start.as_deref(), self.date_end.as_deref())?;
        filter.scheduled = self.scheduled.as_deref() == Some("true");
        let sort = sort(self.sort.as_deref(), self.direction.as_deref())?;
        let limit = query::limit(self.limit.as_deref(), PAGE, PAGE);
        Ok((filter, Page { sort, limit, offset: query::offset(self.offset.as_deref()) }))
    }
}

fn sort(by: Option<&str>, direction: Option<&str>) -> Result<Sort, Error> {
    let descending = match direction {
        None | Some("asc") => false,
        Some("desc") => true,
        Some(_) => return Err(Error::bad_request("invalid direction value")),
    };
    match by.unwrap_or("position") {
        "position" => Ok(Sort::Position),
        "title" => Ok(Sort::Title { descending }),
        "created_at" => Ok(Sort::CreatedAt { descending }),
        "start_date" => Ok(Sort::StartDate { descending }),
        "due_date" => Ok(Sort::DueDate { descending }),
        "priority" => Ok(Sort::Priority { descending }),
        _ => Err(Error::bad_request("invalid sort value")),
    }
}

fn assignee_types(sent: Option<&str>) -> Result<Option<String>, Error> {
    let Some(sent) = sent else { return Ok(None) };
    let types: Vec<&str> = sent.split(',').map(str::trim).collect();
    if types.iter().all(|kind| matches!(*kind, "member" | "agent" | "squad")) {
        // Between commas, for a search that means whole words.
        Ok(Some(format!(",{},", types.join(","))))
    } else {
        Err(Error::bad_request("invalid assignee_types"))
    }
}

fn dates(
    field: Option<&str>,
    start: Option<&str>,
    end: Option<&str>,
) -> Result<Option<(DateField, Time, Time)>, Error> {
    let (field, start, end) = match (field, start, end) {
        (None, None, None) => return Ok(None),
        (Some(field), Some(start), Some(end)) => (field, start, end),
        _ => {
            return Err(Error::bad_request("date_field, date_start, and date_end are required together"));
        }
    };
    let field = match field {
        "created_at" => DateField::CreatedAt,
        "updated_at" => DateField::UpdatedAt,
        _ => return Err(Error::bad_request("invalid date_field")),
    };
    let time = |name: &str, text: &str| {
        let time = DateTime::parse_from_rfc3339(text).map(|time| time.to_utc());
        time.map_err(|_| Error::bad_request(format!("invalid {name}")))
    };
    let (start, end) = (time("date_start", start)?, time("date_end", end)?);
    if start >= end {
        return Err(Error::bad_request("date_start must be before date_end"));
    }
    Ok(Some((field, start, end)))
}

/// An object of primitives under names that metadata may have.
fn wanted_metadata(sent: Option<&str>) -> Result<Option<Value>, Error> {
    let Some(sent) = sent else { return Ok(None) };
    let mut parsed: Value = serde_json::from_str(sent).unwrap_or_default();
    clean::value(&mut parsed);
    let Value::Object(wanted) = &parsed else {
        return Err(Error::bad_request("metadata filter must be a JSON object"));
    };
    for (key, value) in wanted {
        if !metadata::is_key(key) {
            return Err(Error::bad_request("metadata filter key must match ^[a-zA-Z_][a-zA-Z0-9_.-]{0,63}$"));
        }
        if !metadata::is_value(value) {
            return Err(Error::bad_request(
                "metadata filter values must be primitives (string, number, bool)",
            ));
        }
    }
    Ok(Some(parsed))
}
