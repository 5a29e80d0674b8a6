//! Runtimes: registration, liveness, lists.

use super::{Conn, StoreError};
use crate::model::ids::RuntimeId;
use crate::model::runtime::Runtime;

from_row!(Runtime {
    id,
    workspace_id,
    daemon_id,
    name,
    runtime_mode,
    provider,
    status,
    device_info,
    metadata,
    last_seen_at,
    owner_id,
    visibility,
    profile_id,
    created_at,
    updated_at,
});

pub async fn find(conn: &mut Conn, id: RuntimeId) -> Result<Option<Runtime>, StoreError> {
    const SQL: &str = "SELECT id, workspace_id, daemon_id, name, runtime_mode, provider, status, device_info, metadata,
        last_seen_at, owner_id, visibility, profile_id, created_at, updated_at FROM agent_runtime WHERE id = $1";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(id).fetch_optional(c).await)?)
}
