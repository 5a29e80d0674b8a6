//! Autopilots: what they are to do, for whom, and who may change that.

use uuid::Uuid;

use super::{Conn, StoreError};
use crate::model::autopilot::Autopilot;
use crate::model::ids::{AutopilotId, UserId, WorkspaceId};
use crate::model::time::Time;

from_row!(Autopilot {
    id,
    workspace_id,
    title,
    description,
    project_id,
    assignee_type,
    assignee_id,
    status,
    execution_mode,
    issue_title_template,
    created_by_type,
    created_by_id,
    last_run_at,
    created_at,
    updated_at,
});

macro_rules! autopilot_columns {
    () => {
        "id, workspace_id, title, description, project_id, assignee_type, assignee_id, status, execution_mode, \
         issue_title_template, created_by_type, created_by_id, last_run_at, created_at, updated_at"
    };
}

pub async fn find(conn: &mut Conn, id: AutopilotId) -> Result<Option<Autopilot>, StoreError> {
    const SQL: &str = concat!("SELECT ", autopilot_columns!(), " FROM autopilot WHERE id = $1");
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(id).fetch_optional(c).await)?)
}

/// Those of a workspace, newest first; with a status only those of it.
pub async fn list(
    conn: &mut Conn,
    workspace: WorkspaceId,
    status: Option<&str>,
) -> Result<Vec<Autopilot>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        autopilot_columns!(),
        " FROM autopilot WHERE workspace_id = $1 AND status = COALESCE($2, status)
        ORDER BY created_at DESC, id DESC"
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(workspace).bind(status).fetch_all(c).await)?)
}

/// What a list says of an autopilot besides its row.
#[derive(Clone, Debug)]
pub struct Outlook {
    pub id: AutopilotId,
    pub next_run_at: Option<Time>,
    pub last_run_status: Option<String>,
}

from_row!(Outlook { id, next_run_at, last_run_status });

pub async fn list_outlooks(conn: &mut Conn, workspace: WorkspaceId) -> Result<Vec<Outlook>, StoreError> {
    const SQL: &str = "SELECT a.id,
            (SELECT t.next_run_at FROM autopilot_trigger t WHERE t.autopilot_id = a.id AND t.enabled
                AND t.kind = 'schedule' AND t.next_run_at IS NOT NULL ORDER BY t.next_run_at LIMIT 1) AS next_run_at,
            (SELECT r.status FROM autopilot_run r WHERE r.autopilot_id = a.id
                ORDER BY r.triggered_at DESC, r.id DESC LIMIT 1) AS last_run_status
        FROM autopilot a WHERE a.workspace_id = $1";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(workspace).fetch_all(c).await)?)
}

/// The kinds of the enabled triggers of a workspace's autopilots, sorted.
pub async fn list_trigger_kinds(
    conn: &mut Conn,
    workspace: WorkspaceId,
) -> Result<Vec<(AutopilotId, String)>, StoreError> {
    const SQL: &str = "SELECT DISTINCT t.autopilot_id, t.kind
        FROM autopilot_trigger t JOIN autopilot a ON a.id = t.autopilot_id
        WHERE a.workspace_id = $1 AND t.enabled ORDER BY t.kind";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(workspace).fetch_all(c).await)?)
}

pub async fn insert(conn: &mut Conn, autopilot: &Autopilot) -> Result<(), StoreError> {
    const SQL: &str =
        "INSERT INTO autopilot (id, workspace_id, title, description, project_id, assignee_type,
            assignee_id, status, execution_mode, issue_title_template, created_by_type, created_by_id,
            created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
    on_conn!(conn, |c| sqlx::query(SQL)
        .bind(autopilot.id)
        .bind(autopilot.workspace_id)
        .bind(&autopilot.title)
        .bind(&autopilot.description)
        .bind(autopilot.project_id)
        .bind(&autopilot.assignee_type)
        .bind(autopilot.assignee_id)
        .bind(&autopilot.status)
        .bind(&autopilot.execution_mode)
        .bind(&autopilot.issue_title_template)
        .bind(&autopilot.created_by_type)
        .bind(autopilot.created_by_id)
        .bind(autopilot.created_at)
        .bind(autopilot.updated_at)
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// Stores what may be changed of an autopilot. `false` when it is gone.
pub async fn update(conn: &mut Conn, autopilot: &Autopilot) -> Result<bool, StoreError> {
    const SQL: &str =
        "UPDATE autopilot SET title = $2, description = $3, project_id = $4, assignee_type = $5,
            assignee_id = $6, status = $7, execution_mode = $8, issue_title_template = $9, updated_at = $10
        WHERE id = $1 RETURNING id";
    let row: Option<AutopilotId> = on_conn!(conn, |c| sqlx::query_scalar(SQL)
        .bind(autopilot.id)
        .bind(&autopilot.title)
        .bind(&autopilot.description)
        .bind(autopilot.project_id)
        .bind(&autopilot.assignee_type)
        .bind(autopilot.assignee_id)
        .bind(&autopilot.status)
        .bind(&autopilot.execution_mode)
        .bind(&autopilot.issue_title_template)
        .bind(autopilot.updated_at)
        .fetch_optional(c)
        .await)?;
    Ok(row.is_some())
}

/// It did something.
pub async fn touch_run(conn: &mut Conn, id: AutopilotId, now: Time) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE autopilot SET last_run_at = $2 WHERE id = $1";
    on_conn!(conn, |c| sqlx::query(SQL).bind(id).bind(now).execute(c).await.map(drop))?;
    Ok(())
}

/// Active becomes paused. `false` when it was not active.
pub async fn pause(conn: &mut Conn, id: AutopilotId, now: Time) -> Result<bool, StoreError> {
    const SQL: &str = "UPDATE autopilot SET status = 'paused', updated_at = $2
        WHERE id = $1 AND status = 'active' RETURNING id";
    let row: Option<AutopilotId> =
        on_conn!(conn, |c| sqlx::query_scalar(SQL).bind(id).bind(now).fetch_optional(c).await)?;
    Ok(row.is_some())
}

/// With its subscribers, which no foreign key takes along.
pub async fn delete(conn: &mut Conn, id: AutopilotId) -> Result<(), StoreError> {
    const SUBSCRIBERS: &str = "DELETE FROM autopilot_subscriber WHERE autopilot_id = $1";
    const AUTOPILOT: &str = "DELETE FROM autopilot WHERE id = $1";
    for sql in [SUBSCRIBERS, AUTOPILOT] {
        on_conn!(conn, |c| sqlx::query(sql).bind(id).execute(c).await.map(drop))?;
    }
    Ok(())
}

/// Somebody who may change an autopilot besides its creator.
#[derive(Clone, Debug)]
pub struct Collaborator {
    pub user_id: UserId,
    pub granted_by: Option<UserId>,
    pub created_at: Time,
}

from_row!(Collaborator { user_id, granted_by, created_at });

pub async fn list_collaborators(conn: &mut Conn, id: AutopilotId) -> Result<Vec<Collaborator>, StoreError> {
    const SQL: &str = "SELECT user_id, granted_by, created_at FROM autopilot_collaborator
        WHERE autopilot_id = $1 ORDER BY created_at, user_id";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(id).fetch_all(c).await)?)
}

/// The autopilots of a workspace that the user was let in on.
pub async fn list_shared_with(
    conn: &mut Conn,
    workspace: WorkspaceId,
    user: UserId,
) -> Result<Vec<AutopilotId>, StoreError> {
    const SQL: &str =
        "SELECT c.autopilot_id FROM autopilot_collaborator c JOIN autopilot a ON a.id = c.autopilot_id
        WHERE a.workspace_id = $1 AND c.user_id = $2";
    Ok(on_conn!(conn, |c| sqlx::query_scalar(SQL).bind(workspace).bind(user).fetch_all(c).await)?)
}

pub async fn is_collaborator(conn: &mut Conn, id: AutopilotId, user: UserId) -> Result<bool, StoreError> {
    const SQL: &str = "SELECT 1 FROM autopilot_collaborator WHERE autopilot_id = $1 AND user_id = $2";
    let row: Option<i32> =
        on_conn!(conn, |c| sqlx::query_scalar(SQL).bind(id).bind(user).fetch_optional(c).await)?;
    Ok(row.is_some())
}

pub async fn insert_collaborator(
    conn: &mut Conn,
    id: AutopilotId,
    user: UserId,
    granted_by: UserId,
    now: Time,
) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO autopilot_collaborator (autopilot_id, user_id, granted_by, created_at)
        VALUES ($1, $2, $3, $4) ON CONFLICT (autopilot_id, user_id) DO NOTHING";
    on_conn!(conn, |c| sqlx::query(SQL)
        .bind(id)
        .bind(user)
        .bind(granted_by)
        .bind(now)
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

pub async fn delete_collaborator(conn: &mut Conn, id: AutopilotId, user: UserId) -> Result<(), StoreError> {
    const SQL: &str = "DELETE FROM autopilot_collaborator WHERE autopilot_id = $1 AND user_id = $2";
    on_conn!(conn, |c| sqlx::query(SQL).bind(id).bind(user).execute(c).await.map(drop))?;
    Ok(())
}

/// Members who follow the issues that an autopilot makes, since when.
pub async fn list_subscribers(conn: &mut Conn, id: AutopilotId) -> Result<Vec<(Uuid, Time)>, StoreError> {
    const SQL: &str = "SELECT user_id, created_at FROM autopilot_subscriber
        WHERE autopilot_id = $1 ORDER BY created_at, user_id";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(id).fetch_all(c).await)?)
}

/// Replaces them.
pub async fn set_subscribers(
    conn: &mut Conn,
    id: AutopilotId,
    users: &[UserId],
    now: Time,
) -> Result<(), StoreError> {
    const CLEAR: &str = "DELETE FROM autopilot_subscriber WHERE autopilot_id = $1";
    const ADD: &str = "INSERT INTO autopilot_subscriber (autopilot_id, user_type, user_id, created_at)
        VALUES ($1, 'member', $2, $3) ON CONFLICT (autopilot_id, user_type, user_id) DO NOTHING";
    on_conn!(conn, |c| sqlx::query(CLEAR).bind(id).execute(c).await.map(drop))?;
    for user in users {
        on_conn!(conn, |c| sqlx::query(ADD).bind(id).bind(*user).bind(now).execute(c).await.map(drop))?;
    }
    Ok(())
}

/// An autopilot that fails too often.
#[derive(Clone, Debug)]
pub struct Failing {
    pub id: AutopilotId,
    pub workspace_id: WorkspaceId,
    pub title: String,
    pub created_by_type: String,
    pub created_by_id: Uuid,
    pub runs: i64,
    pub failed: i64,
}

from_row!(Failing { id, workspace_id, title, created_by_type, created_by_id, runs, failed });

/// Active ones with at least so many runs since then.
pub async fn list_busy(conn: &mut Conn, since: Time, runs: i64) -> Result<Vec<Failing>, StoreError> {
    const SQL: &str =
        "SELECT a.id, a.workspace_id, a.title, a.created_by_type, a.created_by_id, n.runs, n.failed
        FROM autopilot a JOIN (SELECT autopilot_id, count(*) AS runs,
                count(CASE WHEN status = 'failed' THEN 1 END) AS failed
            FROM autopilot_run WHERE triggered_at >= $1 GROUP BY autopilot_id HAVING count(*) >= $2) n
            ON n.autopilot_id = a.id
        WHERE a.status = 'active' ORDER BY a.id";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(since).bind(runs).fetch_all(c).await)?)
}
