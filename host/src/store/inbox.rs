//! What people are told.

use uuid::Uuid;

use super::{Conn, StoreError};
use crate::model::ids::{IssueId, UserId, WorkspaceId};
use crate::model::inbox::{InboxBody, InboxItem, Unread};

from_row!(InboxBody {
    id,
    workspace_id,
    recipient_type,
    recipient_id,
    kind = "type",
    severity,
    issue_id,
    title,
    body,
    read,
    archived,
    created_at,
    issue_status,
    actor_type,
    actor_id,
    details,
});

from_row!(Unread { workspace_id, count });

/// An item with the status of its issue, for every query that gives one.
macro_rules! shown {
    () => {
        "SELECT i.id, i.workspace_id, i.recipient_type, i.recipient_id, i.type, i.severity, i.issue_id, i.title, i.body,
            i.read, i.archived, i.created_at, s.status AS issue_status, i.actor_type, i.actor_id, i.details
        FROM inbox_item i LEFT JOIN issue s ON s.id = i.issue_id "
    };
}

/// Whose inbox it is: a person's, in a workspace.
#[derive(Clone, Copy, Debug)]
pub struct Inbox {
    pub workspace: WorkspaceId,
    pub user: UserId,
}

/// What is not archived, newest first.
pub async fn list(conn: &mut Conn, of: Inbox) -> Result<Vec<InboxBody>, StoreError> {
    const SQL: &str = concat!(
        shown!(),
        "WHERE i.workspace_id = $1 AND i.recipient_type = 'member' AND i.recipient_id = $2 AND NOT i.archived
        ORDER BY i.created_at DESC, i.id DESC LIMIT 1000"
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(of.workspace).bind(of.user).fetch_all(c).await)?)
}

/// One item, archived or not.
pub async fn find(conn: &mut Conn, of: Inbox, id: Uuid) -> Result<Option<InboxBody>, StoreError> {
    const SQL: &str = concat!(
        shown!(),
        "WHERE i.id = $3 AND i.workspace_id = $1 AND i.recipient_type = 'member' AND i.recipient_id = $2"
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL)
        .bind(of.workspace)
        .bind(of.user)
        .bind(id)
        .fetch_optional(c)
        .await)?)
}

/// How many items are neither read nor archived.
pub async fn count_unread(conn: &mut Conn, of: Inbox) -> Result<i64, StoreError> {
    const SQL: &str = "SELECT count(*) FROM inbox_item WHERE workspace_id = $1 AND recipient_type = 'member'
        AND recipient_id = $2 AND NOT read AND NOT archived";
    Ok(on_conn!(conn, |c| sqlx::query_scalar(SQL).bind(of.workspace).bind(of.user).fetch_one(c).await)?)
}

/// How many issues and single items are unread, by workspace. An issue is as its newest item
/// is: that one is what people open.
pub async fn list_unread(conn: &mut Conn, user: UserId) -> Result<Vec<Unread>, StoreError> {
    const SQL: &str = "SELECT i.workspace_id, count(*) AS count FROM inbox_item i
            JOIN member m ON m.workspace_id = i.workspace_id AND m.user_id = i.recipient_id
        WHERE i.recipient_type = 'member' AND i.recipient_id = $1 AND NOT i.read AND NOT i.archived
            AND NOT EXISTS (SELECT 1 FROM inbox_item n WHERE n.recipient_id = i.recipient_id
                AND n.recipient_type = 'member' AND n.issue_id = i.issue_id AND NOT n.archived
                AND (n.created_at, n.id) > (i.created_at, i.id))
        GROUP BY i.workspace_id ORDER BY i.workspace_id";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(user).fetch_all(c).await)?)
}

pub async fn mark_read(conn: &mut Conn, id: Uuid) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE inbox_item SET read = TRUE WHERE id = $1";
    on_conn!(conn, |c| sqlx::query(SQL).bind(id).execute(c).await.map(drop))?;
    Ok(())
}

/// Archives an item and, if it is about an issue, all that the inbox has about it.
pub async fn archive(conn: &mut Conn, of: Inbox, id: Uuid, issue: Option<IssueId>) -> Result<(), StoreError> {
    const SQL: &str =
        "UPDATE inbox_item SET archived = TRUE WHERE workspace_id = $1 AND recipient_type = 'member'
        AND recipient_id = $2 AND (id = $3 OR issue_id = $4) AND NOT archived";
    on_conn!(conn, |c| sqlx::query(SQL)
        .bind(of.workspace)
        .bind(of.user)
        .bind(id)
        .bind(issue)
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// What is done to many items at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sweep {
    ReadAll,
    ArchiveAll,
    ArchiveRead,
    /// Those about issues that are over.
    ArchiveCompleted,
}

/// Says how many items changed.
pub async fn sweep(conn: &mut Conn, of: Inbox, sweep: Sweep) -> Result<usize, StoreError> {
    macro_rules! of_inbox {
        ($set:literal, $also:literal) => {
            concat!(
                "UPDATE inbox_item SET ",
                $set,
                " = TRUE WHERE workspace_id = $1 AND recipient_type = 'member' AND recipient_id = $2
                    AND NOT archived",
                $also,
                " RETURNING id"
            )
        };
    }
    let sql = match sweep {
        Sweep::ReadAll => of_inbox!("read", " AND NOT read"),
        Sweep::ArchiveAll => of_inbox!("archived", ""),
        Sweep::ArchiveRead => of_inbox!("archived", " AND read"),
        Sweep::ArchiveCompleted => {
            of_inbox!(
                "archived",
                " AND issue_id IN (SELECT id FROM issue WHERE status IN ('done', 'cancelled'))"
            )
        }
    };
    let changed: Vec<Uuid> =
        on_conn!(conn, |c| sqlx::query_scalar(sql).bind(of.workspace).bind(of.user).fetch_all(c).await)?;
    Ok(changed.len())
}

pub async fn insert(conn: &mut Conn, item: &InboxItem) -> Result<(), StoreError> {
    const SQL: &str =
        "INSERT INTO inbox_item (id, workspace_id, recipient_type, recipient_id, type, severity,
            issue_id, title, body, actor_type, actor_id, details, created_at)
        VALUES ($1, $2, 'member', $3, $4, $5, $6, $7, $8, 'agent', $9, $10, $11)";
    on_conn!(conn, |c| sqlx::query(SQL)
        .bind(item.id)
        .bind(item.workspace_id)
        .bind(item.recipient_id)
        .bind(item.kind)
        .bind(item.severity)
        .bind(item.issue_id)
        .bind(&item.title)
        .bind(&item.body)
        .bind(item.agent_id)
        .bind(&item.details)
        .bind(item.created_at)
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}
