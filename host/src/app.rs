//! The handles a handler may reach. Built once, holds no logic.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use crate::auth::Auth;
use crate::composio::Composio;
use crate::config::access::Access;
use crate::dispatch::at_rest::AtRest;
use crate::dispatch::claims::Claims;
use crate::dispatch::places::Places;
use crate::dispatch::sweep::Sweeper;
use crate::enrich::log::TraceLog;
use crate::live::events::Events;
use crate::live::hub::Hub;
use crate::live::liveness::Liveness;
use crate::live::pending::Pending;
use crate::live::wakeups::Wakeups;
use crate::model::flag::Flag;
use crate::model::time::Clock;
use crate::plugin::plugins::Plugins;
use crate::store::Db;
use crate::uploads::Uploads;

/// Cheap to clone; every clone is the same application.
#[derive(Clone)]
pub struct App(Arc<Handles>);

pub struct Handles {
    pub db: Db,
    pub clock: Clock,
    pub auth: Auth,
    pub access: Access,
    pub events: Events,
    pub hub: Hub,
    pub wakeups: Wakeups,
    pub liveness: Liveness,
    pub at_rest: AtRest,
    pub claims: Claims,
    pub places: Places,
    pub sweeper: Sweeper,
    pub pending: Pending,
    pub plugins: Plugins,
    pub traces: TraceLog,
    pub uploads: Uploads,
    /// How long the other side of a WebSocket may stay silent.
    pub socket_timeout: Duration,
    pub flags: Flags,
    /// Apps that people connect, where that is set up.
    pub composio: Option<Composio>,
}

/// Switches that deployments set in the environment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Flags {
    /// `composio_mcp_apps`: whether apps can be connected, and tasks are given them.
    pub composio_mcp_apps: bool,
    /// `runtime_brief_slim`, told to daemons, each by its own id.
    pub runtime_brief_slim: Flag,
    /// Sites whose pages may talk to this gateway, beside its own.
    pub allowed_origins: Vec<String>,
    /// The hash of the token that opens `/health/realtime` from elsewhere.
    pub realtime_metrics_token: Option<String>,
    /// Whether nobody may create a workspace.
    pub disable_workspace_creation: bool,
    /// Where the world reaches this gateway, without a slash at its end.
    pub public_url: Option<String>,
    /// Proxies that are believed when they say for whom they speak.
    pub trusted_proxies: Vec<ipnet::IpNet>,
}

impl App {
    pub fn new(handles: Handles) -> Self {
        Self(Arc::new(handles))
    }
}

impl Deref for App {
    type Target = Handles;

    fn deref(&self) -> &Handles {
        &self.0
    }
}
