//! Merges an agent's MCP configuration with the overlay made when its task was queued.

mod merge;

use switchyard_sdk::mcp_overlay::{Input, McpOverlay, Merged};
use switchyard_sdk::{Call, Description, Failure, Plugin, export};

pub use merge::merge;

struct Overlay;

impl Plugin for Overlay {
    fn describe() -> Description {
        Description::new(
            "mcp-overlay",
            env!("CARGO_PKG_VERSION"),
            "Adds the servers of a task's overlay to the agent's MCP configuration.",
        )
    }
}

impl McpOverlay for Overlay {
    fn merge(_: &Call, input: Input) -> Result<Merged, Failure> {
        merge(input.agent_config.as_deref(), input.overlay.as_deref())
    }
}

export!(Overlay: mcp_overlay);
