//! Stage `prepare`: a task is about to enter the queue.

use crate::bindings::prepare::exports::switchyard::plugin::prepare as wit;
use crate::{Call, Failure};

pub use wit::{ConnectedAccount, ConnectedApp, Input, Output};

/// Prepares what a task will need when it is claimed.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not serve the stage `prepare`",
    note = "write `impl Prepare for {Self} {{ fn prepare(call: &Call, input: Input) -> Result<Output, Failure> {{ … }} }}`"
)]
pub trait Prepare {
    /// What it returns is kept with the task, secret from everybody, until the task ends. A
    /// failure never stops the enqueue.
    fn prepare(call: &Call, input: Input) -> Result<Output, Failure>;
}

impl<P: Prepare> wit::Guest for P {
    fn prepare(call: Call, input: Input) -> Result<Output, Failure> {
        P::prepare(&call, input)
    }
}

impl Output {
    /// Nothing to attach.
    pub fn nothing() -> Self {
        Self { overlay: None, apps: Vec::new(), attributes: Vec::new() }
    }
}
