//! Stage `squad-briefing`: runs when the task is a squad leader's.

use crate::bindings::squad_briefing::exports::switchyard::plugin::squad_briefing as wit;
use crate::{Call, Failure};

pub use wit::{Input, Member, MemberKind};

/// Briefs the leader of a squad.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not serve the stage `squad_briefing`",
    note = "write `impl SquadBriefing for {Self} {{ fn brief(call: &Call, input: Input) -> Result<Option<String>, Failure> {{ … }} }}`"
)]
pub trait SquadBriefing {
    /// The text to append to the leader's instructions, after one blank line; `None` for
    /// none.
    fn brief(call: &Call, input: Input) -> Result<Option<String>, Failure>;
}

impl<P: SquadBriefing> wit::Guest for P {
    fn brief(call: Call, input: Input) -> Result<Option<String>, Failure> {
        P::brief(&call, input)
    }
}
