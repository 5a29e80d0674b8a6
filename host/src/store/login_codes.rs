//! Codes that were sent to an address, to prove that whoever has the code reads its mail.

use uuid::Uuid;

use super::{Conn, StoreError};
use crate::model::time::Time;

/// A code that may still be entered.
#[derive(Clone, Debug)]
pub struct LoginCode {
    pub id: Uuid,
    pub code: String,
    /// How often something else was entered.
    pub attempts: i32,
}

from_row!(LoginCode { id, code, attempts });

/// When the address was last sent a code, used or not.
pub async fn find_last_sent(conn: &mut Conn, email: &str) -> Result<Option<Time>, StoreError> {
    const SQL: &str =
        "SELECT created_at FROM verification_code WHERE email = $1 ORDER BY created_at DESC LIMIT 1";
    Ok(on_conn!(conn, |c| sqlx::query_scalar(SQL).bind(email).fetch_optional(c).await)?)
}

pub async fn insert(
    conn: &mut Conn,
    email: &str,
    code: &str,
    expires_at: Time,
    now: Time,
) -> Result<(), StoreError> {
    const SQL: &str =
        "INSERT INTO verification_code (id, email, code, expires_at, created_at) VALUES ($1, $2, $3, $4, $5)";
    let id = Uuid::now_v7();
    on_conn!(conn, |c| sqlx::query(SQL)
        .bind(id)
        .bind(email)
        .bind(code)
        .bind(expires_at)
        .bind(now)
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// Forgets the codes that nobody can enter any more.
pub async fn delete_expired(conn: &mut Conn, now: Time) -> Result<(), StoreError> {
    const SQL: &str = "DELETE FROM verification_code WHERE expires_at <= $1";
    on_conn!(conn, |c| sqlx::query(SQL).bind(now).execute(c).await.map(drop))?;
    Ok(())
}

/// The code that the address was sent last, if it was neither used nor is too old.
pub async fn find_pending(conn: &mut Conn, email: &str, now: Time) -> Result<Option<LoginCode>, StoreError> {
    const SQL: &str = "SELECT id, code, attempts FROM verification_code
        WHERE email = $1 AND NOT used AND expires_at > $2 ORDER BY created_at DESC LIMIT 1";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(email).bind(now).fetch_optional(c).await)?)
}

/// Counts a wrong try.
pub async fn count_attempt(conn: &mut Conn, id: Uuid) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE verification_code SET attempts = attempts + 1 WHERE id = $1";
    on_conn!(conn, |c| sqlx::query(SQL).bind(id).execute(c).await.map(drop))?;
    Ok(())
}

/// Uses a code up. `false` when somebody else did.
pub async fn use_up(conn: &mut Conn, id: Uuid) -> Result<bool, StoreError> {
    const SQL: &str = "UPDATE verification_code SET used = TRUE WHERE id = $1 AND NOT used RETURNING id";
    let row: Option<Uuid> = on_conn!(conn, |c| sqlx::query_scalar(SQL).bind(id).fetch_optional(c).await)?;
    Ok(row.is_some())
}
