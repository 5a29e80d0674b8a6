//! What every answer to a claim says about the agent, its workspace and the people behind
//! it, and where the task comes from: one row a task, read for several tasks at once.

use serde_json::Value;
use uuid::Uuid;

use super::batch::Ids;
use super::{Conn, StoreError};
use crate::model::agent::Agent;
use crate::model::ids::TaskId;

/// Everything is scoped to the workspace of the task's runtime.
#[derive(Clone, Debug)]
pub struct Surroundings {
    pub task_id: TaskId,
    pub agent: Agent,
    pub workspace_context: Option<String>,
    pub workspace_repos: Value,
    /// The owner of the runtime.
    pub owner_name: Option<String>,
    pub owner_profile: Option<String>,
    /// Who sent the chat message that caused the task.
    pub initiator_name: Option<String>,
    pub initiator_email: Option<String>,
    pub issue: Option<IssueContext>,
    /// The secret part of the task's row.
    pub runtime_mcp_overlay: Option<Value>,
    pub runtime_connected_apps: Option<Value>,
    /// Whether there is anything to read of these.
    pub has_skills: bool,
    pub has_resources: bool,
    pub has_ended_runs: bool,
}

/// An issue with what its project adds.
#[derive(Clone, Debug)]
pub struct IssueContext {
    pub title: String,
    pub project_id: Option<Uuid>,
    pub project_title: Option<String>,
    pub project_description: Option<String>,
}

/// The fence keeps PostgreSQL from reading all history once instead of an issue's a few times;
/// SQLite is told by which index, because it takes one that holds all that an agent ever ended.
macro_rules! surroundings_of {
    ($tasks:literal, $by:literal, $fence:literal) => {
        concat!(
            "SELECT t.id AS task_id, t.runtime_mcp_overlay, t.runtime_connected_apps,
                a.id, a.workspace_id, a.name, a.description, a.instructions, a.avatar_url, a.runtime_mode,
                a.runtime_config, a.runtime_id, a.visibility, a.permission_mode, a.status, a.max_concurrent_tasks,
                a.owner_id, a.custom_env, a.custom_args, a.mcp_config, a.model, a.thinking_level,
                a.composio_toolkit_allowlist, a.archived_at, a.archived_by, a.created_at, a.updated_at,
                w.context AS workspace_context, w.repos AS workspace_repos,
                o.name AS owner_name, o.profile_description AS owner_profile,
                n.name AS initiator_name, n.email AS initiator_email,
                i.title AS issue_title, i.project_id AS issue_project_id, p.title AS project_title,
                p.description AS project_description,
                EXISTS (SELECT 1 FROM agent_skill k WHERE k.agent_id = a.id ",
            $fence,
            ") AS has_skills,
                EXISTS (SELECT 1 FROM project_resource e WHERE e.project_id = i.project_id ",
            $fence,
            ") AS has_resources,
                EXISTS (SELECT 1 FROM agent_task_queue z ",
            $by,
            " WHERE z.issue_id = t.issue_id AND z.agent_id = t.agent_id
                    AND z.status IN ('completed', 'failed') AND z.session_id IS NOT NULL ",
            $fence,
            ") AS has_ended_runs
            FROM ",
            $tasks,
            " JOIN agent a ON a.id = t.agent_id JOIN agent_runtime r ON r.id = t.runtime_id
            JOIN workspace w ON w.id = r.workspace_id
            LEFT JOIN \"user\" o ON o.id = r.owner_id LEFT JOIN \"user\" n ON n.id = t.initiator_user_id
            LEFT JOIN issue i ON i.id = t.issue_id AND i.workspace_id = r.workspace_id
            LEFT JOIN project p ON p.id = i.project_id AND p.workspace_id = i.workspace_id"
        )
    };
}

/// In no order; a task that is gone has none.
pub async fn list(
    conn: &mut Conn,
    tasks: impl IntoIterator<Item = TaskId>,
) -> Result<Vec<Surroundings>, StoreError> {
    let sql = by_engine!(conn,
        sqlite: surroundings_of!("json_each($1) g CROSS JOIN agent_task_queue t ON t.id = unhex(g.value)",
            "INDEXED BY agent_task_queue_session", ""),
        postgres: surroundings_of!("unnest($1) g (id) JOIN agent_task_queue t ON t.id = g.id", "", "OFFSET 0"),
    );
    let tasks = Ids::of(tasks.into_iter().map(|task| task.0));
    Ok(on_conn!(conn, |c| sqlx::query_as(sql).bind(tasks).fetch_all(c).await)?)
}

pub async fn find(conn: &mut Conn, task: TaskId) -> Result<Option<Surroundings>, StoreError> {
    Ok(list(conn, [task]).await?.pop())
}

macro_rules! surroundings_from {
    ($($row:ty),*) => {$(
        impl<'r> sqlx::FromRow<'r, $row> for Surroundings {
            fn from_row(row: &'r $row) -> Result<Self, sqlx::Error> {
                use sqlx::Row;
                let title: Option<String> = row.try_get("issue_title")?;
                let project_id = row.try_get("issue_project_id")?;
                let project_title = row.try_get("project_title")?;
                let project_description = row.try_get("project_description")?;
                Ok(Self {
                    task_id: row.try_get("task_id")?,
                    agent: Agent::from_row(row)?,
                    workspace_context: row.try_get("workspace_context")?,
                    workspace_repos: row.try_get("workspace_repos")?,
                    owner_name: row.try_get("owner_name")?,
                    owner_profile: row.try_get("owner_profile")?,
                    initiator_name: row.try_get("initiator_name")?,
                    initiator_email: row.try_get("initiator_email")?,
                    issue: title.map(|title| IssueContext { title, project_id, project_title, project_description }),
                    runtime_mcp_overlay: row.try_get("runtime_mcp_overlay")?,
                    runtime_connected_apps: row.try_get("runtime_connected_apps")?,
                    has_skills: row.try_get("has_skills")?,
                    has_resources: row.try_get("has_resources")?,
                    has_ended_runs: row.try_get("has_ended_runs")?,
                })
            }
        }
    )*};
}
surroundings_from!(sqlx::sqlite::SqliteRow, sqlx::postgres::PgRow);
