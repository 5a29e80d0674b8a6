//! Stage `finished`: a task came to its end.

use crate::bindings::finished::exports::switchyard::plugin::finished as wit;
use crate::{Call, Failure};

pub use wit::Input;

/// Hears of every task that ended.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not serve the stage `finished`",
    note = "write `impl Finished for {Self} {{ fn finished(call: &Call, input: Input) -> Result<(), Failure> {{ … }} }}`"
)]
pub trait Finished {
    /// Nothing waits for it and a failure changes nothing.
    fn finished(call: &Call, input: Input) -> Result<(), Failure>;
}

impl<P: Finished> wit::Guest for P {
    fn finished(call: Call, input: Input) -> Result<(), Failure> {
        P::finished(&call, input)
    }
}
