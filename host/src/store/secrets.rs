//! Secrets that the gateway made for itself.

use super::{Conn, StoreError};
use crate::model::time::Time;

/// The secret of this name; the first one that was ever proposed.
pub async fn find_or_insert(
    conn: &mut Conn,
    name: &str,
    proposed: &str,
    now: Time,
) -> Result<String, StoreError> {
    const INSERT: &str = "INSERT INTO server_secret (name, value, created_at) VALUES ($1, $2, $3)
        ON CONFLICT (name) DO NOTHING";
    const FIND: &str = "SELECT value FROM server_secret WHERE name = $1";
    on_conn!(conn, |c| sqlx::query(INSERT).bind(name).bind(proposed).bind(now).execute(c).await.map(drop))?;
    Ok(on_conn!(conn, |c| sqlx::query_scalar(FIND).bind(name).fetch_one(c).await)?)
}
