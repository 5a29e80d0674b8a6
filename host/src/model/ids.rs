//! A type for each kind of id, so that a task's id cannot be passed for an agent's.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// Reads an id in either accepted spelling: 36 characters with hyphens or 32 bare hex
/// digits, in any case. Other spellings that the `uuid` crate knows (braces, `urn:`) are
/// malformed here.
pub fn parse_uuid(text: &str) -> Option<Uuid> {
    match text.len() {
        36 | 32 => Uuid::try_parse(text).ok(),
        _ => None,
    }
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize, ToSchema)]
        #[serde(transparent)]
        #[schema(value_type = Uuid)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new id that sorts after those made before it.
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// See [`parse_uuid`].
            pub fn parse(text: &str) -> Option<Self> {
                parse_uuid(text).map(Self)
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }
    )*};
}

ids! {
    /// A human account.
    UserId,
    /// A tenant.
    WorkspaceId,
    /// One CLI provider on one daemon machine, in one workspace.
    RuntimeId,
    /// A configured AI worker.
    AgentId,
    /// One run of one agent.
    TaskId,
    IssueId,
    CommentId,
    ProjectId,
    ResourceId,
    SquadId,
    SkillId,
    LabelId,
    ChatSessionId,
    AutopilotId,
    AutopilotRunId,
    /// What sets an autopilot off.
    TriggerId,
    /// One call of a webhook.
    DeliveryId,
    AttachmentId,
    /// An app that somebody connected.
    ConnectionId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_are_read_and_no_other() {
        let id = "7c9e6679-7425-40de-944b-e07fc1f90ae7";
        assert_eq!(parse_uuid(id), parse_uuid(&id.replace('-', "").to_uppercase()));
        for bad in [
            "",
            "x",
            "{7c9e6679-7425-40de-944b-e07fc1f90ae7}",
            "urn:uuid:7c9e6679-7425-40de-944b-e07fc1f90ae7",
        ] {
            assert_eq!(parse_uuid(bad), None, "{bad}");
        }
    }
}
