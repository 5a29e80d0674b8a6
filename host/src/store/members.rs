//! Memberships, with the people they are about.

use uuid::Uuid;

use super::{Conn, StoreError};
use crate::model::ids::WorkspaceId;
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
