//! The files beside a skill's content.

use uuid::Uuid;

use super::{Conn, StoreError};
use crate::model::ids::SkillId;
use crate::model::skill::SkillFile;
use crate::model::time::Time;

from_row!(SkillFile { id, skill_id, path, content, created_at, updated_at });

/// The files of one skill, by path.
pub async fn list(conn: &mut Conn, skill: SkillId) -> Result<Vec<SkillFile>, StoreError> {
    const SQL: &str = "SELECT id, skill_id, path, content, created_at, updated_at FROM skill_file
        WHERE skill_id = $1 ORDER BY path, id";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(skill).fetch_all(c).await)?)
}

/// Adds a file, or replaces what the one of the same path says.
pub async fn upsert(
    conn: &mut Conn,
    skill: SkillId,
    path: &str,
    content: &str,
    now: Time,
) -> Result<SkillFile, StoreError> {
    const SQL: &str = "INSERT INTO skill_file (id, skill_id, path, content, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $5) ON CONFLICT (skill_id, path)
        DO UPDATE SET content = excluded.content, updated_at = excluded.updated_at
        RETURNING id, skill_id, path, content, created_at, updated_at";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL)
        .bind(Uuid::now_v7())
        .bind(skill)
        .bind(path)
        .bind(content)
        .bind(now)
        .fetch_one(c)
        .await)?)
}

pub async fn count(conn: &mut Conn, skill: SkillId) -> Result<i64, StoreError> {
    const SQL: &str = "SELECT count(*) FROM skill_file WHERE skill_id = $1";
    Ok(on_conn!(conn, |c| sqlx::query_scalar(SQL).bind(skill).fetch_one(c).await)?)
}

pub async fn delete_all(conn: &mut Conn, skill: SkillId) -> Result<(), StoreError> {
    const SQL: &str = "DELETE FROM skill_file WHERE skill_id = $1";
    on_conn!(conn, |c| sqlx::query(SQL).bind(skill).execute(c).await.map(drop))?;
    Ok(())
}

/// Says whether the skill had such a file.
pub async fn delete(conn: &mut Conn, skill: SkillId, id: Uuid) -> Result<bool, StoreError> {
    const SQL: &str = "DELETE FROM skill_file WHERE skill_id = $1 AND id = $2 RETURNING id";
    let row: Option<Uuid> =
        on_conn!(conn, |c| sqlx::query_scalar(SQL).bind(skill).bind(id).fetch_optional(c).await)?;
    Ok(row.is_some())
}
