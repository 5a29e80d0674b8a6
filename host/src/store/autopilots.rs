//! Autopilots' runs.

use super::{Conn, StoreError};
use crate::model::ids::{AutopilotRunId, WorkspaceId};
use crate::model::time::Time;

/// What a daemon asks before it cleans up after a run.
#[derive(Clone, Debug)]
pub struct RunState {
    pub workspace_id: WorkspaceId,
    pub status: String,
    pub completed_at: Option<Time>,
}

from_row!(RunState { workspace_id, status, completed_at });

/// `None` when the run or its autopilot is gone.
pub async fn find_run_state(conn: &mut Conn, id: AutopilotRunId) -> Result<Option<RunState>, StoreError> {
    const SQL: &str = "SELECT a.workspace_id, r.status, r.completed_at
        FROM autopilot_run r JOIN autopilot a ON a.id = r.autopilot_id WHERE r.id = $1";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(id).fetch_optional(c).await)?)
}
