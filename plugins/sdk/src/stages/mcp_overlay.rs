//! Stage `mcp-overlay`: the agent's own MCP configuration and the task's overlay become one.

use crate::bindings::mcp_overlay::exports::switchyard::plugin::mcp_overlay as wit;
use crate::{Call, Failure};

pub use wit::{Input, Merged};

/// Decides which MCP configuration a task gets.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not serve the stage `mcp_overlay`",
    note = "write `impl McpOverlay for {Self} {{ fn merge(call: &Call, input: Input) -> Result<Merged, Failure> {{ … }} }}`"
)]
pub trait McpOverlay {
    /// A failure leaves the agent's configuration as it was.
    fn merge(call: &Call, input: Input) -> Result<Merged, Failure>;
}

impl<P: McpOverlay> wit::Guest for P {
    fn merge(call: Call, input: Input) -> Result<Merged, Failure> {
        P::merge(&call, input)
    }
}
