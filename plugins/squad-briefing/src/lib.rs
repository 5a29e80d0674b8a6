//! Briefs the leader of a squad: how to coordinate, whom, and what the squad itself asks.

mod briefing;

use switchyard_sdk::squad_briefing::{Input, SquadBriefing};
use switchyard_sdk::{Call, Description, Failure, Plugin, export};

pub use briefing::briefing;

struct Briefing;

impl Plugin for Briefing {
    fn describe() -> Description {
        Description::new(
            "squad-briefing",
            env!("CARGO_PKG_VERSION"),
            "Tells a squad's leader how to coordinate and who its members are.",
        )
    }
}

impl SquadBriefing for Briefing {
    fn brief(_: &Call, input: Input) -> Result<Option<String>, Failure> {
        Ok(Some(briefing(&input)))
    }
}

export!(Briefing: squad_briefing);
