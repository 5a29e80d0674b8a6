//! Skills.

use super::batch::Ids;
use super::{Conn, StoreError};
use crate::model::ids::{AgentId, SkillId, WorkspaceId};
use crate::model::skill::{Skill, SkillFile, SkillSummary};

from_row!(Skill { id, workspace_id, name, description, content, config, created_by, created_at, updated_at });
from_row!(SkillSummary { id, workspace_id, name, description, config, created_by, created_at, updated_at });

macro_rules! skill_columns {
    () => {
        "id, workspace_id, name, description, content, config, created_by, created_at, updated_at"
    };
}

/// The skills of a workspace, by name.
pub async fn list(conn: &mut Conn, workspace: WorkspaceId) -> Result<Vec<SkillSummary>, StoreError> {
    const SQL: &str = "SELECT id, workspace_id, name, description, config, created_by, created_at, updated_at
        FROM skill WHERE workspace_id = $1 ORDER BY name, id";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(workspace).fetch_all(c).await)?)
}

/// What an agent can do, by name, without what the skills say.
pub async fn list_summaries_of_agent(
    conn: &mut Conn,
    agent: AgentId,
) -> Result<Vec<SkillSummary>, StoreError> {
    const SQL: &str =
        "SELECT s.id, s.workspace_id, s.name, s.description, s.config, s.created_by, s.created_at,
        s.updated_at FROM agent_skill a JOIN skill s ON s.id = a.skill_id
        WHERE a.agent_id = $1 ORDER BY s.name, s.id";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(agent).fetch_all(c).await)?)
}

pub async fn find(conn: &mut Conn, id: SkillId) -> Result<Option<Skill>, StoreError> {
    const SQL: &str = concat!("SELECT ", skill_columns!(), " FROM skill WHERE id = $1");
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(id).fetch_optional(c).await)?)
}

/// The skill of this name in the workspace.
pub async fn find_by_name(
    conn: &mut Conn,
    workspace: WorkspaceId,
    name: &str,
) -> Result<Option<Skill>, StoreError> {
    const SQL: &str =
        concat!("SELECT ", skill_columns!(), " FROM skill WHERE workspace_id = $1 AND name = $2");
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(workspace).bind(name).fetch_optional(c).await)?)
}

/// The skill, which nobody else changes until the transaction ends.
pub async fn find_locked(conn: &mut Conn, id: SkillId) -> Result<Option<Skill>, StoreError> {
    // SQLite has one writer, which is the caller.
    let sql = by_engine!(conn,
        sqlite: concat!("SELECT ", skill_columns!(), " FROM skill WHERE id = $1"),
        postgres: concat!("SELECT ", skill_columns!(), " FROM skill WHERE id = $1 FOR NO KEY UPDATE"),
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(sql).bind(id).fetch_optional(c).await)?)
}

/// Adds the skill. A conflict means that its name is taken.
pub async fn insert(conn: &mut Conn, skill: &Skill) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO skill (id, workspace_id, name, description, content, config, created_by,
        created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    on_conn!(conn, |c| sqlx::query(SQL)
        .bind(skill.id)
        .bind(skill.workspace_id)
        .bind(&skill.name)
        .bind(&skill.description)
        .bind(&skill.content)
        .bind(&skill.config)
        .bind(skill.created_by)
        .bind(skill.created_at)
        .bind(skill.updated_at)
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// Writes back what an edit may change. A conflict means that the name is taken.
pub async fn update(conn: &mut Conn, skill: &Skill) -> Result<(), StoreError> {
    const SQL: &str =
        "UPDATE skill SET name = $2, description = $3, content = $4, config = $5, updated_at = $6
        WHERE id = $1";
    on_conn!(conn, |c| sqlx::query(SQL)
        .bind(skill.id)
        .bind(&skill.name)
        .bind(&skill.description)
        .bind(&skill.content)
        .bind(&skill.config)
        .bind(skill.updated_at)
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// Deletes the skill; its files and assignments go with it.
pub async fn delete(conn: &mut Conn, id: SkillId) -> Result<(), StoreError> {
    const SQL: &str = "DELETE FROM skill WHERE id = $1";
    on_conn!(conn, |c| sqlx::query(SQL).bind(id).execute(c).await.map(drop))?;
    Ok(())
}

/// What an agent can do, by name.
pub async fn list_of_agent(conn: &mut Conn, agent: AgentId) -> Result<Vec<Skill>, StoreError> {
    const SQL: &str = "SELECT s.id, s.workspace_id, s.name, s.description, s.content, s.config, s.created_by,
        s.created_at, s.updated_at FROM agent_skill a JOIN skill s ON s.id = a.skill_id
        WHERE a.agent_id = $1 ORDER BY s.name, s.id";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(agent).fetch_all(c).await)?)
}

/// The files of several skills, by path.
pub async fn list_files(conn: &mut Conn, skills: &[SkillId]) -> Result<Vec<SkillFile>, StoreError> {
    const SQLITE: &str = "SELECT id, skill_id, path, content, created_at, updated_at FROM skill_file
        WHERE skill_id IN (SELECT unhex(value) FROM json_each($1)) ORDER BY path, id";
    const POSTGRES: &str = "SELECT id, skill_id, path, content, created_at, updated_at FROM skill_file
        WHERE skill_id = ANY($1) ORDER BY path, id";
    let ids = Ids::of(skills.iter().map(|id| id.0));
    let sql = by_engine!(conn, sqlite: SQLITE, postgres: POSTGRES);
    Ok(on_conn!(conn, |c| sqlx::query_as(sql).bind(ids).fetch_all(c).await)?)
}

/// The names of several agents' skills, with whose each is.
pub async fn names_of_agents(
    conn: &mut Conn,
    agents: &[AgentId],
) -> Result<Vec<(AgentId, String)>, StoreError> {
    const SQLITE: &str = "SELECT a.agent_id, s.name FROM agent_skill a JOIN skill s ON s.id = a.skill_id
        WHERE a.agent_id IN (SELECT unhex(value) FROM json_each($1)) ORDER BY s.name";
    const POSTGRES: &str = "SELECT a.agent_id, s.name FROM agent_skill a JOIN skill s ON s.id = a.skill_id
        WHERE a.agent_id = ANY($1) ORDER BY s.name";
    let ids = Ids::of(agents.iter().map(|id| id.0));
    let sql = by_engine!(conn, sqlite: SQLITE, postgres: POSTGRES);
    Ok(on_conn!(conn, |c| sqlx::query_as(sql).bind(ids).fetch_all(c).await)?)
}
