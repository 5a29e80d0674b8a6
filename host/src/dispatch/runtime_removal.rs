//! A runtime goes, with the archived agents that were bound to it.

use serde_json::{Value, json};

use super::refresh;
use crate::app::App;
use crate::model::actor::Actor;
use crate::model::agent::Agent;
use crate::model::ids::RuntimeId;
use crate::model::runtime::Runtime;
use crate::model::time::Time;
use crate::store::batch::Ids;
use crate::store::{Conn, StoreError, retire, runtimes};

/// Why a runtime cannot go.
#[derive(Debug)]
pub enum Refusal {
    /// It went already.
    Gone,
    /// It belongs to a runtime profile, with which it goes.
    OfProfile,
    /// Agents at work are bound to it, shown as everybody may see them.
    ActiveAgents(Vec<Value>),
    /// A squad at work is led by one of its archived agents.
    LeadsActiveSquad,
}

/// Deletes the runtime, unless something is in the way.
pub async fn remove(app: &App, actor: Actor, runtime: &Runtime) -> Result<Result<(), Refusal>, StoreError> {
    let (id, now) = (runtime.id, app.clock.now());
    let removed = app.db.write(move |c| Box::pin(removed(c, id, now))).await;
    match removed {
        Ok(()) => {}
        Err(Stopped::Refused(refusal)) => return Ok(Err(refusal)),
        Err(Stopped::Store(error)) => return Err(error),
    }
    app.liveness.forget(id);
    tracing::info!(runtime.id = %id, "a runtime was deleted");
    app.events.by(actor, runtime.workspace_id, "daemon:register", || json!({"action": "delete"}));
    Ok(Ok(()))
}

/// Ends the transaction: nothing of it stays.
enum Stopped {
    Refused(Refusal),
    Store(StoreError),
}

impl From<StoreError> for Stopped {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

async fn removed(conn: &mut Conn, id: RuntimeId, now: Time) -> Result<(), Stopped> {
    let runtime = runtimes::lock(conn, id).await?.ok_or(Stopped::Refused(Refusal::Gone))?;
    if runtime.profile_id.is_some() {
        return Err(Stopped::Refused(Refusal::OfProfile));
    }
    let ids = Ids::of([id.0]);
    let agents = retire::list_active_agents(conn, &ids).await?;
    if !agents.is_empty() {
        return Err(Stopped::Refused(Refusal::ActiveAgents(agents.iter().map(shown).collect())));
    }
    if retire::leads_active_squad(conn, &ids).await? {
        return Err(Stopped::Refused(Refusal::LeadsActiveSquad));
    }
    retire::delete_runtimes(conn, &ids, now).await?;
    Ok(())
}

fn shown(agent: &Agent) -> Value {
    refresh::reduced(agent)
}
