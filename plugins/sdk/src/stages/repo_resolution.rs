//! Stage `repo-resolution`: which repositories a claimed task gets.

use crate::bindings::repo_resolution::exports::switchyard::plugin::repo_resolution as wit;
use crate::{Call, Failure};

pub use wit::{Input, Resolution, Resource};

/// Decides which repositories a task gets.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not serve the stage `repo_resolution`",
    note = "write `impl RepoResolution for {Self} {{ fn resolve(call: &Call, input: Input) -> Result<Resolution, Failure> {{ … }} }}`"
)]
pub trait RepoResolution {
    /// What follows from a failure is the operator's `on_error`.
    fn resolve(call: &Call, input: Input) -> Result<Resolution, Failure>;
}

impl<P: RepoResolution> wit::Guest for P {
    fn resolve(call: Call, input: Input) -> Result<Resolution, Failure> {
        P::resolve(&call, input)
    }
}
