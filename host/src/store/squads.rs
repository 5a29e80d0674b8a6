//! Squads and who is in them.

use uuid::Uuid;

use super::{Conn, StoreError};
use crate::model::ids::SquadId;
use crate::model::squad::Squad;

from_row!(Squad {
    id,
    workspace_id,
    name,
    description,
    instructions,
    avatar_url,
    leader_id,
    creator_id,
    archived_at,
    archived_by,
    created_at,
    updated_at,
});

pub async fn find(conn: &mut Conn, id: SquadId) -> Result<Option<Squad>, StoreError> {
    const SQL: &str =
        "SELECT id, workspace_id, name, description, instructions, avatar_url, leader_id, creator_id,
        archived_at, archived_by, created_at, updated_at FROM squad WHERE id = $1";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(id).fetch_optional(c).await)?)
}

/// A member as a roster names it.
#[derive(Clone, Debug)]
pub struct RosterRow {
    pub member_type: String,
    pub member_id: Uuid,
    pub role: String,
    /// Absent when there is nobody of that id any more.
    pub name: Option<String>,
    pub archived: bool,
}

from_row!(RosterRow { member_type, member_id, role, name, archived });

/// Everyone in a squad, in the order they joined.
pub async fn list_members_with_names(conn: &mut Conn, squad: SquadId) -> Result<Vec<RosterRow>, StoreError> {
    const SQL: &str = r#"SELECT m.member_type, m.member_id, m.role, COALESCE(a.name, u.name) AS name,
            a.archived_at IS NOT NULL AS archived
        FROM squad_member m
        LEFT JOIN agent a ON m.member_type = 'agent' AND a.id = m.member_id
        LEFT JOIN "user" u ON m.member_type = 'member' AND u.id = m.member_id
        WHERE m.squad_id = $1 ORDER BY m.created_at, m.id"#;
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(squad).fetch_all(c).await)?)
}
