//! The board: issues by what they have, in an order, in pages.

use serde_json::Value;
use uuid::Uuid;

use super::batch::Ids;
use super::issues::issue_columns;
use super::{Conn, StoreError};
use crate::model::ids::{UserId, WorkspaceId};
use crate::model::issue::Issue;
use crate::model::time::Time;

/// Which issues are wanted. What is absent does not matter.
#[derive(Clone, Debug)]
pub struct Filter {
    pub workspace_id: WorkspaceId,
    pub status: Option<String>,
    pub priority: Option<String>,
    pub assignee_id: Option<Uuid>,
    pub creator_id: Option<Uuid>,
    pub project_id: Option<Uuid>,
    /// Given to an agent of the user's, or to a squad that they or an agent of theirs is in
    /// or leads.
    pub involves: Option<UserId>,
    pub assignee_ids: Option<Ids>,
    /// Types between commas.
    pub assignee_types: Option<String>,
    /// An object, all of which must be there.
    pub metadata: Option<Value>,
    /// From the first time on, before the second.
    pub dates: Option<(DateField, Time, Time)>,
    /// With a start or due date.
    pub scheduled: bool,
    /// Neither done nor cancelled.
    pub open: bool,
}

impl Filter {
    /// All of them.
    pub fn of(workspace_id: WorkspaceId) -> Self {
        Self {
            workspace_id,
            status: None,
            priority: None,
            assignee_id: None,
            creator_id: None,
            project_id: None,
            involves: None,
            assignee_ids: None,
            assignee_types: None,
            metadata: None,
            dates: None,
            scheduled: false,
            open: false,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DateField {
    CreatedAt,
    UpdatedAt,
}

/// Issues without the date come last; within the same value the newest come first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sort {
    Position,
    Title {
        descending: bool,
    },
    CreatedAt {
        descending: bool,
    },
    StartDate {
        descending: bool,
    },
    DueDate {
        descending: bool,
    },
    /// The most urgent first.
    Priority {
        descending: bool,
    },
}

#[derive(Clone, Copy, Debug)]
pub struct Page {
    pub sort: Sort,
    pub limit: i64,
    pub offset: i64,
}

/// The condition of a [`Filter`], with the texts that differ by engine. Everything is
/// looked for within one workspace, by an index that begins with it.
macro_rules! matching {
    ($ids:literal, $metadata:literal) => {
        concat!(
            " FROM issue WHERE workspace_id = $1
            AND ($2 IS NULL OR status = $2) AND ($3 IS NULL OR priority = $3)
            AND ($4 IS NULL OR assignee_id = $4) AND ($5 IS NULL OR creator_id = $5)
            AND ($6 IS NULL OR project_id = $6)
            AND ($7 IS NULL
                OR (assignee_type = 'agent' AND assignee_id IN (SELECT id FROM agent WHERE owner_id = $7))
                OR (assignee_type = 'squad' AND assignee_id IN (
                    SELECT s.id FROM squad s JOIN agent a ON a.id = s.leader_id WHERE a.owner_id = $7
                    UNION SELECT m.squad_id FROM squad_member m WHERE m.member_type = 'member' AND m.member_id = $7
                    UNION SELECT m.squad_id FROM squad_member m JOIN agent a ON a.id = m.member_id
                        WHERE m.member_type = 'agent' AND a.owner_id = $7)))
            AND ($8 IS NULL OR assignee_id ",
            $ids,
            ")
            AND ($9 IS NULL OR $9 LIKE '%,' || assignee_type || ',%')
            AND ($10 IS NULL OR ",
            $metadata,
            ")
            AND ($11 IS NULL OR (created_at >= $11 AND created_at < $12))
            AND ($13 IS NULL OR (updated_at >= $13 AND updated_at < $14))
            AND (NOT $15 OR start_date IS NOT NULL OR due_date IS NOT NULL)
            AND (NOT $16 OR status NOT IN ('done', 'cancelled')) "
        )
    };
}

macro_rules! select {
    ($what:expr, $end:expr) => {
        (
            concat!(
                "SELECT ",
                $what,
                matching!(
                    "IN (SELECT unhex(value) FROM json_each($8))",
                    // Numbers are compared as numbers, whole or not.
                    "NOT EXISTS (SELECT 1 FROM json_each($10) f WHERE NOT EXISTS (
                        SELECT 1 FROM json_each(issue.metadata) m WHERE m.key = f.key AND m.value = f.value
                            AND (m.type = f.type OR (m.type IN ('integer', 'real') AND f.type IN ('integer', 'real')))))"
                ),
                $end
            ),
            concat!("SELECT ", $what, matching!("= ANY($8)", "metadata @> $10"), $end),
        )
    };
}

macro_rules! page {
    ($order:expr) => {
        select!(issue_columns!(), concat!("ORDER BY ", $order, ", created_at DESC, id LIMIT $17 OFFSET $18"))
    };
}

macro_rules! urgency {
    () => {
        "CASE priority WHEN 'urgent' THEN 0 WHEN 'high' THEN 1 WHEN 'medium' THEN 2 WHEN 'low' THEN 3 ELSE 4 END"
    };
}

/// Binds a [`Filter`] as [`matching`] reads it.
macro_rules! bound {
    ($query:expr, $filter:expr) => {{
        let range = |field: DateField| $filter.dates.filter(|(of, _, _)| *of == field);
        let (created, updated) = (range(DateField::CreatedAt), range(DateField::UpdatedAt));
        $query
            .bind($filter.workspace_id)
            .bind(&$filter.status)
            .bind(&$filter.priority)
            .bind($filter.assignee_id)
            .bind($filter.creator_id)
            .bind($filter.project_id)
            .bind($filter.involves)
            .bind($filter.assignee_ids.clone())
            .bind(&$filter.assignee_types)
            .bind(&$filter.metadata)
            .bind(created.map(|(_, start, _)| start))
            .bind(created.map(|(_, _, end)| end))
            .bind(updated.map(|(_, start, _)| start))
            .bind(updated.map(|(_, _, end)| end))
            .bind($filter.scheduled)
            .bind($filter.open)
    }};
}

pub async fn list(conn: &mut Conn, filter: &Filter, page: Page) -> Result<Vec<Issue>, StoreError> {
    let (sqlite, postgres) = match page.sort {
        Sort::Position => page!("position"),
        Sort::Title { descending: false } => page!("title"),
        Sort::Title { descending: true } => page!("title DESC"),
        Sort::CreatedAt { descending: false } => page!("created_at"),
        Sort::CreatedAt { descending: true } => page!("created_at DESC"),
        Sort::StartDate { descending: false } => page!("start_date NULLS LAST"),
        Sort::StartDate { descending: true } => page!("start_date DESC NULLS LAST"),
        Sort::DueDate { descending: false } => page!("due_date NULLS LAST"),
        Sort::DueDate { descending: true } => page!("due_date DESC NULLS LAST"),
        Sort::Priority { descending: false } => page!(urgency!()),
        Sort::Priority { descending: true } => page!(concat!(urgency!(), " DESC")),
    };
    let sql = by_engine!(conn, sqlite: sqlite, postgres: postgres);
    Ok(on_conn!(conn, |c| bound!(sqlx::query_as(sql), filter)
        .bind(page.limit)
        .bind(page.offset)
        .fetch_all(c)
        .await)?)
}

/// How many match.
pub async fn count(conn: &mut Conn, filter: &Filter) -> Result<i64, StoreError> {
    let (sqlite, postgres) = select!("count(*)", "");
    let sql = by_engine!(conn, sqlite: sqlite, postgres: postgres);
    Ok(on_conn!(conn, |c| bound!(sqlx::query_scalar(sql), filter).fetch_one(c).await)?)
}
