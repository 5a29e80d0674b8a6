//! A guest that never returns.

use switchyard_sdk::enrichment::{Decision, Enrichment, Input};
use switchyard_sdk::{Call, Description, Failure, Plugin, export};

struct Loop;

impl Plugin for Loop {
    fn describe() -> Description {
        Description::new("test-loop", "1.0.0", "Never returns.")
    }
}

impl Enrichment for Loop {
    fn enrich(_: &Call, _: Input) -> Result<Decision, Failure> {
        loop {
            std::hint::spin_loop();
        }
    }
}

export!(Loop: enrichment);
