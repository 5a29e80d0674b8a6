//! Squads.

use uuid::Uuid;

use super::{Conn, StoreError};
use crate::model::ids::{AgentId, SquadId, WorkspaceId};
use crate::model::squad::Squad;
use crate::model::time::Time;

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

macro_rules! squad_columns {
    () => {
        "id, workspace_id, name, description, instructions, avatar_url, leader_id, creator_id, archived_at, \
         archived_by, created_at, updated_at"
    };
}

pub async fn find(conn: &mut Conn, id: SquadId) -> Result<Option<Squad>, StoreError> {
    const SQL: &str = concat!("SELECT ", squad_columns!(), " FROM squad WHERE id = $1");
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(id).fetch_optional(c).await)?)
}

/// The squad, which nobody else changes until the transaction ends.
pub async fn find_locked(conn: &mut Conn, id: SquadId) -> Result<Option<Squad>, StoreError> {
    // SQLite has one writer, which is the caller.
    let sql = by_engine!(conn,
        sqlite: concat!("SELECT ", squad_columns!(), " FROM squad WHERE id = $1"),
        postgres: concat!("SELECT ", squad_columns!(), " FROM squad WHERE id = $1 FOR NO KEY UPDATE"),
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(sql).bind(id).fetch_optional(c).await)?)
}

/// A workspace's squads that are not archived, oldest first.
pub async fn list(conn: &mut Conn, workspace: WorkspaceId) -> Result<Vec<Squad>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        squad_columns!(),
        " FROM squad WHERE workspace_id = $1 AND archived_at IS NULL ORDER BY created_at, id"
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(workspace).fetch_all(c).await)?)
}

pub async fn insert(conn: &mut Conn, squad: &Squad) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO squad (id, workspace_id, name, description, instructions, avatar_url,
            leader_id, creator_id, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    on_conn!(conn, |c| sqlx::query(SQL)
        .bind(squad.id)
        .bind(squad.workspace_id)
        .bind(&squad.name)
        .bind(&squad.description)
        .bind(&squad.instructions)
        .bind(&squad.avatar_url)
        .bind(squad.leader_id)
        .bind(squad.creator_id)
        .bind(squad.created_at)
        .bind(squad.updated_at)
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// Writes back what an edit may change.
pub async fn update(conn: &mut Conn, squad: &Squad) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE squad SET name = $2, description = $3, instructions = $4, avatar_url = $5,
        leader_id = $6, archived_at = $7, archived_by = $8, updated_at = $9 WHERE id = $1";
    on_conn!(conn, |c| sqlx::query(SQL)
        .bind(squad.id)
        .bind(&squad.name)
        .bind(&squad.description)
        .bind(&squad.instructions)
        .bind(&squad.avatar_url)
        .bind(squad.leader_id)
        .bind(squad.archived_at)
        .bind(squad.archived_by)
        .bind(squad.updated_at)
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// Gives what is assigned to a squad, issues and autopilots, to its leader.
pub async fn hand_over(
    conn: &mut Conn,
    squad: SquadId,
    leader: AgentId,
    now: Time,
) -> Result<(), StoreError> {
    const ISSUES: &str = "UPDATE issue SET assignee_type = 'agent', assignee_id = $2, updated_at = $3
        WHERE assignee_type = 'squad' AND assignee_id = $1";
    const AUTOPILOTS: &str = "UPDATE autopilot SET assignee_type = 'agent', assignee_id = $2, updated_at = $3
        WHERE assignee_type = 'squad' AND assignee_id = $1";
    for sql in [ISSUES, AUTOPILOTS] {
        on_conn!(conn, |c| sqlx::query(sql).bind(squad).bind(leader).bind(now).execute(c).await.map(drop))?;
    }
    Ok(())
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
