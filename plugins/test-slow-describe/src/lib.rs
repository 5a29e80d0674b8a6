//! A guest that never says who it is: applying it must end nevertheless.

use switchyard_sdk::enrichment::{Decision, Enrichment, Input};
use switchyard_sdk::{Call, Description, Failure, Plugin, export};

struct Slow;

impl Plugin for Slow {
    fn describe() -> Description {
        loop {
            std::hint::spin_loop();
        }
    }
}

impl Enrichment for Slow {
    fn enrich(_: &Call, _: Input) -> Result<Decision, Failure> {
        Ok(Decision::unchanged())
    }
}

export!(Slow: enrichment);
