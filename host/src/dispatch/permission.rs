//! Who may start an agent, who may see it, who may manage it. Three different questions:
//! an administrator sees and manages a private agent, and cannot start it.

use uuid::Uuid;

use crate::model::actor::Actor;
use crate::model::agent::{Agent, InvocationTarget};
use crate::model::ids::{TaskId, UserId, WorkspaceId};
use crate::model::workspace::Role;
use crate::store::{Conn, StoreError, agent_targets, users};

use super::originator;

/// The mode in which an agent's targets count.
const PUBLIC_TO: &str = "public_to";

/// On whose behalf an agent is about to be started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Principal {
    Member(UserId),
    /// An agent or the system, with the person at the top of its chain when that is known.
    /// The agent itself is never what is trusted.
    Machine {
        originator: Option<UserId>,
    },
}

impl Principal {
    /// The person whose rights count.
    pub fn user(self) -> Option<UserId> {
        match self {
            Self::Member(user) => Some(user),
            Self::Machine { originator } => originator,
        }
    }
}

/// An agent at work acts for the person its task stems from.
pub async fn of_agent(conn: &mut Conn, task: TaskId) -> Result<Principal, StoreError> {
    Ok(Principal::Machine { originator: originator::of_task(conn, Some(task)).await? })
}

/// For whom an actor acts.
pub async fn of_actor(conn: &mut Conn, actor: Actor) -> Result<Principal, StoreError> {
    match actor {
        Actor::Member(user) => Ok(Principal::Member(user)),
        Actor::Agent { task_id, .. } => of_agent(conn, task_id).await,
    }
}

/// The invocation gate: whether the agent may be started on the principal's behalf. A read
/// that fails is an error, which starts nothing.
pub async fn may_invoke(
    conn: &mut Conn,
    agent: &Agent,
    principal: Principal,
    workspace: WorkspaceId,
) -> Result<bool, StoreError> {
    // Most agents are settled without a look at targets.
    if allows(agent, &[], principal, false) {
        return Ok(true);
    }
    if agent.permission_mode != PUBLIC_TO {
        return Ok(false);
    }
    let targets = agent_targets::list(conn, agent.id).await?;
    let is_member = match principal.user() {
        Some(user) => users::find_role(conn, user, workspace).await?.is_some(),
        None => false,
    };
    Ok(allows(agent, &targets, principal, is_member))
}

/// The rule of the gate. The owner may; everybody else only what `public_to` names. There is
/// no bypass for administrators or between agents. `is_member` says whether the principal's
/// user belongs to the workspace.
pub fn allows(agent: &Agent, targets: &[InvocationTarget], principal: Principal, is_member: bool) -> bool {
    let user = principal.user();
    if user.is_some() && user == agent.owner_id {
        return true;
    }
    if agent.permission_mode != PUBLIC_TO {
        return false;
    }
    targets.iter().any(|target| match target.target_type.as_str() {
        // Whoever works inside the workspace already may use what it shares.
        "workspace" => is_member || matches!(principal, Principal::Machine { .. }),
        "member" => user.is_some_and(|user| user.0 == target.target_id),
        _ => false,
    })
}

/// The view gate, for lists, details and transcripts.
pub fn may_view(
    agent: &Agent,
    targets: &[InvocationTarget],
    user: UserId,
    role: Role,
    is_agent: bool,
) -> bool {
    is_agent
        || role.is_admin()
        || agent.owner_id == Some(user)
        || (agent.permission_mode == PUBLIC_TO && targets.iter().any(|target| names(target, user.0)))
}

/// Owners and admins of the workspace, and the agent's own owner.
pub fn may_manage(agent: &Agent, user: UserId, role: Role) -> bool {
    role.is_admin() || agent.owner_id == Some(user)
}

fn names(target: &InvocationTarget, user: Uuid) -> bool {
    match target.target_type.as_str() {
        "workspace" => true,
        "member" => target.target_id == user,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::ids::{AgentId, RuntimeId};

    fn agent(owner: UserId, mode: &str) -> Agent {
        let now = crate::model::time::Time::default();
        Agent {
            id: AgentId::new(),
            workspace_id: WorkspaceId::new(),
            name: String::new(),
            description: String::new(),
            instructions: String::new(),
            avatar_url: None,
            runtime_mode: "local".to_owned(),
            runtime_config: json!({}),
            runtime_id: RuntimeId::new(),
            visibility: "private".to_owned(),
            permission_mode: mode.to_owned(),
            status: "idle".to_owned(),
            max_concurrent_tasks: 1,
            owner_id: Some(owner),
            custom_env: json!({}),
            custom_args: json!([]),
            mcp_config: None,
            model: None,
            thinking_level: None,
            composio_toolkit_allowlist: None,
            archived_at: None,
            archived_by: None,
            created_at: now,
            updated_at: now,
        }
    }

    /// Columns: the owner, another member, a listed member, an agent for the owner, for a
    /// listed member, for nobody known.
    #[test]
    fn who_may_start_an_agent_is_a_table() {
        let (owner, other, listed) = (UserId::new(), UserId::new(), UserId::new());
        let columns = [
            Principal::Member(owner),
            Principal::Member(other),
            Principal::Member(listed),
            Principal::Machine { originator: Some(owner) },
            Principal::Machine { originator: Some(listed) },
            Principal::Machine { originator: None },
        ];
        let check = |mode: &str, targets: &[(&str, Uuid)], expected: [bool; 6]| {
            let agent = agent(owner, mode);
            let targets: Vec<InvocationTarget> = targets
                .iter()
                .map(|(kind, id)| InvocationTarget {
                    agent_id: agent.id,
                    target_type: (*kind).to_owned(),
                    target_id: *id,
                })
                .collect();
            let found =
                columns.map(|principal| allows(&agent, &targets, principal, principal.user().is_some()));
            assert_eq!(found, expected, "{mode} {targets:?}");
        };
        let everybody = ("workspace", Uuid::nil());
        check("private", &[], [true, false, false, true, false, false]);
        check("private", &[everybody], [true, false, false, true, false, false]);
        check("unheard of", &[everybody], [true, false, false, true, false, false]);
        check("public_to", &[everybody], [true; 6]);
        check("public_to", &[("member", listed.0)], [true, false, true, true, true, false]);
        check("public_to", &[("team", listed.0)], [true, false, false, true, false, false]);
        check("public_to", &[], [true, false, false, true, false, false]);
    }

    #[test]
    fn somebody_outside_the_workspace_is_not_everybody() {
        let agent = agent(UserId::new(), "public_to");
        let target = InvocationTarget {
            agent_id: agent.id,
            target_type: "workspace".to_owned(),
            target_id: agent.workspace_id.0,
        };
        let stranger = Principal::Member(UserId::new());
        assert!(!allows(&agent, std::slice::from_ref(&target), stranger, false));
        assert!(allows(&agent, &[target], stranger, true));
    }

    #[test]
    fn seeing_is_not_starting() {
        let (owner, admin, plain) = (UserId::new(), UserId::new(), UserId::new());
        let private = agent(owner, "private");
        assert!(may_view(&private, &[], admin, Role::Admin, false));
        assert!(!allows(&private, &[], Principal::Member(admin), true));
        assert!(may_view(&private, &[], owner, Role::Member, false));
        assert!(!may_view(&private, &[], plain, Role::Member, false));
        assert!(may_view(&private, &[], plain, Role::Member, true));
        assert!(may_manage(&private, owner, Role::Member) && may_manage(&private, admin, Role::Owner));
        assert!(!may_manage(&private, plain, Role::Member));
    }

    mod laws {
        use proptest::prelude::*;

        use super::*;

        /// A few people, so that they meet.
        fn person() -> impl Strategy<Value = UserId> {
            (0..4_u128).prop_map(|n| UserId(Uuid::from_u128(n)))
        }

        fn principal() -> impl Strategy<Value = Principal> {
            prop_oneof![
                person().prop_map(Principal::Member),
                prop::option::of(person()).prop_map(|originator| Principal::Machine { originator }),
            ]
        }

        fn targets() -> impl Strategy<Value = Vec<(&'static str, Uuid)>> {
            let kind = prop::sample::select(vec!["workspace", "member", "team", "unheard of"]);
            prop::collection::vec((kind, person().prop_map(|user| user.0)), 0..4)
        }

        fn of(agent: &Agent, targets: &[(&'static str, Uuid)]) -> Vec<InvocationTarget> {
            let target = |(kind, id): &(&'static str, Uuid)| InvocationTarget {
                agent_id: agent.id,
                target_type: (*kind).to_owned(),
                target_id: *id,
            };
            targets.iter().map(target).collect()
        }

        proptest! {
            /// The owner always; of others only whom a target names, and only while the mode says
            /// that targets count.
            #[test]
            fn nobody_is_let_in_whom_nothing_names(
                owner in prop::option::of(person()),
                shared in any::<bool>(),
                targets in targets(),
                principal in principal(),
                is_member in any::<bool>(),
            ) {
                let mode = if shared { PUBLIC_TO } else { "private" };
                let agent = Agent { owner_id: owner, ..agent(UserId::new(), mode) };
                let user = principal.user();
                let owns = owner.is_some() && user == owner;
                let inside = is_member || matches!(principal, Principal::Machine { .. });
                let everybody = targets.iter().any(|(kind, _)| *kind == "workspace");
                let by_name = user.is_some_and(|user| targets.contains(&("member", user.0)));
                let expected = owns || (shared && ((everybody && inside) || by_name));
                prop_assert_eq!(allows(&agent, &of(&agent, &targets), principal, is_member), expected);
            }

            /// One more target shuts nobody out, and a team lets nobody in.
            #[test]
            fn targets_only_add(targets in targets(), more in targets(), principal in principal(), is_member in any::<bool>()) {
                let agent = agent(UserId(Uuid::from_u128(0)), PUBLIC_TO);
                let few = allows(&agent, &of(&agent, &targets), principal, is_member);
                let all = [targets.clone(), more].concat();
                prop_assert!(!few || allows(&agent, &of(&agent, &all), principal, is_member));
                let teams: Vec<_> = targets.into_iter().filter(|(kind, _)| *kind == "team").collect();
                let owns = principal.user() == agent.owner_id;
                prop_assert_eq!(allows(&agent, &of(&agent, &teams), principal, is_member), owns);
            }

            /// Who may start an agent in person may see it, if they are of the workspace.
            #[test]
            fn who_may_start_may_see(owner in person(), targets in targets(), user in person()) {
                let agent = agent(owner, PUBLIC_TO);
                let targets = of(&agent, &targets);
                let starts = allows(&agent, &targets, Principal::Member(user), true);
                prop_assert_eq!(starts, may_view(&agent, &targets, user, Role::Member, false));
            }
        }
    }
}
