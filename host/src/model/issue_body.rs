//! The issue as every route and event shows it.

use chrono::NaiveDate;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use super::attachment::AttachmentBody;
use super::ids::{IssueId, ProjectId, WorkspaceId};
use super::issue::Issue;
use super::label::Label;
use super::reaction::IssueReaction;
use super::time::Time;

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct IssueBody {
    pub id: IssueId,
    pub workspace_id: WorkspaceId,
    pub number: i32,
    /// `<prefix>-<number>`.
    pub identifier: String,
    pub title: String,
    pub description: Option<String>,
    pub status: String,
    pub priority: String,
    pub assignee_type: Option<String>,
    pub assignee_id: Option<Uuid>,
    pub creator_type: String,
    pub creator_id: Uuid,
    pub parent_issue_id: Option<IssueId>,
    pub project_id: Option<ProjectId>,
    #[serde(serialize_with = "number")]
    pub position: f64,
    pub stage: Option<i32>,
    pub start_date: Option<NaiveDate>,
    pub due_date: Option<NaiveDate>,
    #[serde(serialize_with = "super::time::as_seconds::serialize")]
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Time,
    #[serde(serialize_with = "super::time::as_seconds::serialize")]
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Time,
    /// Texts, numbers and truth values by name.
    pub metadata: Value,
    /// Only on one issue alone, and only when there are any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reactions: Vec<IssueReaction>,
    /// Only on one issue alone and when it is created, and only when there are any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<AttachmentBody>,
    /// Only in lists and on one issue alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<Vec<Label>>,
}

impl IssueBody {
    /// Without labels, as creating, updating and events show it.
    pub fn new(issue: &Issue, prefix: &str) -> Self {
        Self {
            id: issue.id,
            workspace_id: issue.workspace_id,
            number: issue.number,
            identifier: issue.identifier(prefix),
            title: issue.title.clone(),
            description: issue.description.clone(),
            status: issue.status.clone(),
            priority: issue.priority.clone(),
            assignee_type: issue.assignee_type.clone(),
            assignee_id: issue.assignee_id,
            creator_type: issue.creator_type.clone(),
            creator_id: issue.creator_id,
            parent_issue_id: issue.parent_issue_id,
            project_id: issue.project_id,
            position: issue.position,
            stage: issue.stage,
            start_date: issue.start_date,
            due_date: issue.due_date,
            created_at: issue.created_at,
            updated_at: issue.updated_at,
            metadata: if issue.metadata.is_object() {
                issue.metadata.clone()
            } else {
                Value::Object(Map::new())
            },
            reactions: Vec::new(),
            attachments: Vec::new(),
            labels: None,
        }
    }

    /// As lists and details show it.
    pub fn labelled(issue: &Issue, prefix: &str, labels: Vec<Label>) -> Self {
        Self { labels: Some(labels), ..Self::new(issue, prefix) }
    }

    /// As an event carries it.
    pub fn value(issue: &Issue, prefix: &str) -> Value {
        serde_json::to_value(Self::new(issue, prefix)).unwrap_or_default()
    }
}

/// A whole number goes out without a fraction.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde calls")]
fn number<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    /// Every whole number up to here is exact.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= EXACT {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "whole, and within what both types hold exactly"
        )]
        return serializer.serialize_i64(*number as i64);
    }
    serializer.serialize_f64(*number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_positions_have_no_fraction() {
        for (given, expected) in [(-1.0, "-1"), (0.0, "0"), (1.5, "1.5"), (1e300, "1e+300")] {
            let mut out = Vec::new();
            number(&given, &mut serde_json::Serializer::new(&mut out)).unwrap();
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
    }
}
