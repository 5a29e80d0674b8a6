//! With whom an agent is shared: what a caller may write, and what that means.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use utoipa::ToSchema;
use uuid::Uuid;

use super::agent::{Agent, InvocationTarget};
use super::ids::{WorkspaceId, parse_uuid};

/// The owner alone may start the agent.
const PRIVATE: &str = "private";
/// The owner may, and whoever the targets name.
const PUBLIC_TO: &str = "public_to";
/// How many targets one agent may have.
const MOST_TARGETS: usize = 1000;

/// A target as it is sent.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct TargetBody {
    /// `workspace`, `member` or `team`.
    #[serde(default)]
    pub target_type: Option<String>,
    /// A user for `member`; the workspace needs none.
    #[serde(default)]
    pub target_id: Option<String>,
}

/// What may be wrong with it.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum AccessError {
    #[error("visibility must be 'private' or 'workspace'")]
    Visibility,
    #[error("permission_mode must be 'private' or 'public_to'")]
    Mode,
    #[error("invocation target_type must be 'workspace', 'member', or 'team'")]
    TargetType,
    #[error("{0} invocation target requires target_id")]
    NoTargetId(&'static str),
    #[error("{0} invocation target_id is not a valid uuid")]
    BadTargetId(&'static str),
    #[error("invocation_targets may name at most {MOST_TARGETS} targets")]
    TooMany,
}

/// A mode with its targets, whole and consistent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Access {
    pub mode: &'static str,
    /// Type and id, each pair once, in the order they were sent.
    pub targets: Vec<(&'static str, Uuid)>,
}

impl Access {
    pub fn private() -> Self {
        Self { mode: PRIVATE, targets: Vec::new() }
    }

    /// Shared with everybody in the workspace.
    pub fn workspace(workspace: WorkspaceId) -> Self {
        Self { mode: PUBLIC_TO, targets: vec![("workspace", workspace.0)] }
    }

    /// From a mode and the targets beside it. An empty mode is `private`, which drops the
    /// targets; `public_to` without any means the workspace.
    pub fn of_mode(
        mode: &str,
        targets: Option<&[TargetBody]>,
        workspace: WorkspaceId,
    ) -> Result<Self, AccessError> {
        match mode {
            "" | PRIVATE => Ok(Self::private()),
            PUBLIC_TO => match targets.unwrap_or_default() {
                [] => Ok(Self::workspace(workspace)),
                targets => Self::public_to(targets, workspace),
            },
            _ => Err(AccessError::Mode),
        }
    }

    /// From the older way to say it.
    pub fn of_visibility(visibility: &str, workspace: WorkspaceId) -> Result<Self, AccessError> {
        match visibility {
            "" | PRIVATE => Ok(Self::private()),
            "workspace" => Ok(Self::workspace(workspace)),
            _ => Err(AccessError::Visibility),
        }
    }

    fn public_to(sent: &[TargetBody], workspace: WorkspaceId) -> Result<Self, AccessError> {
        if sent.len() > MOST_TARGETS {
            return Err(AccessError::TooMany);
        }
        let mut seen = HashSet::new();
        let mut targets = Vec::with_capacity(sent.len());
        for target in sent {
            let target = target.checked(workspace)?;
            if seen.insert(target) {
                targets.push(target);
            }
        }
        Ok(Self { mode: PUBLIC_TO, targets })
    }

    /// What the older field shows of this.
    pub fn visibility(&self) -> &'static str {
        visibility_of(self.mode, self.targets.iter().map(|(kind, _)| *kind))
    }

    /// Whether the agent is shared in just this way already.
    pub fn is_of(&self, agent: &Agent, stored: &[InvocationTarget]) -> bool {
        let mine: HashSet<(&str, Uuid)> = self.targets.iter().copied().collect();
        let theirs: HashSet<(&str, Uuid)> =
            stored.iter().map(|target| (target.target_type.as_str(), target.target_id)).collect();
        self.mode == agent.permission_mode && (self.mode == PRIVATE || mine == theirs)
    }
}

impl TargetBody {
    fn checked(&self, workspace: WorkspaceId) -> Result<(&'static str, Uuid), AccessError> {
        let kind = match self.target_type.as_deref() {
            // Whatever id came with it: there is only this one.
            Some("workspace") => return Ok(("workspace", workspace.0)),
            Some("member") => "member",
            Some("team") => "team",
            _ => return Err(AccessError::TargetType),
        };
        let id =
            self.target_id.as_deref().filter(|id| !id.is_empty()).ok_or(AccessError::NoTargetId(kind))?;
        parse_uuid(id).map(|id| (kind, id)).ok_or(AccessError::BadTargetId(kind))
    }
}

/// `workspace` if everybody in the workspace may start the agent, else `private`.
pub fn visibility_of<'a>(mode: &str, mut target_types: impl Iterator<Item = &'a str>) -> &'static str {
    if mode == PUBLIC_TO && target_types.any(|kind| kind == "workspace") { "workspace" } else { PRIVATE }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(kind: &str, id: Option<&str>) -> TargetBody {
        TargetBody { target_type: Some(kind.to_owned()), target_id: id.map(str::to_owned) }
    }

    #[test]
    fn a_mode_says_what_its_targets_mean() {
        let workspace = WorkspaceId::new();
        let user = "7c9e6679-7425-40de-944b-e07fc1f90ae7";
        let check = |mode: &str, targets: Option<&[TargetBody]>, expected: Result<Access, &str>| {
            let found = Access::of_mode(mode, targets, workspace).map_err(|error| error.to_string());
            assert_eq!(found, expected.map_err(str::to_owned), "{mode} {targets:?}");
        };
        check("", None, Ok(Access::private()));
        check("private", Some(&[target("member", Some("nonsense"))]), Ok(Access::private()));
        check("public_to", None, Ok(Access::workspace(workspace)));
        check("public_to", Some(&[]), Ok(Access::workspace(workspace)));
        check("public_to", Some(&[target("workspace", Some(user))]), Ok(Access::workspace(workspace)));
        let listed =
            Access { mode: PUBLIC_TO, targets: vec![("member", parse_uuid(user).unwrap_or_default())] };
        let twice = [target("member", Some(user)), target("member", Some(&user.to_uppercase()))];
        check("public_to", Some(&twice), Ok(listed));
        for (kind, id, message) in [
            ("member", None, "member invocation target requires target_id"),
            ("team", Some(""), "team invocation target requires target_id"),
            ("member", Some("x"), "member invocation target_id is not a valid uuid"),
            ("everyone", None, "invocation target_type must be 'workspace', 'member', or 'team'"),
        ] {
            check("public_to", Some(&[target(kind, id)]), Err(message));
        }
        check("open", None, Err("permission_mode must be 'private' or 'public_to'"));
    }

    #[test]
    fn only_a_workspace_target_looks_shared_to_older_clients() {
        assert_eq!(visibility_of("public_to", ["member"].into_iter()), "private");
        assert_eq!(visibility_of("public_to", ["member", "workspace"].into_iter()), "workspace");
        assert_eq!(visibility_of("private", ["workspace"].into_iter()), "private");
    }
}
