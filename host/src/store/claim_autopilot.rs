//! What an answer to a claim of an autopilot's run reads.

use serde_json::Value;
use uuid::Uuid;

use super::{Conn, StoreError};
use crate::model::ids::{AutopilotRunId, WorkspaceId};

/// A run and the autopilot that it is of.
#[derive(Clone, Debug)]
pub struct AutopilotContext {
    pub autopilot_id: Uuid,
    pub source: String,
    pub trigger_payload: Option<Value>,
    pub title: String,
    pub description: Option<String>,
}

from_row!(AutopilotContext { autopilot_id, source, trigger_payload, title, description });

pub async fn find(
    conn: &mut Conn,
    run: AutopilotRunId,
    workspace: WorkspaceId,
) -> Result<Option<AutopilotContext>, StoreError> {
    const SQL: &str = "SELECT r.autopilot_id, r.source, r.trigger_payload, a.title, a.description
        FROM autopilot_run r JOIN autopilot a ON a.id = r.autopilot_id
        WHERE r.id = $1 AND a.workspace_id = $2";
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(run).bind(workspace).fetch_optional(c).await)?)
}
