//! What an answer or an event about an agent says, and to whom.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::app::App;
use crate::dispatch::permission;
use crate::http::extract::Scope;
use crate::model::agent::{Agent, InvocationTarget, SkillTag};
use crate::model::agent_body::{AgentBody, Shown, ShownToolkits};
use crate::model::ids::AgentId;
use crate::store::{Conn, StoreError, agent_skills, agent_targets, agents, workspaces};

/// An agent with what hangs on it.
#[derive(Clone, Debug)]
pub(super) struct Details {
    pub(super) agent: Agent,
    pub(super) targets: Vec<InvocationTarget>,
    pub(super) skills: Vec<SkillTag>,
}

impl Details {
    pub(super) async fn find(conn: &mut Conn, agent: Agent) -> Result<Self, StoreError> {
        let targets = agent_targets::list(conn, agent.id).await?;
        let skills = agent_skills::list_tags(conn, agent.id).await?;
        Ok(Self { agent, targets, skills })
    }

    /// Every agent of the caller's workspace, oldest first.
    pub(super) async fn list(
        conn: &mut Conn,
        scope: &Scope,
        archived_too: bool,
    ) -> Result<Vec<Self>, StoreError> {
        let found = agents::list(conn, scope.workspace_id, archived_too).await?;
        let mut targets: HashMap<AgentId, Vec<InvocationTarget>> = HashMap::new();
        for target in agent_targets::list_of_workspace(conn, scope.workspace_id).await? {
            targets.entry(target.agent_id).or_default().push(target);
        }
        let mut skills: HashMap<AgentId, Vec<SkillTag>> = HashMap::new();
        for (agent, skill) in agent_skills::list_tags_of_workspace(conn, scope.workspace_id).await? {
            skills.entry(agent).or_default().push(skill);
        }
        let with = |agent: Agent| Self {
            targets: targets.remove(&agent.id).unwrap_or_default(),
            skills: skills.remove(&agent.id).unwrap_or_default(),
            agent,
        };
        Ok(found.into_iter().map(with).collect())
    }

    /// Whether the caller may see the agent at all.
    pub(super) fn is_visible(&self, scope: &Scope) -> bool {
        permission::may_view(&self.agent, &self.targets, scope.user_id, scope.role, scope.actor.is_agent())
    }

    pub(super) fn body(self, shown: Shown) -> AgentBody {
        AgentBody::new(self.agent, &self.targets, self.skills, shown)
    }

    /// Tells everybody in the workspace, without secrets.
    pub(super) fn publish(&self, app: &App, scope: &Scope, kind: &'static str) {
        app.events.by(
            scope.actor,
            scope.workspace_id,
            kind,
            || json!({"agent": self.clone().body(for_everybody(app))}),
        );
    }
}

/// What a caller who reads may see of agents' secrets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader {
    scope: Scope,
    toolkits_enabled: bool,
    /// The workspace shows its agents' servers to nobody.
    always_redacts: bool,
}

impl Reader {
    pub(super) async fn of(app: &App, conn: &mut Conn, scope: Scope) -> Result<Self, StoreError> {
        let workspace = workspaces::find(conn, scope.workspace_id).await?;
        let setting = workspace.and_then(|workspace| workspace.settings.get("always_redact_env").cloned());
        Ok(Self {
            scope,
            toolkits_enabled: app.flags.composio_mcp_apps,
            always_redacts: setting == Some(Value::Bool(true)),
        })
    }

    pub(super) fn shown(&self, agent: &Agent) -> Shown {
        let scope = &self.scope;
        let may_manage = permission::may_manage(agent, scope.user_id, scope.role);
        Shown {
            mcp_config: !scope.actor.is_agent() && !self.always_redacts && may_manage,
            toolkits: toolkits(self.toolkits_enabled, scope, agent),
        }
    }
}

/// What the answer to a write shows. Whoever may write sees the servers they wrote, unless
/// it is an agent at work.
pub(super) fn for_writer(app: &App, scope: &Scope, agent: &Agent) -> Shown {
    Shown {
        mcp_config: !scope.actor.is_agent(),
        toolkits: toolkits(app.flags.composio_mcp_apps, scope, agent),
    }
}

/// What events show.
pub(super) fn for_everybody(app: &App) -> Shown {
    Shown::to_everybody(app.flags.composio_mcp_apps)
}

/// The list belongs to the owner alone, in person.
fn toolkits(enabled: bool, scope: &Scope, agent: &Agent) -> ShownToolkits {
    if !enabled {
        ShownToolkits::Nothing
    } else if agent.owner_id == Some(scope.user_id) && !scope.actor.is_agent() {
        ShownToolkits::Everything
    } else {
        ShownToolkits::Redacted
    }
}
