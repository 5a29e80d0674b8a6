//! Memberships, with the people they are about.

use uuid::Uuid;

use super::{Conn, StoreError};
use crate::model::ids::{UserId, WorkspaceId};
use crate::model::member::Member;

from_row!(Member { id, workspace_id, user_id, role, created_at, name, email, avatar_url });

macro_rules! member_columns {
    () => {
        "m.id, m.workspace_id, m.user_id, m.role, m.created_at, u.name, u.email, u.avatar_url"
    };
}

/// Everybody in a workspace, oldest membership first.
pub async fn list(conn: &mut Conn, workspace: WorkspaceId) -> Result<Vec<Member>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        member_columns!(),
        r#" FROM member m JOIN "user" u ON u.id = m.user_id WHERE m.workspace_id = $1
        ORDER BY m.created_at, m.id"#
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(workspace).fetch_all(c).await)?)
}

/// The membership with this id, if it is one of the workspace's.
pub async fn find(conn: &mut Conn, workspace: WorkspaceId, id: Uuid) -> Result<Option<Member>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        member_columns!(),
        r#" FROM member m JOIN "user" u ON u.id = m.user_id WHERE m.workspace_id = $1 AND m.id = $2"#
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(workspace).bind(id).fetch_optional(c).await)?)
}

/// The membership of a user.
pub async fn find_of_user(
    conn: &mut Conn,
    workspace: WorkspaceId,
    user: UserId,
) -> Result<Option<Member>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        member_columns!(),
        r#" FROM member m JOIN "user" u ON u.id = m.user_id WHERE m.workspace_id = $1 AND m.user_id = $2"#
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(workspace).bind(user).fetch_optional(c).await)?)
}

/// Whether somebody with this address, in lower case, is a member.
pub async fn has_email(conn: &mut Conn, workspace: WorkspaceId, email: &str) -> Result<bool, StoreError> {
    const SQL: &str = r#"SELECT 1 FROM member m JOIN "user" u ON u.id = m.user_id
        WHERE m.workspace_id = $1 AND lower(u.email) = $2"#;
    let row: Option<i32> =
        on_conn!(conn, |c| sqlx::query_scalar(SQL).bind(workspace).bind(email).fetch_optional(c).await)?;
    Ok(row.is_some())
}

/// How many owners the workspace has.
pub async fn count_owners(conn: &mut Conn, workspace: WorkspaceId) -> Result<i64, StoreError> {
    const SQL: &str = "SELECT count(*) FROM member WHERE workspace_id = $1 AND role = 'owner'";
    Ok(on_conn!(conn, |c| sqlx::query_scalar(SQL).bind(workspace).fetch_one(c).await)?)
}

pub async fn set_role(conn: &mut Conn, id: Uuid, role: &str) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE member SET role = $2 WHERE id = $1";
    on_conn!(conn, |c| sqlx::query(SQL).bind(id).bind(role).execute(c).await.map(drop))?;
    Ok(())
}

pub async fn delete(conn: &mut Conn, id: Uuid) -> Result<(), StoreError> {
    const SQL: &str = "DELETE FROM member WHERE id = $1";
    on_conn!(conn, |c| sqlx::query(SQL).bind(id).execute(c).await.map(drop))?;
    Ok(())
}
