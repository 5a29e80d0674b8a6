//! What a plugin was granted by name, and what nobody can grant.

use std::collections::BTreeMap;

use serde::Serialize;

use super::reach::allow::HttpGrant;
use super::reach::secret::SecretGrant;

/// Everything that is not here is refused.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Grants {
    /// Variables it may put into the agent's environment.
    pub env: Vec<String>,
    /// JSON Pointers it may set.
    pub write: Vec<String>,
    /// What it may see and is withheld otherwise.
    pub view: Vec<View>,
    /// Places that it may send requests to.
    pub http: Vec<HttpGrant>,
    /// Secrets that it may use without seeing them.
    pub secrets: BTreeMap<String, SecretGrant>,
    /// Whether it may keep values, ask what time it is, and draw random numbers.
    pub kv: bool,
    pub clock: bool,
    pub random: bool,
}

/// Interfaces that the host offers to those who were granted them, and the grant of each.
pub const IMPORTS: [&str; 5] = ["kv", "http", "secrets", "clock", "random"];

impl Grants {
    /// Whether a component may import the interface of this name.
    pub fn covers(&self, import: &str) -> bool {
        match import {
            "kv" => self.kv,
            "http" => !self.http.is_empty(),
            "secrets" => !self.secrets.is_empty(),
            "clock" => self.clock,
            "random" => self.random,
            _ => false,
        }
    }
}

/// Secrets that a plugin may be shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum View {
    CustomEnv,
    McpSecrets,
}

impl View {
    pub const ALL: [(&str, Self); 2] = [("custom_env", Self::CustomEnv), ("mcp_secrets", Self::McpSecrets)];
}

/// Members that say whose task it is and what it may do. The environment has a grant of its
/// own, variable by variable.
const CLOSED: [&str; 8] = [
    "/auth_token",
    "/id",
    "/workspace_id",
    "/agent_id",
    "/runtime_id",
    "/status",
    "/agent/id",
    "/agent/custom_env",
];

/// Whether the pointer names a closed member, something in one, or something that holds one.
pub fn is_closed(pointer: &str) -> bool {
    let within = |inner: &str, outer: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    CLOSED.iter().any(|member| within(pointer, member) || within(member, pointer))
}

/// Whether a shell would take this for the name of a variable.
pub fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
