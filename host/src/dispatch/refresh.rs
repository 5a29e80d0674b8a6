//! An agent's status follows its queue.

use serde_json::{Value, json};

use crate::app::App;
use crate::model::agent::Agent;
use crate::model::agent_body::masked;
use crate::model::ids::AgentId;
use crate::model::time::{Time, seconds};
use crate::store::{Conn, StoreError, agents};

/// Sets the agent's status from what it has in flight and tells clients, changed or not.
/// A failure is logged: no transition of a task depends on it.
pub async fn agent_status(app: &App, id: AgentId) {
    let now = app.clock.now();
    let updated: Result<_, StoreError> =
        app.db.write_soon(move |c| Box::pin(async move { reconcile(c, id, now).await })).await;
    match updated {
        Ok(Some(agent)) => tell(app, &agent),
        Ok(None) => {}
        Err(error) => tracing::warn!(agent.id = %id, %error, "an agent's status was not refreshed"),
    }
}

async fn reconcile(conn: &mut Conn, id: AgentId, now: Time) -> Result<Option<Agent>, StoreError> {
    agents::lock(conn, id).await?;
    agents::reconcile_status(conn, id, now).await
}

/// Tells clients what the agent's status is now.
pub fn tell(app: &App, agent: &Agent) {
    app.events.system(agent.workspace_id, "agent:status", || json!({"agent": reduced(agent)}));
}

/// The agent without what a subscriber must not see.
fn reduced(agent: &Agent) -> Value {
    json!({
        "id": agent.id,
        "workspace_id": agent.workspace_id,
        "runtime_id": agent.runtime_id,
        "name": agent.name,
        "description": agent.description,
        "avatar_url": agent.avatar_url,
        "runtime_mode": agent.runtime_mode,
        "runtime_config": masked(agent.runtime_config.clone()),
        "visibility": agent.visibility,
        "status": agent.status,
        "max_concurrent_tasks": agent.max_concurrent_tasks,
        "owner_id": agent.owner_id,
        "skills": [],
        "created_at": seconds(agent.created_at),
        "updated_at": seconds(agent.updated_at),
        "archived_at": agent.archived_at.map(seconds),
        "archived_by": agent.archived_by,
    })
}
