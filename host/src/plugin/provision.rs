//! What the gateway's own settings give to a plugin that is built in: where to ask, a secret to
//! be let in with, and time to wait for the answer. A document names none of it, and whoever
//! only changes documents comes no nearer to the secret.

use secrecy::SecretString;
use serde_json::Value;

use super::document::Wanted;
use super::limits::Limits;
use super::reach::allow::HttpGrant;
use super::reach::secret::SecretGrant;
use super::source::Source;
use super::stage::Stage;

/// The component that it is for, its stage that is called with it alone, and the member of its
/// configuration that says what it is.
const COMPONENT: &str = "mcp-overlay";
const STAGE: Stage = Stage::Prepare;
const MEMBER: &str = "composio";

#[derive(Clone)]
pub struct Provision {
    /// What stands in the plugin's configuration.
    pub config: Value,
    pub http: HttpGrant,
    /// Under this name.
    pub secret: (String, SecretGrant, SecretString),
    /// What the limits are at the stage, unless the document sets them.
    pub wall_ms: u64,
    pub max_concurrent: usize,
}

/// A plugin with what the gateway gives it.
pub struct Equipped {
    /// Not called: the gateway gives nothing for it.
    pub withheld: Option<Stage>,
    pub enqueue_limits: Limits,
    pub secret: Option<(String, SecretGrant, SecretString)>,
}

/// Adds to what a document wants. A fault is a member, and what is wrong with it.
pub fn equip(wanted: &mut Wanted, provision: Option<&Provision>) -> Result<Equipped, (String, String)> {
    let bare = |withheld, limits| Equipped { withheld, enqueue_limits: limits, secret: None };
    if wanted.source != Source::Builtin(COMPONENT.to_owned()) {
        return Ok(bare(None, wanted.limits));
    }
    if wanted.config.get(MEMBER).is_some() {
        let message = "comes from the gateway's own settings (`COMPOSIO_API_KEY` and its like); leave it out";
        return Err((format!("config/{MEMBER}"), message.to_owned()));
    }
    let Some(provision) = provision else { return Ok(bare(Some(STAGE), wanted.limits)) };
    wanted.config[MEMBER] = provision.config.clone();
    wanted.grants.http.push(provision.http.clone());
    let (name, grant, _) = &provision.secret;
    wanted.grants.secrets.insert(name.clone(), grant.clone());
    let asked = |key: &str| wanted.asked_limits.contains(key);
    if !asked("http_ms") {
        wanted.limits.http_ms = provision.wall_ms;
    }
    let mut limits = wanted.limits;
    if !asked("wall_ms") {
        limits.wall_ms = provision.wall_ms;
    }
    if !asked("queue_ms") {
        limits.queue_ms = limits.wall_ms;
    }
    if !asked("max_concurrent") {
        limits.max_concurrent = provision.max_concurrent;
    }
    Ok(Equipped { withheld: None, enqueue_limits: limits, secret: Some(provision.secret.clone()) })
}
