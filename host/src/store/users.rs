//! People and their membership in workspaces.

use super::{Conn, StoreError};
use crate::model::ids::{UserId, WorkspaceId};
use crate::model::time::Time;
use crate::model::workspace::{Role, User};

from_row!(User {
    id,
    name,
    email,
    avatar_url,
    profile_description,
    timezone,
    language,
    onboarded_at,
    onboarding_questionnaire,
    starter_content_state,
    created_at,
    updated_at,
});

macro_rules! user_columns {
    () => {
        "id, name, email, avatar_url, profile_description, timezone, language, onboarded_at, \
         onboarding_questionnaire, starter_content_state, created_at, updated_at"
    };
}

pub async fn find(conn: &mut Conn, id: UserId) -> Result<Option<User>, StoreError> {
    const SQL: &str = concat!("SELECT ", user_columns!(), r#" FROM "user" WHERE id = $1"#);
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(id).fetch_optional(c).await)?)
}

/// What a person changes about themselves; `None` leaves a column as it is.
#[derive(Clone, Debug, Default)]
pub struct UserChange {
    pub name: Option<String>,
    pub avatar_url: Option<String>,
    pub language: Option<String>,
    pub profile_description: Option<String>,
    /// Empty clears it.
    pub timezone: Option<String>,
}

pub async fn update(
    conn: &mut Conn,
    id: UserId,
    change: &UserChange,
    now: Time,
) -> Result<Option<User>, StoreError> {
    const SQL: &str = concat!(
        r#"UPDATE "user" SET name = COALESCE($2, name), avatar_url = COALESCE($3, avatar_url),
            language = COALESCE($4, language), profile_description = COALESCE($5, profile_description),
            timezone = NULLIF(COALESCE($6, timezone), ''), updated_at = $7
        WHERE id = $1 RETURNING "#,
        user_columns!()
    );
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL)
        .bind(id)
        .bind(&change.name)
        .bind(&change.avatar_url)
        .bind(&change.language)
        .bind(&change.profile_description)
        .bind(&change.timezone)
        .bind(now)
        .fetch_optional(c)
        .await)?)
}

pub async fn count(conn: &mut Conn) -> Result<i64, StoreError> {
    const SQL: &str = r#"SELECT count(*) FROM "user""#;
    Ok(on_conn!(conn, |c| sqlx::query_scalar(SQL).fetch_one(c).await)?)
}

pub async fn find_by_email(conn: &mut Conn, email: &str) -> Result<Option<UserId>, StoreError> {
    const SQL: &str = r#"SELECT id FROM "user" WHERE email = $1"#;
    Ok(on_conn!(conn, |c| sqlx::query_scalar(SQL).bind(email).fetch_optional(c).await)?)
}

/// As [`insert`], unless the address has an account. Gives the id it has now.
pub async fn find_or_insert(
    conn: &mut Conn,
    name: &str,
    email: &str,
    now: Time,
) -> Result<UserId, StoreError> {
    const SQL: &str = r#"INSERT INTO "user" (id, name, email, created_at, updated_at) VALUES ($1, $2, $3, $4, $4)
        ON CONFLICT (email) DO UPDATE SET email = excluded.email RETURNING id"#;
    let id = UserId::new();
    Ok(on_conn!(conn, |c| sqlx::query_scalar(SQL)
        .bind(id)
        .bind(name)
        .bind(email)
        .bind(now)
        .fetch_one(c)
        .await)?)
}

/// Notes that the person has found their way in; the first time stays.
pub async fn mark_onboarded(conn: &mut Conn, id: UserId, now: Time) -> Result<(), StoreError> {
    const SQL: &str =
        r#"UPDATE "user" SET onboarded_at = $2, updated_at = $2 WHERE id = $1 AND onboarded_at IS NULL"#;
    on_conn!(conn, |c| sqlx::query(SQL).bind(id).bind(now).execute(c).await.map(drop))?;
    Ok(())
}

pub async fn insert(
    conn: &mut Conn,
    id: UserId,
    name: &str,
    email: &str,
    now: Time,
) -> Result<(), StoreError> {
    const SQL: &str =
        r#"INSERT INTO "user" (id, name, email, created_at, updated_at) VALUES ($1, $2, $3, $4, $4)"#;
    on_conn!(conn, |c| sqlx::query(SQL)
        .bind(id)
        .bind(name)
        .bind(email)
        .bind(now)
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// The user's role in the workspace; `None` for somebody who is no member.
pub async fn find_role(
    conn: &mut Conn,
    user: UserId,
    workspace: WorkspaceId,
) -> Result<Option<Role>, StoreError> {
    const SQL: &str = "SELECT role FROM member WHERE workspace_id = $1 AND user_id = $2";
    let role: Option<String> =
        on_conn!(conn, |c| sqlx::query_scalar(SQL).bind(workspace).bind(user).fetch_optional(c).await)?;
    Ok(role.and_then(|role| Role::parse(&role)))
}

pub async fn insert_member(
    conn: &mut Conn,
    workspace: WorkspaceId,
    user: UserId,
    role: &str,
    now: Time,
) -> Result<(), StoreError> {
    const SQL: &str =
        "INSERT INTO member (id, workspace_id, user_id, role, created_at) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (workspace_id, user_id) DO NOTHING";
    let id = uuid::Uuid::now_v7();
    on_conn!(conn, |c| sqlx::query(SQL)
        .bind(id)
        .bind(workspace)
        .bind(user)
        .bind(role)
        .bind(now)
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}
