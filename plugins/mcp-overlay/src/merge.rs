//! The merge: a union by server name, in which the overlay wins.
//!
//! Only what is rebuilt is taken apart: top-level members and server names. The rest is
//! checked to be JSON and passed on as the text it came as.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::{self, Formatter};

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use switchyard_sdk::Failure;
use switchyard_sdk::mcp_overlay::Merged;

const SERVERS: &str = "mcpServers";

/// What the agent configured and what the task brings become one configuration. On a
/// failure the agent's configuration stands as stored.
pub fn merge(agent: Option<&str>, overlay: Option<&str>) -> Result<Merged, Failure> {
    match (present(agent), present(overlay)) {
        (None, None) => Ok(Merged::None),
        (Some(_), None) => Ok(Merged::AgentConfig),
        (None, Some(overlay)) => written(&Side::Overlay.members(overlay)?),
        (Some(agent), Some(overlay)) => union(agent, overlay),
    }
}

/// A side that is blank or the literal `null` is absent.
fn present(side: Option<&str>) -> Option<&str> {
    side.map(str::trim).filter(|text| !text.is_empty() && *text != "null")
}

fn union(agent: &str, overlay: &str) -> Result<Merged, Failure> {
    let agent = Side::Agent.config(agent)?;
    let overlay = Side::Overlay.config(overlay)?;
    let mut servers = agent.servers;
    servers.extend(overlay.servers);

    let mut whole: BTreeMap<Key, Node> =
        agent.others.into_iter().map(|(name, raw)| (name, Node::Raw(raw))).collect();
    if !servers.is_empty() {
        whole.insert(Key(SERVERS.into()), Node::Members(servers));
    }
    if whole.is_empty() { Ok(Merged::None) } else { written(&whole) }
}

fn written(config: &impl Serialize) -> Result<Merged, Failure> {
    serde_json::to_string(config).map(Merged::Config).map_err(|error| {
        Failure::new("not-written", format!("the merged configuration is not JSON: {error}"))
    })
}

/// The members of a JSON object, in alphabetical order. Of equal names the last one counts.
type Members<'a> = BTreeMap<Key<'a>, &'a RawValue>;

/// A member's name, borrowed unless it has escapes.
#[derive(PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// A configuration, read once from its beginning to its end.
struct Config<'a> {
    servers: Members<'a>,
    others: Members<'a>,
}

impl<'de> Deserialize<'de> for Config<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Config<'de>;

            fn expecting(&self, f: &mut Formatter) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Config<'de>, A::Error> {
                let (mut servers, mut others) = (None, Members::new());
                while let Some(name) = map.next_key::<Key>()? {
                    if name.0 == SERVERS {
                        servers = map.next_value()?;
                    } else {
                        others.insert(name, map.next_value()?);
                    }
                }
                Ok(Config { servers: servers.unwrap_or_default(), others })
            }
        }

        deserializer.deserialize_map(Reader)
    }
}

/// A member of the result: as it came, or rebuilt.
#[derive(Serialize)]
#[serde(untagged)]
enum Node<'a> {
    Raw(&'a RawValue),
    Members(Members<'a>),
}

/// Whose configuration is at fault.
#[derive(Clone, Copy)]
enum Side {
    Agent,
    Overlay,
}

impl Side {
    fn members(self, text: &str) -> Result<Members<'_>, Failure> {
        serde_json::from_str(text).map_err(|error| self.fault(format_args!("must be a JSON object: {error}")))
    }

    fn config(self, text: &str) -> Result<Config<'_>, Failure> {
        let config: Config = serde_json::from_str(text).map_err(|error| {
            self.fault(format_args!("it and its `mcpServers` must be JSON objects: {error}"))
        })?;
        for (name, server) in &config.servers {
            if name.0.is_empty() {
                return Err(self.fault(format_args!("a server's name must not be empty")));
            }
            if !server.get().starts_with('{') {
                return Err(self.fault(format_args!("the server {:?} must be a JSON object", name.0)));
            }
        }
        Ok(config)
    }

    fn fault(self, what: std::fmt::Arguments) -> Failure {
        let (code, whose) = match self {
            Self::Agent => ("bad-agent-config", "the agent's `mcp_config`"),
            Self::Overlay => ("bad-overlay", "the task's MCP overlay"),
        };
        Failure::new(code, format!("{whose}: {what}; the agent's configuration is delivered as stored"))
    }
}
