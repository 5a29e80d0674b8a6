//! Which agent has which skills.

use super::batch::Ids;
use super::{Conn, StoreError};
use crate::model::agent::SkillTag;
use crate::model::ids::{AgentId, SkillId, WorkspaceId};
use crate::model::time::Time;

/// A skill of an agent, in short.
#[derive(Clone, Debug)]
struct TagRow {
    agent_id: AgentId,
    id: SkillId,
    name: String,
    description: String,
}

from_row!(TagRow { agent_id, id, name, description });

impl TagRow {
    fn into_pair(self) -> (AgentId, SkillTag) {
        (self.agent_id, SkillTag { id: self.id, name: self.name, description: self.description })
    }
}

/// What one agent can do, in short, by name.
pub async fn list_tags(conn: &mut Conn, agent: AgentId) -> Result<Vec<SkillTag>, StoreError> {
    const SQL: &str = "SELECT a.agent_id, s.id, s.name, s.description
        FROM agent_skill a JOIN skill s ON s.id = a.skill_id WHERE a.agent_id = $1 ORDER BY s.name, s.id";
    let rows: Vec<TagRow> = on_conn!(conn, |c| sqlx::query_as(SQL).bind(agent).fetch_all(c).await)?;
    Ok(rows.into_iter().map(|row| row.into_pair().1).collect())
}

/// The same for every agent of a workspace.
pub async fn list_tags_of_workspace(
    conn: &mut Conn,
    workspace: WorkspaceId,
) -> Result<Vec<(AgentId, SkillTag)>, StoreError> {
    const SQL: &str = "SELECT a.agent_id, s.id, s.name, s.description
        FROM agent_skill a JOIN skill s ON s.id = a.skill_id WHERE s.workspace_id = $1 ORDER BY s.name, s.id";
    let rows: Vec<TagRow> = on_conn!(conn, |c| sqlx::query_as(SQL).bind(workspace).fetch_all(c).await)?;
    Ok(rows.into_iter().map(TagRow::into_pair).collect())
}

pub async fn delete_all(conn: &mut Conn, agent: AgentId) -> Result<(), StoreError> {
    const SQL: &str = "DELETE FROM agent_skill WHERE agent_id = $1";
    on_conn!(conn, |c| sqlx::query(SQL).bind(agent).execute(c).await.map(drop))?;
    Ok(())
}

/// Gives the agent those of the skills that the workspace has; one it has already is left
/// alone.
pub async fn insert(
    conn: &mut Conn,
    agent: AgentId,
    workspace: WorkspaceId,
    skills: Ids,
    now: Time,
) -> Result<(), StoreError> {
    let sql = by_engine!(conn,
        sqlite: "INSERT INTO agent_skill (agent_id, skill_id, created_at) SELECT $1, id, $4 FROM skill
            WHERE workspace_id = $2 AND id IN (SELECT unhex(value) FROM json_each($3))
            ON CONFLICT (agent_id, skill_id) DO NOTHING",
        postgres: "INSERT INTO agent_skill (agent_id, skill_id, created_at) SELECT $1, id, $4 FROM skill
            WHERE workspace_id = $2 AND id = ANY($3) ON CONFLICT (agent_id, skill_id) DO NOTHING",
    );
    on_conn!(conn, |c| sqlx::query(sql)
        .bind(agent)
        .bind(workspace)
        .bind(skills)
        .bind(now)
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// How many of the skills the workspace has.
pub async fn count_known(conn: &mut Conn, workspace: WorkspaceId, skills: Ids) -> Result<i64, StoreError> {
    let sql = by_engine!(conn,
        sqlite: "SELECT count(*) FROM skill
            WHERE workspace_id = $1 AND id IN (SELECT unhex(value) FROM json_each($2))",
        postgres: "SELECT count(*) FROM skill WHERE workspace_id = $1 AND id = ANY($2)",
    );
    Ok(on_conn!(conn, |c| sqlx::query_scalar(sql).bind(workspace).bind(skills).fetch_one(c).await)?)
}
