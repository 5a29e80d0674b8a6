//! Skills, their files, and which agent has which.

use super::batch::Ids;
use super::{Conn, StoreError};
use crate::model::ids::{AgentId, SkillId};
use crate::model::skill::{Skill, SkillFile};

from_row!(Skill { id, workspace_id, name, description, content, config, created_by, created_at, updated_at });
from_row!(SkillFile { id, skill_id, path, content, created_at, updated_at });

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
