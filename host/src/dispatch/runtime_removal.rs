//! A runtime goes, with the archived agents that were bound to it; and a runtime profile,
//! with its runtimes.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use uuid::Uuid;

use super::cancel::{self, Cancelled};
use super::lifecycle::to_the_end;
use crate::app::App;
use crate::model::actor::Actor;
use crate::model::agent::Agent;
use crate::model::agent_body::{AgentBody, Shown};
use crate::model::ids::{AgentId, RuntimeId, UserId, WorkspaceId};
use crate::model::runtime::Runtime;
use crate::model::time::Time;
use crate::store::batch::Ids;
use crate::store::task_cancels::CancelScope;
use crate::store::{Conn, StoreError, agent_skills, profiles, retire, runtimes};

/// Why something cannot go.
#[derive(Debug)]
pub enum Refusal {
    /// It went already.
    Gone,
    /// It belongs to a runtime profile, with which it goes.
    OfProfile,
    /// Agents at work are bound to it, shown as everybody may see them.
    ActiveAgents(Vec<Value>),
    /// The agents at work are not those that the caller saw.
    PlanChanged(Vec<Value>),
    /// A squad at work is led by one of its archived agents.
    LeadsActiveSquad,
}

/// What a transaction ends with when nothing of it is to stay.
pub enum Stopped {
    Refused(Refusal),
    Store(StoreError),
}

impl From<StoreError> for Stopped {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Refusal> for Stopped {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Deletes the runtime, unless something is in the way.
pub async fn remove(app: &App, actor: Actor, runtime: &Runtime) -> Result<(), Stopped> {
    let (app, id, workspace) = (app.clone(), runtime.id, runtime.workspace_id);
    to_the_end(async move {
        let (now, shown) = (app.clock.now(), to_everybody(&app));
        app.db.write(move |c| Box::pin(removed(c, id, shown, now))).await?;
        tell(&app, actor, workspace, &[id], &json!({"action": "delete"}));
        Ok::<_, Stopped>(())
    })
    .await
}

async fn removed(conn: &mut Conn, id: RuntimeId, shown: Shown, now: Time) -> Result<(), Stopped> {
    lock(conn, id).await?;
    let ids = Ids::of([id.0]);
    let agents = retire::list_active_agents(conn, &ids).await?;
    if !agents.is_empty() {
        return Err(Refusal::ActiveAgents(bodies(conn, agents, shown).await?).into());
    }
    delete(conn, &ids, now).await
}

/// What else went with a runtime.
#[derive(Default)]
pub struct Removal {
    pub agents_archived: usize,
    pub tasks_cancelled: usize,
}

/// Archives the runtime's agents, stops their tasks and deletes the runtime, if the agents
/// at work are just those that the caller expects.
pub async fn remove_with_agents(
    app: &App,
    actor: Actor,
    by: UserId,
    runtime: &Runtime,
    expected: BTreeSet<AgentId>,
) -> Result<Removal, Stopped> {
    let (app, id, workspace) = (app.clone(), runtime.id, runtime.workspace_id);
    to_the_end(async move {
        let (now, shown) = (app.clock.now(), to_everybody(&app));
        let gone = app.db.write(move |c| Box::pin(removed_with_agents(c, id, by, expected, shown, now)));
        let (agents, cancelled) = gone.await?;
        let removal = Removal { agents_archived: agents.len(), tasks_cancelled: cancelled.len() };
        cancelled.announce(&app).await;
        for agent in agents {
            app.events.by(actor, workspace, "agent:archived", || json!({"agent": agent}));
        }
        tell(&app, actor, workspace, &[id], &json!({"action": "delete"}));
        Ok::<_, Stopped>(removal)
    })
    .await
}

async fn removed_with_agents(
    conn: &mut Conn,
    id: RuntimeId,
    by: UserId,
    expected: BTreeSet<AgentId>,
    shown: Shown,
    now: Time,
) -> Result<(Vec<Value>, Cancelled), Stopped> {
    lock(conn, id).await?;
    let ids = Ids::of([id.0]);
    let archived = retire::archive_agents(conn, &ids, by, now).await?;
    let found: BTreeSet<AgentId> = archived.iter().map(|agent| agent.id).collect();
    if found != expected {
        let agents =
            archived.into_iter().map(|agent| Agent { archived_at: None, archived_by: None, ..agent });
        return Err(Refusal::PlanChanged(bodies(conn, agents.collect(), shown).await?).into());
    }
    let agents = Ids::of(found.into_iter().map(|agent| agent.0));
    let scope = CancelScope::RuntimesOrAgents { runtimes: ids.clone(), agents };
    let cancelled = cancel::in_transaction(conn, scope, now).await?;
    let agents = bodies(conn, archived, shown).await?;
    delete(conn, &ids, now).await?;
    Ok((agents, cancelled))
}

/// Deletes a runtime profile with its runtimes, unless something is in the way.
pub async fn remove_profile(
    app: &App,
    actor: Actor,
    workspace: WorkspaceId,
    profile: Uuid,
) -> Result<(), Stopped> {
    let app = app.clone();
    to_the_end(async move {
        let (now, shown) = (app.clock.now(), to_everybody(&app));
        let gone =
            app.db.write(move |c| Box::pin(removed_profile(c, workspace, profile, shown, now))).await?;
        app.wakeups.profiles_changed(workspace, Some(profile));
        tell(&app, actor, workspace, &gone, &json!({"deleted_runtime_profile_id": profile}));
        Ok::<_, Stopped>(())
    })
    .await
}

async fn removed_profile(
    conn: &mut Conn,
    workspace: WorkspaceId,
    profile: Uuid,
    shown: Shown,
    now: Time,
) -> Result<Vec<RuntimeId>, Stopped> {
    profiles::find(conn, workspace, profile).await?.ok_or(Refusal::Gone)?;
    let instances = retire::list_runtimes_of_profile(conn, profile).await?;
    for id in &instances {
        runtimes::lock(conn, *id).await?;
    }
    let ids = Ids::of(instances.iter().map(|id| id.0));
    let agents = retire::list_active_agents(conn, &ids).await?;
    if !agents.is_empty() {
        return Err(Refusal::ActiveAgents(bodies(conn, agents, shown).await?).into());
    }
    delete(conn, &ids, now).await?;
    profiles::delete(conn, workspace, profile).await?;
    Ok(instances)
}

async fn lock(conn: &mut Conn, id: RuntimeId) -> Result<(), Stopped> {
    let runtime = runtimes::lock(conn, id).await?.ok_or(Refusal::Gone)?;
    if runtime.profile_id.is_some() {
        return Err(Refusal::OfProfile.into());
    }
    Ok(())
}

async fn delete(conn: &mut Conn, ids: &Ids, now: Time) -> Result<(), Stopped> {
    if retire::leads_active_squad(conn, ids).await? {
        return Err(Refusal::LeadsActiveSquad.into());
    }
    retire::delete_runtimes(conn, ids, now).await?;
    Ok(())
}

fn tell(app: &App, actor: Actor, workspace: WorkspaceId, gone: &[RuntimeId], payload: &Value) {
    for id in gone {
        app.liveness.forget(*id);
        tracing::info!(runtime.id = %id, "a runtime was deleted");
    }
    app.events.by(actor, workspace, "daemon:register", || payload.clone());
}

pub(super) fn to_everybody(app: &App) -> Shown {
    Shown::to_everybody(app.flags.composio_mcp_apps)
}

/// The agents as an event or a refusal shows them.
pub(super) async fn bodies(
    conn: &mut Conn,
    agents: Vec<Agent>,
    shown: Shown,
) -> Result<Vec<Value>, StoreError> {
    let mut bodies = Vec::with_capacity(agents.len());
    for agent in agents {
        let skills = agent_skills::list_tags(conn, agent.id).await?;
        bodies.push(json!(AgentBody::without_targets(agent, skills, shown)));
    }
    Ok(bodies)
}
