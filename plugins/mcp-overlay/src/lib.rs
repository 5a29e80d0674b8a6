//! The servers of a task's overlay: made when it is queued, out of the apps that its agent's
//! owner connected; merged with the agent's own MCP configuration when it is claimed.

mod connect;
mod merge;

use switchyard_sdk::mcp_overlay::{Input, McpOverlay, Merged};
use switchyard_sdk::prepare::{self, Prepare};
use switchyard_sdk::{Call, Description, Failure, Plugin, export};

pub use connect::{connect, display_name};
pub use merge::merge;

struct Overlay;

impl Plugin for Overlay {
    fn describe() -> Description {
        Description::new(
            "mcp-overlay",
            env!("CARGO_PKG_VERSION"),
            "Makes a task's overlay of connected apps, and adds its servers to the agent's MCP configuration.",
        )
        .config_schema(connect::CONFIG_SCHEMA)
    }
}

impl Prepare for Overlay {
    fn prepare(call: &Call, input: prepare::Input) -> Result<prepare::Output, Failure> {
        connect(call, &input)
    }
}

impl McpOverlay for Overlay {
    fn merge(_: &Call, input: Input) -> Result<Merged, Failure> {
        merge(input.agent_config.as_deref(), input.overlay.as_deref())
    }
}

export!(Overlay: prepare, mcp_overlay);
