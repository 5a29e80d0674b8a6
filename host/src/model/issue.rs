//! The issue and the comments on it.

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::ids::{AgentId, CommentId, IssueId, ProjectId, SquadId, TaskId, UserId, WorkspaceId};
use super::time::Time;
use uuid::Uuid;

pub const ISSUE_STATUSES: [&str; 7] =
    ["backlog", "todo", "in_progress", "in_review", "done", "blocked", "cancelled"];
pub const PRIORITIES: [&str; 5] = ["urgent", "high", "medium", "low", "none"];

/// What a comment may be.
pub const COMMENT_TYPES: [&str; 4] = ["comment", "status_change", "progress_update", "system"];

/// A row of `issue`.
#[derive(Clone, Debug)]
pub struct Issue {
    pub id: IssueId,
    pub workspace_id: WorkspaceId,
    pub number: i32,
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
    pub origin_type: Option<String>,
    pub origin_id: Option<Uuid>,
    pub position: f64,
    pub stage: Option<i32>,
    pub start_date: Option<NaiveDate>,
    pub due_date: Option<NaiveDate>,
    pub metadata: Value,
    pub first_executed_at: Option<Time>,
    pub created_at: Time,
    pub updated_at: Time,
}

impl Issue {
    /// Done or cancelled: the issue is over, whatever its tasks do.
    pub fn is_closed(&self) -> bool {
        is_closed(&self.status)
    }

    /// How people write it: `<prefix>-<number>`.
    pub fn identifier(&self, prefix: &str) -> String {
        format!("{prefix}-{}", self.number)
    }

    /// To whom it is given.
    pub fn assignee(&self) -> Option<Assignee> {
        Assignee::of(self.assignee_type.as_deref()?, self.assignee_id?)
    }

    /// Gives it to somebody, or to nobody.
    pub fn assign(&mut self, assignee: Option<Assignee>) {
        self.assignee_type = assignee.map(|assignee| assignee.kind().to_owned());
        self.assignee_id = assignee.map(Assignee::id);
    }
}

/// To whom an issue can be given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Assignee {
    Member(UserId),
    Agent(AgentId),
    Squad(SquadId),
}

impl Assignee {
    /// `None` for a type that is not one.
    pub fn of(kind: &str, id: Uuid) -> Option<Self> {
        match kind {
            "member" => Some(Self::Member(UserId(id))),
            "agent" => Some(Self::Agent(AgentId(id))),
            "squad" => Some(Self::Squad(SquadId(id))),
            _ => None,
        }
    }

    /// `member`, `agent` or `squad`.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Member(_) => "member",
            Self::Agent(_) => "agent",
            Self::Squad(_) => "squad",
        }
    }

    pub fn id(self) -> Uuid {
        match self {
            Self::Member(id) => id.0,
            Self::Agent(id) => id.0,
            Self::Squad(id) => id.0,
        }
    }
}

/// What two titles share when they say the same: letters in any case, white space of any
/// width. A digest, so that it can be indexed however long the title; empty for a blank
/// one, which is like no other.
pub fn title_digest(title: &str) -> String {
    let words: Vec<String> = title.split_whitespace().map(str::to_lowercase).collect();
    if words.is_empty() { String::new() } else { hex::encode(Sha256::digest(words.join(" "))) }
}

/// A calendar date as requests spell it: `YYYY-MM-DD`, or a time that is midnight UTC.
pub fn parse_date(text: &str) -> Option<NaiveDate> {
    let bytes = text.as_bytes();
    let plain = bytes.len() == 10
        && bytes
            .iter()
            .enumerate()
            .all(|(at, byte)| if at == 4 || at == 7 { *byte == b'-' } else { byte.is_ascii_digit() });
    if plain {
        return NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    }
    let time: Time = DateTime::parse_from_rfc3339(text).ok()?.to_utc();
    // Five-digit years print in a form that no client reads.
    let midnight = time.time() == NaiveTime::MIN && (0..=9999).contains(&time.year());
    midnight.then(|| time.date_naive())
}

/// See [`Issue::is_closed`].
pub fn is_closed(status: &str) -> bool {
    matches!(status, "done" | "cancelled")
}

/// A row of `comment`.
#[derive(Clone, Debug)]
pub struct Comment {
    pub id: CommentId,
    pub issue_id: IssueId,
    pub workspace_id: WorkspaceId,
    /// `member`, `agent` or `system`.
    pub author_type: String,
    /// A user id, an agent id, or all zeros for the system.
    pub author_id: Uuid,
    pub content: String,
    /// The column `type`.
    pub kind: String,
    /// The comment replied to, never rewritten to the thread's root.
    pub parent_id: Option<CommentId>,
    /// The task an agent ran when it wrote this.
    pub source_task_id: Option<TaskId>,
    pub resolved_at: Option<Time>,
    pub resolved_by_type: Option<String>,
    pub resolved_by_id: Option<Uuid>,
    pub created_at: Time,
    pub updated_at: Time,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_alike_in_any_case_and_width() {
        assert_eq!(title_digest(" Fix\tthe  ÄPFEL\n"), title_digest("fix the äpfel"));
        assert_ne!(title_digest("fix the"), title_digest("fixthe"));
        assert_eq!(title_digest(" \t"), "");
    }

    #[test]
    fn dates_are_days() {
        for (given, expected) in [
            ("2026-02-03", Some("2026-02-03")),
            ("2026-02-30", None),
            ("2026-2-3", None),
            ("+026-02-03", None),
            ("2026-02-03T00:00:00Z", Some("2026-02-03")),
            ("2026-02-03T01:00:00+01:00", Some("2026-02-03")),
            ("2026-02-03T00:00:01Z", None),
            ("2026-02-03T00:00:00", None),
            ("", None),
        ] {
            assert_eq!(parse_date(given).map(|date| date.to_string()).as_deref(), expected, "{given}");
        }
    }
}
