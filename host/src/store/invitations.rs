//! Invitations, with the names that a reader wants to see beside them.

use uuid::Uuid;

use super::{Conn, StoreError};
use crate::model::ids::{UserId, WorkspaceId};
use crate::model::invitation::Invitation;
use crate::model::time::Time;

from_row!(Invitation {
    id,
    workspace_id,
    inviter_id,
    invitee_email,
    invitee_user_id,
    role,
    status,
    created_at,
    updated_at,
    expires_at,
    inviter_name,
    inviter_email,
    workspace_name,
});

macro_rules! select {
    ($rest:literal) => {
        concat!(
            r#"SELECT i.id, i.workspace_id, i.inviter_id, i.invitee_email, i.invitee_user_id, i.role, i.status,
                i.created_at, i.updated_at, i.expires_at, u.name AS inviter_name, u.email AS inviter_email,
                w.name AS workspace_name
            FROM workspace_invitation i JOIN "user" u ON u.id = i.inviter_id
                JOIN workspace w ON w.id = i.workspace_id "#,
            $rest
        )
    };
}

pub async fn find(conn: &mut Conn, id: Uuid) -> Result<Option<Invitation>, StoreError> {
    const SQL: &str = select!("WHERE i.id = $1");
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(id).fetch_optional(c).await)?)
}

/// Those of a workspace that can be accepted, oldest first.
pub async fn list_pending(
    conn: &mut Conn,
    workspace: WorkspaceId,
    now: Time,
) -> Result<Vec<Invitation>, StoreError> {
    const SQL: &str = select!(
        "WHERE i.workspace_id = $1 AND i.status = 'pending' AND i.expires_at > $2 ORDER BY i.created_at, i.id"
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(workspace).bind(now).fetch_all(c).await)?)
}

/// Those that a person can accept, oldest first. `email` is in lower case, as they are kept.
pub async fn list_of_person(
    conn: &mut Conn,
    user: UserId,
    email: &str,
    now: Time,
) -> Result<Vec<Invitation>, StoreError> {
    const SQL: &str = select!(
        "WHERE (i.invitee_user_id = $1 OR i.invitee_email = $2) AND i.status = 'pending' AND i.expires_at > $3
        ORDER BY i.created_at, i.id"
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(user).bind(email).bind(now).fetch_all(c).await)?)
}

pub async fn insert(conn: &mut Conn, new: &Invitation) -> Result<(), StoreError> {
    const SQL: &str =
        "INSERT INTO workspace_invitation (id, workspace_id, inviter_id, invitee_email, invitee_user_id,
            role, status, created_at, updated_at, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    on_conn!(conn, |c| sqlx::query(SQL)
        .bind(new.id)
        .bind(new.workspace_id)
        .bind(new.inviter_id)
        .bind(&new.invitee_email)
        .bind(new.invitee_user_id)
        .bind(&new.role)
        .bind(&new.status)
        .bind(new.created_at)
        .bind(new.updated_at)
        .bind(new.expires_at)
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// Says of what can no longer be accepted that it is so, which makes room for a new one.
pub async fn expire(
    conn: &mut Conn,
    workspace: WorkspaceId,
    email: &str,
    now: Time,
) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE workspace_invitation SET status = 'expired', updated_at = $3
        WHERE workspace_id = $1 AND invitee_email = $2 AND status = 'pending' AND expires_at <= $3";
    on_conn!(conn, |c| sqlx::query(SQL).bind(workspace).bind(email).bind(now).execute(c).await.map(drop))?;
    Ok(())
}

/// Whether the address is invited and has not answered.
pub async fn is_pending(conn: &mut Conn, workspace: WorkspaceId, email: &str) -> Result<bool, StoreError> {
    const SQL: &str = "SELECT 1 FROM workspace_invitation
        WHERE workspace_id = $1 AND invitee_email = $2 AND status = 'pending'";
    let row: Option<i32> =
        on_conn!(conn, |c| sqlx::query_scalar(SQL).bind(workspace).bind(email).fetch_optional(c).await)?;
    Ok(row.is_some())
}

/// The invitee's answer, or that it came too late. `false` when there was one before.
pub async fn answer(
    conn: &mut Conn,
    id: Uuid,
    status: &str,
    user: UserId,
    now: Time,
) -> Result<bool, StoreError> {
    const SQL: &str = "UPDATE workspace_invitation SET status = $2, invitee_user_id = $3, updated_at = $4
        WHERE id = $1 AND status = 'pending' RETURNING id";
    let row: Option<Uuid> = on_conn!(conn, |c| sqlx::query_scalar(SQL)
        .bind(id)
        .bind(status)
        .bind(user)
        .bind(now)
        .fetch_optional(c)
        .await)?;
    Ok(row.is_some())
}

/// Takes an invitation back. Gives its address and account, if it had not been answered.
pub async fn revoke(
    conn: &mut Conn,
    workspace: WorkspaceId,
    id: Uuid,
) -> Result<Option<(String, Option<UserId>)>, StoreError> {
    const SQL: &str =
        "DELETE FROM workspace_invitation WHERE workspace_id = $1 AND id = $2 AND status = 'pending'
        RETURNING invitee_email, invitee_user_id";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(workspace).bind(id).fetch_optional(c).await)?)
}
