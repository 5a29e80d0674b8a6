//! Who is in a squad.

use uuid::Uuid;

use super::{Conn, StoreError};
use crate::model::ids::{SquadId, WorkspaceId};
use crate::model::squad::SquadMember;
use crate::model::time::Time;

from_row!(SquadMember { id, squad_id, member_type, member_id, role, created_at });

/// Everyone in a squad, in the order they joined.
pub async fn list(conn: &mut Conn, squad: SquadId) -> Result<Vec<SquadMember>, StoreError> {
    const SQL: &str = "SELECT id, squad_id, member_type, member_id, role, created_at FROM squad_member
        WHERE squad_id = $1 ORDER BY created_at, id";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(squad).fetch_all(c).await)?)
}

/// Everyone in any squad of a workspace, in the order they joined.
pub async fn list_of_workspace(
    conn: &mut Conn,
    workspace: WorkspaceId,
) -> Result<Vec<SquadMember>, StoreError> {
    const SQL: &str = "SELECT m.id, m.squad_id, m.member_type, m.member_id, m.role, m.created_at
        FROM squad_member m JOIN squad s ON s.id = m.squad_id
        WHERE s.workspace_id = $1 ORDER BY m.created_at, m.id";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(workspace).fetch_all(c).await)?)
}

/// Adds somebody. `None` when they are in the squad already.
pub async fn insert(
    conn: &mut Conn,
    squad: SquadId,
    member_type: &str,
    member_id: Uuid,
    role: &str,
    now: Time,
) -> Result<Option<SquadMember>, StoreError> {
    const SQL: &str = "INSERT INTO squad_member (id, squad_id, member_type, member_id, role, created_at)
        VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (squad_id, member_type, member_id) DO NOTHING
        RETURNING id, squad_id, member_type, member_id, role, created_at";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL)
        .bind(Uuid::now_v7())
        .bind(squad)
        .bind(member_type)
        .bind(member_id)
        .bind(role)
        .bind(now)
        .fetch_optional(c)
        .await)?)
}

/// Gives somebody another role. `None` when they are not in the squad.
pub async fn set_role(
    conn: &mut Conn,
    squad: SquadId,
    member_type: &str,
    member_id: Uuid,
    role: &str,
) -> Result<Option<SquadMember>, StoreError> {
    const SQL: &str = "UPDATE squad_member SET role = $4
        WHERE squad_id = $1 AND member_type = $2 AND member_id = $3
        RETURNING id, squad_id, member_type, member_id, role, created_at";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL)
        .bind(squad)
        .bind(member_type)
        .bind(member_id)
        .bind(role)
        .fetch_optional(c)
        .await)?)
}

/// Takes somebody out. Says whether they were in the squad.
pub async fn delete(
    conn: &mut Conn,
    squad: SquadId,
    member_type: &str,
    member_id: Uuid,
) -> Result<bool, StoreError> {
    const SQL: &str = "DELETE FROM squad_member
        WHERE squad_id = $1 AND member_type = $2 AND member_id = $3 RETURNING id";
    let row: Option<Uuid> = on_conn!(conn, |c| sqlx::query_scalar(SQL)
        .bind(squad)
        .bind(member_type)
        .bind(member_id)
        .fetch_optional(c)
        .await)?;
    Ok(row.is_some())
}
